"""The handle: measurements, what counts as a mistake, and that a seed tells everything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pulsing.testing.simulation import SafetyViolation, Simulation
from tests.unit.testing.simulation.toy_core import toy

FLAWS = {
    "revives": "without a higher incarnation|and back from incarnation",
    "makes up incarnations": "never went above",
    "believes its death": "believes of itself that it is DEAD",
    "answers twice": "answered exchange .* twice",
    "same number": "two open exchanges the number",
    "long message": "sent 70000 bytes",
    "storm": "two deadlines in a row",
    "keeps silent about members": "but told of unknown",
    "finds the names of the dead": "but still finds",
    "leaves links open": "left its links open",
    "silent": "not within",
}


def troubled_life(simulation: Simulation) -> None:
    simulation.run_for(5)
    for slot in range(5):
        simulation.register(slot, "actors/everywhere")
    simulation.run_for(5)
    simulation.partition({0, 1}, {2, 3, 4})
    simulation.kill(4)
    simulation.run_for(5)
    simulation.kill(3)
    simulation.run_for(5)
    simulation.heal()
    simulation.restart(3)
    simulation.leave(0)
    simulation.run_for(30)
    simulation.recover()
    simulation.settle()
    bury(simulation, observer=1, subject=2)
    simulation.settle()


def test_a_core_without_a_flaw_goes_through_it_all() -> None:
    troubled_life(Simulation(5, seed=4, loss=0.05, make_core=toy()))


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_planted_flaw_is_found_and_told_with_its_replay(flaw: str) -> None:
    def live() -> None:
        troubled_life(Simulation(5, seed=4, loss=0.05, make_core=toy(flaw), replay="play it again"))

    with pytest.raises(SafetyViolation, match=FLAWS[flaw]) as raised:
        live()
    assert raised.value.replay == "play it again"
    assert "again: play it again" in str(raised.value)
    assert "what happened last:" in str(raised.value)


def test_an_error_of_a_core_is_a_violation_with_its_cause() -> None:
    simulation = Simulation(2, seed=1, make_core=toy())
    simulation.settle()

    def fail(*_: object, **__: object) -> None:
        raise KeyError("forgotten")

    simulation.core(0).handle = fail
    with pytest.raises(SafetyViolation, match=r"failed at .*KeyError") as raised:
        simulation.run_for(5)
    assert isinstance(raised.value.__cause__, KeyError)


def test_equal_seeds_have_equal_histories_and_others_do_not() -> None:
    def history(seed: int) -> str:
        simulation = Simulation(5, seed=seed, loss=0.05, make_core=toy())
        troubled_life(simulation)
        return simulation.history_hash

    assert history(4) == history(4)
    assert history(4) != history(5)


def test_a_history_is_the_same_in_every_process() -> None:
    program = (
        "from tests.unit.testing.simulation.test_simulation import *\n"
        "simulation = Simulation(5, seed=4, loss=0.05, make_core=toy())\n"
        "troubled_life(simulation)\n"
        "print(simulation.history_hash)"
    )

    def history(hash_seed: str) -> str:
        environ = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert history("1") == history("2") != ""


def test_a_death_is_timed_by_its_first_and_its_last_observer() -> None:
    simulation = Simulation(6, seed=2, make_core=toy())
    simulation.settle()
    simulation.kill(5)
    simulation.settle()
    (departure,) = simulation.observed.departures
    assert departure.how == "killed"
    assert departure.is_complete
    assert len(departure.expected) == 5
    assert departure.first_s is not None
    assert departure.last_s is not None
    assert 0 < departure.first_s < 0.1 < departure.last_s < 5


def test_believing_a_healthy_node_dead_is_a_mistake_unless_it_is_cut_off() -> None:
    simulation = Simulation(4, seed=2, make_core=toy())
    simulation.settle()
    bury(simulation, observer=0, subject=1)
    mistakes = simulation.observed.false_deaths
    assert [(each.observer, each.subject) for each in mistakes] == [(0, 1)]
    simulation.settle()
    before = len(mistakes)
    simulation.partition({0}, {1, 2, 3})
    bury(simulation, observer=0, subject=2)
    assert len(mistakes) == before


def test_believing_an_ailing_node_dead_is_no_mistake_for_a_while() -> None:
    simulation = Simulation(4, seed=2, make_core=toy())
    simulation.settle()
    simulation.freeze(1)
    simulation.run_for(1)
    bury(simulation, observer=0, subject=1)
    simulation.thaw(1)
    simulation.settle()
    bury(simulation, observer=2, subject=1)
    assert not simulation.observed.false_deaths
    simulation.run_for(simulation.observed.grace_s + 1)
    simulation.settle()
    bury(simulation, observer=3, subject=1)
    assert len(simulation.observed.false_deaths) == 1


def test_it_takes_a_while_until_a_name_is_seen_everywhere() -> None:
    simulation = Simulation(4, seed=2, make_core=toy())
    simulation.settle()
    visibility = simulation.watch_names()
    simulation.register(1, "actors/new")
    assert len(visibility.open) == 1
    simulation.settle()
    assert len(visibility.took_s) == 3
    assert not visibility.open
    simulation.unregister(1, "actors/new")
    simulation.settle()
    assert len(visibility.took_s) == 6
    assert 0 < max(visibility.took_s) < 10


def test_verbs_on_nodes_that_are_not_in_the_state_for_them_do_nothing() -> None:
    simulation = Simulation(3, seed=2, make_core=toy())
    simulation.settle()
    before = simulation.history_hash
    simulation.thaw(0)
    simulation.unclog(0)
    simulation.restart(0)
    simulation.unregister(0, "actors/unknown")
    assert simulation.history_hash == before
    simulation.kill(0)
    for verb in (simulation.kill, simulation.freeze, simulation.clog, simulation.leave):
        verb(0)
    simulation.stall(0, 1.0)
    simulation.register(0, "actors/late")
    simulation.settle()
    assert simulation.running() == [1, 2]


def test_a_node_that_is_added_takes_the_next_slot() -> None:
    simulation = Simulation(3, seed=2, make_core=toy())
    simulation.settle()
    assert simulation.add() == 3
    simulation.settle()
    assert simulation.running() == [0, 1, 2, 3]


def bury(simulation: Simulation, *, observer: int, subject: int) -> None:
    """Let one core believe for no reason that a member is dead."""
    process = simulation.process(observer)
    assert process is not None
    core = process.core
    core._effects = []
    core._bury(simulation.core(subject).info.addr)
    simulation.world._obey(process, core._effects)
