"""Schedules of faults."""

from __future__ import annotations

from random import Random

import pytest

from pulsing.testing.simulation import Simulation
from pulsing.testing.simulation.faults import VERBS, Fault, drawn, play, read, written
from tests.unit.testing.simulation.toy_core import toy


def test_a_schedule_survives_being_written_and_read() -> None:
    schedule = drawn(Random(3), 5, 300)
    assert len(schedule) > 50
    assert read(written(schedule)) == schedule


def test_a_drawn_schedule_knows_every_lasting_fault_and_ends_it() -> None:
    verbs = {fault.verb for seed in range(20) for fault in drawn(Random(seed), 5, 100)}
    assert verbs == set(VERBS) - {"add"}


@pytest.mark.parametrize("text", ["3 explode 1", "soon kill 1", "kill 1", "3"])
def test_what_is_no_schedule_is_refused_with_the_part_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read(f"1 heal; {text}; 2 heal")


def test_faults_happen_when_they_are_due() -> None:
    simulation = Simulation(4, seed=1, make_core=toy())
    simulation.settle()
    play(simulation, read("1 kill 1,2; 2 freeze 3; 3 thaw 3; 4 restart 2; 5 add; 6 lose 0.25"))
    simulation.run_for(1.5)
    assert simulation.running() == [0, 3]
    simulation.run_for(1)
    assert simulation.process(3).is_frozen
    simulation.run_for(1)
    assert not simulation.process(3).is_frozen
    simulation.run_for(2)
    assert simulation.running() == [0, 2, 3, 4]
    simulation.run_for(1)
    assert simulation.network.loss == 0.25


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_can_be_said_of_any_node_in_any_state(verb: str) -> None:
    what = {
        "partition": "0,1|2",
        "cut": "0-1",
        "cut-to": "1-0",
        "slow": "1-2",
        "lose": "0.1",
        "stall": "1:3",
        "churn": "1:9",
        "register": "1:actors/a",
        "unregister": "1:actors/a",
    }.get(verb, "1")
    for before in ("kill", "silence", "freeze", "clog", "leave"):
        simulation = Simulation(3, seed=1, make_core=toy())
        simulation.settle()
        play(simulation, [Fault(0.0, before, "1"), Fault(0.0, verb, what), Fault(0.1, verb, what)])
        simulation.run_for(5)
        simulation.recover()
        simulation.run_for(5)
