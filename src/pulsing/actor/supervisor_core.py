"""Decides what becomes of the children of one supervisor when one of them ends.

Stimuli:
    `ChildAdded`, `ChildEnded`, `ChildStopped`, `ChildStarted`, `StartFailed`, `ChildGone`,
    `StopAsked`, `DeadlineReached`.
Effects:
    `StartChild`, `StopChild`, `EndChild`, `Escalate`, `ReportStopped`.
Invariants:
    - Children are stopped in reverse order of their start, each after the one before has stopped,
      and started in order, each after the one before has started.
    - Each effect about a child is answered by exactly one stimulus about it before the next:
      `StartChild` by `ChildStarted` or `StartFailed`, `StopChild` by `ChildStopped`, `EndChild` by
      `ChildGone`. An `EndChild` may interrupt the other two; then only `ChildGone` counts.
    - A failed start is a failure like any other: it is counted, and waited for.
    - Of strategies that restart several, one repair is under way at a time; failures during it are
      looked at afterwards, unless the repair has restarted the child meanwhile.
Source:
    Erlang/OTP supervisor(3): strategies, intensity and period, order of start and termination.
    It knows no wait before a restart; and a child that has ended for good is not started again
    here when a sibling fails, because its watchers know that it is gone.
"""

from __future__ import annotations

import random
from enum import Enum

from .exit_reason import ExitReason
from .restart_policy import (
    Budget,
    ChildSpec,
    RestartPolicy,
    Spending,
    Strategy,
    SupervisorSpec,
    backoff_s,
    wants_restart,
)
from .supervisor_events import (
    ChildAdded,
    ChildEnded,
    ChildGone,
    ChildStarted,
    ChildStopped,
    DeadlineReached,
    Effect,
    EndChild,
    Escalate,
    Key,
    ReportStopped,
    StartChild,
    StartFailed,
    Stimulus,
    StopAsked,
    StopChild,
)


class _Phase(Enum):
    """What a child does."""

    RUNNING = "running"
    STOPPING = "stopping"  # StopChild is not answered
    DOWN = "down"  # it will be started, or ended
    STARTING = "starting"  # StartChild is not answered
    ENDING = "ending"  # EndChild is not answered


class _Stage(Enum):
    """How far a repair has come."""

    STOPPING = "stopping"
    WAITING = "waiting"
    STARTING = "starting"


class _Child:
    __slots__ = ("attempt", "key", "last_failure", "phase", "reason", "spec", "spending")

    def __init__(self, key: Key, spec: ChildSpec) -> None:
        self.key = key
        self.spec = spec
        self.phase = _Phase.RUNNING
        self.reason = ExitReason.NORMAL
        self.attempt = 0
        self.last_failure = 0.0
        self.spending = Spending()


class _Repair:
    """What is done about one failure."""

    __slots__ = ("cause", "due", "members", "stage")

    def __init__(self, cause: _Child, members: list[_Child], due: float) -> None:
        self.cause = cause
        self.members = members
        self.due = due
        self.stage = _Stage.STOPPING


