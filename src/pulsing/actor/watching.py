"""Who watches whom: the watches and links of the actors, and of other code, of one node.

Each is a `Watch`: it hears of the end of one actor once, and is forgotten. Of actors of this node
`Cell.on_exit` tells, of others their node does (`pulsing.actor.watch_client`), or the cluster when
that is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.local import LocalTarget
from pulsing.actor.place import Reference, place_of
from pulsing.actor.watch import CellLink, CellWatch, FutureWatch, Watch, text_for
from pulsing.actor.watch_client import NodeWatch
from pulsing.actor.watch_terms import (
    End,
    LinkDropped,
    LinkWanted,
    NodeDied,
    WatchDropped,
    WatchWanted,
)
from pulsing.errors import ActorNotFound, PulsingRuntimeError
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.place import Place
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.agent import MemberEvent

_SLICE: Final = 500
"""Watchers that are told in one turn of the loop."""


class _Watched:
    """One actor that is watched, and by whom."""

    __slots__ = ("cell", "placed", "watches")

    def __init__(self, cell: Cell | None) -> None:
        self.cell = cell
        self.placed = cell is not None
        self.watches: dict[object, Watch] = {}


class Watching:
    """The watches of one node. Everything here runs on its loop."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._watched: dict[ActorId, _Watched] = {}
        self._of_cell: dict[Cell, dict[object, Watch]] = {}
        self._nodes: dict[str, NodeWatch] = {}
        self._closed = False
        system.on_member_change(self._member_changed)

    def __len__(self) -> int:
        return len(self._watched)

    # --- wanted

    def watch(self, cell: Cell, reference: Reference) -> Watch:
        """Let an actor hear of the end of another; see `ActorContext.watch`."""
        return self._add(CellWatch(cell, *self._whom(cell, reference, "watch")))

    def watch_outside(self, reference: Reference) -> FutureWatch:
        """A watch of code outside actors; see `ActorSystem.watch`."""
        place, actor_id = self._whom(None, reference, "watch")
        watch = FutureWatch(self._system.loop.create_future(), place, actor_id)
        watch.future.add_done_callback(lambda _: self._remove(watch))
        self._add(watch)
        return watch

    def unwatch(self, cell: Cell, reference: Reference) -> None:
        """Forget a watch, whether or not there is one."""
        identity = place_of(reference).identity
        for watch in self._watches_of(cell, CellWatch):
            if identity in (watch.actor_id, watch.place.identity):
                self._remove(watch)

    def link(self, cell: Cell, reference: Reference) -> Watch:
        """Let two actors die together; see `ActorContext.link`."""
        place, actor_id = self._whom(cell, reference, "link")
        other = self._cell_of(place, actor_id)
        if other is None and actor_id.node != self._system.node_id:
            if self._system.reachable_addr is None:
                raise PulsingRuntimeError(
                    f"cannot link to {place.label}: this node opens no port, so the other one "
                    "could not tell when it must end; pul.init(addr='HOST:PORT') opens one"
                )
            watch = self._add(CellLink(cell, place, actor_id))
            node = self._node(actor_id.node, place)
            node.feed(LinkWanted(actor_id.local, cell.actor_id.local))
            return watch
        watch = self._add(CellLink(cell, place, actor_id))
        if other is not None and not other.is_gone:
            self.link_here(other, self._system.reference(cell))
        return watch

    def link_here(self, cell: Cell, reference: Reference) -> None:
        """The other half of a link, which another actor asked for."""
        place = place_of(reference)
        self._add(CellLink(cell, place, place.actor_id))

    def unlink(self, cell: Cell, reference: Reference) -> None:
        """Dissolve a link, on both sides, whether or not there is one."""
        identity = place_of(reference).identity
        for watch in self._watches_of(cell, CellLink):
            if identity not in (watch.actor_id, watch.place.identity):
                continue
            self._remove(watch)
            actor_id = watch.actor_id
            other = self._cell_of(watch.place, actor_id)
            if other is not None:
                self.unlink_here(other, cell.actor_id)
            elif (node := self._nodes.get(actor_id.node)) is not None:
                node.feed(LinkDropped(actor_id.local, cell.actor_id.local))

    def unlink_here(self, cell: Cell, actor_id: ActorId) -> None:
        """Forget the other half of a link."""
        for watch in self._watches_of(cell, CellLink):
            if watch.actor_id == actor_id:
                self._remove(watch)

    def _watches_of(self, cell: Cell, kind: type[Watch]) -> list[Watch]:
        return [each for each in self._of_cell.get(cell, {}).values() if type(each) is kind]

    # --- whom

    def _whom(self, cell: Cell | None, reference: object, verb: str) -> tuple[Place, ActorId]:
        if not isinstance(reference, Reference):
            raise TypeError(
                f"cannot {verb} {reference!r}: that is no actor; give a reference or a proxy, as "
                "spawn, resolve and whereis make them"
            )
        place = place_of(reference)
        if place.system is not self._system:
            raise PulsingRuntimeError(
                f"cannot {verb} {place.label}: the reference belongs to another actor system"
            )
        actor_id = place.actor_id
        if cell is not None and actor_id == cell.actor_id:
            raise ValueError(f"actor {cell.label} cannot {verb} itself")
        if self._closed:
            raise PulsingRuntimeError("the actor system was shut down")
        return place, actor_id

    def _cell_of(self, place: Place, actor_id: ActorId) -> Cell | None:
        """The actor, if it is of this node; also one that is stopping."""
        if isinstance(place.target, LocalTarget):
            return place.target.cell
        return self._system.numbered(actor_id.local) if self._is_ours(actor_id) else None

    def _is_ours(self, actor_id: ActorId) -> bool:
        return actor_id.node == self._system.node_id

    # --- the table

    def _add(self, watch: Watch) -> Watch:
        actor_id = watch.actor_id
        watched = self._watched.get(actor_id)
        if watched is None:
            watched = self._begin(watch)
        known = watched.watches.setdefault(watch.key, watch)
        if known is not watch:
            return known
        if watched.placed:
            watch.placed()
        if watch.cell is not None:
            theirs = self._of_cell.get(watch.cell)
            if theirs is None:
                theirs = self._of_cell[watch.cell] = {}
                watch.cell.on_exit(self._watcher_ended)
            theirs[actor_id, watch.key] = watch
        return watch

    def _begin(self, watch: Watch) -> _Watched:
        actor_id, place = watch.actor_id, watch.place
        cell = self._cell_of(place, actor_id)
        if cell is None and not self._is_ours(actor_id):
            node = self._node(actor_id.node, place)  # may raise: nothing is left of it
            watched = self._watched[actor_id] = _Watched(None)
            node.feed(WatchWanted(actor_id.local))
            if self._is_gone(actor_id.node):
                self._system.loop.call_soon(node.feed, NodeDied())
            return watched
        watched = self._watched[actor_id] = _Watched(cell)
        if cell is None or cell.is_gone:
            watched.placed = True
            gone = (End(actor_id.local, ExitReason.NOT_FOUND),)
            self._system.loop.call_soon(self._tell_ends, actor_id.node, gone)
        else:
            cell.on_exit(self._ended_here)
        return watched

    def _remove(self, watch: Watch) -> None:
        actor_id = watch.actor_id
        if watch.cell is not None:
            theirs = self._of_cell.get(watch.cell)
            if theirs is not None:
                theirs.pop((actor_id, watch.key), None)
        watched = self._watched.get(actor_id)
        if watched is None or watched.watches.get(watch.key) is not watch:
            return
        del watched.watches[watch.key]
        if watched.watches:
            return
        del self._watched[actor_id]
        if watched.cell is not None:
            watched.cell.off_exit(self._ended_here)
        elif (node := self._nodes.get(actor_id.node)) is not None:
            node.feed(WatchDropped(actor_id.local))

    def _watcher_ended(self, cell: Cell, _reason: object, _error: object) -> None:
        for watch in list(self._of_cell.get(cell, {}).values()):
            self._remove(watch)
        self._of_cell.pop(cell, None)

    # --- ends

    def _ended_here(self, cell: Cell, reason: ExitReason, error: BaseException | None) -> None:
        self._tell(cell.actor_id, reason, text_for(reason, error))

    def _tell(self, actor_id: ActorId, reason: ExitReason, error: str | None) -> None:
        watched = self._watched.pop(actor_id, None)
        if watched is None:
            return
        for key, watch in watched.watches.items():
            if watch.cell is not None and (theirs := self._of_cell.get(watch.cell)) is not None:
                theirs.pop((actor_id, key), None)
            watch.hear(reason, error)

    def _tell_ends(self, node_id: str, ends: Sequence[End]) -> None:
        """Tell of many without holding up the loop."""
        for end in ends[:_SLICE]:
            self._tell(ActorId(node_id, end.local), end.reason, end.error)
        if len(ends) > _SLICE:
            self._system.loop.call_soon(self._tell_ends, node_id, ends[_SLICE:])

    def _tell_placed(self, node_id: str, placed: Sequence[int]) -> None:
        for local in placed:
            watched = self._watched.get(ActorId(node_id, local))
            if watched is not None:
                watched.placed = True
                for watch in list(watched.watches.values()):
                    watch.placed()

    # --- other nodes

    def is_placed(self, actor_id: ActorId) -> bool:
        """Whether an actor is watched, and its node knows of it."""
        watched = self._watched.get(actor_id)
        return watched is not None and watched.placed

    def is_guarded(self, node_id: str) -> bool:
        """Whether the cluster believes a node present, and would notice its death."""
        cluster = self._system.cluster
        member = None if cluster is None else cluster.member(node_id)
        return member is not None and member.is_present

    def _is_gone(self, node_id: str) -> bool:
        cluster = self._system.cluster
        member = None if cluster is None else cluster.member(node_id)
        return member is not None and not member.is_present

    def _node(self, node_id: str, place: Place) -> NodeWatch:
        addr = place.host_port
        if addr is None:
            cluster = self._system.cluster
            member = None if cluster is None else cluster.member(node_id)
            if member is None:
                raise ActorNotFound(f"{place.label} lives on a node without a known address")
            addr = member.info.addr
        node = self._nodes.get(node_id)
        if node is None:
            node = self._nodes[node_id] = NodeWatch(
                self._system, node_id, addr, self._tell_ends, self._tell_placed
            )
        return node

    def _member_changed(self, event: MemberEvent) -> None:
        if not event.member.is_present:
            node = self._nodes.pop(event.member.node_id, None)
            if node is not None:
                node.feed(NodeDied())
                node.close()

    def close(self) -> None:
        """The node shuts down: nobody hears anything any more."""
        self._closed = True
        for node in self._nodes.values():
            node.close()
        self._nodes.clear()
        watched, self._watched = self._watched, {}
        for each in watched.values():
            for watch in each.watches.values():
                watch.give_up()
        self._of_cell.clear()
