"""`ActorSystem`: one node. The composition root, the only place where all layers meet."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pulsing.actor import travel
from pulsing.actor.clustering import ClusteredHost, cautions
from pulsing.actor.deadline import SCOPE
from pulsing.actor.finding import arrived, find
from pulsing.actor.hosting import SystemState, retired
from pulsing.actor.options import ActorOptions
from pulsing.actor.place import Reference, place_of
from pulsing.actor.proxy import typed_proxy
from pulsing.actor.refs import ActorRef
from pulsing.actor.remote import options_of
from pulsing.addresses import ActorAddress
from pulsing.config import SystemConfig
from pulsing.errors import PulsingRuntimeError
from pulsing.ids import ActorId
from pulsing.wire import Codec, WireLimits

if TYPE_CHECKING:
    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.methods import Executor
    from pulsing.actor.network import Network
    from pulsing.actor.place import Place
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.remote import Actor, ActorClass
    from pulsing.actor.remote_client import RemoteTarget

A = TypeVar("A", bound="Actor")
T = TypeVar("T")

_log = logging.getLogger(__name__)

_STOP_BATCH = 1000

travel.register_all()


class ActorSystem(ClusteredHost):
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
        limits = WireLimits(max_message_bytes=config.max_message_bytes)
        trusted = config.allow_pickle or config.passphrase is not None
        self.codec = Codec(limits=limits, allow_pickle=trusted, context=self)
        self._network: Network | None = None
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
        running = asyncio.get_running_loop()
        if loop is not None and loop is not running:
            raise ValueError("ActorSystem.create runs on the running loop; loop= is another one")
        system = cls(config if config is not None else SystemConfig.standalone(), running)
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

    # --- starting actors

    @overload
    async def spawn(  # type: ignore[overload-overlap]
        self,
        actor: type[A],
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        **kwargs: Any,
    ) -> A: ...
    @overload
    async def spawn(  # type: ignore[overload-overlap]
        self,
        actor: ActorClass[..., T] | type[T],
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        **kwargs: Any,
    ) -> ActorProxy[T]: ...
    @overload
    async def spawn(
        self,
        actor: object,
        /,
        *,
        name: str | None = None,
        public: bool | None = None,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
        mailbox_size: int | None = None,
        on_full: str | OnFull | None = None,
        stream_buffer: int | None = None,
    ) -> ActorRef: ...
    async def spawn(
        self,
        actor: Any,
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start an actor: of a class with arguments for its constructor, or a ready instance.

        Args:
            actor: a class, or an object; whatever class it has, its public methods can be called,
                and raw messages go to its ``receive``.
            args: for the constructor, when it is a class.
            name: where others find it; default: a generated one.
            public: whether other nodes find it by name; default: when it was given one.
            kwargs: for the constructor, when it is a class. For an instance: options as in
                `pulsing.remote`; by default those of its class.

        Returns:
            A typed proxy for a class, an `ActorRef` for an instance.

        Raises:
            ValueError: ``name`` is not an actor name.
            NameTaken: an actor of this name lives on this node.
            PulsingRuntimeError: the system is draining or was shut down.
            Exception: what the constructor or ``on_start`` raised; nothing is left of the actor.
        """
        if isinstance(actor, type):
            options = options_of(actor)
            return await self.spawn_class(
                actor, args, kwargs, name=name, public=public, options=options
            )
        if args:
            raise TypeError(f"{actor!r} is an instance already; it takes no arguments")
        options = ActorOptions.checked(**kwargs)
        return await self.spawn_instance(actor, name=name, public=public, options=options)

    # --- finding actors

    @overload
    async def resolve(
        self, name: str, *, cls: None = None, timeout: float | None = None
    ) -> ActorRef: ...
    @overload
    async def resolve(self, name: str, *, cls: type[A], timeout: float | None = None) -> A: ...  # type: ignore[overload-overlap]
    @overload
    async def resolve(
        self, name: str, *, cls: ActorClass[..., T] | type[T], timeout: float | None = None
    ) -> ActorProxy[T]: ...
    async def resolve(
        self, name: str, *, cls: type[Any] | None = None, timeout: float | None = None
    ) -> Any:
        """Find an actor.

        Args:
            name: a name, an ``actor://`` address, or the text of an actor id.
            cls: gives a typed proxy of this class instead of a reference.
            timeout: seconds to wait until the actor exists and its node answers; default: it must
                exist now.

        Raises:
            ValueError: ``name`` is none of these.
            ActorNotFound: there is none, or there was none for ``timeout`` seconds.
            NodeUnreachable: the node in the address did not answer.
        """
        place = await self._locate(ActorAddress.parse(name), timeout or 0.0)
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

    async def _locate(self, address: ActorAddress, timeout_s: float) -> Place:
        if self._state is SystemState.CLOSED:
            self._refuse()
        return await find(self, self._directory, address, timeout_s)

    def arrived(
        self, actor_id: ActorId, *, name: str | None, host_port: str | None, class_name: str
    ) -> Place:
        """Where an actor is whose reference arrived in a message. Asks nobody.

        Raises:
            ActorNotFound: it was of this node and has stopped, or it cannot be reached.
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
        """Stop an actor of this node and wait until ``on_stop`` has run.

        Its name is free at once. Called by the actor itself, it does not wait.

        Args:
            actor: its name, id, reference or proxy.
            grace_s: seconds in which calls that wait and run may finish; those that are left then
                are refused or cancelled.

        Raises:
            ActorNotFound: no such actor on this node.
        """
        cell = self._cell_of(actor)
        ended = cell.stop(grace_s=grace_s)
        scope = SCOPE.get()
        if scope is None or scope.cell is not cell:
            await asyncio.shield(ended)

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
        cells = [cell for cell in self._directory if not retired(cell)]
        self._directory.close()
        for begin in range(0, len(cells), _STOP_BATCH):
            await asyncio.gather(
                *(cell.stop() for cell in cells[begin : begin + _STOP_BATCH]),
                return_exceptions=True,
            )
        self._metadata.clear()
        await self._close_cluster()
        await self._stop_network()
        await self.dispatcher.close()

    async def abandon(self) -> None:
        """Let go of a system whose loop was closed without `shutdown`: end its threads."""
        if self.loop.is_closed() and self._state is not SystemState.CLOSED:
            self._state = SystemState.CLOSED
            self._directory.close()
            await self.dispatcher.threads.close(timeout_s=0)  # nobody on that loop would notice

    # --- the network

    async def _start_network(self) -> None:
        """Listen, join the cluster; with a passphrase, derive its key first."""
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

    def network(self) -> Network:
        """Its side of the wire; made when it is first needed. A standalone node only dials."""
        if self._network is None:
            from pulsing.actor.network import Network

            if self.is_closed:
                raise PulsingRuntimeError(f"the actor system {self.node_id[:8]} was shut down")
            self._network = Network(self, None)
        return self._network

    async def _drain_network(self, timeout_s: float) -> None:
        """Take no new requests from peers; wait until the open ones are answered."""
        if self._network is not None:
            await self._network.drain(timeout_s)

    async def _stop_network(self) -> None:
        """Close the port and all connections."""
        if self._network is not None:
            await self._network.close()

    def remote_target(self, host_port: str, target: str) -> RemoteTarget:
        """Where calls to an actor of another node go.

        Args:
            host_port: where its node listens.
            target: canonical name, or ``@<node>/<number>``.
        """
        return self.network().target(host_port, target)

    async def describe_remote(self, host_port: str, target: str) -> object:
        """What `describe` gives, asked of another node.

        Raises:
            ActorNotFound: it has no such actor.
            NodeUnreachable: nobody answers there.
        """
        return await self.remote_target(host_port, target).describe()
