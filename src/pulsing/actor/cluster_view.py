"""What the actor layer asks of the cluster a node is part of: the seam to `pulsing.cluster`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pulsing.cluster.agent import MemberEvent
    from pulsing.cluster.members import Member, NodeInfo, Registration


class ClusterView(Protocol):
    """A node's part in a cluster: `pulsing.cluster.agent.ClusterAgent`."""

    @property
    def info(self) -> NodeInfo:
        """This node."""
        ...

    @property
    def last_stall(self) -> dict[str, object] | None:
        """When the loop of this node stood still last, for how long, and what held it."""
        ...

    def members(self) -> list[Member]:
        """Everybody known, this node and the remembered dead included."""
        ...

    def member(self, node: str) -> Member | None:
        """The member with an id or a unique name."""
        ...

    def lookup(self, name: str) -> Sequence[Registration]:
        """Instances of a canonical name on present members, this node's included."""
        ...

    def names(self) -> Mapping[str, Sequence[Registration]]:
        """Every registered name, with its instances."""
        ...

    async def wait_for_name(self, name: str, timeout_s: float) -> Sequence[Registration]:
        """Instances of a canonical name as soon as there are any; empty after the timeout."""
        ...

    def register(self, name: str, local: int, class_name: str) -> None:
        """A public actor of this node has started."""
        ...

    def unregister(self, name: str) -> None:
        """It was asked to stop."""
        ...

    def subscribe(self, callback: Callable[[MemberEvent], None]) -> Callable[[], None]:
        """Call back on the loop with every change of a member; gives what ends it."""
        ...

    async def leave(self) -> None:
        """Say goodbye, for a bounded time."""
        ...

    async def close(self) -> None:
        """Take no part any more."""
        ...
