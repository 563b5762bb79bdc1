"""Membership, seen from outside of one core: probing, suspecting, refuting."""

from __future__ import annotations

from typing import Any

import pytest

from pulsing.cluster.fields import MAX_INCARNATION
from pulsing.cluster.members import NodeInfo
from pulsing.cluster.messages import Ack, Gossip, Nack, News, NotMe, Ping, Probe
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.stimuli import DeadlineReached, Failure, LinkLost, StallEnded
from tests.unit.cluster.gossip_world import (
    ALIVE,
    DEAD,
    ME,
    SUSPECT,
    World,
    addr_of,
    alive,
    dead,
    id_of,
    left,
    suspect,
)

PLAIN = SwimSettings(lifeguard=False, sync_interval_s=1e6, reprobe_interval_s=1e6)


def silent_world(peers: int = 8, **more: Any) -> World:
    """Node 1 hears nothing; the others say so."""
    world = World(peers, **more)
    world.silence(1)
    for number in range(2, peers + 1):
        world.does[number] = lambda m: Nack() if isinstance(m, Probe) else Ack()
    return world


# --- probing


def test_everybody_is_probed_in_turn_once_per_interval() -> None:
    world = World(4)
    world.run_for(40.5)
    probed = [number for _, number, m in world.asked if isinstance(m, Ping)]
    assert len(probed) in (40, 41)
    assert all(9 <= probed.count(number) <= 11 for number in (1, 2, 3, 4))


def test_an_idle_node_sends_nothing_but_probes_without_news() -> None:
    world = World(4)
    world.run_for(60)
    assert 59 <= len(world.asked) <= 61
    assert all(isinstance(m, Ping) and not m.news.claims for _, _, m in world.asked)


def test_a_member_that_does_not_answer_is_pinged_again_and_by_others() -> None:
    world = World(6)
    world.silence(1)
    while not world.probes_of(1):
        world.run_for(0.1)
    assert len(world.pings(1)) == 2
    assert len({to for to, _ in world.probes_of(1)}) == 3
    assert all(probe.addr == addr_of(1) for _, probe in world.probes_of(1))


def test_a_member_that_others_reach_is_not_suspected() -> None:
    world = World(6)
    world.silence(1)
    world.run_for(30)
    assert world.status(1) is ALIVE
    assert world.told() == []


def test_a_member_nobody_reaches_is_suspected_then_dead() -> None:
    world = silent_world()
    world.run_for(10)
    assert world.told() == [(1, ALIVE, SUSPECT), (1, SUSPECT, DEAD)]
    assert world.closed() == [1]
    assert dead(1) in world.spread()


def test_the_dead_are_not_probed() -> None:
    world = silent_world()
    world.run_for(10)
    world.forget()
    world.run_for(20)
    assert world.pings(1) == []


def test_two_nodes_need_nobody_to_agree() -> None:
    world = World(1)
    world.silence(1)
    world.run_for(4)
    assert world.status(1) is DEAD


def test_a_lost_connection_during_a_ping_is_tried_again_at_once() -> None:
    world = World(2)
    outcomes = [Failure.LOST, Ack()]
    world.does[1] = lambda _: outcomes.pop(0) if outcomes else Ack()
    world.handle(LinkLost(id_of(1)))
    assert len(world.pings(1)) == 2
    assert not world.probes_of(1)
    assert world.status(1) is ALIVE


# --- proof


def test_a_lost_link_and_a_refused_ping_are_a_death_at_once() -> None:
    world = World(3)
    world.does[1] = lambda _: Failure.REFUSED
    world.handle(LinkLost(id_of(1)))
    assert world.told() == [(1, ALIVE, DEAD)]
    assert world.closed() == [1]
    world.run_for(0.1)
    assert dead(1) in world.spread()


def test_a_lost_link_alone_is_none() -> None:
    world = World(3)
    world.handle(LinkLost(id_of(1)))
    assert len(world.pings(1)) == 1
    assert world.told() == []


@pytest.mark.parametrize("failure", [Failure.TIMEOUT, Failure.UNREACHABLE, Failure.FOREIGN])
def test_other_failures_prove_nothing(failure: Failure) -> None:
    world = World(3)
    world.does[1] = lambda _: failure
    world.handle(LinkLost(id_of(1)))
    world.run_for(0.6)
    assert world.status(1) is ALIVE


