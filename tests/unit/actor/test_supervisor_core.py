import itertools
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.restart_policy import (
    Budget,
    ChildSpec,
    RestartPolicy,
    Strategy,
    SupervisorSpec,
)
from pulsing.actor.supervisor_core import SupervisorCore
from pulsing.actor.supervisor_events import (
    ChildAdded,
    ChildEnded,
    ChildGone,
    ChildStarted,
    ChildStopped,
    DeadlineReached,
    EndChild,
    Escalate,
    ReportStopped,
    StartChild,
    StartFailed,
    StopAsked,
    StopChild,
)

AT_ONCE = {"min_backoff_s": 0.0, "max_backoff_s": 0.0}
KEPT = ChildSpec(policy=RestartPolicy.ON_FAILURE, **AT_ONCE)
LATER = ChildSpec(policy=RestartPolicy.ON_FAILURE, min_backoff_s=1.0, max_backoff_s=1.0)


def core_of(*names, strategy=Strategy.ONE_FOR_ONE, budget=Budget(3, 60.0), spec=KEPT):  # noqa: B008
    core = SupervisorCore(SupervisorSpec(strategy, budget), random.Random(1))
    for name in names:
        assert core.handle(ChildAdded(name, spec), now=0.0) == []
    return core


def failed(name):
    return ChildEnded(name, ExitReason.ERROR)


@pytest.mark.parametrize(
    ("policy", "reason", "strategy"),
    list(itertools.product(RestartPolicy, [ExitReason.NORMAL, ExitReason.ERROR], Strategy)),
)
def test_what_is_done_first_under_each_policy_reason_and_strategy(policy, reason, strategy):
    core = core_of("a", "b", "c", strategy=strategy, spec=ChildSpec(policy=policy, **AT_ONCE))
    restarts = policy is RestartPolicy.ALWAYS or (
        policy is RestartPolicy.ON_FAILURE and reason is ExitReason.ERROR
    )
    if not restarts:
        expected = EndChild("b", reason)
    elif strategy is Strategy.ONE_FOR_ONE:
        expected = StartChild("b", 1, "b")
    else:
        expected = StopChild("c")
    assert core.handle(ChildEnded("b", reason), now=0.0) == [expected]


def test_a_restart_waits_for_its_time():
    core = core_of("a", spec=LATER)
    assert core.handle(failed("a"), now=5.0) == []
    assert core.next_deadline() == 6.0
    assert core.handle(DeadlineReached(), now=5.9) == []
    assert core.handle(DeadlineReached(), now=6.0) == [StartChild("a", 1, "a")]
    assert core.next_deadline() is None
    assert core.handle(ChildStarted("a"), now=6.0) == []


def test_attempts_are_counted_until_a_window_passes_without_a_failure():
    core = core_of("a", budget=Budget(100, 10.0))
    seen = []
    for now in (0.0, 9.0, 18.0, 40.0, 41.0):
        (start,) = core.handle(failed("a"), now=now)
        seen.append(start.attempt)
        core.handle(ChildStarted("a"), now=now)
    assert seen == [1, 2, 3, 1, 2]


def test_a_second_failure_during_a_wait_is_repaired_with_the_first():
    core = core_of("a", "b", "c", "d", strategy=Strategy.REST_FOR_ONE, spec=LATER)
    assert core.handle(failed("c"), now=0.0) == [StopChild("d")]
    assert core.handle(ChildStopped("d"), now=0.0) == []
    assert core.handle(failed("b"), now=0.5) == []
    assert core.next_deadline() == 1.5
    assert core.handle(DeadlineReached(), now=1.0) == []
    assert core.handle(DeadlineReached(), now=1.5) == [StartChild("b", 1, "b")]
    assert core.handle(ChildStarted("b"), now=1.5) == [StartChild("c", 1, "b")]
    assert core.handle(ChildStarted("c"), now=1.5) == [StartChild("d", 1, "b")]
    assert core.handle(ChildStarted("d"), now=1.5) == []


def test_without_a_common_budget_only_the_child_ends():
    spec = ChildSpec(policy=RestartPolicy.ON_FAILURE, budget=Budget(1, 60.0), **AT_ONCE)
    core = core_of("a", "b", budget=None, spec=spec)
    assert core.handle(failed("a"), now=0.0) == [StartChild("a", 1, "a")]
    assert core.handle(ChildStarted("a"), now=0.0) == []
    assert core.handle(failed("a"), now=1.0) == [EndChild("a", ExitReason.ERROR)]
    assert core.handle(ChildGone("a"), now=1.0) == []
    assert core.children == ("b",)
    assert core.handle(failed("b"), now=1.0) == [StartChild("b", 1, "b")]


