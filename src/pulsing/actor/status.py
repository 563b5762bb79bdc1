"""What a node says about itself to probes; see `pulsing.gateway.NodeStatus`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pulsing import clock
from pulsing._version import __version__
from pulsing.cluster.members import MemberStatus

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem


class SystemStatus:
    """The answers of one actor system, read per request."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._since = clock.monotonic()

    @property
    def node_id(self) -> str:
        """32 hex digits."""
        return self._system.node_id

    @property
    def node_name(self) -> str:
        """For people."""
        return self._system.node_name

    @property
    def addr(self) -> str | None:
        """``HOST:PORT`` other nodes reach it at."""
        return self._system.reachable_addr

    @property
    def version(self) -> str:
        """Of Pulsing."""
        return __version__

    @property
    def status(self) -> str:
        """``running``, ``draining`` or ``closed``."""
        return self._system.state.value

    @property
    def ready(self) -> bool:
        """Whether new calls are welcome."""
        return self._system.is_running

    @property
    def actors(self) -> int:
        """How many actors live on the node."""
        return self._system.actor_count

    @property
    def uptime_s(self) -> float:
        """Seconds since its start."""
        return clock.monotonic() - self._since

    @property
    def members(self) -> dict[str, int]:
        """How many nodes of the cluster are in which status, this one included."""
        cluster = self._system.cluster
        if cluster is None:
            return {MemberStatus.ALIVE.name.capitalize(): 1}
        return dict(Counter(each.shown_status for each in cluster.members()))

    @property
    def messages(self) -> dict[str, int]:
        """What happened to messages since the start, by kind; see `Counters` and `LetterReason`."""
        dispatcher = self._system.dispatcher
        counters = dispatcher.counters
        letters = dispatcher.dead_letters
        return {
            "expired": counters.expired,
            "dropped": counters.dropped,
            "raised": counters.raised,
            "repeated": counters.repeated,
            "lost_tells": counters.lost_tells,
            "dead_letters": letters.count,
            **{f"dead_{reason.value}": number for reason, number in letters.by_reason.items()},
        }

    @property
    def last_stall(self) -> dict[str, object] | None:
        """When its loop stood still last, for how long, and what held it."""
        cluster = self._system.cluster
        return None if cluster is None else cluster.last_stall
