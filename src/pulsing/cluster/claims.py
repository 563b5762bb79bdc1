"""What one node says about a member."""

from __future__ import annotations

from typing import NamedTuple

from .members import MemberStatus, NodeInfo


class Claim(NamedTuple):
    """One statement about one member, as it travels.

    Attributes:
        status: what is claimed.
        node_id: of whom.
        incarnation: the member's incarnation the claim refers to.
        info: what the member says about itself; with every ALIVE claim, and only there.
        busy: only with ALIVE: its loop is stalled.
        accuser: only with SUSPECT: who did not hear from it, so that accusers can be counted.
    """

    status: MemberStatus
    node_id: str
    incarnation: int
    info: NodeInfo | None = None
    busy: bool = False
    accuser: str = ""
