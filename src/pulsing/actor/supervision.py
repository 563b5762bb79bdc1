"""Does what a `SupervisorCore` decides: for the children of one actor, or for a single actor.

An actor without a parent that is to be restarted has a supervision of its own, from its first
failure on. A parent has one for all its children; how it looks after them is said by the
``supervisor`` option of its class.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from pulsing import chance, clock
from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.exits import error_text
from pulsing.actor.restart_policy import Budget, ChildSpec, RestartPolicy, Strategy, SupervisorSpec
from pulsing.actor.supervisor_core import SupervisorCore
from pulsing.actor.supervisor_events import (
    ChildAdded,
    ChildGone,
    DeadlineReached,
    EndChild,
    Escalate,
    Key,
    ReportStopped,
    StartChild,
    StopAsked,
    StopChild,
)
from pulsing.errors import PulsingSystemError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.supervisor_events import Effect, Stimulus

_log = logging.getLogger(__name__)

EACH_FOR_ITSELF: Final = SupervisorSpec()
"""How an actor looks after its children when nothing was said: each has its own budget."""
UNSUPERVISED: Final = ChildSpec(policy=RestartPolicy.NEVER)


def supervisor(
    strategy: str | Strategy = Strategy.ONE_FOR_ONE,
    *,
    max_restarts: int = 3,
    within: float = 60.0,
) -> SupervisorSpec:
    """How a parent looks after its children: ``@pul.remote(supervisor=pul.supervisor(...))``.

    Children whose class says nothing else are then restarted when they fail. When the children
    together need more restarts than this, the parent itself has failed: its children are stopped,
    and its own policy, or its own parent, decides about it.

    Args:
        strategy: who is restarted with a child that failed: ``"one_for_one"`` nobody else,
            ``"one_for_all"`` all children, ``"rest_for_one"`` those started after it.
        max_restarts: failures of the children that are repaired within the time.
        within: seconds for which a restart counts.

    Raises:
        ValueError: an argument has no such value.
    """
    try:
        chosen = Strategy(strategy)
    except ValueError:
        known = ", ".join(repr(each.value) for each in Strategy)
        raise ValueError(f"strategy is {strategy!r}; it can be {known}") from None
    return SupervisorSpec(chosen, Budget(max_restarts, within))


class Supervision:
    """Looks after actors of one node.

    Args:
        spec: how.
        first: one of the actors.
        parent: fails when the budget is used up; None: they have no parent.
    """

    __slots__ = (
        "_busy",
        "_cells",
        "_core",
        "_dispatcher",
        "_grace_s",
        "_parent",
        "_spec",
        "_stopped",
        "_timer",
        "_waiting",
    )

    def __init__(self, spec: SupervisorSpec, first: Cell, parent: Cell | None) -> None:
        self._spec = spec
        self._dispatcher = first.dispatcher
        self._parent = parent
        self._core = SupervisorCore(spec, chance.dice())
        self._cells: dict[Key, Cell] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[Stimulus] = deque()
        self._busy = False
        self._grace_s = 0.0
        self._stopped: asyncio.Future[None] | None = None

    def adopt(self, child: Cell, spec: ChildSpec) -> None:
        """Look after an actor that runs; until it is gone."""
        key = child.actor_id.local
        self._cells[key] = child
        child.on_exit(self._child_gone)
        self.tell(ChildAdded(key, spec))

    def tell(self, stimulus: Stimulus) -> None:
        """Something happened. What is to be done about it is begun before this returns.

        Unless this is called while something is being done: then right afterwards.
        """
        self._waiting.append(stimulus)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                now = clock.monotonic()
                for effect in self._core.handle(self._waiting.popleft(), now=now):
                    self._do(effect)
        finally:
            self._busy = False
        self._arm()

    async def stop_all(self, grace_s: float) -> None:
        """Stop all, the youngest first, one after another; wait until they are gone."""
        self._grace_s = grace_s
        if self._stopped is None:
            self._stopped = self._dispatcher.loop.create_future()
            self.tell(StopAsked())
        await asyncio.shield(self._stopped)

    # --- effects

    def _do(self, effect: Effect) -> None:
        match effect:
            case StartChild(child, attempt, because_of):
                cause = self._cells.get(because_of)
                error = None if cause is None or cause.keeper is None else cause.keeper.error
                keeper = self._cells[child].keeper
                assert keeper is not None
                keeper.renew(attempt, error)
            case StopChild(child):
                keeper = self._cells[child].keeper
                assert keeper is not None
                keeper.suspend()
            case EndChild(child, reason):
                self._end(self._cells[child], reason)
            case Escalate(child):
                self._escalate(child)
            case ReportStopped():
                if self._stopped is not None and not self._stopped.done():
                    self._stopped.set_result(None)

    def _end(self, child: Cell, reason: ExitReason) -> None:
        error = None
        if reason is not ExitReason.NORMAL and child.keeper is not None:
            error = child.keeper.error
            if self._spec.budget is None:
                budget = child.keeper.spec.budget
                _log.error(
                    "actor %s failed more than %d times within %g s and is stopped; at last: %s",
                    child.label, budget.max_restarts, budget.window_s, error_text(error),
                )  # fmt: skip
        child.stop(grace_s=self._grace_s, reason=reason, error=error)

    def _escalate(self, key: Key) -> None:
        parent, budget = self._parent, self._spec.budget
        assert parent is not None
        assert budget is not None
        error = PulsingSystemError(
            f"the children of {parent.label} failed more than {budget.max_restarts} times within "
            f"{budget.window_s:g} s, at last number {key}"
        )
        _log.error("actor %s: %s", parent.label, error)
        parent.crash(ExitReason.ERROR, error)

    # --- stimuli

    def _child_gone(self, child: Cell, _reason: ExitReason, _error: BaseException | None) -> None:
        key = child.actor_id.local
        self.tell(ChildGone(key))
        self._cells.pop(key, None)

    def _arm(self) -> None:
        due = self._core.next_deadline()
        if self._timer is not None:
            if due is not None and self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            loop = self._dispatcher.loop
            delay = max(0.0, due - clock.monotonic())
            self._timer = loop.call_later(delay, self._ring, context=self._dispatcher.context)

    def _ring(self) -> None:
        self._timer = None
        self.tell(DeadlineReached())
