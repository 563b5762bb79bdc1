"""Members in turn."""

from __future__ import annotations

import random
from collections import Counter

from pulsing.cluster.claims import Claim
from pulsing.cluster.member_table import MemberTable
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.rotation import Rotation

ALIVE, SUSPECT, DEAD, _ = MemberStatus
ME = NodeInfo("f" * 32, "10.9.9.9:1", "me")


def node_id(number: int) -> str:
    return f"{number:032x}"


def world(count: int, most: MemberStatus = SUSPECT) -> tuple[MemberTable, Rotation]:
    table = MemberTable(ME, max_members=1000)
    turns = Rotation(table, random.Random(2), most)
    for number in range(count):
        join(table, turns, number)
    return table, turns


def join(table: MemberTable, turns: Rotation, number: int) -> None:
    info = NodeInfo(node_id(number), f"10.0.0.1:{number + 1}", f"n{number}")
    table.apply(Claim(ALIVE, info.node_id, 0, info), 0.0)
    turns.add(info.node_id)


def test_nobody_has_a_turn_where_nobody_is() -> None:
    _, turns = world(0)
    assert turns.next() is None
    assert turns.take(3) == []


def test_everybody_has_one_turn_per_round_and_rounds_differ() -> None:
    _, turns = world(20)
    rounds = [[turns.next() for _ in range(20)] for _ in range(3)]
    assert all(sorted(each) == [node_id(n) for n in range(20)] for each in rounds if all(each))
    assert rounds[0] != rounds[1] != rounds[2]


def test_who_is_gone_has_no_turn_and_who_returns_has_one_again() -> None:
    table, turns = world(5)
    table.apply(Claim(DEAD, node_id(3), 0), 0.0)
    assert node_id(3) not in {turns.next() for _ in range(12)}
    info = table.members[node_id(3)].info
    table.apply(Claim(ALIVE, node_id(3), 1, info), 0.0)
    turns.add(node_id(3))
    turns.add(node_id(3))
    seen = Counter(turns.next() for _ in range(50))
    assert 9 <= seen[node_id(3)] <= 11


def test_a_newcomer_waits_no_longer_than_two_rounds() -> None:
    for seed in range(30):
        table, turns = world(10)
        for _ in range(seed % 10):
            turns.next()
        join(table, turns, 99)
        assert node_id(99) in {turns.next() for _ in range(21)}


def test_several_are_taken_without_repetition() -> None:
    _, turns = world(4)
    for _ in range(20):
        assert len(set(turns.take(3))) == 3
    assert sorted(turns.take(9)) == [node_id(n) for n in range(4)]


def test_suspects_can_be_passed_over_and_keep_their_place() -> None:
    table, turns = world(3, ALIVE)
    table.apply(Claim(SUSPECT, node_id(1), 0), 0.0)
    assert {turns.next() for _ in range(6)} == {node_id(0), node_id(2)}
    info = table.members[node_id(1)].info
    table.apply(Claim(ALIVE, node_id(1), 1, info), 0.0)
    assert node_id(1) in {turns.next() for _ in range(6)}
