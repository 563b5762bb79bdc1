"""A node that hears nobody: the fault is rather its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pulsing.cluster.messages import Ack, Gossip, News, Ping, Probe
from pulsing.cluster.stimuli import DeadlineReached, Failure, LinkLost
from tests.unit.cluster.gossip_world import (
    ALIVE,
    DEAD,
    SUSPECT,
    World,
    addr_of,
    alive,
    claims_of,
    id_of,
    suspect,
)


def cut_off(peers: int = 8) -> World:
    world = World(peers)
    world.silence(*range(1, peers + 1))
    return world


def first_death(world: World, within_s: float) -> float | None:
    start = world.now
    while world.now < start + within_s:
        world.run_for(0.25)
        if world.closed():
            return world.now - start
    return None


def test_who_hears_nobody_declares_nobody_dead_for_a_long_time() -> None:
    assert first_death(cut_off(), 25.0) is None


def test_but_not_for_ever() -> None:
    after_s = first_death(cut_off(), 120.0)
    assert after_s is not None
    assert after_s > 20


def test_who_still_hears_others_does_not_wait_for_those_it_does_not_hear() -> None:
    world = World(8)
    world.silence(1)
    for number in range(2, 9):
        world.does[number] = lambda m: Failure.TIMEOUT if isinstance(m, Probe) else Ack()
    after_s = first_death(world, 25.0)
    assert after_s is not None
    assert world.closed() == [1]


def test_of_two_nodes_the_other_is_all_there_is_to_hear() -> None:
    after_s = first_death(cut_off(1), 10.0)
    assert after_s is not None


def test_when_others_are_heard_again_every_suspect_has_time_to_refute() -> None:
    world = cut_off()
    world.run_for(20)
    assert SUSPECT in {world.status(n) for n in range(1, 9)}
    for number in range(1, 9):
        world.does[number] = partial(refuting, number)
    world.receive(1, Ping(id_of(0)))
    world.run_for(20)
    assert world.closed() == []
    assert {world.status(n) for n in range(1, 9)} == {ALIVE}


def refuting(number: int, message: Any) -> Ack:
    """What a healthy member answers when it hears that it is suspected."""
    accused = any(each.node_id == id_of(number) for each in claims_of(message))
    return Ack(News((alive(number, 1),))) if accused else Ack()


def test_a_pause_puts_off_the_lease_of_a_busy_member() -> None:
    world = World(4)
    world.tell(2, alive(1, 1, busy=True))
    world.silence(1)
    for number in (2, 3, 4):
        world.does[number] = lambda m: Failure.TIMEOUT if isinstance(m, Probe) else Ack()
    world.sleep(600)
    world.run_for(world.settings.busy_lease_s - 1.5)
    assert world.status(1) is ALIVE


def test_outcomes_of_before_a_pause_say_nothing_after_it() -> None:
    world = World(4)
    for number in range(1, 5):
        world.does[number] = lambda _: None
    world.handle(LinkLost(id_of(1)))
    world.run_for(0.01)
    before = len(world.asked)
    world.sleep(60)
    world.does.clear()
    world.handle(DeadlineReached())
    assert len(world.asked) >= before
    assert world.status(1) is ALIVE


def test_a_suspect_a_second_verifier_agrees_about_is_counted_once() -> None:
    world = World(6)
    world.silence(1)
    request = Probe(id_of(1), addr_of(1), News((suspect(1, accuser=2),)))
    world.receive(2, request)
    world.receive(3, request)
    world.run_for(1.0)
    said = {each for each in world.spread() if each.status is SUSPECT}
    assert said == {suspect(1, accuser=2), suspect(1, accuser=0)}


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.LOST])
def test_gossip_that_finds_a_broken_connection_makes_this_node_look(failure: Failure) -> None:
    world = World(2)
    world.does[1] = lambda m: failure if isinstance(m, Gossip) else Ack()
    world.tell(2, alive(50))
    world.run_for(0.1)
    assert len(world.pings(1)) == 1
    assert world.status(1) is ALIVE


def test_gossip_answered_by_another_process_makes_this_node_look() -> None:
    world = World(2)
    world.does[1] = lambda _: (60, Ack())
    world.tell(2, alive(50))
    world.run_for(0.1)
    assert world.status(1) is DEAD


def test_probe_requests_carry_news_beside_the_suspicion() -> None:
    world = World(8)
    world.silence(1)
    for number in range(2, 9):
        world.does[number] = lambda m: Failure.TIMEOUT if isinstance(m, Probe) else Ack()
    world.handle(LinkLost(id_of(1)))
    world.run_for(world.settings.probe_interval_s - 0.005)
    world.tell(2, alive(50))
    world.run_for(0.01)
    asked = [p for _, p in world.probes_of(1) if suspect(1, accuser=0) in p.news.claims]
    assert any(len(p.news.claims) > 1 for p in asked)
