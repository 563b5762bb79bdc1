"""A cluster whose nodes are processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from .control import FD_VARIABLE, Control, NodeGone, NodeRefused
from .fabric import Fabric
from .handle import ClusterHandle, ClusterNode, NodeState
from .namespaces import NamespaceNetwork
from .node import NodeFailed, NodeProcess
from .reports import actor_lines
from .sightings import Sighting

PORT_IN_NAMESPACE: Final = 7600
_SEEDS: Final = 3
_ANSWERS_WITHIN_S: Final = 2.0


class ProcessNode(ClusterNode):
    """A node in a process of its own.

    Attributes:
        process: the process; None before the first start.
    """

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.process: NodeProcess | None = None
        self.control: Control | None = None
        self.heard_hello = asyncio.Event()
        self.inside: list[str] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def hear(self, message: dict[str, Any]) -> None:
        """The node says something without being asked."""
        if "hello" in message:
            self.node_id = message["hello"]
            self.heard_hello.set()
        elif "saw" in message:
            self.saw(Sighting.from_dict(message["saw"], message["at"]))

    async def ask(self, do: str, /, **arguments: Any) -> Any:
        """Let the node do something; see ``observer``.

        Raises:
            NodeGone: the node has ended.
            NodeRefused: it failed there.
        """
        if self.control is None:
            raise NodeGone(f"{do}: {self.name} does not run")
        return await self.control.ask(do, **arguments)

    async def members(self) -> list[dict[str, Any]]:
        """What `ActorSystem.members` says there."""
        return list(await self.ask("members"))

    async def names(self) -> list[dict[str, Any]]:
        """What `ActorSystem.all_named_actors` says there."""
        return list(await self.ask("names"))

    async def spawn(self, cls: str, *args: Any, name: str | None = None) -> str:
        """Start an actor of the class ``pkg.mod:Class`` there; its id."""
        return str(await self.ask("spawn", cls=cls, name=name, args=args))

    async def stop_actor(self, name: str) -> float:
        """Stop an actor of that node; when it was asked to."""
        return float(await self.ask("stop", name=name))

    async def call(self, name: str, method: str, *args: Any, timeout_s: float = 10.0) -> Any:
        """Call a method of an actor from there. Arguments and result travel as JSON."""
        return await self.ask("call", name=name, method=method, args=args, timeout_s=timeout_s)

    async def expect(self, name: str, instances: int = 1, *, within_s: float = 10.0) -> float:
        """Wait until the node sees so many instances of a name; when it did."""
        return float(await self.ask("expect", name=name, instances=instances, within_s=within_s))

    async def hold_loop(self, seconds: float) -> float:
        """Let an actor compute on the node's loop; returns afterwards, with when it began."""
        return float(await self.ask("hold", seconds=seconds))

    async def usage(self) -> dict[str, int]:
        """Its ``tasks``, ``threads`` and ``open_files``."""
        return dict(await self.ask("usage"))