def test_a_lost_link_to_nobody_known_is_nothing() -> None:
    world = World(2)
    world.handle(LinkLost(id_of(77)))
    assert world.asked == []


def test_who_came_back_from_a_death_by_proof_is_not_condemned_by_proof_again() -> None:
    world = World(3)
    world.does[1] = lambda _: Failure.REFUSED
    world.handle(LinkLost(id_of(1)))
    world.tell(2, alive(1, 1))
    assert world.status(1) is ALIVE
    world.handle(LinkLost(id_of(1)))
    assert world.status(1) is ALIVE


def test_another_process_at_the_address_is_the_end_of_the_former() -> None:
    world = World(3)
    new = alive(7, addr=addr_of(1))
    world.does[1] = lambda _: (7, NotMe(new))
    world.handle(LinkLost(id_of(1)))
    assert world.status(1) is DEAD
    assert world.status(7) is ALIVE
    assert world.told() == [(7, None, ALIVE), (1, ALIVE, DEAD)]


def test_an_answer_from_another_process_counts_whatever_it_says() -> None:
    world = World(3)
    world.does[1] = lambda _: (7, Ack())
    world.handle(LinkLost(id_of(1)))
    assert world.status(1) is DEAD


def test_a_process_that_speaks_for_another_is_not_believed() -> None:
    world = World(3)
    world.does[1] = lambda _: (7, NotMe(alive(8, addr=addr_of(1))))
    world.handle(LinkLost(id_of(1)))
    assert world.status(8) is None


def test_two_members_at_one_address_are_told_apart_by_asking() -> None:
    world = World(3)
    world.does[1] = lambda _: (7, NotMe(alive(7, addr=addr_of(1))))
    world.tell(2, alive(7, addr=addr_of(1)))
    assert world.status(1) is DEAD
    assert world.status(7) is ALIVE


def test_a_former_process_at_the_own_address_is_dead_and_that_is_said_once() -> None:
    world = World(3)
    world.tell(2, alive(7, addr=addr_of(ME)))
    assert world.told() == [(7, None, ALIVE), (7, ALIVE, DEAD)]
    world.tell(2, alive(7, 1, addr=addr_of(ME)))  # it lives, and says that it is here: no quarrel
    world.tell(2, alive(7, 2, addr=addr_of(ME)))
    assert world.status(7) is ALIVE
    assert len(world.told()) == 3


def test_a_ping_for_somebody_else_is_answered_by_who_is_here() -> None:
    world = World(3)
    answer = world.receive(2, Ping(id_of(55)))
    assert answer == NotMe(alive(ME))


# --- suspicions


def test_a_suspicion_is_verified_before_everybody_hears_of_it() -> None:
    def agrees(probe: Probe) -> Nack | None:
        return None if probe.news.claims else Nack()

    world = World(20)
    world.silence(1)
    for number in range(2, 21):
        world.does[number] = lambda m: Ack() if not isinstance(m, Probe) else agrees(m)
    while world.status(1) is ALIVE:
        world.run_for(0.01)
    accusation = suspect(1, accuser=ME)
    asked = [probe for _, probe in world.probes_of(1) if accusation in probe.news.claims]
    assert len(asked) == world.settings.verifiers
    gossip = [m for _, _, m in world.asked if isinstance(m, Gossip)]
    assert gossip == []
    world.run_for(world.settings.probe_timeout_s + 0.1)
    gossip = [m for _, _, m in world.asked if isinstance(m, Gossip)]
    assert all(accusation in m.news.claims for m in gossip)
    assert gossip


def test_one_verifier_that_agrees_makes_it_public() -> None:
    world = silent_world(20)
    while world.status(1) is ALIVE:
        world.run_for(0.01)
    world.run_for(0.1)
    assert any(isinstance(m, Gossip) for _, _, m in world.asked)


def test_pings_and_answers_to_a_suspect_tell_it() -> None:
    world = World(6)
    world.tell(2, suspect(1, accuser=3))
    answer = world.receive(1, Ping(id_of(ME)))
    assert suspect(1, accuser=ME) in answer.news.claims
    world.forget()
    world.handle(LinkLost(id_of(1)))
    assert suspect(1, accuser=ME) in world.pings(1)[0].news.claims