def test_escalation_follows_the_end_of_all_children():
    core = core_of("a", "b", budget=Budget(0, 60.0))
    assert core.handle(failed("a"), now=0.0) == [EndChild("b", ExitReason.NORMAL)]
    assert core.handle(ChildGone("b"), now=0.0) == [EndChild("a", ExitReason.ERROR)]
    assert core.handle(ChildGone("a"), now=0.0) == [Escalate("a")]


def test_who_is_asked_to_stop_while_escalating_reports_that_it_has_stopped():
    core = core_of("a", "b", budget=Budget(0, 60.0))
    core.handle(failed("a"), now=0.0)
    assert core.handle(StopAsked(), now=0.0) == []
    assert core.handle(ChildGone("b"), now=0.0) == [EndChild("a", ExitReason.ERROR)]
    assert core.handle(ChildGone("a"), now=0.0) == [ReportStopped()]


@pytest.mark.parametrize("phase", ["waiting", "starting", "stopping"])
def test_stopping_interrupts_a_repair(phase):
    core = core_of("a", "b", strategy=Strategy.ONE_FOR_ALL, spec=LATER)
    assert core.handle(failed("a"), now=0.0) == [StopChild("b")]
    if phase != "stopping":
        core.handle(ChildStopped("b"), now=0.0)
    if phase == "starting":
        assert core.handle(DeadlineReached(), now=1.0) == [StartChild("a", 1, "a")]
    (end,) = core.handle(StopAsked(), now=1.0)
    assert (end.child, core.next_deadline()) == ("b", None)
    assert core.handle(ChildStopped("b"), now=1.0) == [], "the answer to what was asked before"
    assert core.handle(ChildStarted("a"), now=1.0) == []
    (end,) = core.handle(ChildGone("b"), now=1.0)
    assert end.child == "a"
    assert core.handle(ChildGone("a"), now=1.0) == [ReportStopped()]


def test_stopping_nobody_is_reported_at_once():
    assert core_of().handle(StopAsked(), now=0.0) == [ReportStopped()]


@pytest.mark.parametrize(
    "stimulus",
    [failed("x"), ChildStarted("x"), ChildStopped("x"), StartFailed("x"), ChildGone("x")],
)
def test_what_is_said_of_a_stranger_changes_nothing(stimulus):
    assert core_of("a").handle(stimulus, now=0.0) == []


def test_a_child_that_is_gone_is_not_waited_for():
    core = core_of("a", "b", "c", strategy=Strategy.ONE_FOR_ALL)
    assert core.handle(failed("a"), now=0.0) == [StopChild("c")]
    assert core.handle(ChildGone("c"), now=0.0) == [StopChild("b")]
    assert core.handle(ChildStopped("b"), now=0.0) == [StartChild("a", 1, "a")]
    assert core.handle(ChildGone("a"), now=0.0) == [StartChild("b", 1, "a")]


def test_a_child_that_ended_for_good_is_not_started_with_its_siblings():
    """Here we differ from OTP on purpose: its watchers were told that it is gone."""
    core = core_of("a", "b", strategy=Strategy.ONE_FOR_ALL)
    end = core.handle(ChildEnded("a", ExitReason.NORMAL), now=0.0)
    assert end == [EndChild("a", ExitReason.NORMAL)]
    core.handle(ChildGone("a"), now=0.0)
    assert core.handle(failed("b"), now=0.0) == [StartChild("b", 1, "b")]


# --- against a slow, obvious model ----------------------------------------------------------------


