"""The dispatcher: decides which message runs next, and where.

`Dispatcher.pump` is the heart. It is called when no task runs: by the transport after each chunk
it received, or by the loop when something was sent locally. It lets a `Runner` serve what is
ready, and wakes the tasks that wait for an answer, over and over until nothing is left or the
budget is used up. So a call between actors of one node, with its answer, needs no turn of the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from pulsing import clock
from pulsing.actor.cell import IDLE
from pulsing.actor.dead_letters import DeadLetters
from pulsing.actor.deadline import Deadlines
from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.invocation import CANCELLED, FINISHED, QUEUED, RUNNING, STASHED
from pulsing.actor.methods import Executor, MethodKind
from pulsing.actor.outcomes import Counters, presentable
from pulsing.actor.producers import DEFERRED
from pulsing.actor.runner import NOT_STARTED, Runner
from pulsing.actor.steps import DONE, begin, call
from pulsing.actor.threads import MAX_BATCH, Batch, WorkerThreads
from pulsing.actor.timers import Timers
from pulsing.logs import LimitedLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pulsing.actor.cell import Cell
    from pulsing.actor.context import Host
    from pulsing.actor.invocation import Invocation, ItemSink
    from pulsing.actor.reply import Wakeup

BUDGET_S: Final = 0.002
"""Seconds a pump may take before the loop gets its turn. Higher favours throughput."""
MAX_VISIT: Final = 64
"""Messages of one actor before the next actor gets a turn."""
MAX_IDLE_RUNNERS: Final = 256
MAX_SPARE_MAILBOXES: Final = 64
_ASYNC: Final = MethodKind.ASYNC
_SYNC: Final = MethodKind.SYNC
_THREAD: Final = Executor.THREAD
_UNASKED: Final = frozenset({CANCELLED, FINISHED, STASHED})
"""Stages of messages whose caller has its answer, or gets it another time."""

_logger = logging.getLogger(__name__)


class Dispatcher:
    """Runs the messages of all actors of a system, on its loop.

    Attributes:
        loop: where everything but the code in worker threads runs.
        default_timeout_s: of calls that have no timeout of their own; None is off.
        ready: actors that have messages to start.
        woken: tasks to be woken, with their context.
        scheduled: a pump runs or will run: whoever adds something to do need not ask for one.
        idle: runners that have nothing to do.
        done: a finished future: what a woken task is told it waited for.
        threads: where ``def`` methods run.
        dead_letters: tells that nobody got.
        deadlines: expires what waits.
        timers: what actors have scheduled.
        context: neutral context variables for callbacks.
        home: marks a context as one of this node, for loops that play several (simulations).
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_hiring",
        "_host",
        "_kept",
        "_pumping",
        "_returned",
        "_runner_number",
        "_runners",
        "_until",
        "context",
        "counters",
        "dead_letters",
        "deadlines",
        "default_timeout_s",
        "done",
        "home",
        "idle",
        "log",
        "loop",
        "ready",
        "scheduled",
        "spare_mailboxes",
        "threads",
        "timers",
        "woken",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        default_timeout_s: float | None = 30.0,
        max_threads: int = 256,
        host: Host | None = None,
    ) -> None:
        self.loop = loop
        self._host = host
        self.default_timeout_s = default_timeout_s
        self.ready: deque[Cell] = deque()
        self.woken: deque[tuple[Context, Wakeup]] = deque()
        self.scheduled = False
        self.context = Context()
        make_home = getattr(loop, "make_home", None)
        self.home: Callable[[], None] | None = None if make_home is None else make_home()
        if self.home is not None:
            self.context.run(self.home)
        self.counters = Counters()
        self.log = LimitedLogger(_logger)
        self.dead_letters = DeadLetters(self.log)
        self.done: asyncio.Future[None] = loop.create_future()
        self.done.set_result(None)
        self.deadlines = Deadlines(loop)
        self.timers = Timers(self)
        self.threads = WorkerThreads(self, max_threads=max_threads)
        self.spare_mailboxes: list[deque[Invocation]] = []
        self._returned: deque[Invocation] = deque()
        """Messages whose ``def`` gave a generator or coroutine, which waits for a runner."""
        self.idle: list[Runner] = []
        self._runners: dict[Runner, None] = {}  # ordered, so that runs can be repeated
        self._runner_number = 0
        self._hiring = 0
        self._kept: dict[asyncio.Task[Any], None] = {}
        self._until = 0.0
        self._pumping = False
        self._closed = False

    @property
    def host(self) -> Host:
        """The system; makes references to actors."""
        assert self._host is not None
        return self._host

    # --- the heart

    def schedule(self) -> None:
        """Ask the loop for a pump."""
        self.scheduled = True
        self.loop.call_soon(self.pump, context=self.context)

    def expect_pump(self) -> None:
        """`pump` will be called before the loop's turn ends: nobody needs to ask for one."""
        self.scheduled = True

    def pump(self) -> None:
        """Run what is ready. Only while no task runs; never raises what an actor raised."""
        if self._pumping:
            return
        self._pumping = self.scheduled = True
        self._until = until = clock.monotonic() + BUDGET_S
        woken, ready, returned, idle, done = (
            self.woken, self.ready, self._returned, self.idle, self.done
        )  # fmt: skip
        try:
            while True:
                # Whoever has its answer gets it even when the time is up.
                for _ in range(len(woken)):
                    context, wakeup = woken.popleft()
                    context.run(wakeup, done)
                if clock.monotonic() >= until:
                    return
                if ready or returned:
                    if not idle:
                        self._hire()
                        return
                    idle.pop().wakeup(done)
                elif not woken:
                    return
        finally:
            self._pumping = self.scheduled = False
            if woken or ((ready or returned) and (idle or not self._hiring)):
                self.schedule()

    def run_ready(self, runner: Runner) -> Invocation | None:
        """Start messages until one waits for something, or nothing is ready, or time is up.

        Runs inside the runner's task.

        Returns:
            The message that waits; the runner has to stay with it. None when it is free.
        """
        if self._returned:
            invocation = self._returned.popleft()
            runner.waits_for = NOT_STARTED
            return invocation
        ready = self.ready
        until = self._until
        cancelling = runner.task.cancelling
        spare = self.spare_mailboxes
        while ready:
            cell = ready.popleft()
            visit = MAX_VISIT
            mailbox = cell.mailbox
            while mailbox and visit and not cell.exclusive and cell.active < cell.room:
                visit -= 1
                invocation = mailbox.popleft()
                if invocation.stage is not QUEUED:
                    cell.withdrawn -= 1
                    continue
                now = clock.monotonic()
                deadline = invocation.deadline
                if deadline is not None and deadline <= now:
                    cell.withdrawn -= 1
                    invocation.expire()
                    continue
                invocation.stage = RUNNING
                if invocation.method.kind is _ASYNC:
                    context = cell.context.copy()
                    try:
                        waits_for = context.run(begin, invocation)
                    except BaseException as error:  # noqa: BLE001  # stays with its message
                        self.code_raised(invocation, error)
                        invocation.drop()
                    else:
                        if waits_for is not DONE:
                            runner.waits_for = waits_for
                            cell.entered(invocation, context)
                            cell.reschedule()
                            return invocation
                        invocation.stage = FINISHED
                        if invocation.watched:
                            self.deadlines.unwatch(invocation)
                elif self._start(cell, invocation, runner):
                    cell.reschedule()
                    return invocation
                if now >= until or cancelling():
                    runner.forget_cancellations()  # takes effect when the runner rests
                    cell.reschedule()
                    return None
            if mailbox or cell.parked or cell.gated or cell.stopping:
                cell.reschedule()
            else:  # `reschedule`, inlined for the usual case
                cell.turn = IDLE
                if mailbox is not None:
                    cell.mailbox = None
                    if len(spare) < MAX_SPARE_MAILBOXES:
                        spare.append(mailbox)
        return None

    def _start(self, cell: Cell, invocation: Invocation, runner: Runner) -> bool:
        """Start a message that is not for an async method. Returns whether the runner stays."""
        method = invocation.method
        if method.kind is not _SYNC:
            cell.entered(invocation, cell.context.copy())
            runner.waits_for = NOT_STARTED
            return True
        if method.executor is _THREAD:
            cell.occupy(Batch(cell, self._take_batch(cell, invocation)))
            return False
        context = cell.context.copy()
        try:
            value = context.run(call, invocation)
        except BaseException as error:  # noqa: BLE001  # stays with its message
            self.code_raised(invocation, error)
        else:
            if self.returned(invocation, context, value):
                return False
        invocation.drop()
        return False

    def _take_batch(self, cell: Cell, first: Invocation) -> list[Invocation]:
        """The message and those behind it that a thread can run in one go."""
        batch = [first]
        mailbox = cell.mailbox
        now = clock.monotonic()
        while mailbox and len(batch) < MAX_BATCH:
            invocation = mailbox[0]
            method = invocation.method
            if method.kind is not _SYNC or method.executor is not _THREAD:
                break
            mailbox.popleft()
            if invocation.stage is QUEUED and not invocation.expired(now):
                invocation.stage = RUNNING
                batch.append(invocation)
            else:
                cell.withdrawn -= 1
        if first.deadline is not None or len(batch) > 1:
            for invocation in batch:
                if not invocation.watched:
                    self.deadlines.watch(invocation)
        return batch

    # --- what becomes of messages

    def returned(self, invocation: Invocation, context: Context, value: Any) -> bool:
        """A ``def`` method returned. Returns whether there is more to run before the answer."""
        if value.__class__ in DEFERRED:
            invocation.work = value
            invocation.cell.entered(invocation, context)
            self._returned.append(invocation)
            if not self.scheduled:
                self.schedule()
            return True
        invocation.reply(value)
        return False

    def code_raised(
        self, invocation: Invocation, error: BaseException, sink: ItemSink | None = None
    ) -> None:
        """The actor's code raised: its caller gets the error, nobody else is disturbed."""
        if invocation.stage in _UNASKED:
            return  # most probably this is our own CancelledError
        self.counters.raised += 1
        raised, error = error, presentable(invocation, error, self.log)
        if sink is not None:
            sink.raised(error)
        else:
            invocation.raised(error)
        cell = invocation.cell
        if cell.falls_with(raised):
            invocation.stage = CANCELLED  # it has its answer
            cell.crash(ExitReason.ERROR, raised)

    # --- runners

    @property
    def runner_count(self) -> int:
        """Tasks that serve or could serve."""
        return len(self._runners)

    def rest(self, runner: Runner) -> bool:
        """A runner has nothing to do. Returns False when it should end."""
        if runner.ending or self._closed or len(self.idle) >= MAX_IDLE_RUNNERS:
            return False
        if (self.ready or self._returned) and not self.scheduled:
            self.schedule()
        return True

    def runner_leaves(self, runner: Runner) -> None:
        """An idle runner is being cancelled."""
        self.idle.remove(runner)
        self.woken.append((Context(), runner.wakeup))
        if not self.scheduled:
            self.schedule()

    def runner_started(self) -> None:
        """The task of a new runner makes its first step."""
        self._hiring -= 1

    def runner_ended(self, runner: Runner) -> None:
        """The task of a runner has ended."""
        self._runners.pop(runner, None)
        if not runner.started:
            self._hiring -= 1
        if (self.ready or self._returned) and not self.scheduled and not self._closed:
            self.schedule()

    def _hire(self) -> None:
        """Make more runners; they serve from the next turn of the loop."""
        if self._hiring:
            return
        if self._closed:
            self.ready.clear()
            self._returned.clear()
            return
        self._hiring = min(64, max(2, len(self._runners)))
        for _ in range(self._hiring):
            self._runner_number += 1
            self._runners[Runner(self, self._runner_number)] = None

    # --- the end

    def keep(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run something in the background; `close` cancels it."""
        task = self.loop.create_task(work, name=name)
        self._kept[task] = None
        task.add_done_callback(lambda ended: self._kept.pop(ended, None))
        return task

    async def close(self) -> None:
        """End all tasks and threads. The actors should have been stopped before."""
        self._closed = True
        self.dead_letters.close()
        self.deadlines.close()
        self.timers.close()
        tasks = dict.fromkeys((*(runner.task for runner in self._runners), *self._kept))
        current = asyncio.current_task()
        if current is not None:
            tasks.pop(current, None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.threads.close()
        self.idle.clear()
        self.ready.clear()
        self._returned.clear()