def test_a_refutation_ends_a_suspicion() -> None:
    world = World(6)
    world.tell(2, suspect(1))
    world.tell(3, alive(1, 1))
    world.run_for(30)
    assert world.told() == [(1, ALIVE, SUSPECT), (1, SUSPECT, ALIVE)]


def test_a_suspect_that_refutes_in_its_answer_is_alive_at_once() -> None:
    world = World(6)
    world.does[1] = lambda m: Ack(News((alive(1, 1),))) if m.news.claims else Ack()
    world.tell(2, suspect(1, accuser=2))  # first-hand: this node looks for itself
    assert world.status(1) is ALIVE
    assert world.member(1).incarnation == 1


def test_a_suspicion_from_hearsay_is_left_to_those_who_verify_it() -> None:
    world = World(6)
    world.tell(2, suspect(1, accuser=3))
    assert world.pings(1) == []


def test_accusers_are_counted_and_shorten_the_wait() -> None:
    def lasts(*accusers: int) -> float:
        world = World(12)
        world.does[1] = lambda _: None
        start = world.now
        for accuser in accusers:
            world.tell(12, suspect(1, accuser=accuser))
        while world.status(1) is not DEAD:
            world.run_for(0.05)
        return world.now - start

    assert lasts(2, 3, 4, 5) < lasts(2, 3) < lasts(2) < 8
    assert lasts(2, 2, 2) == lasts(2)


def test_before_a_suspicion_comes_true_the_suspect_and_others_are_asked() -> None:
    world = World(6)
    world.tell(2, suspect(1, accuser=3))
    world.run_for(0.9)
    world.forget()
    world.does[1] = lambda _: None
    while world.status(1) is not DEAD:
        world.run_for(0.05)
    assert len(world.pings(1)) >= 2
    said = [m for _, _, m in world.asked if isinstance(m, Gossip)]
    assert any(suspect(1, accuser=ME) in m.news.claims for m in said)


def test_a_refutation_that_was_missed_is_told_by_whoever_is_asked() -> None:
    world = World(6)
    world.tell(2, alive(1, 1))
    answer = world.tell(3, suspect(1))
    assert alive(1, 1) in answer.news.claims


def test_who_says_an_old_life_hears_of_the_death() -> None:
    world = World(6)
    world.tell(2, dead(1))
    answer = world.tell(3, alive(1))
    assert suspect(1, accuser=ME) in answer.news.claims  # it may still refute
    world.tell(2, left(4))
    assert left(4) in world.tell(3, alive(4)).news.claims


def test_those_who_agree_that_a_member_is_gone_do_not_correct_each_other() -> None:
    world = World(6)
    world.tell(2, dead(1))
    world.run_for(5)
    assert world.tell(3, suspect(1)).news.claims == ()
    assert world.tell(3, dead(1)).news.claims == ()


def test_plain_swim_neither_verifies_nor_waits_for_accusers() -> None:
    world = World(8, settings=PLAIN)
    world.silence(*range(1, 9))
    while not world.told():
        world.run_for(0.01)
    start = world.now
    victim = world.told()[0][0]
    assert not [p for _, p in world.probes_of(victim) if p.news.claims]
    while (victim, SUSPECT, DEAD) not in world.told():
        world.run_for(0.01)
    assert world.now - start == pytest.approx(1.0, abs=0.1)


def test_plain_swim_alone_with_one_other_finds_it_dead_too() -> None:
    world = World(1, settings=PLAIN)
    world.silence(1)
    world.run_for(5)
    assert world.status(1) is DEAD


# --- refuting


@pytest.mark.parametrize("claim", [suspect(ME), suspect(ME, 6), dead(ME), left(ME, 2)])
def test_what_is_wrongly_said_of_this_node_is_refuted_by_a_higher_incarnation(claim: Any) -> None:
    world = World(4)
    answer = world.tell(2, claim)
    expected = alive(ME, claim.incarnation + 1)
    assert expected in answer.news.claims
    assert world.own_incarnation == claim.incarnation + 1
    world.run_for(0.3)
    assert {n for _, n, m in world.asked if expected in getattr(m, "news", News()).claims} > {2}


def test_an_old_accusation_is_answered_without_a_new_incarnation() -> None:
    world = World(4)
    world.tell(2, suspect(ME))
    answer = world.tell(3, suspect(ME))
    assert alive(ME, 1) in answer.news.claims
    assert world.own_incarnation == 1


