"""What actors say in the log, messages that got lost, and code that holds the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pulsing.actor.deadline import SCOPE
from pulsing.actor.place import place_of
from pulsing.ids import canonical_name
from pulsing.testing.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from pulsing.actor.place import Reference
    from pulsing.actor.system import ActorSystem
    from pulsing.ids import ActorId

_TELLS: Final = "pulsing.actor.dispatcher"
_TURN_S: Final = 0.001
"""Lets the loop turn, so that the guard hears of the end of what held it."""


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """A line of the log, and which actor's code wrote it.

    Attributes:
        actor: the public name of the actor, or the text of its id; None outside actors.
        actor_id: its exact identity; None outside actors.
        level: of the standard library's ``logging``.
        logger: the name of the logger.
        text: the message, formatted.
    """

    actor: str | None
    actor_id: ActorId | None
    level: int
    logger: str
    text: str


class CapturedLog(logging.Handler):
    """The lines written inside a block of `capture_log`.

    Attributes:
        lines: all of them, in order.
    """

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[LoggedLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`; runs in the context of whoever writes."""
        scope = SCOPE.get()
        cell = None if scope is None else scope.cell
        self.lines.append(
            LoggedLine(
                None if cell is None else cell.label,
                None if cell is None else cell.actor_id,
                record.levelno,
                record.name,
                record.getMessage(),
            )
        )

    @property
    def texts(self) -> list[str]:
        """The messages of all lines."""
        return [line.text for line in self.lines]

    def of(self, actor: str | Reference) -> list[str]:
        """The messages that the code of one actor wrote: inside its methods and their tasks.

        Args:
            actor: its name, a reference, or a proxy.
        """
        if isinstance(actor, str):
            name = canonical_name(actor)
            return [line.text for line in self.lines if line.actor == name]
        wanted = place_of(actor).actor_id
        return [line.text for line in self.lines if line.actor_id == wanted]


@contextmanager
def capture_log(logger: str = "", *, level: int = logging.INFO) -> Generator[CapturedLog]:
    """Collect what is logged inside the block, and know which actor logged it.

    Args:
        logger: this logger and those below; default: all.
        level: the least level that is collected; loggers are set to it inside the block.
    """
    captured = CapturedLog(level)
    source = logging.getLogger(logger or None)
    before = source.level
    source.addHandler(captured)
    source.setLevel(min(level, before) if before else level)
    try:
        yield captured
    finally:
        source.removeHandler(captured)
        source.setLevel(before)


class DeadLetters:
    """Tells that failed without anybody waiting for them, since the block of `dead_letters` began.

    Attributes:
        lines: what the log says of them. Lines of one kind are limited in their rate, so that
            there may be fewer than `count`.
    """

    def __init__(self, system: ActorSystem, log: CapturedLog) -> None:
        self._counters = system.dispatcher.counters
        self._before = self._counters.lost_tells
        self._log = log

    @property
    def count(self) -> int:
        """How many there were."""
        return self._counters.lost_tells - self._before

    @property
    def lines(self) -> list[str]:
        """What the log says of them, at most one line for each method within some seconds."""
        return self._log.texts


@contextmanager
def dead_letters(system: ActorSystem) -> Generator[DeadLetters]:
    """Count the tells of one node that get lost inside the block."""
    with capture_log(_TELLS, level=logging.WARNING) as log:
        yield DeadLetters(system, log)


@asynccontextmanager
async def assert_loop_free(*, threshold_s: float = 0.2) -> AsyncGenerator[None]:
    """A block in which nothing may hold the event loop for long.

    Args:
        threshold_s: how long is too long. A busy machine holds every loop for some 10 ms.

    Raises:
        AssertionError: the loop stood still for longer; names the actor and method that held it,
            with the stack at that time. Raised at the end of the block.
        RuntimeError: in virtual time, where code takes no time.
    """
    from pulsing.actor.culprit import culprit_of
    from pulsing.cluster.guard import StallGuard

    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        message = "in virtual time code takes no time, so nothing can hold the loop"
        raise RuntimeError(message)  # noqa: TRY004 - the call comes at the wrong time
    guard = StallGuard(loop, threshold_s=threshold_s, culprit=culprit_of)
    guard.start()
    try:
        yield
        await asyncio.sleep(_TURN_S)
    finally:
        await guard.close()
    stall = guard.last_stall
    if stall is not None:
        lasted = "" if stall.duration_s is None else f" for {stall.duration_s:.2f} s"
        raise AssertionError(
            f"the event loop was held{lasted} by {stall.culprit or 'code of no actor'}"
            f" ({guard.stalls} times in all); it was at:\n{stall.stack}"
        )
