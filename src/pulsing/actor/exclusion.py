"""Exclusive code: while a ``def`` runs in a worker thread, nothing else of its actor runs.

Async methods that could go on meanwhile wait at the gate. Whoever takes the actor for a thread
says so with `Exclusive.occupy`, and `Exclusive.vacate` lets everybody else in again, in turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.chain import refuse_deadlock
from pulsing.actor.invocation import CANCELLED, RUNNING, Invocation
from pulsing.actor.lifecycle import CellState
from pulsing.actor.reply import Signal
from pulsing.actor.threads import Batch, Job
from pulsing.actor.turn import HELD, READY, Turn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pulsing.actor.cell import Cell
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.keeping import Keeper


class Exclusive:
    """The part of a `Cell` that keeps its code in worker threads alone."""

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the cell hold the attributes

    if TYPE_CHECKING:
        active: int
        dispatcher: Dispatcher
        exclusive: bool
        gated: list[Signal] | None
        job: Job | None
        keeper: Keeper | None
        room: int
        mailbox: deque[Invocation] | None
        state: CellState
        turn: Turn

        def refuse(self, invocation: Invocation) -> None: ...
        def reschedule(self) -> None: ...

    def gate(self) -> Generator[Any, None, None]:
        """Wait until the code in the worker thread has ended; look again afterwards."""
        signal = Signal(self.dispatcher, patient=True)
        if self.gated is None:
            self.gated = []
        self.gated.append(signal)
        if self.job is not None:
            self.job.interrupted = True
        yield from signal.wait()

    def hold(self) -> None:
        """Nothing may start now. What waits meanwhile may run out of time."""
        self.turn = HELD
        for invocation in reversed(self.mailbox or ()):
            if invocation.watched:
                break
            self.waits(invocation)

    def waits(self, invocation: Invocation) -> None:
        """A message cannot be started now. Perhaps it never could."""
        self.dispatcher.deadlines.watch(invocation)
        if invocation.caller is not None or invocation.meta is not None:
            refuse_deadlock(cast("Cell", self), invocation)

    def occupy(self, job: Job) -> None:
        """Run a job in a worker thread; nothing else of the actor runs meanwhile."""
        assert not self.exclusive
        self.exclusive = True
        self.job = job
        job.interrupted = self.gated is not None
        self.dispatcher.threads.submit(job)

    def vacate(self, unstarted: Iterable[Invocation] = ()) -> None:
        """The job has ended.

        Args:
            unstarted: messages it was handed and did not start, in order.
        """
        # In turn: after a step of a stream, the mailbox; after that, the other streams and methods.
        mailbox_first = self.gated is not None and type(self.job) is not Batch
        self.exclusive = False
        self.job = None
        for invocation in reversed(tuple(unstarted)):
            self._take_back(invocation)
        if self.keeper is not None:
            self.keeper.look()
        if mailbox_first and self.mailbox and self.active < self.room:
            if self.turn is not READY:
                self.turn = READY
                self.dispatcher.ready.append(cast("Cell", self))
            return
        if self.turn is not READY:
            self.reschedule()
        elif self.gated is not None:
            self._open_gate()

    def _open_gate(self) -> None:
        waiting, self.gated = self.gated, None
        for signal in waiting or ():
            signal.fire()

    def _take_back(self, invocation: Invocation) -> None:
        if invocation.stage is CANCELLED:
            invocation.drop()
        elif invocation.stage is RUNNING and self.state in _SERVING:
            invocation.requeue()
            if self.mailbox is None:
                self.mailbox = deque()
            self.mailbox.appendleft(invocation)
        else:
            self.refuse(invocation)


_SERVING: Final = frozenset({CellState.RUNNING, CellState.RESTARTING, CellState.STOPPING})
