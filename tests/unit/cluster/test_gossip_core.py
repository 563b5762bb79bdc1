"""The gossip core as a whole: the door, news, names, goodbyes, and hostile peers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pulsing.cluster.claims import Claim
from pulsing.cluster.effects import (
    LeaveFinished,
    SendAnswer,
    SendRequest,
    TellNameChange,
    WriteLog,
)
from pulsing.cluster.gossip_core import GossipCore
from pulsing.cluster.members import NodeInfo
from pulsing.cluster.message_codec import decode, encode
from pulsing.cluster.messages import (
    Ack,
    Compare,
    Exchange,
    Gossip,
    Heartbeat,
    Join,
    NameChange,
    News,
    NotMe,
    Page,
    Ping,
    Probe,
    Pull,
    RegistryDelta,
    RejectCode,
    Rejected,
    Same,
    Welcome,
)
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    SeedsResolved,
)
from pulsing.errors import WireError
from tests.unit.cluster.gossip_world import (
    ALIVE,
    DEAD,
    LEFT,
    ME,
    SUSPECT,
    World,
    addr_of,
    alive,
    claims_of,
    dead,
    id_of,
    info_of,
    left,
    suspect,
    usual,
)


def delta(owner: int, base: int, version: int, *names: str) -> RegistryDelta:
    changes = tuple(NameChange(f"actors/{name}", version, "C") for name in names)
    return RegistryDelta(id_of(owner), base, version, changes)


# --- news on their way


def test_what_is_new_leaves_soon_and_to_several_members() -> None:
    world = World(10)
    world.tell(1, alive(50))
    world.run_for(world.settings.eager_gossip_s + 0.001)
    told = [n for _, n, m in world.asked if isinstance(m, Gossip)]
    assert len(set(told)) == world.settings.gossip_nodes
    assert all(alive(50) in m.news.claims for _, n, m in world.asked if isinstance(m, Gossip))


def test_news_are_repeated_a_bounded_number_of_times_to_members_in_turn() -> None:
    world = World(12)
    world.tell(1, alive(50))
    world.run_for(30)
    told = [n for _, n, m in world.asked if alive(50) in claims_of(m)]
    limit = world.settings.retransmit_mult * 2
    assert limit <= len(told) <= limit + world.settings.gossip_nodes
    gossip = [n for _, n, m in world.asked if isinstance(m, Gossip) and n != 50]
    assert len(set(gossip)) == len(gossip)


def test_who_told_something_does_not_hear_it_back() -> None:
    world = World(6)
    assert world.tell(1, alive(50)).news.claims == ()
    assert alive(50) in world.receive(2, Ping(id_of(ME))).news.claims


def test_a_message_never_says_a_thing_twice() -> None:
    world = World(6)
    world.handle(NameRegistered("actors/x", 1, "C"))
    world.tell(1, alive(50), suspect(2))
    world.run_for(3)
    for _, _, message in world.asked:
        news = getattr(message, "news", News())
        assert len(set(news.claims)) == len(news.claims)
        assert len({(d.owner, d.version) for d in news.deltas}) == len(news.deltas)


def test_answers_carry_news_and_news_in_answers_are_learned() -> None:
    world = World(3)
    world.does[1] = lambda _: Ack(News((alive(50),)))
    world.handle(LinkLost(id_of(1)))
    assert world.status(50) is ALIVE


def test_who_answers_with_an_outdated_claim_is_told() -> None:
    world = World(5)
    world.tell(2, dead(3))
    world.run_for(5)
    world.forget()
    world.does[1] = lambda m: Ack(News((alive(3),))) if isinstance(m, Ping) else Ack()
    world.handle(LinkLost(id_of(1)))
    told = [m for _, n, m in world.asked if n == 1 and isinstance(m, Gossip)]
    assert told == [Gossip(News((suspect(3, accuser=ME),)))]


def test_a_node_alone_keeps_its_news_to_itself() -> None:
    world = World(0)
    world.handle(NameRegistered("actors/x", 1, "C"))
    world.run_for(20)
    assert world.asked == []


def test_messages_of_news_are_bounded() -> None:
    world = World(3)
    claims = tuple(alive(number) for number in range(10, 700))
    world.receive(1, encode(Gossip(News(claims))))
    world.run_for(5)
    for each in world.of(SendRequest):
        assert len(each.body) <= world.settings.max_message_bytes // 4 + 1300
    for each in world.of(SendAnswer):
        assert len(each.body) <= world.settings.max_piggyback_bytes + 200


# --- names


def test_names_of_this_node_are_found_here_at_once_and_spread() -> None:
    world = World(3)
    world.handle(NameRegistered("actors/x", 4, "Counter"))
    assert [each.local for each in world.core.lookup("actors/x")] == [4]
    assert list(world.core.names()) == ["actors/x"]
    world.run_for(0.03)
    deltas = [d for _, _, m in world.asked for d in getattr(m, "news", News()).deltas]
    assert deltas
    assert {d.changes for d in deltas} == {(NameChange("actors/x", 4, "Counter"),)}
    world.handle(NameUnregistered("actors/x"))
    assert not world.core.lookup("actors/x")


def test_names_of_others_are_learned_told_and_passed_on() -> None:
    world = World(4)
    world.receive(1, Gossip(News((), (delta(1, 0, 1, "x"),))))
    assert world.of(TellNameChange) == [TellNameChange(("actors/x",))]
    assert [each.node_id for each in world.core.lookup("actors/x")] == [id_of(1)]
    world.run_for(0.1)
    passed_on = [m for _, _, m in world.asked if getattr(m, "news", News()).deltas]
    assert passed_on


def test_the_names_of_a_dead_node_go_with_it_and_do_not_come_back() -> None:
    world = World(4)
    world.receive(1, Gossip(News((), (delta(1, 0, 1, "x"),))))
    world.tell(2, dead(1))
    assert not world.core.lookup("actors/x")
    world.receive(2, Gossip(News((), (delta(1, 0, 1, "x"),))))
    assert not world.core.lookup("actors/x")


def test_a_gap_is_filled_by_who_told_of_it() -> None:
    world = World(4)
    page = Page(id_of(1), -1, 7, (NameChange("actors/y", 9, "C"),))
    world.does[2] = lambda m: page if isinstance(m, Pull) else usual(m)
    world.receive(2, Gossip(News((), (RegistryDelta(id_of(1), 3, 7),))))
    world.run_for(0.1)
    assert any(n == 2 and isinstance(m, Pull) for _, n, m in world.asked)
    assert [each.local for each in world.core.lookup("actors/y")] == [9]


def test_a_hundred_thousand_names_do_not_make_messages_grow() -> None:
    world = World(3)
    for number in range(100_000):
        world.core.handle(NameRegistered(f"actors/n{number}", number, "C"), now=world.now)
    world.run_for(5)
    assert max(len(each.body) for each in world.of(SendRequest)) < 20_000


def test_a_node_that_was_believed_dead_announces_its_names_again() -> None:
    world = World(4)
    world.handle(NameRegistered("actors/x", 4, "C"))
    world.run_for(5)
    world.forget()
    world.tell(1, dead(ME))
    world.run_for(0.1)
    assert any(getattr(m, "news", News()).deltas for _, _, m in world.asked)


# --- joining


def test_seeds_are_asked_and_what_they_know_is_learned() -> None:
    core = GossipCore(info_of(ME), SwimSettings(), random.Random(1), seeds_configured=True)
    core.start(now=0.0)
    effects = core.handle(SeedsResolved((addr_of(1),)), now=0.1)
    [join] = [each for each in effects if isinstance(each, SendRequest)]
    assert decode(join.body) == Join(alive(ME))
    welcome = encode(Welcome((alive(1), alive(2))))
    effects = core.handle(AnswerReceived(join.exchange, id_of(1), welcome), now=0.2)
    assert set(core.members) == {id_of(0), id_of(1), id_of(2)}
    assert core.rejection is None


def test_a_joining_node_is_let_in_and_made_known() -> None:
    world = World(3)
    answer = world.receive(50, Join(alive(50)))
    assert isinstance(answer, Welcome)
    assert answer.claims[0] == alive(ME)
    world.run_for(0.1)
    assert alive(50) in world.spread()


def test_a_restarted_process_at_an_address_ends_the_former_one_at_once() -> None:
    world = World(3)
    world.does[1] = lambda _: (50, NotMe(alive(50, addr=addr_of(1))))
    world.receive(50, Join(alive(50, addr=addr_of(1), name="again")))
    assert world.status(1) is DEAD
    assert world.status(50) is ALIVE


def test_a_name_that_is_taken_is_refused() -> None:
    world = World(3)
    answer = world.receive(50, Join(alive(50, name="node-1")))
    assert isinstance(answer, Rejected)
    assert answer.code == RejectCode.NAME_TAKEN
    assert world.status(50) is None


def test_what_a_seeds_table_calls_dead_is_suspected_first() -> None:
    world = World(3)
    step = Exchange((0,), (dead(1), dead(ME)), ())
    world.receive(2, step)
    assert world.status(1) is not DEAD
    assert world.own_incarnation == 1


def test_requests_of_anti_entropy_are_answered() -> None:
    world = World(3)
    answer = world.receive(1, Compare(1))
    assert not isinstance(answer, Same)
    answer = world.receive(1, Exchange((0,), (alive(60),), ()))
    assert isinstance(answer, Exchange)
    assert world.status(60) is ALIVE
    assert isinstance(world.receive(1, Pull(id_of(ME), 0)), Page)


def test_tables_are_compared_from_time_to_time() -> None:
    world = World(3, settings=SwimSettings(sync_interval_s=2.0, reprobe_interval_s=1e6))
    world.run_for(11)
    compared = [m for _, _, m in world.asked if isinstance(m, Compare)]
    assert 4 <= len(compared) <= 9


def test_a_comparison_with_another_process_than_the_member_finds_it_gone() -> None:
    world = World(2, settings=SwimSettings(sync_interval_s=0.2, reprobe_interval_s=1e6))
    for number in (1, 2):
        world.does[number] = lambda _: (70, Ack())
    world.run_for(1)
    assert world.status(1) is world.status(2) is DEAD


# --- leaving


def test_a_goodbye_is_told_confirmed_and_passed_on() -> None:
    world = World(6)
    world.handle(LeaveRequested())
    goodbyes = [n for _, n, m in world.asked if left(ME) in claims_of(m)]
    assert sorted(goodbyes) == [1, 2, 3, 4, 5, 6]
    assert len(world.of(LeaveFinished)) == 1
    assert world.status(ME) is LEFT


def test_who_leaves_alone_has_left() -> None:
    world = World(0)
    world.handle(LeaveRequested())
    assert len(world.of(LeaveFinished)) == 1
    world.handle(LeaveRequested())
    assert len(world.of(LeaveFinished)) == 1


def test_a_goodbye_nobody_confirms_ends_by_itself() -> None:
    world = World(4)
    world.silence(1, 2, 3, 4)
    world.handle(LeaveRequested())
    assert world.of(LeaveFinished) == []
    world.run_for(world.settings.leave_timeout_s + 0.1)
    assert len(world.of(LeaveFinished)) == 1
    assert len([m for _, n, m in world.asked if n == 1 and left(ME) in claims_of(m)]) > 1


def test_a_goodbye_that_some_miss_is_said_again_to_them() -> None:
    world = World(5)
    world.silence(1, 2, 3)
    world.handle(LeaveRequested())
    world.run_for(world.settings.gossip_interval_s + 0.01)
    again = [n for at, n, m in world.asked if at > world.now - 0.05 and left(ME) in claims_of(m)]
    assert {1, 2, 3} <= set(again)


def test_who_left_does_not_come_back_whatever_is_said() -> None:
    world = World(4)
    world.handle(LeaveRequested())
    world.tell(1, suspect(ME))
    world.tell(1, dead(ME, 5))
    assert world.status(ME) is LEFT


def test_who_left_probes_and_joins_nobody() -> None:
    world = World(4, settings=SwimSettings(sync_interval_s=1.0))
    world.handle(LeaveRequested())
    world.forget()
    world.run_for(20)
    assert not [m for _, _, m in world.asked if not isinstance(m, Gossip)]


def test_a_member_that_leaves_is_gone_without_suspicion() -> None:
    world = World(4)
    world.receive(1, Gossip(News((), (delta(1, 0, 1, "x"),))))
    world.tell(1, left(1))
    assert world.told() == [(1, ALIVE, LEFT)]
    assert not world.core.lookup("actors/x")


# --- exchanges and time


def test_exchange_numbers_are_never_used_twice() -> None:
    world = World(6)
    world.tell(1, alive(50), suspect(2))
    world.run_for(30)
    numbers = [each.exchange for each in world.of(SendRequest)]
    assert len(set(numbers)) == len(numbers)


def test_outcomes_of_unknown_requests_are_ignored() -> None:
    world = World(2)
    world.handle(AnswerReceived(999_999, id_of(1), encode(Ack())))
    world.handle(RequestFailed(999_999, Failure.REFUSED))
    assert world.told() == []


def test_an_answer_that_is_no_message_is_a_failure_not_a_proof() -> None:
    world = World(1)
    core = world.core
    [ping] = [
        e for e in core.handle(LinkLost(id_of(1)), now=world.now) if isinstance(e, SendRequest)
    ]
    core.handle(AnswerReceived(ping.exchange, id_of(1), b"\xc1"), now=world.now)
    assert world.status(1) is ALIVE
    assert core.next_deadline() is not None


def test_the_next_deadline_lies_ahead_after_every_deadline() -> None:
    world = World(5, settings=SwimSettings())
    for _ in range(300):
        deadline = world.core.next_deadline()
        assert deadline is not None
        world.now = max(world.now, deadline)
        world.handle(DeadlineReached())
        after = world.core.next_deadline()
        assert after is not None
        assert after > world.now


def test_the_same_dice_make_the_same_history() -> None:
    def history() -> list[Any]:
        world = World(6, seed=5)
        world.tell(1, suspect(2), alive(50))
        world.silence(3)
        world.run_for(20)
        return [*world.asked, *world.effects]

    assert history() == history()


def test_a_node_others_would_refuse_is_not_made() -> None:
    with pytest.raises(WireError):
        GossipCore(NodeInfo(id_of(0), "0.0.0.0:1", "x"), SwimSettings(), random.Random(1))


# --- hostile peers


def test_bytes_that_are_no_message_are_refused_logged_and_change_nothing() -> None:
    world = World(3)
    before = dict(world.core.members)
    answer = world.receive(66, b"\x00garbage")
    assert isinstance(answer, Rejected)
    assert answer.code == RejectCode.INVALID
    assert id_of(66) in world.log()
    assert dict(world.core.members) == before


def test_messages_of_the_other_mode_and_answers_as_requests_are_refused() -> None:
    world = World(3)
    for message in (Heartbeat(id_of(1), 1), Ack(), Welcome((alive(70),)), Same()):
        answer = world.receive(1, message)
        assert isinstance(answer, Rejected)
        assert answer.code == RejectCode.MODE
    assert world.status(70) is None


def test_random_bytes_never_raise_and_never_add_members() -> None:
    world = World(3)
    dice = random.Random(4)
    bodies = [
        encode(Gossip(News((alive(1), suspect(2), dead(3)), (delta(1, 0, 1, "x"),)))),
        encode(Ping(id_of(ME), News((dead(ME),)))),
        encode(Probe(id_of(1), addr_of(1))),
        encode(Exchange((1,), (alive(1),), ((id_of(1), 4),))),
    ]
    for _ in range(3000):
        body = bytearray(dice.choice(bodies))
        for _ in range(dice.randint(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        world.receive(1, bytes(body))
        if dice.random() < 0.2:
            world.run_for(0.05)
    assert world.status(ME) is ALIVE


def test_a_million_members_fill_the_table_and_no_more() -> None:
    settings = SwimSettings(max_members=200, sync_interval_s=1e6, reprobe_interval_s=1e6)
    world = World(3, settings=settings)
    for start in range(1000, 6000, 500):
        world.receive(1, Gossip(News(tuple(stranger(n) for n in range(start, start + 500)))))
    assert len(world.core.members) == 200
    assert "max_members" in world.log()
    assert {world.status(n) for n in (1, 2, 3)} == {ALIVE}


def stranger(number: int) -> Claim:
    info = NodeInfo(id_of(number), f"192.0.2.1:{number}", f"s{number}")
    return Claim(ALIVE, info.node_id, 1, info)


def test_many_members_at_one_address_cost_no_more_than_others() -> None:
    world = World(3)
    claims = tuple(
        Claim(ALIVE, id_of(n), 1, NodeInfo(id_of(n), addr_of(1), f"s{n}"))
        for n in range(1000, 2500)
    )
    world.receive(2, Gossip(News(claims[:700])))
    assert len([m for _, n, m in world.asked if n == 1]) < 800


def test_gossip_replayed_an_hour_later_changes_nothing() -> None:
    world = World(4)
    recorded = [
        encode(Gossip(News((suspect(1),)))),
        encode(Gossip(News((alive(1, 1),)))),
        encode(Gossip(News((dead(2),)))),
    ]
    for body in recorded:
        world.receive(3, body)
    world.tell(3, alive(2, 1))
    world.run_for(60)
    before = [world.member(n) for n in range(5)]
    world.forget()
    for body in recorded:
        world.receive(3, body)
    assert [world.member(n) for n in range(5)] == before
    assert world.told() == []


def test_a_peer_that_declares_everybody_dead_is_refuted_by_this_node() -> None:
    world = World(4)
    world.tell(1, *(dead(n) for n in range(5)))
    assert world.status(ME) is ALIVE
    assert world.own_incarnation == 1
    assert isinstance(world.receive(2, Ping(id_of(ME))), Ack)


def test_a_flood_of_accusations_does_not_make_this_node_flood() -> None:
    world = World(6)
    for incarnation in range(500):
        world.tell(1, suspect(ME, incarnation))
    world.run_for(1.0)
    assert len(world.asked) < 60
    assert len(world.of(WriteLog)) <= 500


def test_statuses_are_told_once_for_each_change() -> None:
    world = World(3)
    world.tell(1, suspect(2))
    world.tell(1, suspect(2))
    world.tell(3, suspect(2, accuser=3))
    assert world.told() == [(2, ALIVE, SUSPECT)]
