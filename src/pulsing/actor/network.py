"""What a node has on the wire: its port, the peers that dialled it, and those it dials."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pulsing.actor.cluster_wire import (
    MAX_CLUSTER_BYTES,
    BlockingWire,
    ClusterHandler,
    ClusterWire,
)
from pulsing.actor.remote_client import RemoteTarget
from pulsing.actor.remote_server import Host, RemoteInvocation
from pulsing.addresses import join_host_port, split_host_port
from pulsing.errors import ConnectionLost, ProtocolMismatch
from pulsing.transport.faults import ConnectionFault
from pulsing.transport.header_blocks import HeadCache
from pulsing.transport.limits import TransportLimits
from pulsing.transport.link import ServerLink, server_link
from pulsing.transport.listener import Listener, PeerConnectionInfo
from pulsing.transport.pool import DialOptions, Pool
from pulsing.transport.preface import Refusal, introduction_settings, read_introduction
from pulsing.transport.streams import PeerInfo
from pulsing.transport.wiring import wiring_of

if TYPE_CHECKING:
    from pulsing.config import SystemConfig
    from pulsing.transport.exchange import AsgiApp
    from pulsing.transport.tls import ClusterTls


class NetworkHost(Host, Protocol):
    """What a network needs of the system it belongs to."""

    config: SystemConfig
    loop: asyncio.AbstractEventLoop


class Network:
    """Listens for peers and foreign clients, and dials peers. Made by `create`.

    Attributes:
        cluster_handler: takes the messages of the cluster; None: this node is in none.
        max_cluster_bytes: the largest of them, either way.
        on_link_lost: called with the node id of a peer when a link from or to it ended without a
            goodbye.
    """

    def __init__(self, system: NetworkHost, tls: ClusterTls | None) -> None:
        config = system.config
        self._system = system
        self._tls = tls
        self._limits = TransportLimits(
            max_message_bytes=config.max_message_bytes,
            connect_timeout_s=config.connect_timeout_s,
            keepalive_interval_s=config.keepalive_interval_s,
            keepalive_timeout_s=config.keepalive_interval_s or 1.0,
        )
        self._introduction = introduction_settings(system.node_id, config.cluster_name)
        self._heads = HeadCache()
        self._listener: Listener | None = None
        self._inbound: dict[ServerLink, None] = {}
        self._draining = False
        self._closed = False
        self._wiring = wiring_of(system.loop)
        self.cluster_handler: ClusterHandler | None = None
        self.max_cluster_bytes = MAX_CLUSTER_BYTES
        self.on_link_lost: Callable[[str], None] | None = None
        self._options = DialOptions(
            node_id=system.node_id,
            cluster=config.cluster_name,
            tls=tls,
            limits=self._limits,
            wiring=self._wiring,
        )
        self._pool = Pool(
            system.loop,
            self._options,
            on_batch_begin=system.dispatcher.expect_pump,
            on_batch_end=system.dispatcher.pump,
        )
        self._pool.on_link_lost = self._link_lost

    @classmethod
    async def create(cls, system: NetworkHost) -> Network:
        """The network of a system: nothing is listened to or dialled yet.

        With a passphrase, deriving the cluster's key takes about 0.15 s, in a thread.
        """
        config = system.config
        tls: ClusterTls | None = None
        if config.passphrase is not None:
            from pulsing.transport.tls import ClusterTls

            tls = await asyncio.to_thread(ClusterTls.derive, config.passphrase, config.cluster_name)
        return cls(system, tls)

    @property
    def inbound(self) -> int:
        """Connections of peers to this node."""
        return len(self._inbound)

    def target(self, address: str, name: str) -> RemoteTarget:
        """An actor of another node, as the target of calls.

        Args:
            address: ``host:port`` where its node listens.
            name: canonical name, or ``@<node>/<number>``.
        """
        system = self._system
        return RemoteTarget(
            self._pool.peer(address),
            name,
            dispatcher=system.dispatcher,
            codec=system.codec,
            node_id=system.node_id,
            scheme="http" if self._tls is None else "https",
        )

    def hurry(self, address: str) -> None:
        """Dial ``host:port`` at once when it is needed next, even if that failed a moment ago."""
        self._pool.peer(address).hurry()

    # --- the cluster

    def cluster_wire(self) -> ClusterWire:
        """Sends messages of the cluster."""
        return ClusterWire(
            self._system.loop,
            self._pool,
            self.close_links,
            secure=self._tls is not None,
            max_bytes=self.max_cluster_bytes,
        )

    def guard_wire(self) -> BlockingWire:
        """Sends messages of the cluster while the loop stands still."""
        return BlockingWire(self._options)

    def close_links(self, node_id: str, addr: str, reason: str) -> None:
        """End all connections from and to a process at once; what waits for it fails.

        Whoever waits gets ConnectionLost with ``reason``; a call that was not sent says so. A new
        process at the same address does not suffer.

        Args:
            node_id: the process.
            addr: ``host:port`` where it listens, or listened.
            reason: what has become of it, for people.
        """
        for link in list(self._inbound):
            if link.core.peer.node_id == node_id:
                link.abort(ConnectionLost(reason))
        self._pool.close_links(node_id, addr, reason)

    def _link_lost(self, node_id: str) -> None:
        if self.on_link_lost is not None and not self._closed:
            self.on_link_lost(node_id)

    # --- the port

    async def listen(self, addr: str, gateway: AsgiApp) -> str:
        """Open the port.

        Returns:
            ``host:port`` as it was given, with the port that was picked.

        Raises:
            PulsingRuntimeError: the address cannot be used. Nothing is left open.
        """
        host, port = split_host_port(addr)
        listener = Listener(
            host,
            port,
            make_peer_protocol=self._accept,
            app=gateway,
            tls=self._tls,
            introduction=self._introduction,
            wiring=self._wiring,
        )
        await listener.start()
        self._listener = listener
        return join_host_port(host, listener.port)

    # --- peers that dial us

    def _accept(self, info: PeerConnectionInfo) -> ServerLink:
        system = self._system

        def check(settings: dict[int, int]) -> ConnectionFault | None:
            return self._introduced(link, settings)

        link = server_link(
            system.loop,
            limits=self._limits,
            on_batch_begin=system.dispatcher.expect_pump,
            on_batch_end=system.dispatcher.pump,
            check_introduction=check,
            stream_class=RemoteInvocation,
            peer=PeerInfo(info.address, authenticated=info.authenticated),
            heads=self._heads,
            settings=self._introduction,
        )
        link.core.app = system
        self._inbound[link] = None
        link.closed.add_done_callback(lambda _: self._inbound_closed(link))
        return link

    def _inbound_closed(self, link: ServerLink) -> None:
        self._inbound.pop(link, None)
        peer = link.core.peer
        if link.lost and peer.node_id and not peer.aside:
            self._link_lost(peer.node_id)

    def _introduced(self, link: ServerLink, settings: dict[int, int]) -> ConnectionFault | None:
        try:
            introduction = read_introduction(settings)
        except ProtocolMismatch as error:
            return ConnectionFault(Refusal.MISMATCH.value + str(error))
        mismatch = introduction.mismatch(self._system.config.cluster_name)
        if mismatch is not None:
            return ConnectionFault(Refusal.MISMATCH.value + mismatch)
        peer = link.core.peer
        node_id = peer.node_id = introduction.node_id
        peer.aside = introduction.aside
        if self._draining:
            link.core.drain()
        for older in self._inbound:
            # The peer has dialled anew: what its former connection still holds must not be
            # started after what comes here.
            other = older.core.peer
            if older is not link and other.node_id == node_id and not (peer.aside or other.aside):
                older.core.drain()
        return None

    # --- the end

    async def drain(self, timeout_s: float) -> None:
        """Take no new requests from peers; wait until the open ones are answered.

        Args:
            timeout_s: how long that may take; what is open then is cut off.
        """
        self._draining = True
        drains = [link.drain(timeout_s) for link in self._inbound]
        await asyncio.gather(*drains)  # each ends after timeout_s

    async def close(self) -> None:
        """Close the port and every connection. What is under way fails with ConnectionLost."""
        self._draining = self._closed = True
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.close()
        links = list(self._inbound)
        for link in links:
            link.close()
        await self._pool.close()
        if links:
            # Bounded by the links' own close timers.
            with contextlib.suppress(ConnectionLost):
                await asyncio.gather(*(asyncio.shield(link.closed) for link in links))
