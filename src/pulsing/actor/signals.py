"""Signals of the runtime to an actor: they go before every message that waits, in order.

A signal is an ordinary `Invocation`, but for where it is put: at the front of the mailbox, behind
the signals that wait there, whatever the bound of the mailbox. How many there can be is bounded by
what causes them: one `Terminated` for each actor that is watched.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pulsing.actor.invocation import QUEUED, Invocation
from pulsing.actor.turn import HELD, IDLE, READY, Turn

if TYPE_CHECKING:
    from pulsing.actor.dispatcher import Dispatcher


class Signalled:
    """The part of a `Cell` that takes signals."""

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the cell hold the attributes

    if TYPE_CHECKING:
        _signals: deque[Invocation] | None
        dispatcher: Dispatcher
        mailbox: deque[Invocation] | None
        turn: Turn

        @property
        def accepting(self) -> bool: ...

    @property
    def waiting_signals(self) -> int:
        """How many of them are at the front of the mailbox."""
        waiting = self._signals
        while waiting and waiting[0].stage is not QUEUED:
            waiting.popleft()
        return len(waiting) if waiting else 0

    def deliver_signal(self, signal: Invocation) -> bool:
        """Put a signal before the messages that wait. Its code never runs inside this call.

        Returns:
            False when the actor is stopping: nothing becomes of the signal.
        """
        if not self.accepting:
            signal.drop()
            return False
        if self._signals is None:
            self._signals = deque()
        if self.mailbox is None:
            self.mailbox = deque()
        self.mailbox.insert(self.waiting_signals, signal)
        self._signals.append(signal)
        if self.turn is IDLE:
            self.turn = READY
            self.dispatcher.ready.append(self)  # type: ignore[arg-type]  # it is a Cell
            if not self.dispatcher.scheduled:
                self.dispatcher.schedule()
        elif self.turn is HELD:
            self.dispatcher.deadlines.watch(signal)
        return True
