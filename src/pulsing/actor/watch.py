"""One watch: somebody who hears, once, that an actor is gone."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.exits import Terminated, error_text
from pulsing.actor.local import LocalTell
from pulsing.actor.methods import Executor, Method
from pulsing.actor.refs import ActorRef
from pulsing.errors import PulsingActorError, PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.place import Place
    from pulsing.ids import ActorId

_HOOK = "on_terminated"


class Watch:
    """Somebody who hears of the end of one actor.

    Awaiting it is optional: it waits until the node of the actor knows of the watch, or until the
    end has been heard of.

    Attributes:
        place: of the actor, as it was given.
        actor_id: of the actor.
        cell: who watches, when that is an actor.
    """

    __slots__ = ("_placed", "_waiter", "actor_id", "cell", "place")

    def __init__(self, cell: Cell | None, place: Place, actor_id: ActorId) -> None:
        self.cell = cell
        self.place = place
        self.actor_id = actor_id
        self._placed = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def key(self) -> object:
        """What is watched once only: watches of one actor with the same key are one."""
        return type(self), self.cell

    def placed(self) -> None:
        """The node of the actor knows of it."""
        self._placed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def hear(self, reason: ExitReason, error: str | None) -> None:
        """The actor is gone. Called once."""
        self.placed()

    def give_up(self) -> None:
        """The node shuts down: nothing more will be heard."""
        self.placed()

    def terminated(self, reason: ExitReason, error: str | None) -> Terminated:
        """What the watcher hears."""
        return Terminated(ActorRef(self.place), reason, error)

    def __await__(self) -> Generator[Any, None, None]:
        if not self._placed:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            yield from asyncio.shield(self._waiter).__await__()


class CellWatch(Watch):
    """An actor that hears of it by its ``on_terminated`` hook, or as a message."""

    __slots__ = ()

    cell: Cell

    def __init__(self, cell: Cell, place: Place, actor_id: ActorId) -> None:
        if handler_of(cell) is None:
            raise no_handler(cell)
        super().__init__(cell, place, actor_id)

    def hear(self, reason: ExitReason, error: str | None) -> None:
        """See `Watch.hear`."""
        super().hear(reason, error)
        notify(self.cell, self.terminated(reason, error))


class CellLink(Watch):
    """An actor that ends with the other, unless it traps exits."""

    __slots__ = ()

    cell: Cell

    def hear(self, reason: ExitReason, error: str | None) -> None:
        """See `Watch.hear`."""
        super().hear(reason, error)
        cell = self.cell
        if cell.traps_exits:
            notify(cell, self.terminated(reason, error))
        elif reason is not ExitReason.NORMAL:
            how = reason.value.replace("_", " ") if error is None else error
            text = f"the actor {self.place.label}, which it is linked to, has ended: {how}"
            cell.crash(reason, PulsingActorError(text, self.place.label))


class FutureWatch(Watch):
    """Code outside actors that waits for it."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Terminated], place: Place, actor_id: ActorId) -> None:
        super().__init__(None, place, actor_id)
        self.future = future

    @property
    def key(self) -> object:
        """See `Watch.key`."""
        return self.future

    def hear(self, reason: ExitReason, error: str | None) -> None:
        """See `Watch.hear`."""
        super().hear(reason, error)
        if not self.future.done():
            self.future.set_result(self.terminated(reason, error))

    def give_up(self) -> None:
        """See `Watch.give_up`."""
        super().give_up()
        if not self.future.done():
            self.future.set_exception(
                PulsingRuntimeError(
                    f"the actor system was shut down before {self.place.label} had ended"
                )
            )
            self.future.exception()  # whoever does not wait for it need not know


def text_for(reason: ExitReason, error: BaseException | None) -> str | None:
    """What `Terminated.error` says."""
    return error_text(error) if reason is ExitReason.ERROR else None


# --- how an actor hears of it ---------------------------------------------------------------------


class Notice(LocalTell):
    """The message that brings a `Terminated`. Nobody can await it: what goes wrong is reported."""

    __slots__ = ()

    def __init__(self, cell: Cell, handler: Method, event: Terminated) -> None:
        super().__init__(cell, handler, (event,), None)
        self.settled = True


def handler_of(cell: Cell) -> Method | None:
    """What takes a `Terminated` in an actor: its ``on_terminated``, else its ``receive``."""
    hook = _hook(cell.table.owner, cell.options.executor)
    return cell.table.receive if hook is None else hook


@lru_cache(maxsize=1024)
def _hook(owner: type[Any], executor: Executor) -> Method | None:
    if not callable(getattr(owner, _HOOK, None)):
        return None
    return Method(owner, _HOOK, inspect.getattr_static(owner, _HOOK), executor)


def no_handler(cell: Cell) -> TypeError:
    """An actor could not take what it would hear."""
    return TypeError(
        f"{cell.table.owner.__name__} has neither on_terminated(self, event) nor "
        "receive(self, msg), so it cannot hear of the end of an actor; give it one of them"
    )


def notify(cell: Cell, event: Terminated) -> None:
    """Let an actor hear of an end, before the messages that wait for it."""
    handler = handler_of(cell)
    if handler is not None:
        cell.deliver_signal(Notice(cell, handler, event))
