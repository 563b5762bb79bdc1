"""Timers of actors: one heap and one timer of the loop for all actors of a system.

A timer belongs to an actor and ends with it. What it does when its time has come is said by its
subclass, see `pulsing.actor.scheduling`: as a rule, it puts a message into the actor's mailbox.
All times are readings of `pulsing.clock`, in seconds.
"""

from __future__ import annotations

import heapq
import math
from asyncio import (
    TimerHandle,
    _get_running_loop,  # pyright: ignore[reportPrivateUsage]  # documented; None in threads
)
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pulsing import clock

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.dispatcher import Dispatcher

BUDGET_S: Final = 0.002
"""Seconds of timers that are due before the loop gets its turn."""
_FEW: Final = 64
"""Timers between looks at the clock; stale entries that are not worth a clean-up."""


class Timer:
    """Something that an actor scheduled. Its `cancel` works from every thread.

    Attributes:
        cell: the actor.
        when: when it is due next.
        active: it will still do something.
        queued: `Timers` has it in its heap.
    """

    __slots__ = ("__weakref__", "active", "cell", "queued", "when")

    def __init__(self, cell: Cell, when: float) -> None:
        self.cell = cell
        self.when = when
        self.active = True
        self.queued = False

    def __repr__(self) -> str:
        state = "active" if self.active else "over"
        return f"<{type(self).__name__} of {self.cell.label} {state}>"

    def cancel(self) -> bool:
        """It does nothing any more; what has begun is not interrupted.

        A message of it that waits in the mailbox is taken back.

        Returns:
            Whether there was something to cancel.
        """
        if not self.active:
            return False
        self.active = False
        dispatcher = self.cell.dispatcher
        if _get_running_loop() is dispatcher.loop:
            dispatcher.timers.discard(self)
        else:
            with suppress(RuntimeError):  # the loop is closed: nothing is left to cancel
                dispatcher.loop.call_soon_threadsafe(dispatcher.timers.discard, self)
        return True

    def due(self, now: float) -> None:
        """On the loop: its time has come. It may add itself again."""
        raise NotImplementedError

    def withdraw(self) -> None:
        """On the loop: it was cancelled; take back what was not begun."""


class Timers:
    """The timers of all actors of a system."""

    __slots__ = ("_armed_for", "_dispatcher", "_handle", "_heap", "_number", "_of", "_stale")

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = 0  # makes the order of equal times that of adding
        self._of: dict[Cell, dict[Timer, None]] = {}
        self._stale = 0
        self._handle: TimerHandle | None = None
        self._armed_for = math.inf

    def __len__(self) -> int:
        """Timers that are active and wait for their time."""
        return len(self._heap) - self._stale

    def submit(self, timer: Timer) -> None:
        """`add`, from any thread."""
        loop = self._dispatcher.loop
        if _get_running_loop() is loop:
            self.add(timer)
        else:
            loop.call_soon_threadsafe(self.add, timer)

    def add(self, timer: Timer) -> None:
        """Let it be due at its time. One of an actor that ends, or was cancelled, is over."""
        cell = timer.cell
        if cell.stopping is not None or not cell.accepting:
            timer.active = False
        if not timer.active:
            return
        own = self._of.get(cell)
        if own is None:
            own = self._of[cell] = {}
        own[timer] = None
        timer.queued = True
        self._number += 1
        heapq.heappush(self._heap, (timer.when, self._number, timer))
        if timer.when < self._armed_for:
            self._arm(timer.when)

    def finish(self, timer: Timer) -> None:
        """It has done what it was for, and was not added again."""
        timer.active = False
        self._release(timer)

    def discard(self, timer: Timer) -> None:
        """It was cancelled."""
        self._release(timer)
        timer.withdraw()

    def cancel_all(self, cell: Cell) -> None:
        """Everything that an actor scheduled is over."""
        for timer in self._of.pop(cell, ()):
            timer.active = False
            self._release(timer)
            timer.withdraw()

    def close(self) -> None:
        """Forget everything."""
        for cell in tuple(self._of):
            self.cancel_all(cell)
        self._disarm()

    # --- inside

    def _release(self, timer: Timer) -> None:
        own = self._of.get(timer.cell)
        if own is not None:
            own.pop(timer, None)
            if not own:
                del self._of[timer.cell]
        if timer.queued:
            timer.queued = False
            self._stale += 1
            if self._stale > _FEW and self._stale * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].active]
                heapq.heapify(self._heap)
                self._stale = 0

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, when: float) -> None:
        self._disarm()
        self._armed_for = when
        dispatcher = self._dispatcher
        delay_s = max(0.0, when - clock.monotonic())
        self._handle = dispatcher.loop.call_later(delay_s, self._ring, context=dispatcher.context)

    def _ring(self) -> None:
        self._handle = None
        self._armed_for = math.inf
        self._dispatcher.expect_pump()
        now = clock.monotonic()
        until = now + BUDGET_S
        few = _FEW
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if not timer.active:
                self._stale -= 1
                continue
            timer.queued = False
            timer.due(now)
            few -= 1
            if not few:
                few = _FEW
                if clock.monotonic() >= until:
                    break
        if self._heap and self._heap[0][0] < self._armed_for:
            self._arm(self._heap[0][0])
        self._dispatcher.pump()
