"""What one node says about a member, and which of two claims prevails.

Claims about a member are ordered: by incarnation, then ALIVE < SUSPECT < DEAD < LEFT. A claim above
the belief replaces it, on every node alike, so members that heard the same claims in any order
believe the same. Only the member itself raises its incarnation, so only it can rise above a
suspicion or its own death (SWIM 4.2: Alive{i} overrides Suspect{j} if i > j; Suspect{i} overrides
Alive{j} if i >= j; Confirm overrides both). Differences from the paper: a death can be refuted,
too, because partitions heal; LEFT ends a life without doubt; accusers of one suspicion are counted
(Lifeguard, "dogpile"); and who hears an outdated claim that matters says so (STALE).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

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


class Verdict(Enum):
    """What to do with a claim."""

    IGNORE = "ignore"
    """It says nothing new."""
    APPLY = "apply"
    """It is what is believed from now on; pass it on."""
    CONFIRM = "confirm"
    """The same suspicion again: count its accuser."""
    STALE = "stale"
    """Whoever says so missed something that matters: tell it what is believed here."""
    REFUTE = "refute"
    """It is about this node, and wrong: say so, with a higher incarnation."""


class Order(Enum):
    """The incarnation of a claim, compared with that of the belief."""

    OLDER = "older"
    SAME = "same"
    NEWER = "newer"


Cell = tuple[MemberStatus, MemberStatus, Order]
"""What is believed, what is claimed, and how their incarnations compare."""

_ALIVE, _SUSPECT, _DEAD, _LEFT = MemberStatus
_OLDER, _SAME, _NEWER = Order
_I, _A, _C, _S, _R = Verdict


def _rows(
    rows: Mapping[tuple[MemberStatus, MemberStatus], tuple[Verdict, Verdict, Verdict]],
) -> dict[Cell, Verdict]:
    return {
        (believed, claimed, order): verdict
        for (believed, claimed), verdicts in rows.items()
        for order, verdict in zip(Order, verdicts, strict=True)
    }


# SWIM 4.2, about another member.
#   believed  claimed     older  same  newer
PRECEDENCE: Final[Mapping[Cell, Verdict]] = _rows({
    (_ALIVE,   _ALIVE):   (_I,   _I,   _A),
    (_ALIVE,   _SUSPECT): (_S,   _A,   _A),
    (_ALIVE,   _DEAD):    (_S,   _A,   _A),
    (_ALIVE,   _LEFT):    (_I,   _A,   _A),
    (_SUSPECT, _ALIVE):   (_I,   _I,   _A),
    (_SUSPECT, _SUSPECT): (_I,   _C,   _A),
    (_SUSPECT, _DEAD):    (_S,   _A,   _A),
    (_SUSPECT, _LEFT):    (_I,   _A,   _A),
    (_DEAD,    _ALIVE):   (_S,   _S,   _A),
    (_DEAD,    _SUSPECT): (_S,   _I,   _A),
    (_DEAD,    _DEAD):    (_I,   _I,   _A),
    (_DEAD,    _LEFT):    (_I,   _A,   _A),
    (_LEFT,    _ALIVE):   (_S,   _S,   _A),
    (_LEFT,    _SUSPECT): (_S,   _S,   _A),
    (_LEFT,    _DEAD):    (_I,   _I,   _A),
    (_LEFT,    _LEFT):    (_I,   _I,   _A),
})  # fmt: skip

# About this node itself: besides it, only its guard raises its incarnation, and liars.
# While it leaves, it lets others say what they like.
OWN_PRECEDENCE: Final[Mapping[Cell, Verdict]] = _rows({
    (_ALIVE,   _ALIVE):   (_I,   _I,   _R),
    (_ALIVE,   _SUSPECT): (_S,   _R,   _R),
    (_ALIVE,   _DEAD):    (_S,   _R,   _R),
    (_ALIVE,   _LEFT):    (_S,   _R,   _R),
    (_LEFT,    _ALIVE):   (_S,   _S,   _I),
    (_LEFT,    _SUSPECT): (_S,   _S,   _I),
    (_LEFT,    _DEAD):    (_I,   _I,   _I),
    (_LEFT,    _LEFT):    (_I,   _I,   _I),
})  # fmt: skip

# About a member that is not known: only ALIVE says where it is. The death of somebody unknown is
# nobody's loss, and not remembering it keeps forgotten members from being passed around for ever.
UNKNOWN_PRECEDENCE: Final[Mapping[MemberStatus, Verdict]] = {
    _ALIVE: _A,
    _SUSPECT: _I,
    _DEAD: _I,
    _LEFT: _I,
}


def order_of(claimed: int, believed: int) -> Order:
    """How the incarnation of a claim compares with that of the belief."""
    if claimed == believed:
        return _SAME
    return _NEWER if claimed > believed else _OLDER


class Precedence:
    """One of the tables above, laid out flat: it is asked for every claim that arrives."""

    __slots__ = ("_verdicts",)

    def __init__(self, table: Mapping[Cell, Verdict]) -> None:
        self._verdicts = [
            table.get((believed, claimed, order), _I)
            for believed in MemberStatus
            for claimed in MemberStatus
            for order in Order
        ]

    def of(
        self,
        believed: MemberStatus,
        incarnation: int,
        claimed: MemberStatus,
        claim_incarnation: int,
    ) -> Verdict:
        """The verdict of the cell."""
        at = 12 * believed + 3 * claimed
        if claim_incarnation >= incarnation:
            at += 1 if claim_incarnation == incarnation else 2
        return self._verdicts[at]


OTHERS: Final = Precedence(PRECEDENCE)
OWN: Final = Precedence(OWN_PRECEDENCE)