class Model:
    """What OTP would do, all at once: nobody waits, nothing happens meanwhile."""

    def __init__(self, strategy, budget):
        self.strategy, self.budget = strategy, budget
        self.children = []  # (name, policy), in order
        self.failures = []
        self.ended = False

    def failure(self, name, reason, now, refuses):
        """The trace of one failure, until everything runs again.

        Args:
            name: who failed.
            reason: why.
            now: when.
            refuses: how often each child will refuse to start.
        """
        order = [each for each, _ in self.children]
        policies = dict(self.children)
        if not (
            policies[name] is RestartPolicy.ALWAYS
            or (policies[name] is RestartPolicy.ON_FAILURE and reason is ExitReason.ERROR)
        ):
            self.children.remove((name, policies[name]))
            return [("gone", name)]
        trace, running = [], [each for each in order if each != name]
        while True:
            self.failures = [each for each in self.failures if each >= now - self.budget.window_s]
            self.failures.append(now)
            if len(self.failures) > self.budget.max_restarts:
                self.ended, self.children = True, []
                return [*trace, *(("gone", each) for each in reversed(order)), ("escalate", name)]
            affected = {
                Strategy.ONE_FOR_ONE: [name],
                Strategy.ONE_FOR_ALL: order,
                Strategy.REST_FOR_ONE: order[order.index(name) :],
            }[self.strategy]
            for each in reversed(affected):
                if each in running:
                    running.remove(each)
                    if policies[each] is RestartPolicy.NEVER:
                        trace.append(("gone", each))
                        order.remove(each)
                        self.children.remove((each, RestartPolicy.NEVER))
                    else:
                        trace.append(("stop", each))
            for each in [each for each in order if each not in running]:
                if refuses.get(each, 0):
                    refuses[each] -= 1
                    trace.append(("refuse", each))
                    name = each
                    break
                trace.append(("start", each))
                running.append(each)
            else:
                return trace


class CoreAgainstModel(RuleBasedStateMachine):
    """Any children, any failures, any refusals: the core does what the model says."""

    @initialize(
        strategy=st.sampled_from(Strategy),
        most=st.integers(0, 4),
        wait=st.sampled_from([0.0, 0.0, 0.01]),
    )
    def begin(self, strategy, most, wait):
        budget = Budget(most, 10.0)
        self.model = Model(strategy, budget)
        self.core = SupervisorCore(SupervisorSpec(strategy, budget), random.Random(0))
        self.wait = wait
        self.now = 0.0
        self.number = 0

    @precondition(lambda self: not self.model.ended and len(self.model.children) < 6)
    @rule(policy=st.sampled_from(RestartPolicy))
    def add(self, policy):
        self.number += 1
        spec = ChildSpec(policy=policy, min_backoff_s=self.wait, max_backoff_s=self.wait)
        assert self.core.handle(ChildAdded(self.number, spec), now=self.now) == []
        self.model.children.append((self.number, policy))

    @rule(seconds=st.sampled_from([0.1, 4.0, 11.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.model.children)
    @rule(
        data=st.data(),
        reason=st.sampled_from([ExitReason.NORMAL, ExitReason.ERROR]),
        refusals=st.dictionaries(st.integers(0, 5), st.integers(1, 2), max_size=2),
    )
    def fail(self, data, reason, refusals):
        names = [each for each, _ in self.model.children]
        name = data.draw(st.sampled_from(names))
        refuses = {names[place]: n for place, n in refusals.items() if place < len(names)}
        expected = self.model.failure(name, reason, self.now, dict(refuses))
        assert self.play(ChildEnded(name, reason), refuses) == expected

    @precondition(lambda self: self.model.children)
    @rule(data=st.data())
    def leave(self, data):
        child = data.draw(st.sampled_from(self.model.children))
        assert self.core.handle(ChildGone(child[0]), now=self.now) == []
        self.model.children.remove(child)

    @rule()
    def stop(self):
        if self.model.ended:
            return
        order = [("gone", each) for each, _ in reversed(self.model.children)]
        assert self.play(StopAsked(), {}) == [*order, ("stopped", None)]
        self.model.children = []

    def play(self, stimulus, refuses):
        """Answer every effect at once, in order; gives what happened."""
        trace, todo = [], [stimulus]
        now = self.now
        while True:
            if not todo:
                due = self.core.next_deadline()
                if due is None:
                    return trace
                now = due
                todo.append(DeadlineReached())
            for effect in self.core.handle(todo.pop(0), now=min(now, self.now + 0.05)):
                match effect:
                    case StartChild(child) if refuses.get(child):
                        refuses[child] -= 1
                        trace.append(("refuse", child))
                        todo.append(StartFailed(child))
                    case StartChild(child):
                        trace.append(("start", child))
                        todo.append(ChildStarted(child))
                    case StopChild(child):
                        trace.append(("stop", child))
                        todo.append(ChildStopped(child))
                    case EndChild(child):
                        trace.append(("gone", child))
                        todo.append(ChildGone(child))
                    case Escalate(child):
                        trace.append(("escalate", child))
                    case ReportStopped():
                        trace.append(("stopped", None))

    @invariant()
    def the_same_children_are_there(self):
        if hasattr(self, "model"):
            assert self.core.children == tuple(each for each, _ in self.model.children)
            assert self.core.next_deadline() is None


CoreAgainstModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
TestTheCoreDoesWhatASlowObviousModelDoes = CoreAgainstModel.TestCase