def test_a_node_that_was_believed_dead_says_so_in_the_log() -> None:
    world = World(4)
    world.tell(2, dead(ME))
    assert "was dead" in world.log()
    assert world.status(ME) is ALIVE


def test_the_highest_accusation_there_is_can_be_refuted() -> None:
    world = World(4)
    world.tell(2, dead(ME, MAX_INCARNATION - 1))
    assert world.own_incarnation == MAX_INCARNATION
    world.tell(2, dead(ME, MAX_INCARNATION - 1))
    assert world.own_incarnation == MAX_INCARNATION
    assert world.status(ME) is ALIVE


def test_a_death_heard_in_an_answer_is_refuted_too() -> None:
    world = World(4)
    world.does[1] = lambda _: Ack(News((dead(ME),)))  # and it insists
    world.handle(LinkLost(id_of(1)))
    assert world.own_incarnation == 1
    told = [m for _, n, m in world.asked if n == 1 and isinstance(m, Gossip)]
    assert told == [Gossip(News((alive(ME, 1),)))]


def test_a_life_of_this_node_that_it_did_not_announce_is_overtaken() -> None:
    world = World(4)
    stranger = NodeInfo(id_of(ME), "10.9.9.9:1", "thief")
    world.tell(2, alive(ME, 5, addr=stranger.addr, name=stranger.name))
    assert world.own_incarnation == 6
    assert world.core.info.addr == addr_of(ME)


def test_who_is_believed_dead_hears_of_it_when_it_asks() -> None:
    world = World(4)
    world.tell(2, dead(1))
    answer = world.receive(1, Ping(id_of(ME)))
    assert answer.news.claims[0] == dead(1)
    world.tell(1, alive(1, 1))
    assert world.status(1) is ALIVE


# --- busy


def test_a_busy_member_is_shown_and_not_suspected_while_its_lease_lasts() -> None:
    world = silent_world()
    world.tell(2, alive(1, 1, busy=True))
    assert world.member(1).shown_status == "Busy"
    world.run_for(world.settings.busy_lease_s - 0.1)
    assert world.status(1) is ALIVE
    world.tell(2, alive(1, 2, busy=True))
    world.run_for(world.settings.busy_lease_s - 0.1)
    assert world.status(1) is ALIVE
    world.run_for(15)
    assert world.status(1) is DEAD


def test_a_busy_member_whose_process_is_gone_is_dead_at_once() -> None:
    world = World(4)
    world.tell(2, alive(1, 1, busy=True))
    world.does[1] = lambda _: Failure.REFUSED
    world.handle(LinkLost(id_of(1)))
    assert world.status(1) is DEAD


def test_a_suspect_that_says_it_is_busy_is_none() -> None:
    world = World(4)
    world.tell(2, suspect(1))
    world.tell(3, alive(1, 1, busy=True))
    assert world.member(1).shown_status == "Busy"
    world.tell(3, alive(1, 2))
    assert world.member(1).shown_status == "Alive"
    assert [each for each in world.told() if each[0] == 1][-1] == (1, ALIVE, ALIVE)


def test_the_guards_claim_is_one_that_others_understand() -> None:
    world, other = World(4), World(4)
    other.receive(1, world.core.busy_claim(3))
    claim = alive(ME, 3, busy=True)
    assert other.own_incarnation == 4  # both are node 0: it was about itself
    third = World(0)
    third.tell(5, alive(5))
    assert claim.busy


def test_after_a_stall_this_node_says_that_it_is_well() -> None:
    world = World(4)
    world.handle(StallEnded(7))
    world.run_for(0.3)
    assert alive(ME, 8) in world.spread()


# --- standing still


def test_a_node_that_stood_still_blames_nobody() -> None:
    world = World(8)
    world.tell(2, suspect(1, accuser=3))
    world.run_for(0.5)
    for number in range(1, 9):
        world.does[number] = lambda _: None  # answers of before the pause are lost
    world.run_for(1.0)
    world.sleep(600)
    assert world.status(1) is SUSPECT
    assert world.closed() == []
    world.does.clear()
    world.run_for(1.0)
    assert {world.status(number) for number in range(2, 9)} == {ALIVE}


