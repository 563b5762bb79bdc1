"""What is counted, and how an exception of an actor's code is made fit to be answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pulsing.errors import PulsingSystemError

if TYPE_CHECKING:
    from pulsing.actor.invocation import Invocation
    from pulsing.logs import LimitedLogger


@dataclass(slots=True)
class Counters:
    """What happened since the start, for metrics.

    Attributes:
        expired: messages whose deadline passed.
        dropped: messages taken back before any of their code ran: their deadline passed, their
            caller gave up, or their timer was cancelled.
        raised: exceptions that left an actor's code.
        restarts: actors that were made to run again.
        repeated: calls of idempotent methods that were sent again.
        lost_tells: tells that failed without anybody waiting for them.
    """

    expired: int = 0
    dropped: int = 0
    raised: int = 0
    restarts: int = 0
    repeated: int = 0
    lost_tells: int = 0


def presentable(invocation: Invocation, error: BaseException, log: LimitedLogger) -> BaseException:
    """The exception, or another that may be raised anywhere if this one would end the program."""
    _trim(error)
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    kind = type(error).__name__
    tamed = PulsingSystemError(f"{kind}: {error}" if str(error) else kind)
    tamed.cause = tamed.__cause__ = error
    if not isinstance(error, asyncio.CancelledError):
        where = f"{invocation.cell.label}.{invocation.method.name}"
        log.error(where, "%s raised %r; it was answered as a failure", where, error)
    return tamed


def _trim(error: BaseException) -> None:
    """Take the frames of the runtime off the top of a traceback: they tell the user nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
        trace = trace.tb_next
    error.__traceback__ = trace


_OWN_MODULES: Final = frozenset(
    f"pulsing.actor.{name}"
    for name in (
        "behaving",
        "dispatcher",
        "producers",
        "reply",
        "runner",
        "stand_in",
        "steps",
        "threads",
    )
)
