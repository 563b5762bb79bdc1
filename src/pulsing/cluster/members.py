"""Members of a cluster, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

NO_LABELS: Final[Mapping[str, str]] = {}


class MemberStatus(IntEnum):
    """What is believed of a member. The number is what travels."""

    ALIVE = 0
    SUSPECT = 1
    """Somebody did not hear from it in time; it can refute."""
    DEAD = 2
    LEFT = 3
    """It said goodbye."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says about itself. Fixed for its lifetime, but for what `Member` adds.

    Attributes:
        node_id: 32 hex digits, new with every process start.
        addr: ``HOST:PORT`` at which other members reach it.
        name: for people; unique in a cluster. Default: derived from the node id.
        labels: for placement; a label without a value has "".
    """

    node_id: str
    addr: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


@dataclass(frozen=True, slots=True)
class Member:
    """What one node believes of another, or knows of itself.

    Attributes:
        info: what the member says about itself.
        status: what is believed of it.
        incarnation: of the claim behind the belief; only the member itself raises it (SWIM 4.2).
        busy: it said that its loop is stalled: it lives, but answers late.
        since: when ``status`` or ``busy`` changed, in the clock of the observer.
    """

    info: NodeInfo
    status: MemberStatus
    incarnation: int
    busy: bool = False
    since: float = 0.0

    @property
    def node_id(self) -> str:
        """32 hex digits."""
        return self.info.node_id

    @property
    def is_present(self) -> bool:
        """Alive or suspect: it may be called."""
        return self.status <= MemberStatus.SUSPECT

    @property
    def shown_status(self) -> str:
        """``Alive``, ``Busy``, ``Suspect``, ``Dead`` or ``Left``."""
        if self.busy and self.status is MemberStatus.ALIVE:
            return "Busy"
        return self.status.name.capitalize()

    def as_dict(self, *, now: float | None = None) -> dict[str, Any]:
        """As plain data, for people and tools; with ``now`` also ``for_s``, how long it is so."""
        shown: dict[str, Any] = {
            "node_id": self.info.node_id,
            "name": self.info.name,
            "addr": self.info.addr,
            "status": self.shown_status,
            "incarnation": self.incarnation,
            "labels": dict(self.info.labels),
        }
        if now is not None:
            shown["for_s"] = round(max(0.0, now - self.since), 3)
        return shown


@dataclass(frozen=True, slots=True)
class Registration:
    """One actor that can be found by name.

    Attributes:
        name: canonical.
        node_id: of the node it lives on.
        local: the number its node gave it.
        class_name: of its class, for display.
    """

    name: str
    node_id: str
    local: int
    class_name: str
