"""Nodes with nothing but tables and anti-entropy, which reach each other at once."""

from __future__ import annotations

import random
from collections.abc import Iterable

from pulsing.cluster.claims import Claim
from pulsing.cluster.member_table import MemberTable
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.message_codec import decode, encode
from pulsing.cluster.messages import Answer, Exchange, RegistryDelta, Request
from pulsing.cluster.registry_core import Registry
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.sync_core import Sync

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus


def info_of(number: int, **labels: str) -> NodeInfo:
    node_id = f"{random.Random(number).getrandbits(128):032x}"
    return NodeInfo(node_id, f"10.0.{number // 250}.{number % 250 + 1}:7000", f"n{number}", labels)


class Node:
    """A node with nothing but tables and anti-entropy."""

    def __init__(self, number: int, settings: SwimSettings | None = None) -> None:
        self.settings = settings or SwimSettings()
        self.info = info_of(number)
        self.node_id = self.info.node_id
        self.table = MemberTable(self.info, max_members=self.settings.max_members)
        self.registry = Registry(self.node_id, admits=self.is_present)
        self.sync = Sync(self.table, self.registry, self.settings, random.Random(number))
        self.news: list[RegistryDelta] = []

    def is_present(self, node_id: str) -> bool:
        member = self.table.get(node_id)
        return member is not None and member.is_present

    def learn(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            change = self.table.apply(claim, 0.0)
            if change is not None and change.removes:
                self.registry.remove_owner(claim.node_id)

    def knows(self, *others: NodeInfo, status: MemberStatus = ALIVE, incarnation: int = 0) -> None:
        self.learn(Claim(ALIVE, each.node_id, incarnation, each) for each in others)
        if status is not ALIVE:
            self.learn(Claim(status, each.node_id, incarnation) for each in others)

    def statuses(self) -> dict[str, tuple[MemberStatus, int]]:
        return {
            node_id: (member.status, member.incarnation)
            for node_id, member in self.table.members.items()
        }


class World:
    """Nodes that reach each other at once; counts what travels."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = {node.node_id: node for node in nodes}
        self.silent: set[str] = set()
        self.sent: list[tuple[str, Request, Answer]] = []
        self.bytes = 0

    def introduce(self) -> None:
        infos = [node.info for node in self.nodes.values()]
        for node in self.nodes.values():
            node.knows(*(each for each in infos if each is not node.info))

    def turn(self, node: Node, now: float) -> None:
        while (step := node.sync.tick(now)) is not None:
            self.ask(node, *step, now)

    def ask(self, node: Node, peer_id: str, request: Request, now: float) -> None:
        if peer_id in self.silent:
            node.sync.failed(peer_id, request, now)
            return
        peer = self.nodes[peer_id]
        received = self.travel(request, peer)
        if isinstance(received, Exchange):
            peer.learn(received.claims)
        answer = self.travel(peer.sync.answer(received, node.node_id, now), peer)
        self.sent.append((node.node_id, request, answer))
        step = node.sync.answered(peer_id, request, answer, now)
        node.learn(step.claims)
        node.news += step.news
        for each in step.follow_ups:
            self.ask(node, peer_id, each, now)

    def travel(self, message, node: Node):  # type: ignore[no-untyped-def]
        body = encode(message)
        assert len(body) <= node.settings.max_message_bytes
        self.bytes += len(body)
        return decode(body)

    def settle(self, *, for_s: float = 120.0) -> float:
        """Until everybody agrees; returns the time it took."""
        now = 0.0
        while len({node.sync.root() for node in self.nodes.values()}) > 1:
            now = max(now, min(node.sync.next_deadline() for node in self.nodes.values()))
            assert now <= for_s, "they never agree"
            for node in self.nodes.values():
                self.turn(node, now)
        return now

    def requests(self, kind: type) -> list[Request]:
        return [request for _, request, _ in self.sent if type(request) is kind]


def pair(settings: SwimSettings | None = None) -> tuple[Node, Node, World]:
    first, second = Node(1, settings), Node(2, settings)
    world = World(first, second)
    world.introduce()
    return first, second, world


def compare_now(world: World, node: Node, now: float = 1.0) -> None:
    """With another node that exists, whoever else is in the tables."""
    other = next(each for each in world.nodes if each != node.node_id)
    node.sync.hurry(now, other)
    world.turn(node, now)


def compare_until_equal(world: World, node: Node) -> int:
    comparisons = 0
    while len({each.sync.root() for each in world.nodes.values()}) > 1:
        comparisons += 1
        assert comparisons < 50, "they never agree"
        compare_now(world, node, float(comparisons))
    return comparisons
