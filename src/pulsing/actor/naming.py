"""Names for actors that live already: ``register``, ``whereis``, ``unregister``.

`NamingHost` is the part of `pulsing.actor.system.ActorSystem` that gives and takes names. The name
an actor is spawned with is one of its names; it can have more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pulsing.actor.call import Call
from pulsing.actor.finding import whereabouts
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.refs import ActorRef
from pulsing.actor.service_place import ServicePlace
from pulsing.actor.steward import NODE_ACTOR
from pulsing.actor.watching_host import WatchingHost
from pulsing.addresses import ActorAddress
from pulsing.errors import ActorNotFound
from pulsing.ids import canonical_name

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.system import ActorSystem


class NamingHost(WatchingHost):
    """The actors of one node, and their names."""

    async def register(self, actor: Reference, name: str | None = None) -> None:
        """Make an actor known to the whole cluster by a name, besides those it has.

        From then on ``resolve(name)`` and ``whereis(name)`` find it on every node that has heard of
        it, within moments. It loses the name when it stops, or by `unregister`. Registering it by a
        name it has changes nothing.

        Args:
            actor: a reference or proxy of an actor, of this node or another.
            name: its new name; None: the one it was spawned with, if that is not public yet.

        Raises:
            TypeError: ``actor`` is no reference.
            ValueError: ``name`` is not an actor name.
            NameTaken: another actor of its node has this name.
            ActorNotFound: the actor has stopped.
            NodeUnreachable: its node did not answer.
        """
        if not isinstance(cast("object", actor), Reference):
            raise TypeError(f"cannot register {actor!r}: give a reference or proxy of an actor")
        if name is not None:
            canonical_name(name)
        if not self.is_running:
            self._refuse()
        cell = self._cell_here(actor)
        if cell is None:
            host_port, target = whereabouts(cast("ActorSystem", self), actor)
            await self._ask_node(host_port, "register", target, name)
        else:
            self.register_here(cell, name)

    def register_here(self, cell: Cell, name: str | None) -> str:
        """Register an actor of this node; gives the canonical name. See `register`."""
        if not self.is_running:
            self._refuse()
        full = cell.name if name is None else canonical_name(name)
        assert full is not None
        self._directory.register(cell, full)
        return full

    async def whereis(self, name: str) -> ActorRef | None:
        """A reference to exactly the actor that has a name now, or None when there is none.

        Unlike what `resolve` gives, it does not look the name up for each call: it stays with the
        actor. The one of this node comes first, then those of nodes that are well.

        Args:
            name: a name, or ``name@node``.

        Raises:
            ValueError: ``name`` is not an actor name.
            NodeUnreachable: the node in the address did not answer.
        """
        system = cast("ActorSystem", self)
        if not self.is_running and self.is_closed:
            self._refuse()
        try:
            place = place_of(await system.resolve(name))
        except ActorNotFound:
            return None
        if isinstance(place, ServicePlace):
            return self._exactly(place)
        return ActorRef(place)

    def _exactly(self, service: ServicePlace) -> ActorRef | None:
        """One actor of a name."""
        cell = self._directory.named(service.name)
        if cell is not None:
            return ActorRef(self.place(cell))
        picked = service.target.pick()
        if picked is None:
            return None
        place = Place(
            cast("ActorSystem", self),
            picked.target,
            picked.actor_id,
            name=service.name,
            host_port=picked.addr,
            class_name=service.class_name,
        )
        return ActorRef(place)

    async def unregister(self, name: str) -> None:
        """Take a name from an actor, which lives on and keeps its other names.

        A name alone means the actor of this node; if none of its actors has the name, the only one
        of the cluster that has.

        Args:
            name: a name, or ``name@node``.

        Raises:
            ValueError: ``name`` is not an actor name.
            ActorNotFound: no actor has it.
            NodeUnreachable: its node did not answer.
            PulsingRuntimeError: actors of several nodes have it, but none of this node.
        """
        address = ActorAddress.parse(name)
        if address.name is None:
            raise ValueError(f"{name!r} is the address of an actor, not one of its names")
        if self._cell_here(name) is None:
            host_port, _ = whereabouts(cast("ActorSystem", self), name)
            await self._ask_node(host_port, "unregister", address.name)
        else:
            self.unregister_here(address.name)

    def unregister_here(self, name: str) -> None:
        """Take a name from an actor of this node. See `unregister`."""
        if not self._directory.unregister(canonical_name(name)):
            raise ActorNotFound(f"no actor {name!r} on node {self.node_name}")

    async def _ask_node(self, host_port: str, method: str, *args: Any) -> Any:
        steward = self.remote_target(host_port, NODE_ACTOR)
        return await Call(steward, method, args, None)
