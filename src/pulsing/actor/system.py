"""`ActorSystem`: one node. The composition root, the only place where all layers meet."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pulsing.actor import travel
from pulsing.actor.deadline import SCOPE
from pulsing.actor.finding import arrived, at_node, find, stop_elsewhere
from pulsing.actor.hosted_cell import retired
from pulsing.actor.hosting import SystemState
from pulsing.actor.main_guard import check_not_again
from pulsing.actor.networking import cautions
from pulsing.actor.place import Reference, place_of
from pulsing.actor.proxy import typed_proxy
from pulsing.actor.refs import ActorRef
from pulsing.actor.spawning import SpawningHost
from pulsing.actor.trace import look_for_provider
from pulsing.addresses import ActorAddress
from pulsing.config import SystemConfig
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulsing.actor.cell import Cell
    from pulsing.actor.dead_letters import DeadLetter, DeadLetterFeed
    from pulsing.actor.place import Place
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.remote import Actor, ActorClass
    from pulsing.cluster.policies import Policy

A = TypeVar("A", bound="Actor")
T = TypeVar("T")

_log = logging.getLogger(__name__)

_STOP_BATCH = 1000


async def _ended(cell: Cell, ended: asyncio.Future[None]) -> None:
    """Wait for the end of an actor, unless it is its own code that waits."""
    scope = SCOPE.get()
    if scope is None or scope.cell is not cell:
        await asyncio.shield(ended)


travel.register_all()


class ActorSystem(SpawningHost):
    """One node: its actors, and its place in the network. Made by `create`.

    All of it lives on one event loop; what works from other threads says so.

    Attributes:
        config: what it was told.
        node_id: its identity, 32 hex digits, new with every start.
        loop: where it lives.
        dispatcher: runs its actors.
        codec: turns values into bytes for peers.
    """

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, loop)
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def create(
        cls,
        config: SystemConfig | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> ActorSystem:
        """Start a node on the running loop.

        Args:
            config: what it is told; default: `SystemConfig.standalone`.
            loop: the running loop; any other is an error.

        Raises:
            ValueError: ``loop`` is not the running loop.
            PulsingRuntimeError: the port cannot be opened. Nothing is left of the node.
        """
        check_not_again()
        running = asyncio.get_running_loop()
        if loop is not None and loop is not running:
            raise ValueError("ActorSystem.create runs on the running loop; loop= is another one")
        system = cls(config if config is not None else SystemConfig.standalone(), running)
        look_for_provider()
        try:
            if system.config.listen_addr is not None or system.config.passphrase is not None:
                await system._start_network()
        except BaseException:
            await system.shutdown()
            raise
        return system

    def __repr__(self) -> str:
        where = self._addr or "standalone"
        return f"<ActorSystem {self.node_id[:8]} {where} {self._state.value}>"

    # --- finding actors

    @overload
    async def resolve(
        self,
        name: str,
        *,
        cls: None = None,
        node_id: str | None = None,
        timeout: float | None = None,
        policy: Policy | str | None = None,
    ) -> ActorRef: ...
    @overload
    async def resolve(  # type: ignore[overload-overlap]
        self,
        name: str,
        *,
        cls: type[A],
        node_id: str | None = None,
        timeout: float | None = None,
        policy: Policy | str | None = None,
    ) -> A: ...
    @overload
    async def resolve(
        self,
        name: str,
        *,
        cls: ActorClass[..., T] | type[T],
        node_id: str | None = None,
        timeout: float | None = None,
        policy: Policy | str | None = None,
    ) -> ActorProxy[T]: ...
    async def resolve(
        self,
        name: str,
        *,
        cls: type[Any] | None = None,
        node_id: str | None = None,
        timeout: float | None = None,
        policy: Policy | str | None = None,
    ) -> Any:
        """Find an actor.

        In a cluster, a name alone gives a reference to all actors of that name: each call picks
        one of them, as ``policy`` says, of those that are registered then; busy and suspect nodes
        only when there are no others. A call that certainly did not arrive is sent to another one.
        ``name@node`` and every other address give a reference to exactly one actor.

        Args:
            name: a name, ``name@node``, an ``actor://`` address, or the text of an actor id.
            cls: gives a typed proxy of this class instead of a reference.
            node_id: the same as ``name@node``: the id or the name of a node.
            timeout: seconds to wait until the actor exists and its node answers; default: it must
                exist now.
            policy: ``"round_robin"`` (default), ``"random"``, ``"local_first"``,
                ``"least_in_flight"``, ``"power_of_two"``, or an object; see
                `pulsing.cluster.policies`. For a key there is `ActorRef.with_key`.

        Raises:
            ValueError: ``name`` or ``policy`` is none of these.
            ActorNotFound: there is none, or there was none for ``timeout`` seconds.
            NodeUnreachable: the node in the address did not answer.
        """
        address = at_node(ActorAddress.parse(name), node_id)
        place = await self._locate(address, timeout or 0.0, policy)
        return ActorRef(place) if cls is None else typed_proxy(place, cls)

    async def refer(self, actor: ActorId | ActorAddress | Reference | str) -> ActorRef:
        """A reference to the actor with an id or address, or behind a proxy.

        Raises:
            ValueError: a text that is neither.
            ActorNotFound: there is none.
            NodeUnreachable: the node in the address did not answer.
        """
        if isinstance(actor, Reference):
            return ActorRef(place_of(actor))
        if isinstance(actor, ActorId):
            actor = ActorAddress(node=actor.node, local=actor.local)
        address = actor if isinstance(actor, ActorAddress) else ActorAddress.parse(actor)
        return ActorRef(await self._locate(address, 0.0))

    async def _locate(
        self, address: ActorAddress, timeout_s: float, policy: Policy | str | None = None
    ) -> Place:
        if self._state is SystemState.CLOSED:
            self._refuse()
        return await find(self, self._directory, address, timeout_s, policy)

    def arrived(
        self, actor_id: ActorId, *, name: str | None, host_port: str | None, class_name: str
    ) -> Place:
        """Where an actor is whose reference arrived in a message. Asks nobody.

        Raises:
            ActorNotFound: its node has no address that is known here.
        """
        return arrived(
            self,
            self._directory,
            actor_id,
            name=name,
            host_port=host_port,
            class_name=class_name,
        )

    # --- stopping

    async def stop(self, actor: str | ActorId | Reference, *, grace_s: float = 0.0) -> None:
        """Stop an actor, of this node or another, and wait until ``on_stop`` has run.

        What waits in its mailbox when the grace is over is refused: asks fail with `ActorStopped`,
        tells are dead letters. Its name is free at once. Called by the actor itself, it does not
        wait. A name alone means the actor of this node; if it has none, the only one of the
        cluster.

        Args:
            actor: its name, ``name@node``, address, id, reference or proxy.
            grace_s: seconds in which calls that wait and run may finish; those that are left then
                are refused or cancelled.

        Raises:
            ActorNotFound: no such actor.
            NodeUnreachable: its node did not answer.
            PulsingRuntimeError: several nodes, but not this one, have an actor of this name; says
                how to name one of them.
        """
        cell = self._cell_here(actor)
        if cell is None:
            await stop_elsewhere(self, actor, grace_s)
            return
        await _ended(cell, cell.stop(grace_s=grace_s))

    async def kill(self, actor: str | ActorId | Reference) -> None:
        """End an actor now, of this node or another: cancel what runs, and run no ``on_stop``.

        What waits in its mailbox is refused, as by `stop`. A ``def`` that runs in a worker thread
        cannot be interrupted; its result is thrown away. Watchers hear `ExitReason.KILLED`, and no
        policy restarts it.

        Args:
            actor: see `stop`.

        Raises:
            ActorNotFound: as `stop`, as all others.
            NodeUnreachable: likewise.
            PulsingRuntimeError: likewise.
        """
        cell = self._cell_here(actor)
        if cell is None:
            await stop_elsewhere(self, actor, None)
        else:
            await _ended(cell, cell.kill())

    # --- what nobody got

    def on_dead_letter(self, callback: Callable[[DeadLetter], object]) -> Callable[[], None]:
        """Call back with every dead letter that this node notices, on the system's loop.

        Args:
            callback: must not block. What it raises is logged.

        Returns:
            What ends it.
        """
        return self.dispatcher.dead_letters.subscribe(callback)

    def dead_letters(self) -> DeadLetterFeed:
        """Dead letters from now on: ``async for letter in system.dead_letters():``.

        At most 1024 wait for their reader; a slower one misses the oldest, never the newest. The
        loop ends when the node is shut down.
        """
        return self.dispatcher.dead_letters.feed()

    async def drain(self, timeout_s: float) -> bool:
        """Start no more actors, take no more calls of peers, and finish what is under way.

        Args:
            timeout_s: how long that may take.

        Returns:
            Whether everything was finished in time.
        """
        if self._state is SystemState.RUNNING:
            self._state = SystemState.DRAINING
        give_up_at = self.loop.time() + timeout_s
        await self._leave_cluster()
        await self._end_watch_sessions()
        await self._drain_network(max(0.0, give_up_at - self.loop.time()))
        pause_s = 0.001
        while not all(cell.is_idle() for cell in self._directory):
            remaining = give_up_at - self.loop.time()
            if remaining <= 0:
                return False
            await asyncio.sleep(min(pause_s, remaining))
            pause_s = min(pause_s * 2, 0.05)
        return True

    async def shutdown(self) -> None:
        """Stop all actors, close the port, and end all tasks and threads. Again waits for it.

        Calls under way are cancelled; `drain` first lets them finish. Cancelling whoever waits
        does not cancel the shutdown.
        """
        if self._closing is None:
            self._state = SystemState.CLOSED
            self._closing = self.loop.create_task(self._shutdown(), name="pulsing-shutdown")
        await asyncio.shield(self._closing)

    async def _shutdown(self) -> None:
        await self._leave_cluster()
        cells = [cell for cell in self._directory if cell.parent is None and not retired(cell)]
        self._directory.close()
        for begin in range(0, len(cells), _STOP_BATCH):
            await asyncio.gather(
                *(cell.stop() for cell in cells[begin : begin + _STOP_BATCH]),
                return_exceptions=True,
            )
        await self._end_watch_sessions()
        self._end_watching()
        await self._stop_steward()
        self._metadata.clear()
        await self._close_cluster()
        await self._end_processes()
        await self._stop_network()
        await self.dispatcher.close()

    async def abandon(self) -> None:
        """Let go of a system whose loop was closed without `shutdown`: end its threads."""
        if self.loop.is_closed() and self._state is not SystemState.CLOSED:
            self._state = SystemState.CLOSED
            self._directory.close()
            self._abandon_processes()
            await self.dispatcher.threads.close(timeout_s=0)  # nobody on that loop would notice

    # --- the network

    async def _start_network(self) -> None:
        """Listen, join the cluster; with a passphrase, derive its key first."""
        from pulsing.actor.composition import member_of_cluster
        from pulsing.actor.network import Network

        self._network = await Network.create(self)
        listen_addr = self.config.listen_addr
        if listen_addr is not None:
            from pulsing.actor.status import SystemStatus
            from pulsing.gateway import Gateway

            gateway = Gateway(SystemStatus(self))
            self._addr = await self._network.listen(listen_addr, gateway)
            for caution in cautions(self.config, self._addr):
                _log.warning("%s", caution)
            agent = member_of_cluster(self.config, self.node_info, self._network, self.loop)
            self.join(agent)
            await agent.start()
