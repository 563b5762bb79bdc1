"""Deadlines: how they are inherited by the calls made meanwhile, and what happens when they pass.

All times are readings of the loop's clock, ``time.monotonic()``, in seconds.
"""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop, TimerHandle
from contextvars import ContextVar, Token, copy_context
from typing import TYPE_CHECKING, Final, Protocol, Self

from pulsing import clock

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.invocation import Invocation


class Scope(Protocol):
    """What code runs for: an actor's message, or a block of ``pul.deadline``."""

    @property
    def deadline(self) -> float | None:
        """When everything done in this scope should have ended."""
        ...

    @property
    def cell(self) -> Cell | None:
        """The actor whose code runs, or None outside actors."""
        ...

    @property
    def invocation(self) -> Invocation | None:
        """The message that is handled, or None outside actors."""
        ...


SCOPE: Final[ContextVar[Scope | None]] = ContextVar("pulsing_scope", default=None)
"""The innermost scope of the running code."""


def call_deadline(timeout_s: float | None) -> float | None:
    """The deadline of a call made now: its own timeout, and never later than the scope's.

    Args:
        timeout_s: seconds from now, or None for no timeout of its own.
    """
    scope = SCOPE.get()
    inherited = scope.deadline if scope is not None else None
    if timeout_s is None:
        return inherited
    own = clock.monotonic() + timeout_s
    return own if inherited is None or own < inherited else inherited


def check_timeout(seconds: float | None) -> float | None:
    """The timeout, as a float.

    Raises:
        ValueError: negative or not a number.
    """
    if seconds is None:
        return None
    value = float(seconds)
    if not value >= 0:
        raise ValueError(f"a timeout of {seconds!r} seconds; it must be 0 or more, or None for off")
    return None if value == math.inf else value


class deadline:  # noqa: N801  # used as a verb, like asyncio.timeout
    """Bound all calls made inside the block: ``with pul.deadline(2.0): ...``.

    Calls inside raise `DeadlineExceeded` once the time is up, however many there are; what an
    actor calls on their behalf is bounded as well. Blocks may be nested: the earliest deadline
    counts. Code that waits for something else is not interrupted; `asyncio.timeout` does that.

    Args:
        seconds: from entering the block.

    Raises:
        ValueError: ``seconds`` is negative or not a number.
    """

    __slots__ = ("_seconds", "_token", "cell", "deadline", "invocation")

    def __init__(self, seconds: float) -> None:
        self._seconds = check_timeout(seconds)
        self._token: Token[Scope | None] | None = None
        self.deadline: float | None = None
        self.cell: Cell | None = None
        self.invocation: Invocation | None = None

    def __enter__(self) -> Self:
        outer = SCOPE.get()
        self.deadline = call_deadline(self._seconds)
        if outer is not None:
            self.cell = outer.cell
            self.invocation = outer.invocation
        self._token = SCOPE.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            SCOPE.reset(token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()

    @property
    def remaining(self) -> float | None:
        """Seconds left, 0 at least; None when there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - clock.monotonic())


class Deadlines:
    """Expires messages that wait for something when their deadline passes.

    A call that is answered in the step it arrives in is never registered. One timer serves all: it
    is armed for the earliest deadline, and then looks through everything that waits. Sweeps take
    no more than about a tenth of the time: a long sweep makes the next one wait.
    """

    __slots__ = ("_armed_for", "_context", "_loop", "_not_before", "_timer", "_waiting")

    _REST: Final = 9.0
    """Seconds of rest per second of sweeping."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[Invocation, None] = {}  # in order: a set has none to rely on
        self._context = copy_context()  # not that of whoever waits longest
        self._timer: TimerHandle | None = None
        self._armed_for = math.inf
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def watch(self, invocation: Invocation) -> None:
        """Expire it when its deadline passes, unless `unwatch` comes first."""
        deadline = invocation.deadline
        if deadline is not None and not invocation.watched:
            invocation.watched = True
            self._waiting[invocation] = None
            if deadline < self._armed_for:
                self._arm(deadline)

    def unwatch(self, invocation: Invocation) -> None:
        """It has ended."""
        invocation.watched = False
        self._waiting.pop(invocation, None)

    def close(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = when
        now = clock.monotonic()
        delay = max(when, self._not_before) - now
        self._timer = self._loop.call_later(max(0.0, delay), self._sweep, context=self._context)

    def _sweep(self) -> None:
        started = clock.monotonic()
        self._timer = None
        self._armed_for = math.inf
        earliest = math.inf
        passed: list[Invocation] = []
        for invocation in self._waiting:
            deadline = invocation.deadline
            assert deadline is not None
            if deadline <= started:
                passed.append(invocation)
            elif deadline < earliest:
                earliest = deadline
        for invocation in passed:
            self.unwatch(invocation)
            invocation.expire()
        ended = clock.monotonic()
        self._not_before = ended + (ended - started) * self._REST
        if earliest < self._armed_for:
            self._arm(earliest)