class SupervisorCore:
    """The decisions of one supervisor."""

    __slots__ = ("_children", "_ending", "_late", "_repairs", "_rng", "_spec", "_spending")

    def __init__(self, spec: SupervisorSpec, rng: random.Random) -> None:
        self._spec = spec
        self._rng = rng
        self._children: dict[Key, _Child] = {}
        self._repairs: list[_Repair] = []
        self._late: list[_Child] = []  # failed while others were being repaired
        self._spending = Spending()
        self._ending: Escalate | ReportStopped | None = None

    @property
    def children(self) -> tuple[Key, ...]:
        """The children that are not gone, in order of their start."""
        return tuple(self._children)

    def next_deadline(self) -> float | None:
        """When to send `DeadlineReached`; None: there is nothing to wait for."""
        waiting = [each.due for each in self._repairs if each.stage is _Stage.WAITING]
        return min(waiting, default=None)

    def handle(self, stimulus: Stimulus, *, now: float) -> list[Effect]:
        """Take note of something that happened; what is not in the list is not to be done."""
        match stimulus:
            case ChildEnded(child, reason):
                return self._ended(child, reason, now)
            case ChildStarted(child):
                return self._answered(child, _Phase.STARTING, _Phase.RUNNING, now)
            case ChildStopped(child):
                return self._answered(child, _Phase.STOPPING, _Phase.DOWN, now)
            case StartFailed(child):
                known = self._children.get(child)
                if known is None or known.phase is not _Phase.STARTING:
                    return []
                return self._failed_to_start(known, now)
            case ChildGone(child):
                return self._gone(child, now)
            case ChildAdded(child, spec):
                self._children[child] = _Child(child, spec)
                return []
            case StopAsked():
                return self._end_all(ReportStopped())
            case DeadlineReached():
                return self._deadline_reached(now)

    def _ended(self, key: Key, reason: ExitReason, now: float) -> list[Effect]:
        child = self._children.get(key)
        if child is None:
            return []
        if child.phase is _Phase.STOPPING:
            return self._answered(key, _Phase.STOPPING, _Phase.DOWN, now)
        if child.phase is _Phase.STARTING:
            return self._failed_to_start(child, now)
        if child.phase is _Phase.RUNNING:
            return self._failed(child, reason, now)
        return []

    def _answered(self, key: Key, asked: _Phase, now_in: _Phase, now: float) -> list[Effect]:
        """What an effect had asked for is done, unless something else was asked meanwhile."""
        child = self._children.get(key)
        if child is None or child.phase is not asked:
            return []
        child.phase = now_in
        child.reason = ExitReason.NORMAL
        return self._go_on_with(child, now)

    def _gone(self, key: Key, now: float) -> list[Effect]:
        child = self._children.pop(key, None)
        if child is None:
            return []
        if self._ending is not None:
            return self._end_next()
        if child in self._late:
            self._late.remove(child)
        for repair in self._repairs:
            if child in repair.members:
                repair.members.remove(child)
                return self._go_on(repair, now)
        return []

    def _deadline_reached(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for repair in tuple(self._repairs):
            if repair.stage is _Stage.WAITING and repair.due <= now:
                effects += self._go_on(repair, now)
        return effects

    # --- a failure

    def _failed(self, child: _Child, reason: ExitReason, now: float) -> list[Effect]:
        child.phase = _Phase.DOWN
        child.reason = reason
        if self._ending is not None:
            return []  # its turn to end will come
        if not wants_restart(child.spec.policy, reason):
            return [_end(child)]
        for repair in self._repairs:
            if repair.stage is _Stage.STOPPING and child in repair.members:
                return []  # it would have been stopped anyway
        if self._is_busy():
            self._late.append(child)
            return []
        return self._repair(child, now)

    def _failed_to_start(self, child: _Child, now: float) -> list[Effect]:
        child.phase = _Phase.DOWN
        child.reason = ExitReason.ERROR
        self._repairs = [each for each in self._repairs if child not in each.members]
        return self._repair(child, now)

    def _is_busy(self) -> bool:
        """Several children are being stopped or started in turn."""
        if self._spec.strategy is Strategy.ONE_FOR_ONE:
            return False
        return any(each.stage is not _Stage.WAITING for each in self._repairs)

    def _repair(self, child: _Child, now: float) -> list[Effect]:
        shared = self._spec.budget
        budget: Budget = child.spec.budget if shared is None else shared
        if now - child.last_failure > budget.window_s:
            child.attempt = 0
        child.attempt += 1
        child.last_failure = now
        spending = child.spending if shared is None else self._spending
        if not spending.spend(budget, now):
            return [_end(child)] if shared is None else self._end_all(Escalate(child.key))
        due = now + backoff_s(child.spec, child.attempt, self._rng)
        members = self._affected(child)
        if self._spec.strategy is not Strategy.ONE_FOR_ONE and self._repairs:
            (waiting,) = self._repairs  # nothing was started since: one repair for both
            due = max(due, waiting.due)
            members = [
                each
                for each in self._children.values()
                if each in members or each in waiting.members
            ]
            self._repairs.clear()
        self._late = [each for each in self._late if each not in members]
        repair = _Repair(child, members, due)
        self._repairs.append(repair)
        return self._go_on(repair, now)

    def _affected(self, child: _Child) -> list[_Child]:
        strategy = self._spec.strategy
        if strategy is Strategy.ONE_FOR_ONE:
            return [child]
        everybody = list(self._children.values())
        if strategy is Strategy.REST_FOR_ONE:
            return everybody[everybody.index(child) :]
        return everybody

    # --- a repair

    def _go_on_with(self, child: _Child, now: float) -> list[Effect]:
        for repair in self._repairs:
            if child in repair.members:
                return self._go_on(repair, now)
        return []

    def _go_on(self, repair: _Repair, now: float) -> list[Effect]:
        """Do the next step, if nothing is being waited for."""
        members = repair.members
        if repair.stage is _Stage.STOPPING:
            for child in reversed(members):
                if child.phase is _Phase.RUNNING:
                    return [_stop(child)]
                if child.phase is not _Phase.DOWN:
                    return []
            repair.stage = _Stage.WAITING
        if repair.stage is _Stage.WAITING:
            if now < repair.due:
                return []
            repair.stage = _Stage.STARTING
        for child in members:
            if child.phase is _Phase.DOWN and child not in self._late:
                child.phase = _Phase.STARTING
                return [StartChild(child.key, repair.cause.attempt, repair.cause.key)]
            if child.phase is _Phase.STARTING:
                return []
        self._repairs.remove(repair)
        return self._look_at_late_failures(now)

    def _look_at_late_failures(self, now: float) -> list[Effect]:
        while self._late:
            child = self._late.pop(0)
            if child.phase is _Phase.DOWN:
                return self._repair(child, now)
        return []

    # --- the end

    def _end_all(self, report: Escalate | ReportStopped) -> list[Effect]:
        if self._ending is not None:
            if isinstance(report, ReportStopped):
                self._ending = report
            return []
        self._ending = report
        self._repairs.clear()
        self._late.clear()
        return self._end_next()

    def _end_next(self) -> list[Effect]:
        for child in reversed(self._children.values()):
            return [] if child.phase is _Phase.ENDING else [_end(child)]
        report, self._ending = self._ending, None
        assert report is not None
        return [report]


def _stop(child: _Child) -> StopChild | EndChild:
    if child.spec.policy is RestartPolicy.NEVER:
        return _end(child)
    child.phase = _Phase.STOPPING
    return StopChild(child.key)


def _end(child: _Child) -> EndChild:
    reason = child.reason if child.phase is _Phase.DOWN else ExitReason.NORMAL
    child.phase = _Phase.ENDING
    return EndChild(child.key, reason)
