"""Five nodes, and whatever may befall them; then all is well again, and so must they be.

Safety is checked after every step of every core (`pulsing.testing.simulation.safety`). A failure
prints the command that shows it again.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsing.testing.simulation import Simulation
from pulsing.testing.simulation.faults import Fault, drawn, written
from pulsing.testing.simulation.scenarios import Setting, play_out

NODES = 5
slots = st.integers(0, NODES - 1)
pairs = st.permutations(range(NODES)).map(lambda order: f"{order[0]}-{order[1]}")
lists = st.sets(slots, min_size=1).map(lambda chosen: ",".join(map(str, sorted(chosen))))
partitions = st.tuples(st.permutations(range(NODES)), st.integers(1, NODES - 1)).map(
    lambda drawn: "|".join(
        ",".join(map(str, side)) for side in (drawn[0][: drawn[1]], drawn[0][drawn[1] :])
    )
)
names = st.tuples(slots, st.integers(0, 5)).map(lambda drawn: f"{drawn[0]}:actors/a{drawn[1]}")
verbs = st.one_of(
    st.tuples(
        st.sampled_from(
            ["kill", "silence", "restart", "leave", "freeze", "thaw", "clog", "unclog"]
        ),
        lists,
    ),
    st.tuples(st.sampled_from(["cut", "cut-to", "slow"]), pairs),
    st.tuples(st.just("partition"), partitions),
    st.tuples(st.sampled_from(["register", "unregister"]), names),
    st.tuples(st.just("lose"), st.sampled_from(["0", "0.1", "0.4"])),
    st.tuples(st.just("heal"), st.just("")),
    st.tuples(st.just("stall"), slots.map(lambda slot: f"{slot}:7")),
    st.tuples(st.just("churn"), slots.map(lambda slot: f"{slot}:30")),
)
moments = st.integers(0, 400).map(lambda tenths: tenths / 10)
schedules = st.lists(
    st.tuples(moments, verbs).map(lambda drawn: Fault(drawn[0], *drawn[1])), max_size=25
).map(sorted)


def survive(schedule: list[Fault], seed: int) -> Simulation:
    """Play a schedule, make everything well again, and expect that all agree."""
    replay = (
        f"python -m pulsing.testing.simulate --nodes {NODES} --seed {seed} "
        f"--schedule '{written(schedule)}'"
    )
    simulation, _ = play_out(Setting(nodes=NODES, seed=seed, replay=replay), schedule)
    return simulation


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(schedule=schedules, seed=st.integers(0, 2**32))
def test_any_schedule_of_faults_ends_in_one_membership(schedule: list[Fault], seed: int) -> None:
    survive(schedule, seed)


@pytest.mark.parametrize("seed", range(6))
def test_ten_minutes_of_random_faults_end_in_one_membership(seed: int) -> None:
    survive(drawn(Random(seed), NODES, 600.0), seed)


def test_the_same_faults_have_the_same_history() -> None:
    schedule = drawn(Random(5), NODES, 60.0)
    assert survive(schedule, 5).history_hash == survive(schedule, 5).history_hash
