"""A network in memory for the cores of head mode: a virtual clock, faults, and checks."""

from __future__ import annotations

import heapq
from random import Random
from typing import Any

from pulsing.cluster.effects import (
    CloseLinks,
    LeaveFinished,
    SendAnswer,
    SendRequest,
    TellMemberChange,
    TellNameChange,
    WriteLog,
)
from pulsing.cluster.head_core import HeadCore
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.settings import HeadSettings
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    RequestReceived,
)
from pulsing.cluster.worker_core import WorkerCore

LATENCY_S = 0.001
HEAD_ADDR = "10.0.0.1:7000"


class Node:
    """A core, where it is, and what it was seen to do."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.addr = core.info.addr
        self.id = core.info.node_id
        self.is_up = True
        self.is_frozen = False
        self.missed: list[tuple[int, Any]] = []
        self.changes: list[tuple[float, str, MemberStatus | None, str]] = []
        self.logged: list[WriteLog] = []
        self.closed: list[str] = []
        self.woken: list[tuple[float, str]] = []
        self.has_left = False
        self.answered: dict[int, tuple[Node, int]] = {}
        self.last_exchange = 0
        self.wakes_at: float | None = None

    def statuses(self) -> dict[str, str]:
        return {each.info.name: each.shown_status for each in self.core.members.values()}

    def status_of(self, other: Node) -> str | None:
        member = self.core.members.get(other.id)
        return None if member is None else member.shown_status

    def finds(self, name: str) -> list[str]:
        return [each.node_id for each in self.core.lookup(name)]

    def lines(self, key: str) -> list[str]:
        return [each.text for each in self.logged if each.key == key]


class World:
    """Nodes by address, and every message between them, with a clock of its own."""

    def __init__(self, seed: int = 1, settings: HeadSettings | None = None) -> None:
        self.rng = Random(seed)
        self.settings = settings or HeadSettings()
        self.now = 1000.0
        self.nodes: list[Node] = []
        self.at: dict[str, Node] = {}
        self.links: set[frozenset[int]] = set()
        self.cut: set[frozenset[str]] = set()
        self.loss = 0.0
        self.messages = 0
        self._heap: list[tuple[float, int, Any]] = []
        self._counter = 0
        self._made = 0

    # --- nodes

    def _info(self, addr: str, name: str | None) -> NodeInfo:
        self._made += 1
        return NodeInfo(f"{self._made:032x}", addr, name or f"node-{self._made}")

    def head(self, name: str | None = None) -> Node:
        info = self._info(HEAD_ADDR, name)
        return self.put(HeadCore(info, self.settings, Random(self.rng.random())))

    def worker(self, addr: str | None = None, name: str | None = None) -> Node:
        addr = addr or f"10.0.1.{self._made + 1}:7000"
        info = self._info(addr, name)
        return self.put(WorkerCore(info, HEAD_ADDR, self.settings, Random(self.rng.random())))

    def put(self, core: Any) -> Node:
        node = Node(core)
        self.nodes.append(node)
        self.at[node.addr] = node
        self.perform(node, core.start(now=self.now))
        return node

    def kill(self, node: Node) -> None:
        node.is_up = False
        if self.at.get(node.addr) is node:
            del self.at[node.addr]
        for other in self.nodes:
            pair = frozenset((id(node), id(other)))
            if other is not node and pair in self.links:
                self.links.discard(pair)
                self.later(LATENCY_S, lambda other=other: self.feed(other, LinkLost(node.id)))

    def freeze(self, node: Node) -> None:
        node.is_frozen = True

    def thaw(self, node: Node) -> None:
        node.is_frozen = False
        missed, node.missed = node.missed, []
        for _, stimulus in missed:
            self.feed(node, stimulus)
        self._arm(node)

    def register(self, node: Node, *names: str) -> None:
        for number, name in enumerate(names, 1):
            self.feed(node, NameRegistered(name, number, "Thing"))

    def unregister(self, node: Node, *names: str) -> None:
        for name in names:
            self.feed(node, NameUnregistered(name))

    def leave(self, node: Node) -> None:
        self.feed(node, LeaveRequested())

    def wants(self, node: Node, name: str) -> None:
        self.perform(node, node.core.name_wanted(name, now=self.now))

    # --- time

    def later(self, after_s: float, action: Any) -> None:
        self._counter += 1
        heapq.heappush(self._heap, (self.now + after_s, self._counter, action))

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        steps = 0
        while self._heap and self._heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self._heap)
            action()
            steps += 1
            assert steps < 500_000, "a storm"
        self.now = end

    def run_until(self, condition: Any, within_s: float) -> float:
        """Seconds until the condition holds."""
        begun = self.now
        while not condition():
            assert self._heap, "nothing will ever happen"
            assert self._heap[0][0] - begun <= within_s, f"not within {within_s} s"
            self.now, _, action = heapq.heappop(self._heap)
            action()
        return self.now - begun

    def _arm(self, node: Node) -> None:
        deadline = node.core.next_deadline()
        if deadline is None or not node.is_up:
            return
        if node.wakes_at is not None and self.now < node.wakes_at <= deadline:
            return
        at = node.wakes_at = max(deadline, self.now)

        def wake() -> None:
            if node.wakes_at != at or not node.is_up or node.is_frozen:
                return
            node.wakes_at = None
            due = node.core.next_deadline()
            if due is not None and due <= self.now:
                self.feed(node, DeadlineReached())
                again = node.core.next_deadline()
                assert again is None or again > self.now, "a deadline that is never over"
            else:
                self._arm(node)

        self.later(at - self.now, wake)

    # --- messages

    def feed(self, node: Node, stimulus: Any) -> None:
        if not node.is_up:
            return
        if node.is_frozen:
            node.missed.append((0, stimulus))
            return
        self.perform(node, node.core.handle(stimulus, now=self.now))

    def perform(self, node: Node, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case SendRequest():
                    self._send(node, effect)
                case SendAnswer(exchange, body):
                    self._send_answer(node, exchange, body)
                case TellMemberChange(member, before):
                    assert member.status is not before or member.busy is not None
                    name = member.info.name
                    node.changes.append((self.now, name, before, member.shown_status))
                case TellNameChange(names):
                    node.woken += [(self.now, name) for name in names]
                case CloseLinks(node_id):
                    node.closed.append(node_id)
                case WriteLog():
                    node.logged.append(effect)
                case LeaveFinished():
                    assert not node.has_left, "it left twice"
                    node.has_left = True
        self._arm(node)

    def _reach(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.cut and self.rng.random() >= self.loss

    def _send(self, node: Node, effect: SendRequest) -> None:
        self.messages += 1
        assert len(effect.body) <= self.settings.max_message_bytes
        done = [False]

        def end(stimulus: Any) -> None:
            if not done[0]:
                done[0] = True
                self.feed(node, stimulus)

        def fail(failure: Failure) -> None:
            end(RequestFailed(effect.exchange, failure, "in this world"))

        self.later(effect.timeout_s, lambda: fail(Failure.TIMEOUT))
        if not self._reach(node.addr, effect.addr):
            return

        def arrive() -> None:
            target = self.at.get(effect.addr)
            if target is None:
                self.later(LATENCY_S, lambda: fail(Failure.REFUSED))
                return
            self.links.add(frozenset((id(node), id(target))))

            def answered(body: bytes) -> None:
                if self._reach(target.addr, node.addr):
                    self.later(
                        LATENCY_S, lambda: end(AnswerReceived(effect.exchange, target.id, body))
                    )

            target.last_exchange += 1
            target.answered[target.last_exchange] = answered  # type: ignore[assignment]
            self.feed(target, RequestReceived(target.last_exchange, node.id, effect.body))

        self.later(LATENCY_S, arrive)

    def _send_answer(self, node: Node, exchange: int, body: bytes) -> None:
        assert len(body) <= self.settings.max_message_bytes
        self.messages += 1
        node.answered.pop(exchange)(body)  # type: ignore[operator]


def cluster(workers: int = 3, **options: Any) -> tuple[World, Node, list[Node]]:
    """A head and its workers that know each other."""
    world = World(**options)
    head = world.head()
    others = [world.worker() for _ in range(workers)]
    world.run_for(2 * world.settings.sync_interval_s + 1)
    return world, head, others


def agree(world: World) -> bool:
    """Whether everybody who runs sees everybody who runs as alive, and nobody else."""
    up = [node for node in world.nodes if node.is_up]
    names = {node.core.info.name for node in up}
    return all(
        {name for name, status in node.statuses().items() if status == "Alive"} == names
        for node in up
    )