class ProcessCluster(ClusterHandle[ProcessNode]):
    """Nodes in processes of their own on this machine, which know each other when it starts.

    Args:
        nodes: how many.
        network: where they run, one on each host; default: on the loopback interface.
        prefix: what to put before the command of each node, such as ``network.command(0)`` to run
            all on one host.
        faults: put relays between the nodes, for `partition`, `delay` and `drop` where there is no
            ``network``. Without, nodes talk to each other directly.
        imports: modules for ``--import``.
        environ: variables to add to the environment, such as ``PULSING_NETWORK``.
        labels: of each node.
        seed: of the dice for faults.
        converge: wait until they have converged before the block begins.
        ready_within_s: how long the start may take.
    """

    def __init__(
        self,
        nodes: int,
        *,
        network: NamespaceNetwork | None = None,
        prefix: Sequence[str] = (),
        faults: bool = False,
        imports: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        seed: int | None = None,
        converge: bool = True,
        ready_within_s: float = 60.0,
    ) -> None:
        super().__init__(seed)
        if network is not None and len(network.addresses) < nodes:
            raise ValueError(f"{nodes} nodes on {len(network.addresses)} hosts")
        self._wanted = nodes
        self._network = network
        self._prefix = list(prefix)
        self._fabric = Fabric(seed=self.seed) if faults and network is None else None
        self._imports = ["pulsing.testing.observer", *imports]
        self._environ = dict(environ or {})
        self._labels = labels
        self._converge = converge
        self._ready_within_s = ready_within_s

    # --- life

    async def _start(self) -> None:
        if self._wanted:
            await self.add()  # the seed of the others
            await self.add(self._wanted - 1)
        if self._converge:
            await self.converged()

    async def close(self) -> None:
        """Kill all processes, and remove the relays. A ``network`` stays; it is the caller's."""
        for node in self._nodes:
            if node.process is not None:
                node.process.kill()
                node.state = NodeState.ENDED
            await self._hang_up(node)
        if self._fabric is not None:
            await self._fabric.close()

    async def add(self, count: int = 1) -> list[ProcessNode]:
        """Start more nodes, all at once, which join the others.

        Raises:
            NodeFailed: one of them did not start.
        """
        added: list[ProcessNode] = []
        for _ in range(count):
            node = ProcessNode(len(self._nodes))
            self._nodes.append(node)
            added.append(node)
            if self._fabric is not None:
                await self._fabric.add()
            await self._launch(node)
        for node in added:
            await self._arrive(node)
        return added

    async def restart(self, index: int) -> ProcessNode:
        """Start a node that has ended again, at the same address with a new identity."""
        node = self._nodes[index]
        assert node.state is NodeState.ENDED, f"{node} has not ended"
        await self._hang_up(node)
        if self._fabric is not None:
            await self._fabric.reopen(index)
        await self._launch(node)
        await self._arrive(node)
        return node

    async def stop(self, index: int) -> None:
        """SIGTERM; wait until the process has ended, with exit code 0.

        Raises:
            NodeFailed: it did not end in time, or not with exit code 0.
        """
        node = self._running(index)
        node.state = NodeState.ENDED
        process = node.process
        assert process is not None
        await asyncio.to_thread(process.stop)
        self._gone(node)

    def kill(self, index: int) -> float:
        """SIGKILL."""
        node = self._nodes[index]
        assert node.process is not None
        assert node.state is not NodeState.ENDED, f"{node} has ended"
        at = time.monotonic()
        node.process.kill()
        node.state = NodeState.ENDED
        self._gone(node)
        return at

    def freeze(self, index: int) -> float:
        """SIGSTOP."""
        node = self._running(index)
        assert node.process is not None
        at = time.monotonic()
        node.process.pause()
        node.state = NodeState.FROZEN
        return at

    def thaw(self, index: int) -> float:
        """SIGCONT."""
        node = self._nodes[index]
        assert node.process is not None
        assert node.state is NodeState.FROZEN, f"{node} is not frozen"
        node.state = NodeState.RUNNING
        at = time.monotonic()
        node.process.resume()
        return at

    # --- the network

    def partition(self, *groups: Sequence[int]) -> float:
        """Cut the network into groups of nodes; who is in none is alone."""
        if self._network is not None:
            self._network.partition(*groups)
        else:
            self._relays.partition(groups)
        return time.monotonic()

    def cut(self, senders: Sequence[int], receivers: Sequence[int]) -> None:
        """What some nodes say does not reach others; the other way it does."""
        if self._network is not None:
            self._network.cut(senders, receivers)
        else:
            self._relays.cut(senders, receivers)

    def heal(self) -> float:
        """Undo `partition`, `cut`, `delay` and `drop`."""
        if self._network is not None:
            self._network.heal()
            self._network.lose(0)
        elif self._fabric is not None:
            self._fabric.heal()
        return time.monotonic()

    def delay(self, one: int, other: int, milliseconds: float, jitter_ms: float = 0.0) -> None:
        """Delay everything between two nodes, each way. Needs ``faults=True``."""
        self._relays.set(one, other, delay_s=milliseconds / 1e3, jitter_s=jitter_ms / 1e3)

    def drop(self, one: int, other: int, share: float) -> None:
        """Lose a share of the packets between two nodes, each way; 1 loses all."""
        if self._network is not None:
            self._network.lose(share, between=(one, other))
        else:
            self._relays.lose(one, other, share)

    @property
    def _relays(self) -> Fabric:
        if self._fabric is None:
            raise NotImplementedError(
                "this cluster has no relays between its nodes; start it with faults=True"
            )
        return self._fabric

    # --- within

    def _running(self, index: int) -> ProcessNode:
        node = self._nodes[index]
        assert node.state is NodeState.RUNNING, f"{node} does not run"
        return node

    async def _launch(self, node: ProcessNode) -> None:
        """Start the process; `_arrive` waits for it."""
        node.begin()
        node.heard_hello = asyncio.Event()
        seeds = [each.addr for each in self._nodes if each is not node and each.addr][:_SEEDS]
        control = node.control = Control(node.hear)
        environ = {**self._environ, FD_VARIABLE: str(control.theirs.fileno())}
        addr, prefix = node.addr or "127.0.0.1:0", self._prefix
        if self._network is not None:
            addr = f"{self._network.addresses[node.index]}:{PORT_IN_NAMESPACE}"
            prefix = self._network.command(node.index)
        elif self._fabric is not None:
            addr = "127.0.0.1:0"
            environ["PULSING_ADVERTISE"] = self._fabric.relays[node.index].addr
        node.process = NodeProcess(
            addr=addr,
            seeds=seeds,
            name=node.name,
            labels=self._labels,
            imports=self._imports,
            environ=environ,
            prefix=prefix,
            pass_fds=[control.theirs.fileno()],
            wait=False,
        )
        control.theirs.close()
        await control.open()

    async def _arrive(self, node: ProcessNode) -> None:
        process = node.process
        assert process is not None
        await asyncio.to_thread(process.wait_ready, self._ready_within_s)
        try:
            async with asyncio.timeout(self._ready_within_s):
                await node.heard_hello.wait()
        except TimeoutError:
            raise NodeFailed(
                "said nothing to the test", process.exit_code, process.errors
            ) from None
        node.addr = process.addr
        if self._fabric is not None:
            self._fabric.attach(node.index, node.node_id, process.addr)
            node.addr = self._fabric.relays[node.index].addr
        node.state = NodeState.RUNNING

    def _gone(self, node: ProcessNode) -> None:
        if self._fabric is not None:
            self._fabric.detach(node.index, node.node_id)

    async def _hang_up(self, node: ProcessNode) -> None:
        if node.control is not None:
            control, node.control = node.control, None
            with suppress(ConnectionError):
                await control.close()

    def _details(self, node: ProcessNode) -> list[str]:
        errors = node.process.errors if node.process is not None else ""
        return node.inside + [f"  | {line}" for line in errors.splitlines()[-10:]]

    async def _look_inside(self) -> None:
        async def look(node: ProcessNode) -> None:
            try:
                async with asyncio.timeout(_ANSWERS_WITHIN_S):
                    node.inside = actor_lines(await node.ask("actors"))
            except (TimeoutError, NodeGone, NodeRefused) as error:
                node.inside = [f"  its actors are unknown: {str(error) or 'it does not answer'}"]

        await asyncio.gather(*map(look, self.running))
