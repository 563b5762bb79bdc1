"""What nodes saw of each other, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pulsing.cluster.agent import MemberEvent

ALIVE = "Alive"
PRESENT = frozenset({ALIVE, "Busy", "Suspect"})
ABSENT = frozenset({"Dead", "Left"})


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one node believed of another from a moment on.

    Attributes:
        at: when, in the clock of ``time.monotonic``, which all processes of a machine share.
        node_id: of whom.
        name: of the same, for people.
        addr: of the same.
        status: ``Alive``, ``Busy``, ``Suspect``, ``Dead`` or ``Left``.
        incarnation: of the claim behind it.
    """

    at: float
    node_id: str
    name: str
    addr: str
    status: str
    incarnation: int

    @classmethod
    def of(cls, event: MemberEvent, at: float) -> Self:
        """A change of a member, as it is told to subscribers."""
        return cls.from_dict(event.member.as_dict(), at)

    @classmethod
    def from_dict(cls, shown: dict[str, Any], at: float) -> Self:
        """A member as `ActorSystem.members` shows it."""
        return cls(
            at,
            shown["node_id"],
            shown["name"],
            shown["addr"],
            shown["status"],
            shown["incarnation"],
        )


def path(sightings: Iterable[Sighting], node_id: str, *, since: float = 0.0) -> list[Sighting]:
    """What was believed of one node, from a moment on."""
    return [each for each in sightings if each.node_id == node_id and each.at >= since]


def is_one_way(statuses: list[str], end: str = "Dead") -> bool:
    """Whether a path led from present to its end without going back: no flap.

    ``Suspect`` may come before, once; after the end nothing comes.
    """
    return statuses in ([end], ["Suspect", end])
