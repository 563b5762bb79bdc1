"""A cluster whose nodes are systems on the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from pulsing import clock
from pulsing.testing.fabric import Fabric
from pulsing.testing.handle import ClusterHandle, ClusterNode, NodeState
from pulsing.testing.leaks import Leaks
from pulsing.testing.reports import actor_lines
from pulsing.testing.sightings import Sighting

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.agent import MemberEvent
    from pulsing.config import SystemConfig

_SEEDS: Final = 3


class LocalNode(ClusterNode):
    """A node on the test's own loop.

    Attributes:
        running_system: its system, as long as it runs.
    """

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.running_system: ActorSystem | None = None

    @property
    def system(self) -> ActorSystem:
        """Its system.

        Raises:
            AssertionError: the node has ended.
        """
        assert self.running_system is not None, f"{self} has ended"
        return self.running_system

    def hear(self, event: MemberEvent) -> None:
        """It believes something new of a member."""
        self.saw(Sighting.of(event, clock.monotonic()))


class LocalCluster(ClusterHandle[LocalNode]):
    """Nodes on the running loop, which know each other when it starts.

    They talk over sockets of the loopback interface, through relays that make the faults.

    Args:
        nodes: how many.
        config: what all nodes are told; their addresses, seeds and names are the cluster's.
            Default: the timings for one machine (``network="local"``).
        seed: of the dice for faults.
        converge: wait until they have converged before the block begins.
        check_leaks: no task, no thread and no socket that was opened meanwhile may be left at the
            end.
    """

    def __init__(
        self,
        nodes: int,
        *,
        config: SystemConfig | None = None,
        seed: int | None = None,
        converge: bool = True,
        check_leaks: bool = True,
    ) -> None:
        from pulsing.config import SystemConfig

        super().__init__(seed)
        self._wanted = nodes
        self._config = config or SystemConfig().with_options(network="local")
        self._fabric = Fabric(seed=self.seed)
        self._converge = converge
        self._check_leaks = check_leaks
        self._ending: set[asyncio.Task[None]] = set()
        self._leaks = Leaks()
        self._closed = False

    # --- life

    async def _start(self) -> None:
        if self._wanted:
            await self.add()  # the seed of the others
            await self.add(self._wanted - 1)
        if self._converge:
            await self.converged()

    async def close(self) -> None:
        """End all nodes, without goodbyes.

        Raises:
            AssertionError: a task, a thread or a socket is left.
        """
        if self._closed:
            return
        self._closed = True
        for node in self._nodes:
            if node.state is NodeState.FROZEN:
                self.thaw(node.index)
        for node in self.running:
            node.state = NodeState.ENDED
            self._end(node)
        if self._ending:
            await asyncio.wait(self._ending)
        await self._fabric.close()
        if self._check_leaks:
            await self._leaks.assert_none()

    async def add(self, count: int = 1) -> list[LocalNode]:
        """Start more nodes, all at once, which join the others."""
        added: list[LocalNode] = []
        for _ in range(count):
            node = LocalNode(len(self._nodes))
            self._nodes.append(node)
            added.append(node)
            await self._fabric.add()
        await asyncio.gather(*map(self._launch, added))
        return added

    async def restart(self, index: int) -> LocalNode:
        """Start a node that has ended again, at the same address with a new identity."""
        node = self._nodes[index]
        assert node.state is NodeState.ENDED, f"{node} has not ended"
        await self._fabric.reopen(index)
        await self._launch(node)
        return node

    async def stop(self, index: int) -> None:
        """Shut a node down as it should be: it drains and says goodbye."""
        node = self._running(index)
        node.state = NodeState.ENDED
        system, node.running_system = node.system, None
        await system.shutdown()
        self._fabric.detach(index, node.node_id)

    def kill(self, index: int) -> float:
        """Cut a node off at once: its connections are reset, who dials it is refused.

        Its tasks end soon after; what its actors still do then reaches nobody.
        """
        node = self._nodes[index]
        assert node.state is not NodeState.ENDED, f"{node} has ended"
        at = clock.monotonic()
        self._fabric.detach(index, node.node_id)
        if node.state is NodeState.FROZEN:
            self._fabric.freeze(index, frozen=False)
        node.state = NodeState.ENDED
        self._end(node)
        return at

    def freeze(self, index: int) -> float:
        """Hold what goes from and to a node, and let its part in the cluster stand still.

        Its actors go on, but nobody hears from them.
        """
        node = self._running(index)
        at = clock.monotonic()
        node.state = NodeState.FROZEN
        self._fabric.freeze(index)
        _pausable(node.system).pause()
        return at

    def thaw(self, index: int) -> float:
        """Let a frozen node go on."""
        node = self._nodes[index]
        assert node.state is NodeState.FROZEN, f"{node} is not frozen"
        at = clock.monotonic()
        node.state = NodeState.RUNNING
        self._fabric.freeze(index, frozen=False)
        _pausable(node.system).resume()
        return at

    # --- the network

    def partition(self, *groups: Sequence[int]) -> float:
        """Cut the network into groups of nodes; who is in none is alone."""
        self._fabric.partition(groups)
        return clock.monotonic()

    def cut(self, senders: Sequence[int], receivers: Sequence[int]) -> None:
        """What some nodes say does not reach others; the other way it does."""
        self._fabric.cut(senders, receivers)

    def heal(self) -> float:
        """Undo `partition`, `cut`, `delay` and `drop`."""
        self._fabric.heal()
        return clock.monotonic()

    def delay(self, one: int, other: int, milliseconds: float, jitter_ms: float = 0.0) -> None:
        """Delay everything between two nodes, each way; with jitter by up to so much more."""
        self._fabric.set(one, other, delay_s=milliseconds / 1e3, jitter_s=jitter_ms / 1e3)

    def drop(self, one: int, other: int, share: float) -> None:
        """Lose a share of the packets between two nodes, each way; 1 loses all."""
        self._fabric.lose(one, other, share)

    @property
    def passed_bytes(self) -> int:
        """Octets that nodes have sent each other so far."""
        return self._fabric.passed_bytes

    # --- within

    def _running(self, index: int) -> LocalNode:
        node = self._nodes[index]
        assert node.state is NodeState.RUNNING, f"{node} does not run"
        return node

    async def _launch(self, node: LocalNode) -> None:
        from pulsing.actor.system import ActorSystem

        node.begin()
        relay = self._fabric.relays[node.index]
        others = [each.addr for each in self._nodes if each is not node and each.addr]
        config = self._config.with_options(
            addr="127.0.0.1:0",
            advertise=relay.addr,
            seeds=tuple(others[:_SEEDS]),
            node_name=node.name,
        )
        system = await ActorSystem.create(config)
        system.on_member_change(node.hear)
        for member in await system.members():
            node.saw(Sighting.from_dict(member, clock.monotonic()))
        node.node_id = system.node_id
        node.addr = relay.addr
        node.running_system = system
        node.state = NodeState.RUNNING
        self._fabric.attach(node.index, system.node_id, str(system.addr))

    def _end(self, node: LocalNode) -> None:
        """Shut a system down in the background, without a goodbye."""
        system, node.running_system = node.system, None
        task = asyncio.create_task(_end_at_once(system), name=f"end of {node.name}")
        self._ending.add(task)

    def _details(self, node: LocalNode) -> list[str]:
        system = node.running_system
        return [] if system is None else actor_lines(system.actors())


async def _end_at_once(system: ActorSystem) -> None:
    if system.cluster is not None:
        await system.cluster.close()  # nothing is said to others any more
    await system.shutdown()


class _Pausable(Protocol):
    """What tests can do to `pulsing.cluster.agent.ClusterAgent`."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


def _pausable(system: ActorSystem) -> _Pausable:
    return cast("_Pausable", cast("Any", system.cluster))