def test_timeouts_that_come_with_the_pause_accuse_nobody() -> None:
    world = silent_world()
    world.run_for(1.2)  # a probe may be under way
    world.handle(LinkLost(id_of(1)))
    world.now += 300
    world.run_for(0.01)
    assert world.told() == []


def test_after_standing_still_a_node_asks_soon_what_others_believe() -> None:
    world = World(8)
    world.sleep(600)
    world.forget()
    world.run_for(world.settings.probe_timeout_s)
    assert any(isinstance(m, Ping) for _, _, m in world.asked)


def test_a_little_lateness_is_no_pause() -> None:
    world = silent_world(settings=SwimSettings(sync_interval_s=1e6, reprobe_interval_s=1e6))
    for _ in range(400):
        deadline = world.core.next_deadline()
        assert deadline is not None
        world.run_for(max(0.0, deadline - world.now) - 1e-6 if deadline > world.now else 0.0)
        world.now += 0.05
        world.handle(DeadlineReached())
        if world.status(1) is DEAD:
            return
    pytest.fail("a slightly late loop never finds anybody dead")


# --- probes for others


def test_a_probe_for_another_is_answered_by_what_the_member_does() -> None:
    world = World(4)
    answer = world.receive(2, Probe(id_of(1), addr_of(1)))
    world.run_for(0)
    assert len(world.pings(1)) == 1
    assert answer == Ack(News((alive(1),)))


def test_a_silent_member_is_nacked_before_whoever_asks_gives_up() -> None:
    world = World(4)
    world.silence(1)
    start = len(world.effects)
    assert world.receive(2, Probe(id_of(1), addr_of(1))) is None
    world.run_for(world.settings.probe_timeout_s * 0.81)
    assert world.answer_to(1_000_002, start) == Nack()


def test_who_verifies_a_suspicion_tells_the_suspect_and_agrees_if_it_is_silent() -> None:
    world = World(4)
    world.silence(1)
    world.receive(2, Probe(id_of(1), addr_of(1), News((suspect(1, accuser=2),))))
    assert suspect(1, accuser=ME) in world.pings(1)[0].news.claims
    assert not any(isinstance(m, Gossip) for _, _, m in world.asked)
    world.run_for(0.5)
    assert {suspect(1, accuser=ME), suspect(1, accuser=2)} <= world.spread()


def test_nobody_unknown_is_pinged_for_others() -> None:
    world = World(4)
    assert world.receive(2, Probe(id_of(66), "192.0.2.1:80")) == Nack()
    assert world.receive(2, Probe(id_of(ME), addr_of(ME))).news.claims == ()
    assert world.asked == []


def test_the_address_of_a_probe_request_is_not_trusted() -> None:
    world = World(4)
    world.receive(2, Probe(id_of(1), "192.0.2.1:80"))
    assert len(world.pings(1)) == 1


def test_probes_for_others_are_bounded() -> None:
    world = World(4)
    world.does[1] = lambda _: None
    answers = [world.receive(2, Probe(id_of(1), addr_of(1))) for _ in range(600)]
    assert answers.count(Nack()) == 600 - 512
    assert len(world.pings(1)) == 512


def test_a_refused_ping_for_another_is_proof_as_well() -> None:
    world = World(4)
    world.does[1] = lambda _: Failure.REFUSED
    assert world.receive(2, Probe(id_of(1), addr_of(1))) == Nack(News((dead(1),)))
    assert world.status(1) is DEAD


# --- local health


def test_missing_nacks_stretch_the_own_timeouts_and_answers_shorten_them() -> None:
    world = World(8)
    world.silence(*range(1, 9))
    world.run_for(3)
    slow = len([m for _, _, m in world.asked if isinstance(m, Ping)])
    world.forget()
    world.run_for(10)
    assert len([p for _, n, p in world.asked if isinstance(p, Ping) and not p.news.claims]) < 8
    assert slow >= 2


# --- forgetting


def test_the_dead_are_forgotten_after_a_while() -> None:
    world = World(
        4,
        settings=SwimSettings(remember_dead_s=30.0, sync_interval_s=1e6, reprobe_interval_s=1e6),
    )
    world.tell(2, dead(1))
    world.run_for(28)
    assert world.status(1) is DEAD
    world.run_for(4)
    assert world.status(1) is None
