"""What the cluster needs of the rest of the node: the only seams of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from .effects import Effect
from .members import Member, NodeInfo, Registration
from .stimuli import Failure, Stimulus


class ClusterCore(Protocol):
    """Membership and registry of one node, as decisions: `GossipCore`, `HeadCore`, `WorkerCore`."""

    @property
    def info(self) -> NodeInfo:
        """This node."""
        ...

    @property
    def members(self) -> Mapping[str, Member]:
        """Everybody known, by node id, this node and the remembered dead included."""
        ...

    def start(self, *, now: float) -> list[Effect]:
        """Begin. Called once."""
        ...

    def handle(self, stimulus: Stimulus, *, now: float) -> list[Effect]:
        """Something happened."""
        ...

    def next_deadline(self) -> float | None:
        """When `stimuli.DeadlineReached` is due, in the clock of ``now``; None: not at all."""
        ...

    def lookup(self, name: str) -> Sequence[Registration]:
        """Instances of a canonical name on members that are present, this node's included.

        In order of node id, so that all nodes see them alike.
        """
        ...

    def names(self) -> Mapping[str, Sequence[Registration]]:
        """Every name that is registered somewhere, with its instances."""
        ...

    def name_wanted(self, name: str, *, now: float) -> list[Effect]:
        """Somebody waits for a name that is not known: where it can be asked for, do."""
        ...

    def busy_claim(self, incarnation: int) -> bytes:
        """The message by which the guard says on this node's behalf: alive, but busy."""
        ...


class Wire(Protocol):
    """Sends messages of the cluster to other nodes."""

    def request(
        self,
        addr: str,
        body: bytes,
        timeout_s: float,
        answered: Callable[[str, bytes], None],
        failed: Callable[[Failure, str], None],
    ) -> None:
        """Send a message; exactly one of the callbacks is called, later, on the loop.

        Args:
            addr: ``HOST:PORT``.
            body: the message.
            timeout_s: seconds until ``failed(Failure.TIMEOUT, ...)``.
            answered: gets the node id of the peer, and its answer.
            failed: gets why there is none, for programs and for people.
        """
        ...

    def close_links(self, node_id: str, addr: str, reason: str) -> None:
        """End all connections from and to that process; what waits for it fails."""
        ...
