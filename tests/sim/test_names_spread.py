"""Names in a simulated cluster: many at once, and on both sides of a partition."""

from __future__ import annotations

from pulsing.testing.simulation import Simulation


def test_after_a_partition_names_of_both_sides_are_found_as_soon_as_their_nodes() -> None:
    world = Simulation(10, seed=3)
    world.run_until(world.converged, within_s=30)
    for slot in range(10):
        world.register(slot, f"actors/{slot}")
        world.register(slot, "actors/all")
    world.run_until(world.names_agree, within_s=5)
    world.partition(set(range(5)), set(range(5, 10)))
    world.run_for(45)
    world.heal()
    world.run_until(world.converged, within_s=10)
    world.run_until(world.names_agree, within_s=2)
    world.check()


def test_thousands_of_names_at_once_reach_everybody_in_bounded_messages() -> None:
    world = Simulation(5, seed=4)
    world.run_until(world.converged, within_s=30)
    for number in range(3000):
        world.register(2, f"actors/{number}")
    world.run_until(world.names_agree, within_s=3)
    for number in range(0, 3000, 2):
        world.unregister(2, f"actors/{number}")
    world.run_until(world.names_agree, within_s=3)
    world.kill(2)
    world.run_until(world.converged, within_s=10)
    world.check()
