"""A head and its workers in the simulated world, and whatever may befall them.

Safety is checked after every step of every core (`pulsing.testing.simulation.safety`).
"""

from __future__ import annotations

from random import Random

import pytest

from pulsing.testing.simulation import Simulation
from pulsing.testing.simulation.cores import head_cores
from pulsing.testing.simulation.faults import drawn, play

NODES = 5
HEAD = 0


def settled(nodes: int, seed: int = 1) -> Simulation:
    simulation = Simulation(nodes, seed=seed, make_core=head_cores())
    simulation.settle(within_s=60.0)
    return simulation


@pytest.mark.parametrize("seed", range(12))
def test_ten_minutes_of_random_faults_end_in_one_membership(seed: int) -> None:
    replay = f"python -m pulsing.testing.simulate --head --nodes {NODES} --seed {seed}"
    simulation = Simulation(NODES, seed=seed, make_core=head_cores(), replay=replay)
    play(simulation, drawn(Random(seed), NODES, 600.0))
    simulation.run_for(601.0)
    simulation.recover()
    simulation.run_for(5.0)
    if simulation.process(HEAD) is None:  # without a head nobody finds out who is gone
        simulation.restart(HEAD)
    simulation.settle(within_s=120.0)


def test_a_worker_killed_is_known_to_all_within_a_pull() -> None:
    simulation = settled(20)
    simulation.kill(7)
    simulation.run_until(simulation.converged, within_s=6.0)
    departure = simulation.observed.departures[-1]
    assert departure.last_s is not None
    assert departure.last_s <= 5.1


def test_nobody_is_declared_dead_while_everybody_is_frozen() -> None:
    simulation = settled(10)
    for slot in range(10):
        simulation.freeze(slot)
    simulation.run_for(120.0)
    for slot in range(10):
        simulation.thaw(slot)
    simulation.run_for(60.0)
    assert simulation.observed.false_deaths == []
    simulation.settle(within_s=30.0)


def test_loss_of_a_tenth_kills_nobody_in_ten_minutes() -> None:
    simulation = settled(16)
    simulation.network.loss = 0.1
    simulation.run_for(600.0)
    assert simulation.observed.false_deaths == []


def test_a_restarted_head_is_the_head_of_all_within_seconds() -> None:
    simulation = settled(20)
    for slot in range(1, 20):
        simulation.register(slot, f"actors/a{slot}")
    simulation.settle(within_s=30.0)
    simulation.restart(HEAD)
    took_s = simulation.run_until(simulation.converged, within_s=30.0)
    assert took_s <= 11.0


def test_the_same_seed_gives_the_same_history() -> None:
    def history() -> str:
        simulation = settled(5, seed=4)
        play(simulation, drawn(Random(4), NODES, 60.0))
        simulation.run_for(61.0)
        return simulation.history_hash

    assert history() == history()
