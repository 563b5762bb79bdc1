"""Making the user's object: the constructor is a ``def``, so it runs in a worker thread too."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pulsing.actor.methods import Executor
from pulsing.actor.threads import Job
from pulsing.wire.failures import localize

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.threads import WorkerThreads

_log = logging.getLogger(__name__)


class Construction(Job):
    """A constructor that runs in a worker thread; ``made`` is the object."""

    __slots__ = ("_context", "_error", "_make", "_value", "made")

    def __init__(self, dispatcher: Dispatcher, make: Callable[[], Any]) -> None:
        self.interrupted = False
        self._context = copy_context()
        self._make = make
        self._value: Any = None
        self._error: BaseException | None = None
        self.made: asyncio.Future[Any] = dispatcher.loop.create_future()

    def run(self, threads: WorkerThreads) -> None:
        """See `Job.run`."""
        try:
            self._value = self._context.run(self._make)
        except BaseException as error:  # noqa: BLE001 - raised where the object is awaited
            self._error = error

    def ended(self) -> None:
        """See `Job.ended`."""
        error, self._error = self._error, None
        if self.made.done():
            return  # nobody waits any more
        if error is None:
            self.made.set_result(self._value)
        elif isinstance(error, StopIteration):
            self.made.set_exception(RuntimeError(f"the constructor raised {error!r}"))
        else:
            self.made.set_exception(error)


async def construct(
    dispatcher: Dispatcher,
    owner: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    executor: Executor,
) -> Any:
    """Call the class. Raises what the constructor raises."""
    if executor is Executor.PROCESS:
        stand_in = owner(*args, **kwargs)
        await stand_in.__pulsing_launch__()
        return stand_in
    if is_quick(owner, executor):
        return owner(*args, **kwargs)
    construction = Construction(dispatcher, lambda: owner(*args, **kwargs))
    dispatcher.threads.submit(construction)
    return await construction.made


def is_quick(make: Callable[..., Any], executor: Executor) -> bool:
    """Whether a constructor may run on the loop: there is none, or the class says so."""
    if executor is Executor.LOOP:
        return True
    owner: object = make.func if isinstance(make, partial) else make  # pyright: ignore[reportUnknownMemberType]
    return getattr(owner, "__init__", None) is object.__init__


def start_failure(error: Exception, *, node: str, actor: str, hook: str) -> BaseException:
    """What ``spawn`` raises for an exception of a constructor or of ``on_start``."""
    return localize(error, node=node, actor=actor, method=hook)


async def read_metadata(cell: Cell) -> Mapping[str, str]:
    """What the actor's ``metadata`` hook says; nothing when it has none, or fails."""
    hook = getattr(cell.instance, "metadata", None)
    if not callable(hook):
        return {}
    try:
        said = hook()
        if inspect.isawaitable(said):
            said = await said
        return {str(key): str(value) for key, value in cast("dict[Any, Any]", said).items()}
    except Exception:  # noqa: BLE001 - of the user's code; it is logged
        _log.exception("actor %s: its metadata hook failed; it has no metadata", cell.label)
        return {}
