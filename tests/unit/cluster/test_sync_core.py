"""Anti-entropy: when it compares, what it exchanges, and that it ends."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import pairwise
from math import inf

import pytest

from pulsing.cluster.claims import Claim
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.messages import Ack, Answer, Buckets, Compare, Exchange, Page, Same
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.sync_core import Sync
from tests.unit.cluster.sync_world import (
    Node,
    World,
    compare_now,
    compare_until_equal,
    info_of,
    pair,
)

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus


# --- when ----------------------------------------------------------------------------------------


def test_comparisons_come_once_an_interval_at_moments_of_their_own() -> None:
    first, _, world = pair()
    first.sync.tick(0.0)
    moments: list[float] = []
    now = first.sync.next_deadline()
    while len(moments) < 50:
        world.turn(first, now)
        moments.append(now)
        assert first.sync.next_deadline() > now
        now = first.sync.next_deadline()
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert 7.5 <= min(pauses) < max(pauses) <= 12.5
    assert len(world.requests(Compare)) == 50


def test_nodes_started_together_do_not_compare_together() -> None:
    nodes = [Node(number) for number in range(10)]
    for node in nodes:
        node.sync.tick(0.0)
    assert len({round(node.sync.next_deadline(), 1) for node in nodes}) > 5


def test_a_node_alone_compares_with_nobody_and_asks_again_later() -> None:
    node = Node(1)
    node.sync.hurry(0.0)
    assert node.sync.tick(0.0) is None
    assert node.sync.next_deadline() > 5


def test_no_second_comparison_begins_while_one_is_under_way() -> None:
    first, second, _ = pair()
    first.sync.hurry(0.0)
    step = first.sync.tick(0.0)
    assert step is not None
    first.sync.hurry(0.1)
    assert first.sync.tick(5.0) is None
    assert first.sync.next_deadline() == inf
    first.sync.answered(second.node_id, step[1], Same(), 5.0)
    assert first.sync.tick(5.0) is not None, "it was hurried meanwhile"


def test_hurried_comparisons_keep_a_distance() -> None:
    first, _, world = pair()
    for step in range(100):
        first.sync.hurry(step * 0.01)
        world.turn(first, step * 0.01)
    assert len(world.requests(Compare)) == 5


def test_a_hurried_comparison_may_name_its_peer() -> None:
    nodes = [Node(number) for number in range(20)]
    world = World(*nodes)
    world.introduce()
    nodes[0].sync.hurry(0.0, nodes[7].node_id)
    step = nodes[0].sync.tick(0.0)
    assert step is not None
    assert step[0] == nodes[7].node_id


@pytest.mark.parametrize("peer", ["dead", "unknown", "self"])
def test_a_peer_that_cannot_be_asked_is_replaced(peer: str) -> None:
    first, second, _ = pair()
    third = info_of(3)
    first.knows(third, status=DEAD)
    named = {"dead": third.node_id, "unknown": "ab" * 16, "self": first.node_id}[peer]
    first.sync.hurry(0.0, named)
    step = first.sync.tick(0.0)
    assert step is not None
    assert step[0] == second.node_id


def test_while_tables_differ_the_next_comparison_comes_soon_then_later_and_later() -> None:
    first, second, world = pair()
    world.silent.add(second.node_id)
    first.sync.hurry(0.0)
    moments: list[float] = []
    now = 0.0
    while len(moments) < 12:
        world.turn(first, now)
        moments.append(now)
        now = first.sync.next_deadline()
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses[0] < 1
    assert pauses[5] > pauses[3] > pauses[0]
    assert pauses[-1] >= 7.5


def test_an_answer_of_another_kind_ends_the_comparison() -> None:
    first, second, _ = pair()
    first.sync.hurry(0.0)
    step = first.sync.tick(0.0)
    assert step is not None
    answer: Answer
    for answer in (Ack(), Buckets((1, 2, 3)), Page(second.node_id, 0, 0, ())):
        assert first.sync.answered(second.node_id, step[1], answer, 0.0) == ((), (), ())
    assert first.sync.next_deadline() < inf


# --- the digest ----------------------------------------------------------------------------------


def test_equal_tables_have_equal_digests_whatever_the_order() -> None:
    infos = [info_of(number) for number in range(2, 40)]
    first, second = Node(0), Node(1)
    first.knows(second.info, *infos)
    second.knows(*reversed(infos), first.info)
    assert first.sync.root() == second.sync.root()


def test_the_digest_is_that_of_a_table_built_at_once() -> None:
    dice = random.Random(3)
    node = Node(0)
    infos = [info_of(number) for number in range(1, 60)]
    for step in range(400):
        each = dice.choice(infos)
        status = dice.choice((ALIVE, ALIVE, DEAD, SUSPECT, LEFT))
        node.knows(each, status=status, incarnation=step)
        if dice.random() < 0.3:
            node.registry.register(f"actors/{dice.randrange(9)}", step, "C")
        if dice.random() < 0.2:
            node.table.forget(each.node_id)
        if dice.random() < 0.2:
            node.table.raise_incarnation(step)
        fresh = Sync(node.table, node.registry, node.settings, dice)
        assert node.sync.root() == fresh.root()


def test_who_is_gone_is_as_good_as_forgotten() -> None:
    first, second, world = pair()
    gone = info_of(3)
    first.knows(gone, status=DEAD)
    assert first.sync.root() == second.sync.root()
    compare_now(world, first)
    assert second.table.get(gone.node_id) is None


@pytest.mark.parametrize("what", ["member", "incarnation", "gone", "name"])
def test_every_difference_shows(what: str) -> None:
    first, second, _ = pair()
    third = info_of(3)
    if what != "member":
        second.knows(third)
        first.knows(third)
        assert first.sync.root() == second.sync.root()
    if what == "name":
        first.registry.register("actors/x", 1, "C")
    elif what == "gone":
        first.knows(third, status=DEAD)
    else:
        first.knows(third, incarnation=5)
    assert first.sync.root() != second.sync.root()


def test_the_digest_is_the_same_in_another_process() -> None:
    program = (
        "from tests.unit.cluster.sync_world import Node, info_of\n"
        "node = Node(0)\n"
        "node.knows(*map(info_of, range(1, 50)))\n"
        "node.registry.register('actors/x', 1, 'C')\n"
        "print(node.sync.root())\n"
    )
    roots = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(roots) == 1


# --- members -------------------------------------------------------------------------------------


def test_nodes_that_agree_spend_a_few_bytes_whatever_their_number() -> None:
    costs: list[int] = []
    for count in (5, 500):
        infos = [info_of(number) for number in range(10, count)]
        first, second, world = pair()
        first.knows(*infos)
        second.knows(*infos)
        compare_now(world, first)
        assert [type(answer) for _, _, answer in world.sent] == [Same]
        costs.append(world.bytes)
    assert costs[0] == costs[1] <= 16


def test_both_sides_learn_whom_the_other_knows() -> None:
    first, second, world = pair()
    first.knows(*map(info_of, range(10, 20)))
    second.knows(*map(info_of, range(20, 30)))
    compare_now(world, first)
    assert first.statuses() == second.statuses()
    assert len(first.statuses()) == 22


def test_one_difference_costs_one_bucket_of_members() -> None:
    first, second, world = pair()
    infos = [info_of(number) for number in range(10, 1000)]
    first.knows(*infos)
    second.knows(*infos)
    second.knows(infos[0], incarnation=9)
    compare_now(world, first)
    assert first.statuses() == second.statuses()
    (exchange,) = world.requests(Exchange)
    assert isinstance(exchange, Exchange)
    assert len(exchange.claims) < 50
    assert isinstance(world.sent[-1][2], Exchange)
    assert [each.node_id for each in world.sent[-1][2].claims] == [infos[0].node_id]
    assert world.bytes < 4000


@pytest.mark.parametrize("asker", [0, 1])
@pytest.mark.parametrize("status", [DEAD, LEFT])
def test_a_death_or_goodbye_that_one_side_missed_is_told(asker: int, status: MemberStatus) -> None:
    first, second, world = pair()
    gone = info_of(3)
    first.knows(gone)
    second.knows(gone, status=status)
    compare_now(world, (first, second)[asker])
    assert first.statuses()[gone.node_id][0] is status
    assert first.sync.root() == second.sync.root()


@pytest.mark.parametrize("asker", [0, 1])
def test_a_member_is_introduced_although_it_is_suspect(asker: int) -> None:
    first, second, world = pair()
    suspect = info_of(3)
    second.learn([Claim(ALIVE, suspect.node_id, 4, suspect)])
    second.learn([Claim(SUSPECT, suspect.node_id, 4, accuser=second.node_id)])
    compare_now(world, (first, second)[asker])
    assert first.statuses()[suspect.node_id] == (SUSPECT, 4)


def test_many_members_come_in_bounded_messages() -> None:
    settings = SwimSettings(max_message_bytes=8192)
    first, second, world = pair(settings)
    second.knows(*map(info_of, range(10, 2000)))
    compare_now(world, first)
    assert first.statuses() == second.statuses()
    assert len(world.requests(Exchange)) > 5
    assert len(world.requests(Compare)) == 1


def test_two_large_halves_become_one_in_bounded_messages() -> None:
    settings = SwimSettings(max_message_bytes=8192)
    first, second, world = pair(settings)
    first.knows(*map(info_of, range(10, 1000)))
    second.knows(*map(info_of, range(1000, 2000)))
    assert compare_until_equal(world, first) <= 2
    assert first.statuses() == second.statuses()


def test_a_bucket_larger_than_a_message_comes_in_several_comparisons() -> None:
    settings = SwimSettings(max_message_bytes=4096)
    first, second, world = pair(settings)
    many = [info_of(number) for number in range(10, 60)]
    one_bucket = [
        NodeInfo("00" + each.node_id[2:], each.addr, each.name, {"zone": "z" * 200})
        for each in many
    ]
    second.knows(*one_bucket[:35])
    first.knows(*one_bucket[15:])
    assert 1 < compare_until_equal(world, first) < 30
    assert first.statuses() == second.statuses()
    assert len(first.statuses()) == 52


def test_a_cluster_in_which_each_knows_its_neighbour_only_comes_together() -> None:
    nodes = [Node(number) for number in range(30)]
    world = World(*nodes)
    for node, after in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        node.knows(after.info)
        node.registry.register(f"actors/{node.info.name}", 1, "C")
        node.registry.register("actors/all", 2, "C")
        node.sync.hurry(0.0)
    assert world.settle() < 30
    for node in nodes:
        assert len(node.table.members) == 30
        assert len(node.registry.lookup("actors/all")) == 30
        assert len(node.registry.names()) == 31


@pytest.mark.parametrize("seed", range(5))
def test_random_clusters_agree_in_the_end(seed: int) -> None:
    dice = random.Random(seed)
    nodes = [Node(number, SwimSettings(max_message_bytes=4096)) for number in range(12)]
    world = World(*nodes)
    for node in nodes:
        node.knows(nodes[(nodes.index(node) + 1) % 12].info)
        node.knows(*(each.info for each in dice.sample(nodes, 4) if each is not node))
        for local in range(dice.choice((0, 3, 200, 1500))):
            node.registry.register(f"actors/{dice.randrange(2000)}", local, "C")
    world.settle(for_s=300)
    for node in nodes:
        assert node.registry.names() == nodes[0].registry.names()
        assert node.statuses() == nodes[0].statuses()
