"""The member table: what it keeps beside beliefs, and its bounds."""

from __future__ import annotations

import random

import pytest

from pulsing.cluster.claims import Claim
from pulsing.cluster.fields import MAX_INCARNATION
from pulsing.cluster.member_table import MemberTable
from pulsing.cluster.members import MemberStatus, NodeInfo

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus
ME = NodeInfo(f"{0:032x}", "10.0.0.0:1", "me")


def info(number: int, addr: str = "") -> NodeInfo:
    return NodeInfo(f"{number:032x}", addr or f"10.0.0.{number}:1", f"n{number}")


def alive(number: int, incarnation: int = 0, addr: str = "", busy: bool = False) -> Claim:
    about = info(number, addr)
    return Claim(ALIVE, about.node_id, incarnation, about, busy)


def said(status: MemberStatus, number: int, incarnation: int = 0) -> Claim:
    return Claim(status, f"{number:032x}", incarnation)


@pytest.fixture
def table() -> MemberTable:
    return MemberTable(ME, max_members=5)


def test_this_node_is_there_from_the_beginning(table: MemberTable) -> None:
    assert table.members == {ME.node_id: table.self_member}
    assert table.present_count == 1
    assert not table.alive_others()
    assert table.claim_about(ME.node_id) == Claim(ALIVE, ME.node_id, 0, ME)


def test_changes_say_what_others_see(table: MemberTable) -> None:
    new = table.apply(alive(1), 1.0)
    assert new is not None
    assert (new.is_visible, new.revives, new.removes) == (True, False, False)
    refuted = table.apply(alive(1, 1), 2.0)
    assert refuted is not None
    assert not refuted.is_visible
    assert refuted.member.since == 1.0
    busy = table.apply(alive(1, 2, busy=True), 3.0)
    assert busy is not None
    assert busy.is_visible
    assert busy.member.since == 3.0
    dead = table.apply(said(DEAD, 1, 2), 4.0)
    assert dead is not None
    assert (dead.is_visible, dead.revives, dead.removes) == (True, False, True)
    back = table.apply(alive(1, 3), 5.0)
    assert back is not None
    assert (back.is_visible, back.revives, back.removes) == (True, True, False)


def test_a_suspicion_keeps_what_the_member_said_of_itself(table: MemberTable) -> None:
    table.apply(alive(1), 0.0)
    table.apply(said(SUSPECT, 1), 0.0)
    member = table.members[info(1).node_id]
    assert member.info == info(1)
    assert member.is_present
    assert table.claim_about(member.node_id).accuser == ME.node_id
    assert table.introduction(member.node_id) == alive(1)


def test_those_at_an_address_are_known_while_they_are_present(table: MemberTable) -> None:
    table.apply(alive(1), 0.0)
    table.apply(alive(2, addr="10.0.0.1:1"), 0.0)
    assert table.all_present_at("10.0.0.1:1") == (info(1).node_id, info(2).node_id)
    newest = table.present_at("10.0.0.1:1")
    assert newest is not None
    assert newest.node_id == info(2).node_id
    table.apply(said(DEAD, 2), 0.0)
    assert table.all_present_at("10.0.0.1:1") == (info(1).node_id,)
    table.apply(alive(1, 1, addr="10.0.0.7:1"), 0.0)
    assert table.present_at("10.0.0.1:1") is None
    assert table.all_present_at("10.0.0.7:1") == (info(1).node_id,)


def test_the_table_is_bounded_and_forgets_the_dead_first(table: MemberTable) -> None:
    for number in range(1, 5):
        assert table.apply(alive(number), 0.0) is not None
    assert table.apply(alive(5), 0.0) is None
    assert table.refused == 1
    table.apply(said(DEAD, 3), 1.0)
    table.apply(said(LEFT, 2), 2.0)
    assert table.apply(alive(5), 3.0) is not None
    assert table.get(info(3).node_id) is None
    assert table.get(info(2).node_id) is not None
    assert len(table.members) == 5


def test_a_million_members_do_not_make_it_grow() -> None:
    table = MemberTable(ME, max_members=100)
    for number in range(1, 20_000):
        table.apply(alive(number, addr="10.0.0.1:1"), 0.0)
    assert len(table.members) == table.present_count == 100


def test_those_that_are_gone_are_forgotten_after_a_while(table: MemberTable) -> None:
    for number in (1, 2, 3):
        table.apply(alive(number), 0.0)
    table.apply(said(DEAD, 2), 10.0)
    table.apply(said(LEFT, 1), 20.0)
    table.apply(said(LEFT, 2), 30.0)  # it went at 10, whatever is said of it later
    assert table.reap(10.0) == ()
    assert table.reap(20.0) == (info(2).node_id,)
    assert table.reap(99.0) == (info(1).node_id,)
    assert set(table.members) == {ME.node_id, info(3).node_id}


def test_nobody_who_is_present_is_forgotten(table: MemberTable) -> None:
    table.apply(alive(1), 0.0)
    table.forget(info(1).node_id)
    table.forget(ME.node_id)
    assert len(table.members) == 2


def test_the_own_incarnation_rises_above_a_claim_and_never_beyond_the_last() -> None:
    table = MemberTable(ME, max_members=5)
    table.raise_incarnation(6)
    assert table.self_member.incarnation == 7
    table.raise_incarnation(2)
    assert table.self_member.incarnation == 8
    table.raise_incarnation(MAX_INCARNATION)
    table.raise_incarnation(MAX_INCARNATION)
    assert table.self_member.incarnation == MAX_INCARNATION


def test_digests_tell_presence_and_incarnation_and_nothing_else(table: MemberTable) -> None:
    one = info(1).node_id
    assert table.claim_digest(one) == 0
    table.apply(alive(1), 0.0)
    first = table.claim_digest(one)
    assert 0 < first < 1 << 64
    table.apply(said(SUSPECT, 1), 0.0)
    assert table.claim_digest(one) == first
    table.apply(alive(1, 1), 0.0)
    assert table.claim_digest(one) not in (0, first)
    table.apply(said(DEAD, 1, 1), 0.0)
    assert table.claim_digest(one) == 0


def test_digests_are_the_same_in_every_process() -> None:
    table = MemberTable(info(0xABCDEF), max_members=5)
    assert table.claim_digest(f"{0xABCDEF:032x}") == 332733501013554071


def test_what_it_keeps_agrees_with_the_members_after_any_history() -> None:
    dice = random.Random(3)
    table = MemberTable(ME, max_members=12)
    for step in range(4000):
        number = dice.randrange(1, 20)
        status = dice.choice(list(MemberStatus))
        incarnation = dice.randrange(step // 50 + 1)
        if status is ALIVE:
            addr = f"10.0.1.{dice.randrange(5)}:1"
            table.apply(alive(number, incarnation, addr), float(step))
        else:
            table.apply(said(status, number, incarnation), float(step))
        if dice.random() < 0.05:
            table.reap(step - 30.0)
        others = {k: m for k, m in table.members.items() if k != ME.node_id}
        assert sorted(table.alive_others()) == sorted(
            k for k, m in others.items() if m.status is ALIVE
        )
        present = {k for k, m in others.items() if m.is_present}
        assert {m.node_id for m in table.present_others()} == present
        assert table.present_count == len(present) + 1
        at = {f"10.0.1.{i}:1": table.all_present_at(f"10.0.1.{i}:1") for i in range(5)}
        for addr, here in at.items():
            assert set(here) == {k for k in present if others[k].info.addr == addr}
        assert len(table.members) <= 12
