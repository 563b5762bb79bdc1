"""The checks find bugs: some that are planted in copies of the cores.

All of them, with all checks: ``python -m benchmarks.planted_bugs``.
"""

from __future__ import annotations

import pytest

from benchmarks.planted_bugs.bugs import BUGS, NO_BUG, Bug, Change
from benchmarks.planted_bugs.checks import CHECKS
from benchmarks.planted_bugs.copies import OutOfDate, planted
from pulsing.cluster import gossip_core
from pulsing.testing.simulation import Simulation

BY_NAME = {check.name: check for check in CHECKS}
FOUND_BY = {
    "late-gossip-revives": "storm 0",
    "busy-is-no-excuse": "stalls",
    "the-dead-are-not-retried": "partition",
}


@pytest.mark.parametrize("bug", FOUND_BY)
def test_a_planted_bug_is_found(bug: str) -> None:
    with planted(BUGS[bug]) as make_core, pytest.raises(AssertionError):
        BY_NAME[FOUND_BY[bug]].run(make_core)


@pytest.mark.parametrize("check", sorted(set(FOUND_BY.values())))
def test_what_finds_bugs_finds_none_in_a_copy_without(check: str) -> None:
    with planted(NO_BUG) as make_core:
        BY_NAME[check].run(make_core)


@pytest.mark.parametrize("bug", BUGS)
def test_every_bug_of_the_list_can_be_planted(bug: str) -> None:
    with planted(BUGS[bug]):
        pass


def test_a_bug_that_fits_no_more_is_refused() -> None:
    gone = Bug("gone", "It is not there.", (Change("claims", "no such text", ""),))
    with pytest.raises(OutOfDate, match="gone"), planted(gone):
        pass


def test_the_real_cores_are_left_alone() -> None:
    with planted(BUGS["names-of-the-dead"]) as make_core:
        simulation = Simulation(2, make_core=make_core)
        assert not isinstance(simulation.core(0), gossip_core.GossipCore)
        real = Simulation(3)
        real.register(2, "actors/a")
        real.settle()
        real.kill(2)
        real.settle()
