"""A cluster in virtual time: real nodes on a network of memory, with every fault, in no time.

The nodes are `ActorSystem`s as everywhere. They share one `VirtualLoop`, and contexts say whose
code runs, so that a node can be frozen or killed as a process can.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pulsing.addresses import split_host_port
from pulsing.testing.faults import Faults
from pulsing.testing.handle import ClusterHandle, ClusterNode, NodeState
from pulsing.testing.reports import actor_lines
from pulsing.testing.sightings import Sighting
from pulsing.testing.virtual_loop import HOME, VirtualLoop, current_virtual_loop
from pulsing.testing.virtual_run import run_virtual
from pulsing.testing.waiting_tasks import describe_tasks

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.agent import MemberEvent
    from pulsing.config import SystemConfig
    from pulsing.testing.memory_network import MemoryHost, MemoryNetwork
    from pulsing.testing.virtual_history import History

T = TypeVar("T")

_PORT: Final = 7000
_SEEDS: Final = 3
_MAX_NODES: Final = 250
_CLOSE_S: Final = 60.0


class VirtualNode(ClusterNode):
    """A node in virtual time.

    Attributes:
        system: its `ActorSystem`; after a restart another one.
    """

    system: ActorSystem

    def __init__(self, index: int, loop: VirtualLoop) -> None:
        super().__init__(index)
        self.addr = f"127.0.0.{index + 1}:{_PORT}"
        self.home: object = None
        self._loop = loop
        self._place: MemoryHost | None = None

    @property
    def host(self) -> str:
        """What the network calls it."""
        return split_host_port(self.addr)[0]

    @property
    def octets_sent(self) -> int:
        """What its process has put on the network."""
        return 0 if self._place is None else self._place.octets_sent

    @property
    def counters(self) -> dict[str, int]:
        """What happened in it: messages expired, exceptions raised, tells lost, octets sent."""
        counted = dataclasses.asdict(self.system.dispatcher.counters)
        return {**counted, "octets_sent": self.octets_sent}

    async def start(self, config: SystemConfig) -> None:
        """Start a new system at the address of the node, in a context of its own."""
        from pulsing.actor.system import ActorSystem

        self.begin()
        self.home = f"{self.name}, started at {self._loop.time():.6f}"
        context = copy_context()
        context.run(HOME.set, self.home)
        starting = self._loop.create_task(
            ActorSystem.create(config), name=f"start {self.name}", context=context
        )
        self.system = system = await starting
        listening = self._loop.network.listening_at(self.host, _PORT)
        self._place = None if listening is None else listening.owner
        self.node_id = system.node_id
        self.state = NodeState.RUNNING
        for member in await system.members():
            self.saw(Sighting.from_dict(member, self._loop.time()))

        def changed(event: MemberEvent) -> None:
            if self.system is system:  # and no other was started in its place
                self.saw(Sighting.of(event, self._loop.time()))

        system.on_member_change(changed)

    def vanish(self) -> MemoryHost:
        """Let its process be gone from the network; its former place there."""
        assert self._place is not None
        self._place.kill()
        return self._place


class VirtualCluster(ClusterHandle[VirtualNode]):
    """Nodes in virtual time, which know each other when the block begins.

    Works under `run_virtual` and `virtual_time` only; their seed decides everything. Killed nodes
    stand still until the end, when all are shut down; none of that is part of the history.

    Args:
        nodes: how many.
        config: for all of them; address, name and seeds are set for each. There are no guards,
            because nothing can hold a virtual loop.
        faults: between any two nodes; default: 0.3 to 0.5 ms, no losses.
        converge: wait until they know each other before the block begins.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        config: SystemConfig | None = None,
        faults: Faults | None = None,
        converge: bool = True,
    ) -> None:
        self._loop = current_virtual_loop()
        super().__init__(self._loop.seed)
        if not 0 <= nodes <= _MAX_NODES:
            raise ValueError(f"{nodes} nodes; a virtual cluster has 0 to {_MAX_NODES}")
        self._wanted = nodes
        self._config = config
        self._faults = faults
        self._converge = converge
        self._systems: list[ActorSystem] = []
        self._killed: list[MemoryHost] = []

    @property
    def network(self) -> MemoryNetwork:
        """What lies between the nodes, for faults that have no verb here."""
        return self._loop.network

    @property
    def history(self) -> History:
        """What was sent and what happened; `History.digest` tells two runs apart."""
        return self._loop.network.history

    @property
    def now(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._loop.time()

    # --- life

    async def _start(self) -> None:
        if self._faults is not None:
            self.network.faults = self._faults
        await self.add(self._wanted)
        if self._converge:
            await self.converged()

    async def close(self) -> None:
        """Shut all nodes down, the killed ones too, out of sight of the history."""
        self.history.sealed = True
        self._loop.thaw_all()
        for place in self._killed:
            place.bury()
        for node in self._nodes:
            node.state = NodeState.ENDED
        systems, self._systems = self._systems, []
        endings = [
            self._loop.create_task(system.shutdown(), name=f"shut down {system.node_id[:8]}")
            for system in systems
        ]
        if endings:
            _, late = await asyncio.wait(endings, timeout=_CLOSE_S)
            if late:
                lines = "".join(f"\n  {line}" for line in describe_tasks(asyncio.all_tasks()))
                raise AssertionError(f"{len(late)} nodes cannot be shut down; tasks:{lines}")
            for ending in endings:
                ending.result()

    async def add(self, count: int = 1) -> list[VirtualNode]:
        """See `ClusterHandle.add`."""
        fresh = [VirtualNode(len(self._nodes) + number, self._loop) for number in range(count)]
        self._nodes += fresh
        for node in fresh:
            await self._launch(node)
        return fresh

    async def _launch(self, node: VirtualNode) -> None:
        from pulsing.config import SystemConfig

        others = [each.addr for each in self._nodes if each is not node and each.node_id]
        config = dataclasses.replace(
            self._config or SystemConfig(),
            addr=node.addr,
            node_name=node.name,
            seeds=tuple(others[:_SEEDS]),
            stall_threshold_s=None,
        )
        await node.start(config)
        self._systems.append(node.system)
        self.history.happened(f"{node.name} starts at {node.addr} as {node.node_id}")

    async def stop(self, index: int) -> None:
        """See `ClusterHandle.stop`."""
        node = self._nodes[index]
        node.state = NodeState.ENDED
        self.history.happened(f"{node.name} stops")
        context = copy_context()
        context.run(HOME.set, node.home)
        await self._loop.create_task(
            node.system.shutdown(), name=f"stop {node.name}", context=context
        )

    def kill(self, index: int) -> float:
        """See `ClusterHandle.kill`."""
        node = self._nodes[index]
        node.state = NodeState.ENDED
        self._loop.freeze(node.home)
        self._killed.append(node.vanish())
        return self._loop.time()

    async def restart(self, index: int) -> VirtualNode:
        """See `ClusterHandle.restart`."""
        node = self._nodes[index]
        if node.state is not NodeState.ENDED:
            raise ValueError(f"{node.name} runs; kill or stop it first")
        await self._launch(node)
        return node

    def freeze(self, index: int) -> float:
        """See `ClusterHandle.freeze`."""
        node = self._nodes[index]
        if node.state is NodeState.RUNNING:
            node.state = NodeState.FROZEN
            self.history.happened(f"{node.name} is frozen")
            self._loop.freeze(node.home)
        return self._loop.time()

    def thaw(self, index: int) -> float:
        """See `ClusterHandle.thaw`."""
        node = self._nodes[index]
        if node.state is NodeState.FROZEN:
            node.state = NodeState.RUNNING
            self.history.happened(f"{node.name} is thawed")
            self._loop.thaw(node.home)
        return self._loop.time()

    # --- the network

    def partition(self, *groups: Sequence[int]) -> float:
        """See `ClusterHandle.partition`."""
        listed = {index for group in groups for index in group}
        alone = [[index] for index in range(len(self._nodes)) if index not in listed]
        self.network.partition(*(self._hosts(group) for group in (*groups, *alone)))
        return self._loop.time()

    def cut(self, senders: Sequence[int], receivers: Sequence[int]) -> None:
        """See `ClusterHandle.cut`."""
        self.network.cut(self._hosts(senders), self._hosts(receivers))

    def heal(self) -> float:
        """See `ClusterHandle.heal`."""
        self.network.heal()
        return self._loop.time()

    def delay(self, one: int, other: int, milliseconds: float, jitter_ms: float = 0.0) -> None:
        """See `ClusterHandle.delay`."""
        self._change(one, other, delay_s=milliseconds / 1000, jitter_s=jitter_ms / 1000)

    def drop(self, one: int, other: int, share: float) -> None:
        """See `ClusterHandle.drop`."""
        if share >= 1:
            self.cut([one], [other])
            self.cut([other], [one])
        else:
            self._change(one, other, lost=share)

    def _change(self, one: int, other: int, **facts: Any) -> None:
        for sender, receiver in ((one, other), (other, one)):
            ends = self._nodes[sender].host, self._nodes[receiver].host
            faults = dataclasses.replace(self.network.between(*ends), cut=False, **facts)
            self.network.set_faults(*ends, faults)

    def _hosts(self, indices: Sequence[int]) -> list[str]:
        return [self._nodes[index].host for index in indices]

    # --- for people

    def report(self) -> str:
        """See `ClusterHandle.report`; ends with what was sent last."""
        return "\n".join((super().report(), "last on the network:", *self.history.lines(20)))

    def _details(self, node: VirtualNode) -> list[str]:
        if not node.node_id:
            return []
        return actor_lines(node.system.actors())


@dataclass(frozen=True, slots=True)
class VirtualRun(Generic[T]):
    """How a scenario went.

    Attributes:
        result: what it returned.
        digest: of everything that was sent and happened: equal for equal seeds, in every process.
        virtual_s: how long it took in virtual time.
        octets: how many the nodes sent.
    """

    result: T
    digest: str
    virtual_s: float
    octets: int


def run_virtual_cluster(
    nodes: int,
    scenario: Callable[[VirtualCluster], Awaitable[T]],
    *,
    seed: int | None = None,
    limit_s: float = 7200.0,
    **options: Any,
) -> VirtualRun[T]:
    """Let a cluster live through a scenario in virtual time.

    Args:
        nodes: how many it begins with.
        scenario: what happens to it.
        seed: decides everything that is left to chance. Errors name it. Default: as of
            `run_virtual`.
        limit_s: virtual seconds after which the run is given up.
        options: for `VirtualCluster`.

    Raises:
        Deadlock: the scenario waits for what never comes.
        Exception: what the scenario raised, with a report of the cluster in its notes.
    """

    async def main() -> VirtualRun[T]:
        async with VirtualCluster(nodes, **options) as cluster:
            try:
                result = await scenario(cluster)
            except Exception as error:
                error.add_note(cluster.report())
                raise
            history = cluster.history
            return VirtualRun(result, history.digest(), cluster.now, history.octets)

    return run_virtual(main, seed=seed, limit_s=limit_s)
