"""What a program learns of the nodes of its cluster: their list, and how it changes."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from pulsing.cluster.members import MemberStatus

if TYPE_CHECKING:
    from pulsing.actor.cluster_view import ClusterView
    from pulsing.cluster.agent import MemberEvent
    from pulsing.cluster.members import Member, Registration

MAX_EVENTS: Final = 1024
"""Changes that wait for a reader of `MemberEvents`; the oldest are dropped first."""


class MemberEvents:
    """Changes of members, one after another, from when this was made: ``async for event in ...``.

    A reader that is slower than the changes misses the oldest, never the newest; ``dropped`` says
    how many. It ends when the node is shut down, or with `aclose`.

    Attributes:
        dropped: changes that were missed.
    """

    def __init__(self, cluster: ClusterView | None) -> None:
        self.dropped = 0
        self._events: deque[MemberEvent] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._unsubscribe: Callable[[], None] | None = None
        if cluster is not None:
            # Weak: a loop that was left takes no events, and is forgotten.
            unsubscribe = cluster.subscribe(_forward_to(weakref.ref(self)))
            self._unsubscribe = forgotten = weakref.finalize(self, unsubscribe)
            forgotten.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MemberEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("another task waits for the next of these events already")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._events.popleft()

    def put(self, event: MemberEvent) -> None:
        """Something changed."""
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._wake()

    def end(self) -> None:
        """No more will come; what has come can still be read."""
        self._ended = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._wake()

    async def aclose(self) -> None:
        """Take no more."""
        self._events.clear()
        self.end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


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
