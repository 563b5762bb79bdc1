"""A node's actors as part of a cluster: who else is there, and what is where.

`ClusteredHost` is the part of `pulsing.actor.system.ActorSystem` that knows other nodes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing import chance
from pulsing.actor.membership import MemberEvents, named_actor
from pulsing.actor.networking import NetworkedHost
from pulsing.actor.placement import Placement, PlacementKind, spawn_elsewhere
from pulsing.actor.proxy import typed_proxy
from pulsing.actor.service import Services
from pulsing.actor.steward import NODE_ACTOR, steward_cell
from pulsing.cluster.members import MemberStatus

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.cell import Cell
    from pulsing.actor.cluster_view import ClusterView
    from pulsing.actor.options import ActorOptions
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.agent import MemberEvent
    from pulsing.config import SystemConfig

_MAX_TURNS: Final = 1024
"""Placements whose turns are remembered."""


class ClusteredHost(NetworkedHost):
    """The actors of one node among those of others.

    Attributes:
        cluster: this node's part in its cluster; None when it is standalone.
    """

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, loop)
        self.cluster: ClusterView | None = None
        self._services: Services | None = None
        self._steward: Cell | None = None
        self._turns: dict[str, int] = {}
        self._dice = chance.dice()
        self._readers: weakref.WeakSet[MemberEvents] = weakref.WeakSet()

    def join(self, cluster: ClusterView) -> None:
        """Be part of a cluster: it hears of the public actors of this node. Called once."""
        self.cluster = cluster
        self._directory.publish_to(cluster)

    @property
    def services(self) -> Services:
        """The names that its references stand for. Only for members of a cluster."""
        if self._services is None:
            self._services = Services(cast("ActorSystem", self))
        return self._services

    # --- starting actors

    async def spawn_class(
        self,
        owner: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        name: str | None,
        public: bool | None,
        options: ActorOptions,
        placement: str | None = None,
        parent: Cell | None = None,
    ) -> Any:
        """Start an actor of a class and give a typed proxy. See `ActorSystem.spawn`."""
        if placement is not None:
            where = Placement.parse(placement)
            if where.kind is not PlacementKind.LOCAL:
                place = await spawn_elsewhere(
                    cast("ActorSystem", self),
                    where,
                    owner,
                    args,
                    kwargs,
                    name=name,
                    public=public,
                    options=options,
                )
                if place is not None:
                    return typed_proxy(place, owner)
        return await super().spawn_class(
            owner, args, kwargs, name=name, public=public, options=options, parent=parent
        )

    def next_turn(self, placement: str) -> int:
        """A number for choosing among the nodes that fit: one more each time."""
        turn = self._turns.pop(placement, self._dice.randrange(1 << 16))
        if len(self._turns) >= _MAX_TURNS:
            del self._turns[next(iter(self._turns))]
        self._turns[placement] = turn + 1
        return turn

    def find_cell(self, target: str) -> Cell | None:
        """See `ActorHost.find_cell`; also the actor that stands for the node itself."""
        if target != NODE_ACTOR:
            return super().find_cell(target)
        if self._steward is None:
            self._steward = steward_cell(cast("ActorSystem", self))
        return self._steward

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

    async def _stop_steward(self) -> None:
        if self._steward is not None:
            await self._steward.stop()

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
