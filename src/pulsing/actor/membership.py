"""What a program learns of the nodes of its cluster: their list, and how it changes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pulsing.actor.feed import Feed
from pulsing.cluster.members import MemberStatus

if TYPE_CHECKING:
    from pulsing.actor.cluster_view import ClusterView
    from pulsing.cluster.agent import MemberEvent
    from pulsing.cluster.members import Member, Registration


class MemberEvents(Feed["MemberEvent"]):
    """Changes of members, one after another, from when this was made: ``async for event in ...``.

    A reader that is slower than the changes misses the oldest, never the newest; ``dropped`` says
    how many. It ends when the node is shut down, or with `aclose`.

    Attributes:
        dropped: changes that were missed.
    """

    def __init__(self, cluster: ClusterView | None) -> None:
        super().__init__()
        self._unsubscribe: Callable[[], None] | None = None
        if cluster is not None:
            # Weak: a loop that was left takes no events, and is forgotten.
            unsubscribe = cluster.subscribe(_forward_to(weakref.ref(self)))
            self._unsubscribe = forgotten = weakref.finalize(self, unsubscribe)
            forgotten.atexit = False

    def end(self) -> None:
        """No more will come; what has come can still be read."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        super().end()


def _forward_to(events: weakref.ref[MemberEvents]) -> Callable[[MemberEvent], None]:
    def forward(event: MemberEvent) -> None:
        reader = events()
        if reader is not None:
            reader.put(event)

    return forward


def named_actor(
    name: str, instances: Sequence[Registration], cluster: ClusterView
) -> dict[str, Any]:
    """A name of the cluster as plain data, with everything that is registered by it."""
    shown: list[dict[str, Any]] = []
    for each in instances:
        member = cluster.member(each.node_id)
        shown.append(
            {
                "actor_id": f"{each.node_id}/{each.local}",
                "class": each.class_name,
                "node_id": each.node_id,
                "node": member.info.name if member is not None else None,
                "addr": member.info.addr if member is not None else None,
                "status": member.shown_status if member is not None else None,
            }
        )
    return {"name": name, "instances": shown}


def is_well(member: Member) -> bool:
    """Alive and not stalled: the first choice for work."""
    return member.status is MemberStatus.ALIVE and not member.busy
