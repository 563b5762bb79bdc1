"""Nodes that know each other from the start."""

from __future__ import annotations

import pytest

from pulsing.cluster.settings import SwimSettings
from pulsing.testing.simulation import Simulation


def test_informed_nodes_know_each_other_at_once_and_have_little_to_say_about_it() -> None:
    simulation = Simulation(60, seed=3, informed=True)
    assert simulation.converged()
    simulation.run_for(30)
    assert simulation.converged()
    simulation.check()


def test_informed_nodes_live_like_others() -> None:
    simulation = Simulation(20, seed=3, informed=True)
    simulation.register(3, "actors/a")
    simulation.settle()
    simulation.kill(0)
    simulation.settle()
    simulation.restart(0)
    simulation.add()
    simulation.settle()
    assert len(simulation.running()) == 21


def test_more_than_one_answer_can_hold_cannot_be_informed() -> None:
    settings = SwimSettings(max_message_bytes=4096)
    with pytest.raises(ValueError, match="100 nodes do not fit into one answer"):
        Simulation(100, seed=3, informed=True, settings=settings)
