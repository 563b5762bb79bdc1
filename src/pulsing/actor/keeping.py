"""Makes an actor run again after it failed: the same identity, another instance.

At a restart, in this order: what runs is cancelled and its callers get ActorStopped; timers are
cancelled and stashed messages go back to the front of the mailbox; once the code has left, children
are stopped, the old instance is asked for its ``snapshot`` and ``on_stop`` runs. After the wait
that the supervisor decides, the constructor runs with the same arguments, then on the new instance
``restore(state)``, ``on_restart(error, attempt)`` and ``on_start``. The mailbox, the name and who
watches the actor stay.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor import lifecycle
from pulsing.actor.construction import construct, is_quick
from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.exits import error_text
from pulsing.actor.methods import Executor, MethodTable, keeps_state
from pulsing.actor.restart_policy import wants_restart
from pulsing.actor.supervision import EACH_FOR_ITSELF, Supervision
from pulsing.actor.supervisor_events import ChildEnded, ChildStarted, ChildStopped, StartFailed
from pulsing.actor.threads import Job
from pulsing.actor.turn import READY
from pulsing.errors import ActorStopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from pulsing.actor.cell import Cell
    from pulsing.actor.restart_policy import ChildSpec
    from pulsing.actor.supervisor_events import Stimulus
    from pulsing.actor.threads import WorkerThreads

_log = logging.getLogger(__name__)
_NOTHING: Final = object()


@lru_cache(maxsize=1024)
def has_last_hooks(owner: type[Any]) -> bool:
    """Whether something of an instance runs at its end."""
    return hasattr(owner, "on_stop") or keeps_state(owner)


@lru_cache(maxsize=1024)
def has_first_hooks(owner: type[Any]) -> bool:
    """Whether something of an instance runs at its start, besides its constructor."""
    return hasattr(owner, "on_restart") or hasattr(owner, "on_start")


class _Step(Enum):
    """How far a restart has come."""

    UP = "up"
    """None is under way."""
    LEAVING = "leaving"
    """The old code is on its way out."""
    CLEANING = "cleaning"
    """The last hooks of the old instance run."""
    DOWN = "down"
    """No code is left; the supervisor decides when to go on."""
    RENEWING = "renewing"
    """The new instance is made and started."""
    OVER = "over"
    """The actor is stopped for good."""


class _Making(Job):
    """The constructor of the next instance, in a worker thread."""

    __slots__ = ("_context", "_error", "_instance", "_keeper", "_make")

    def __init__(self, keeper: Keeper, context: Context, make: Callable[[], Any]) -> None:
        self.interrupted = False
        self._keeper = keeper
        self._context = context
        self._make = make
        self._instance: object = None
        self._error: BaseException | None = None

    def run(self, threads: WorkerThreads) -> None:
        """See `Job.run`."""
        try:
            self._instance = self._context.run(self._make)
        except BaseException as error:  # noqa: BLE001  # of the user's code
            self._error = error

    def ended(self) -> None:
        """See `Job.ended`."""
        self._keeper.made(self._instance, self._error)


class Keeper:
    """Restarts one actor.

    Attributes:
        spec: when, and how often.
        error: what it failed with, until it runs again.
        supervision: who decides; None until there is something to decide.
    """

    __slots__ = (
        "_because",
        "_cell",
        "_context",
        "_make",
        "_report",
        "_snapshot",
        "_step",
        "_task",
        "_timer",
        "error",
        "spec",
        "supervision",
    )

    def __init__(self, cell: Cell, spec: ChildSpec, make: Callable[[], Any]) -> None:
        self._cell = cell
        self.spec = spec
        self._make = make
        self._context = cell.context.copy()  # before `on_start` changes it
        self._because: tuple[int, BaseException | None] = 0, None
        self._snapshot: Any = _NOTHING
        self._step = _Step.UP
        self._report: Stimulus | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.error: BaseException | None = None
        self.supervision: Supervision | None = None

    @property
    def is_leaving(self) -> bool:
        """The old instance has not been told of its end yet."""
        return self._step is _Step.LEAVING

    def may_restart(self, reason: ExitReason) -> bool:
        """Whether the actor, ending now by itself, is one to be restarted."""
        runs = self._cell.state is lifecycle.CellState.RUNNING
        return runs and wants_restart(self.spec.policy, reason)

    # --- the old instance

    def failed(self, reason: ExitReason, error: BaseException | None, grace_s: float = 0.0) -> None:
        """The actor, which runs, has failed or ended by itself."""
        cell = self._cell
        if self.supervision is None:
            self.supervision = Supervision(EACH_FOR_ITSELF, cell, None)
            self.supervision.adopt(cell, self.spec)
        self.error = error
        if error is not None:
            cell.dispatcher.log.warning(
                cell.label, "actor %s failed with %s", cell.label, error_text(error)
            )
        self._leave(ChildEnded(cell.actor_id.local, reason), grace_s)

    def suspend(self) -> None:
        """Stop the instance: the supervisor restarts several actors together."""
        if self._cell.state is lifecycle.CellState.RUNNING:
            self._leave(ChildStopped(self._cell.actor_id.local), 0.0)

    def _leave(self, report: Stimulus, grace_s: float) -> None:
        cell = self._cell
        cell.advance(lifecycle.CellEvent.FAILED)
        self._report = report
        self._step = _Step.LEAVING
        cell.dispatcher.timers.cancel_all(cell)
        if cell.job is not None:
            cell.job.interrupted = True
        if grace_s > 0:
            self._timer = cell.dispatcher.loop.call_later(grace_s, self._interrupt)
        else:
            self._interrupt()
        self.look()

    def _interrupt(self) -> None:
        cell = self._cell
        if cell.active or cell.exclusive:
            self._timer = cell.dispatcher.loop.call_later(lifecycle.LEAVE_S, self._out_of_patience)
            for invocation in cell.running:
                error = f"actor {cell.label} was restarted while the call ran"
                invocation.withdraw(ActorStopped(error))

    def _out_of_patience(self) -> None:
        cell = self._cell
        self._timer = None
        if cell.exclusive:
            _log.error(
                "actor %s: code in a worker thread holds up its restart; it cannot be interrupted",
                cell.label,
            )
            return
        _log.error(
            "actor %s: %d calls ignored their cancellation for %.0f s and are left behind by its "
            "restart", cell.label, cell.active, lifecycle.LEAVE_S,
        )  # fmt: skip
        cell.disown()
        self.look()

    def look(self) -> None:
        """Some code has ended; perhaps it was the last."""
        cell = self._cell
        if self._step is not _Step.LEAVING or cell.active or cell.exclusive:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if cell.stash is not None:  # what a job in a thread gave back came later, and is there
            cell.stash.restore()
        if cell.children or has_last_hooks(cell.table.owner):
            self._step = _Step.CLEANING
            self._task = cell.dispatcher.keep(self._clean(), name=f"pulsing-end-{cell.label}")
        else:
            self._down()

    async def _clean(self) -> None:
        cell = self._cell
        if cell.children:
            await cell.stop_children()
        if keeps_state(cell.table.owner):
            try:
                self._snapshot = await lifecycle.run_hook(cell, "snapshot")
            except Exception:  # noqa: BLE001  # of the user's code
                _log.exception("actor %s: snapshot failed; the last one is kept", cell.label)
        await lifecycle.run_on_stop(cell, lifecycle.LEAVE_S)
        self._down()

    def _down(self) -> None:
        self._task = None
        self._step = _Step.DOWN
        report, self._report = self._report, None
        if self._cell.state is lifecycle.CellState.RESTARTING and report is not None:
            self._tell(report)

    def _tell(self, stimulus: Stimulus) -> None:
        assert self.supervision is not None
        self.supervision.tell(stimulus)

    # --- the new one

    def renew(self, attempt: int, error: BaseException | None) -> None:
        """Make the actor run again; the supervisor hears how it went.

        Args:
            attempt: restarts in a row.
            error: what made it necessary, or None for a normal end.
        """
        if self._step is not _Step.DOWN:
            return  # it is being stopped
        self._step = _Step.RENEWING
        self._because = attempt, error
        cell = self._cell
        dispatcher = cell.dispatcher
        dispatcher.counters.restarts += 1
        cell.context = self._context.copy()
        executor = cell.options.executor
        if executor is Executor.PROCESS:
            self._task = dispatcher.keep(self._launch(), name=f"pulsing-restart-{cell.label}")
        elif is_quick(self._make, executor):
            # Not here: this may be the last step of the code that failed. But in the same pump.
            dispatcher.woken.append((dispatcher.context.copy(), self._make_here))
            if not dispatcher.scheduled:
                dispatcher.schedule()
        else:
            dispatcher.threads.submit(_Making(self, cell.context, self._make))

    def _make_here(self, _done: object) -> None:
        try:
            instance = self._cell.context.run(self._make)
        except BaseException as error:  # noqa: BLE001  # of the user's code
            self.made(None, error)
        else:
            self.made(instance, None)

    async def _launch(self) -> None:
        cell = self._cell
        try:
            instance = await construct(cell.dispatcher, self._make, (), {}, cell.options.executor)
        except Exception as error:  # noqa: BLE001  # of the user's code, or of its process
            self._task = None
            self.made(None, error)
        else:
            self._task = None
            self.made(instance, None)

    def made(self, instance: object, error: BaseException | None) -> None:
        """The constructor has returned, or failed."""
        if self._step is not _Step.RENEWING:
            return  # it is being stopped
        if error is not None:
            self._start_failed(error)
            return
        cell = self._cell
        cell.instance = instance
        owner: type[Any] = type(instance)
        if owner is not cell.table.owner:
            cell.table = MethodTable.of(owner, cell.options.executor)
        if self._snapshot is _NOTHING and not has_first_hooks(cell.table.owner):
            self._run_again()
            return
        name = f"pulsing-restart-{cell.label}"
        self._task = cell.dispatcher.keep(self._run_first_hooks(), name=name)

    async def _run_first_hooks(self) -> None:
        cell = self._cell
        attempt, error = self._because
        try:
            if self._snapshot is not _NOTHING and keeps_state(cell.table.owner):
                await lifecycle.run_hook(cell, "restore", self._snapshot)
            await lifecycle.run_hook(cell, "on_restart", error, attempt)
            await lifecycle.run_hook(cell, "on_start", cell.actor_id)
        except BaseException as failure:  # whatever it is, it is of the user's code
            task = asyncio.current_task()
            assert task is not None
            if isinstance(failure, asyncio.CancelledError) and task.cancelling():
                raise
            self._start_failed(failure)
        else:
            self._run_again()
        finally:
            self._task = None

    def _start_failed(self, error: BaseException) -> None:
        cell = self._cell
        self._step = _Step.DOWN
        self.error = error
        cell.dispatcher.log.warning(
            cell.label, "actor %s could not be restarted: %s", cell.label, error_text(error)
        )
        self._tell(StartFailed(cell.actor_id.local))

    def _run_again(self) -> None:
        cell = self._cell
        if cell.state is not lifecycle.CellState.RESTARTING:
            return  # it is being stopped
        self._step = _Step.UP
        self.error = None
        self._because = 0, None
        cell.advance(lifecycle.CellEvent.STARTED)
        if cell.turn is not READY:
            cell.reschedule()
        self._tell(ChildStarted(cell.actor_id.local))

    # --- the end

    async def abandon(self) -> None:
        """The actor is being stopped: whatever is under way ends here."""
        step, self._step = self._step, _Step.OVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        if step is _Step.RENEWING:
            task.cancel()
        _, late = await asyncio.wait((task,), timeout=2 * lifecycle.LEAVE_S)
        if late:
            _log.error("actor %s: its hooks did not end; they are left behind", self._cell.label)
            task.cancel()
