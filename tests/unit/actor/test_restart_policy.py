import itertools
import random

import pytest

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.restart_policy import (
    Budget,
    ChildSpec,
    RestartPolicy,
    Spending,
    Strategy,
    SupervisorSpec,
    backoff_s,
    wants_restart,
)


@pytest.mark.parametrize(("policy", "reason"), list(itertools.product(RestartPolicy, ExitReason)))
def test_who_is_restarted_after_what(policy, reason):
    expected = {
        RestartPolicy.NEVER: False,
        RestartPolicy.ON_FAILURE: reason is not ExitReason.NORMAL,
        RestartPolicy.ALWAYS: True,
    }
    assert wants_restart(policy, reason) is expected[policy]


def test_on_failure_is_spelled_both_ways():
    assert RestartPolicy("on-failure") is RestartPolicy("on_failure") is RestartPolicy.ON_FAILURE
    with pytest.raises(ValueError, match="sometimes"):
        RestartPolicy("sometimes")


def test_a_budget_forgives_what_is_older_than_its_window():
    budget, spending = Budget(2, 10.0), Spending()
    assert [spending.spend(budget, now) for now in (0, 1, 2, 3)] == [True, True, False, False]
    spending = Spending()
    assert [spending.spend(budget, now) for now in (0, 5, 10.1, 14.9)] == [True, True, True, False]


def test_a_budget_of_nothing_allows_nothing():
    assert not Spending().spend(Budget(0, 10.0), 0.0)


@pytest.mark.parametrize(("low", "high"), [(0.1, 30.0), (0.5, 0.5), (1.0, 1.5), (0.0, 0.0)])
def test_waits_double_with_jitter_between_the_bounds(low, high):
    spec = ChildSpec(min_backoff_s=low, max_backoff_s=high)
    rng = random.Random(7)
    for attempt in (*range(1, 20), 5000):
        waits = [backoff_s(spec, attempt, rng) for _ in range(50)]
        assert all(low <= wait <= high for wait in waits)
        least = min(low * 2.0 ** (min(attempt, 60) - 1), high / 2)
        assert min(waits) >= least
        if least > low:
            assert len(set(waits)) > 1, "actors that failed together come back together"


def test_no_least_wait_is_no_wait_at_all():
    spec = ChildSpec(min_backoff_s=0.0, max_backoff_s=30.0)
    assert {backoff_s(spec, attempt, random.Random(1)) for attempt in range(1, 9)} == {0.0}


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: Budget(-1), "max_restarts"),
        (lambda: Budget(3, 0), "window"),
        (lambda: ChildSpec(min_backoff_s=2.0, max_backoff_s=1.0), "min_backoff is 2.0"),
        (lambda: ChildSpec(min_backoff_s=-1.0), "min_backoff"),
        (lambda: SupervisorSpec(Strategy.ONE_FOR_ALL), "needs a budget"),
    ],
)
def test_what_makes_no_sense_is_refused(make, hint):
    with pytest.raises(ValueError, match=hint):
        make()
