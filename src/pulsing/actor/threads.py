"""Worker threads for the code that may block, and how results come back to the loop.

Handing work to a thread and back costs more than most methods. So it is done in batches: all
``def`` messages at the head of a mailbox are one job, and the results that gather while the loop
is busy come back with one wakeup. All bookkeeping happens on the loop's thread.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pulsing import clock
from pulsing.actor.invocation import CANCELLED
from pulsing.actor.reply import Signal
from pulsing.actor.steps import Wait, call
from pulsing.errors import ActorStopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from pulsing.actor.cell import Cell
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.invocation import Invocation

MAX_BATCH: Final = 64
"""Messages handed to a thread at once."""
_JOIN_S: Final = 0.2
"""Seconds to block for threads of a loop that is gone; idle ones need microseconds."""
_DONE: Final = object()


class Job:
    """Something of one actor that runs in a worker thread.

    Attributes:
        interrupted: other code of the actor waits: end at the next opportunity.
    """

    __slots__ = ("cell", "interrupted")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.interrupted = False

    def run(self, threads: WorkerThreads) -> None:
        """Do it, in a worker thread. Must not raise."""
        raise NotImplementedError

    def received(self, subject: Any, value: Any, error: BaseException | None) -> None:
        """On the loop: something that `run` posted."""

    def ended(self) -> None:
        """On the loop: `run` has returned, and everything it posted was received."""
        raise NotImplementedError

    def withdraw(self, reason: str) -> None:
        """On the loop: nobody wants the results any more."""


class Batch(Job):
    """Consecutive ``def`` messages from a mailbox, run one after another.

    The messages are RUNNING from the moment they are handed over: what happens in the thread
    cannot be known on the loop in time.
    """

    __slots__ = ("_messages", "_started")

    def __init__(self, cell: Cell, messages: list[Invocation]) -> None:
        super().__init__(cell)
        self._messages = messages
        self._started = 0

    def run(self, threads: WorkerThreads) -> None:
        """See `Job.run`."""
        base = self.cell.context
        last = len(self._messages) - 1
        for number, invocation in enumerate(self._messages):
            if number and self.interrupted:
                break
            self._started = number + 1
            if invocation.stage is CANCELLED:
                threads.post(self, invocation, None, None, wake=False)
                continue
            context = base.copy()
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(call, invocation)
            except BaseException as raised:  # noqa: BLE001  # it belongs to the message
                error = raised
            threads.post(self, invocation, (context, value), error, wake=number != last)
            if error is not None and self.cell.falls_with(error):
                break  # what follows is for the next instance
            del error

    def received(self, subject: Any, value: Any, error: BaseException | None) -> None:
        """See `Job.received`."""
        invocation: Invocation = subject
        dispatcher = self.cell.dispatcher
        if error is not None:
            dispatcher.code_raised(invocation, error)
        elif value is not None:
            context, result = value
            if dispatcher.returned(invocation, context, result):
                return
        invocation.drop()

    def ended(self) -> None:
        """See `Job.ended`."""
        self.cell.vacate(self._messages[self._started :])

    def withdraw(self, reason: str) -> None:
        """See `Job.withdraw`."""
        for invocation in self._messages:
            invocation.withdraw(ActorStopped(reason))


class ThreadCall(Job):
    """One function call on behalf of a message; `result` waits for it."""

    __slots__ = ("_arguments", "_context", "_error", "_function", "_signal", "_value")

    def __init__(
        self, cell: Cell, context: Context, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        super().__init__(cell)
        self._context = context
        self._function = function
        self._arguments = arguments
        # Patient: code in a thread cannot be interrupted, and nothing else may run before it ends.
        self._signal = Signal(cell.dispatcher, patient=True)
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self, threads: WorkerThreads) -> None:
        """See `Job.run`."""
        try:
            self._value = self._context.run(self._function, *self._arguments)
        except BaseException as error:  # noqa: BLE001  # raised where the result is awaited
            self._error = error

    def ended(self) -> None:
        """See `Job.ended`."""
        self._signal.fire()
        self.cell.vacate()

    def result(self) -> Wait:
        """Wait for the end; give what the function returned, or raise what it raised."""
        yield from self._signal.wait()
        return self.outcome()

    def wait(self) -> Wait:
        """Wait for the end. Cancellation takes effect then, and the outcome is there as well."""
        yield from self._signal.wait()

    def outcome(self) -> Any:
        """After the end: what the function returned, or raise what it raised."""
        error = self._error
        if error is not None:
            try:
                raise error
            finally:
                del error, self._error  # the traceback refers to this frame
        return self._value


class WorkerThreads:
    """An elastic pool: a thread is started when all others are busy, and ends when it is idle.

    Threads wait for jobs without a timeout; the loop counts how many were busy at once and ends
    the others. (A timeout of `queue.SimpleQueue.get` that passes while the thread is not scheduled
    can make it wait for ever in CPython 3.11.)

    Args:
        dispatcher: gets the results, and a pump after each lot of them.
        max_threads: jobs beyond as many wait for a thread. 0 runs them on the loop, one a turn, for
            loops that have no other threads (simulations).
        idle_s: a thread that was not needed for as many seconds ends within as many more.
    """

    __slots__ = (
        "_all_ended",
        "_dispatcher",
        "_idle_s",
        "_jobs",
        "_max_threads",
        "_notified",
        "_outstanding",
        "_peak",
        "_posted",
        "_reaping",
        "_serving",
        "_threads",
    )

    def __init__(
        self, dispatcher: Dispatcher, *, max_threads: int = 256, idle_s: float = 10.0
    ) -> None:
        self._dispatcher = dispatcher
        self._max_threads = max_threads
        self._idle_s = idle_s
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._posted: deque[tuple[Job | None, Any, Any, BaseException | None]] = deque()
        self._notified = False
        self._outstanding = 0
        self._peak = 0  # of `_outstanding` since idle threads were last looked for
        self._serving = 0
        self._reaping: asyncio.TimerHandle | None = None
        self._threads: set[threading.Thread] = set()
        self._all_ended: asyncio.Future[None] | None = None

    @property
    def count(self) -> int:
        """Threads that live."""
        return len(self._threads)

    def submit(self, job: Job) -> None:
        """Run a job in a thread, in the order of submission as far as threads are free."""
        if not self._max_threads:
            self._dispatcher.loop.call_soon(self._run_here, job, context=self._dispatcher.context)
            return
        self._outstanding += 1
        self._peak = max(self._peak, self._outstanding)
        if self._outstanding > self._serving and self._serving < self._max_threads:
            self._start_thread()
        self._jobs.put(job)

    async def close(self, timeout_s: float = 5.0) -> bool:
        """End all threads, once they have finished what they do.

        Returns:
            Whether all ended in time; those that did not are daemons and end with the process.
        """
        if not self._threads:
            return True
        loop = self._dispatcher.loop
        if self._reaping is not None:
            self._reaping.cancel()
            self._reaping = None
        self._end_threads(self._serving)
        if loop.is_closed():
            return self._join_all(min(timeout_s, _JOIN_S))
        self._all_ended = loop.create_future()
        await asyncio.wait((self._all_ended,), timeout=timeout_s)
        return not self._threads

    def _join_all(self, timeout_s: float) -> bool:
        """Wait for threads that cannot report to their loop any more: it was closed before."""
        give_up_at = clock.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - clock.monotonic()))
        self._threads = {each for each in self._threads if each.is_alive()}
        return not self._threads

    # --- in worker threads

    def post(
        self, job: Job | None, subject: Any, value: Any, error: BaseException | None, *, wake: bool
    ) -> None:
        """Send something to the loop.

        Args:
            job: whose `Job.received` gets it.
            subject: what it is about.
            value: the result.
            error: or the error.
            wake: False when more follows at once that will wake the loop anyway.
        """
        self._posted.append((job, subject, value, error))
        if wake and not self._notified:
            self._notified = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits for results
                self._dispatcher.loop.call_soon_threadsafe(
                    self._collect, context=self._dispatcher.context
                )

    def _work(self) -> None:
        jobs = self._jobs
        while True:
            job = jobs.get()  # no timeout: `close` and `_reap` send None
            if job is None:
                self.post(None, threading.current_thread(), None, None, wake=True)
                return
            job.run(self)
            self.post(job, _DONE, None, None, wake=True)
            del job

    # --- on the loop

    def _run_here(self, job: Job) -> None:
        self._outstanding += 1
        job.run(self)
        self._posted.append((job, _DONE, None, None))
        self._collect()

    def _start_thread(self) -> None:
        self._serving += 1
        name = f"pulsing-worker-{self._serving}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()
        if self._reaping is None:
            self._reaping = self._dispatcher.loop.call_later(self._idle_s, self._reap)

    def _reap(self) -> None:
        """End the threads that were not needed since the last time."""
        self._end_threads(self._serving - self._peak)
        self._peak = self._outstanding
        self._reaping = None
        if self._serving:
            self._reaping = self._dispatcher.loop.call_later(self._idle_s, self._reap)

    def _end_threads(self, number: int) -> None:
        for _ in range(number):
            self._serving -= 1
            self._jobs.put(None)

    def _collect(self) -> None:
        self._notified = False
        posted = self._posted
        # Only what is there now: a thread that posts all the time must not hold the loop.
        for _ in range(len(posted)):
            job, subject, value, error = posted.popleft()
            if job is None:
                self._ended(subject)
            elif subject is _DONE:
                self._outstanding -= 1
                job.ended()
            else:
                job.received(subject, value, error)
        self._dispatcher.pump()

    def _ended(self, thread: threading.Thread) -> None:
        thread.join()
        self._threads.discard(thread)
        if not self._threads and self._all_ended is not None and not self._all_ended.done():
            self._all_ended.set_result(None)
