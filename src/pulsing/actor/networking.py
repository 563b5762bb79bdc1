"""A node's actors with a way to others: the address of the node, and calls to other nodes.

`NetworkedHost` is the part of `pulsing.actor.system.ActorSystem` that needs no cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pulsing.actor.place import advertised
from pulsing.actor.process_host import ProcessHost
from pulsing.addresses import is_everywhere, is_loopback, split_host_port
from pulsing.cluster.members import NodeInfo
from pulsing.errors import PulsingRuntimeError
from pulsing.wire import Codec, WireLimits

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.cell import Cell
    from pulsing.actor.network import Network
    from pulsing.actor.remote_client import RemoteTarget
    from pulsing.config import SystemConfig


class NetworkedHost(ProcessHost):
    """The actors of one node, and how others reach it.

    Attributes:
        codec: turns values into bytes for peers.
    """

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, loop)
        limits = WireLimits(max_message_bytes=config.max_message_bytes)
        trusted = config.allow_pickle or config.passphrase is not None
        self.codec = Codec(limits=limits, allow_pickle=trusted, context=self)
        self._network: Network | None = None
        self._addr: str | None = None

    @property
    def addr(self) -> str | None:
        """``HOST:PORT`` it listens on, the port as it was picked; None when standalone."""
        return self._addr

    @property
    def reachable_addr(self) -> str | None:
        """Where others reach it: what it is told to advertise, or else `addr`.

        With an address of this machine where it listens on all interfaces.
        """
        return None if self._addr is None else advertised(self._addr, self.config.advertise)

    @property
    def node_info(self) -> NodeInfo:
        """What it says about itself to others."""
        addr = self.reachable_addr or ""
        return NodeInfo(self.node_id, addr, self.node_name, dict(self.config.labels))

    def sender_meta(self, cell: Cell) -> dict[str, Any]:
        """What others need to know to call an actor of this node back; nothing if they cannot."""
        addr = self.reachable_addr
        return {} if addr is None else {"s": cell.actor_id.local, "a": addr}

    # --- to others

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


def cautions(config: SystemConfig, addr: str) -> Iterator[str]:
    """What whoever starts a node that listens at ``addr`` should know; for the log."""
    if config.passphrase is None and not is_loopback(addr):
        yield (
            f"listening on {addr} without a passphrase: whoever reaches the port can call every "
            "actor here; passphrase= (--passphrase-file) turns on mutual TLS"
        )
    shown = advertised(addr, config.advertise)
    if is_everywhere(split_host_port(addr)[0]) and config.advertise is None and is_loopback(shown):
        yield (
            f"this machine has no network to be reached through, so other nodes are told {shown}; "
            "advertise= (--advertise) gives another address"
        )
