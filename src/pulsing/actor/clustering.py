"""A node's actors as part of a cluster: who else is there, and what is where.

`ClusteredHost` is the part of `pulsing.actor.system.ActorSystem` that knows other nodes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pulsing.actor.hosting import ActorHost
from pulsing.actor.membership import MemberEvents, named_actor
from pulsing.actor.place import advertised
from pulsing.addresses import is_everywhere, is_loopback, split_host_port
from pulsing.cluster.members import MemberStatus, NodeInfo

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.cluster_view import ClusterView
    from pulsing.cluster.agent import MemberEvent
    from pulsing.config import SystemConfig


class ClusteredHost(ActorHost):
    """The actors of one node among those of others.

    Attributes:
        cluster: this node's part in its cluster; None when it is standalone.
    """

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, loop)
        self.cluster: ClusterView | None = None
        self._addr: str | None = None
        self._readers: weakref.WeakSet[MemberEvents] = weakref.WeakSet()

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
    def node_name(self) -> str:
        """Its name for people, unique in the cluster: as configured, or made from its id."""
        return self.config.node_name or self.node_id[:8]

    @property
    def node_info(self) -> NodeInfo:
        """What it says about itself to others."""
        addr = self.reachable_addr or ""
        return NodeInfo(self.node_id, addr, self.node_name, dict(self.config.labels))

    def join(self, cluster: ClusterView) -> None:
        """Be part of a cluster: it hears of the public actors of this node. Called once."""
        self.cluster = cluster
        self._directory.publish_to(cluster)

    # --- who is there

    async def members(self) -> list[dict[str, Any]]:
        """The nodes of the cluster as plain data, this one first.

        Each with ``node_id``, ``name``, ``addr``, ``status`` (``Alive``, ``Busy``, ``Suspect``,
        ``Dead`` or ``Left``), ``incarnation``, ``labels`` and ``for_s``, how long it has been so.
        Dead nodes are remembered for a while. A standalone node is alone.
        """
        if self.cluster is None:
            info = self.node_info
            return [
                {
                    "node_id": info.node_id,
                    "name": info.name,
                    "addr": self.reachable_addr,
                    "status": MemberStatus.ALIVE.name.capitalize(),
                    "incarnation": 0,
                    "labels": info.labels,
                }
            ]
        now = self.loop.time()
        return [each.as_dict(now=now) for each in self.cluster.members()]

    def on_member_change(self, callback: Callable[[MemberEvent], None]) -> Callable[[], None]:
        """Call back with every change of a member, on the system's loop.

        Args:
            callback: gets the member as it is now, ``event.member``, and what was believed of it,
                ``event.before``. It must not block. What it raises is logged.

        Returns:
            What ends it.
        """
        return (lambda: None) if self.cluster is None else self.cluster.subscribe(callback)

    def events(self) -> MemberEvents:
        """Changes of members from now on: ``async for event in system.events():``.

        At most 1024 wait for their reader; a slower one misses the oldest, never the newest. The
        loop ends when the node is shut down.
        """
        events = MemberEvents(self.cluster)
        if self.is_closed:
            events.end()
        self._readers.add(events)
        return events

    # --- what is where

    async def all_named_actors(self) -> list[dict[str, Any]]:
        """Every public name of the cluster, sorted, with its instances.

        Each with ``name`` and ``instances``, and each of those with ``actor_id``, ``class``,
        ``node_id``, ``node`` (its name), ``addr`` and ``status``. A standalone node has its own.
        """
        cluster = self.cluster
        if cluster is not None:
            found = sorted(cluster.names().items())
            return [named_actor(name, instances, cluster) for name, instances in found]
        return [
            {
                "name": cell.name,
                "instances": [
                    {
                        "actor_id": str(cell.actor_id),
                        "class": cell.table.owner.__name__,
                        "node_id": self.node_id,
                        "node": self.node_name,
                        "addr": self.reachable_addr,
                        "status": MemberStatus.ALIVE.name.capitalize(),
                    }
                ],
            }
            for cell in self._directory.public()
        ]

    # --- the end

    async def _leave_cluster(self) -> None:
        """Say goodbye: nobody sends new work here."""
        if self.cluster is not None:
            await self.cluster.leave()

    async def _close_cluster(self) -> None:
        """Take no part any more; whoever waits for changes waits no longer."""
        for events in list(self._readers):
            events.end()
        if self.cluster is not None:
            self._directory.publish_to(None)
            await self.cluster.close()


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
