"""How an actor ends: the reason, what watchers hear of it, and who is called when it is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from pulsing.actor.exit_reason import ExitReason
from pulsing.errors import WireError
from pulsing.wire.registry import register

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.refs import ActorRef

_log = logging.getLogger(__name__)
_MAX_TEXT_CHARS: Final = 4096


@dataclass(frozen=True, slots=True)
class Terminated:
    """What a watcher hears, once: an actor is gone for good.

    Attributes:
        ref: the actor.
        reason: how it ended.
        error: for `ExitReason.ERROR` its class and message; None for other reasons.
    """

    ref: ActorRef
    reason: ExitReason
    error: str | None = None


ExitListener: TypeAlias = "Callable[[Cell, ExitReason, BaseException | None], None]"
"""Called on the loop with the actor, the reason, and the error if that is what ended it."""


def error_text(error: BaseException | None) -> str | None:
    """An error in one line, as `Terminated.error` has it."""
    if error is None:
        return None
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # of the user's class
        text = "<no message: its __str__ failed>"
    return f"{kind}: {text}"[:_MAX_TEXT_CHARS] if text else kind


class Mortal:
    """The part of a `Cell` that says when and why it is gone.

    Attributes:
        exit_reason: why it ends, from the first request on; None while it lives.
        exit_error: the error that ends it, if one does.
        is_gone: none of its code will run again.
    """

    __slots__ = ("_exit_listeners", "exit_error", "exit_reason", "is_gone")

    if TYPE_CHECKING:
        dispatcher: Dispatcher

    def __init__(self) -> None:
        self.exit_reason: ExitReason | None = None
        self.exit_error: BaseException | None = None
        self.is_gone = False
        self._exit_listeners: dict[ExitListener, None] | None = None

    def on_exit(self, listener: ExitListener) -> None:
        """Call a listener once, when the actor is finally gone: not at a restart.

        In order of registration, on the loop. Of one that is gone already it is called soon.
        Adding a listener again changes nothing.
        """
        if self.is_gone:
            self.dispatcher.loop.call_soon(self._tell, listener)
            return
        if self._exit_listeners is None:
            self._exit_listeners = {}
        self._exit_listeners[listener] = None

    def off_exit(self, listener: ExitListener) -> None:
        """Forget a listener, whether or not it is known."""
        if self._exit_listeners is not None:
            self._exit_listeners.pop(listener, None)

    def doom(self, reason: ExitReason, error: BaseException | None = None) -> None:
        """Say why it ends, or will end. What was said first counts."""
        if self.exit_reason is None:
            self.exit_reason = reason
            self.exit_error = error

    def depart(self) -> None:
        """It is gone: tell the listeners."""
        self.doom(ExitReason.NORMAL)
        self.is_gone = True
        listeners, self._exit_listeners = self._exit_listeners, None
        for listener in listeners or ():
            self._tell(listener)

    def _tell(self, listener: ExitListener) -> None:
        assert self.exit_reason is not None
        cell = cast("Cell", self)
        try:
            listener(cell, self.exit_reason, self.exit_error)
        except Exception:  # noqa: BLE001  # whatever it is, the others must hear of it
            _log.exception("actor %s: a listener of its end failed", cell.label)


def _pack(event: Terminated) -> list[object]:
    return [event.ref, event.reason.value, event.error]


def _unpack(packed: object) -> Terminated:
    from pulsing.actor.refs import ActorRef

    match packed:
        case [ActorRef() as ref, str(reason), str() | None as error] if reason in _REASONS:
            return Terminated(ref, _REASONS[reason], error)
        case _:
            raise WireError("a Terminated arrived that makes no sense")


_REASONS: Final = {each.value: each for each in ExitReason}

register(Terminated, "pulsing:Terminated", pack=_pack, unpack=_unpack)

__all__ = ["ExitListener", "ExitReason", "Mortal", "Terminated", "error_text"]
