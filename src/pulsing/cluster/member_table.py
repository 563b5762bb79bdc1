"""What this node believes of every member.

The one place where beliefs change. Which claim prevails is in `claims`; this applies it, and keeps
what others ask often: who is alive, who is at an address, how many are present, and a digest of
each belief.

Invariants: this node is always in the table, ALIVE until it leaves, at an incarnation above every
claim against it; no more than ``max_members`` are known; members that are gone are remembered for a
while, oldest forgotten first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from .claims import OTHERS, OWN, UNKNOWN_PRECEDENCE, Claim, Verdict
from .fields import MAX_INCARNATION
from .members import Member, MemberStatus, NodeInfo

_ALIVE, _SUSPECT, _DEAD, _LEFT = MemberStatus
_MAX_AT_ADDR: Final = 16
"""Of more members that say they are at one address, all but the last are not looked for there."""
_MASK: Final = (1 << 64) - 1


class Change(NamedTuple):
    """A belief that changed.

    Attributes:
        member: as it is now.
        before: as it was; None when it was not known.
    """

    member: Member
    before: Member | None

    @property
    def is_visible(self) -> bool:
        """Somebody who asks for statuses sees a difference."""
        before = self.before
        return (
            before is None
            or before.status is not self.member.status
            or before.busy is not self.member.busy
        )

    @property
    def revives(self) -> bool:
        """The member was believed gone, and is present again."""
        return self.before is not None and self.member.is_present and not self.before.is_present

    @property
    def removes(self) -> bool:
        """The member was present, and is gone."""
        present_before = self.before is not None and self.before.is_present
        return present_before and not self.member.is_present


class MemberTable:
    """Beliefs about members, this node's included.

    Attributes:
        members: everybody known, by node id; for reading.
        present_count: how many are alive or suspect, this node included.
        refused: claims about new members that found the table full.
        touched: whose claim may have changed, forgotten members included; `TableDigest` empties it.
    """

    def __init__(self, info: NodeInfo, *, max_members: int) -> None:
        self._own_id: Final = info.node_id
        self._max_members = max_members
        self.members: dict[str, Member] = {info.node_id: Member(info, _ALIVE, 0)}
        self.present_count = 1
        self.refused = 0
        self.touched: set[str] = set()
        self._alive: list[str] = []
        self._places: dict[str, int] = {}
        self._at_addr: dict[str, tuple[str, ...]] = {info.addr: (info.node_id,)}
        self._gone: dict[str, float] = {}  # in the order in which they went

    # --- asking

    @property
    def self_member(self) -> Member:
        """This node."""
        return self.members[self._own_id]

    def get(self, node_id: str) -> Member | None:
        """What is believed of a member."""
        return self.members.get(node_id)

    def alive_others(self) -> Sequence[str]:
        """Node ids of all others that are ALIVE; a live list for random picks, in no order."""
        return self._alive

    def present_others(self) -> Iterator[Member]:
        """All others that are alive or suspect."""
        own = self._own_id
        return (m for m in self.members.values() if m.status <= _SUSPECT and m.info.node_id != own)

    def present_at(self, addr: str) -> Member | None:
        """The present member that came to an address last."""
        here = self._at_addr.get(addr)
        return None if here is None else self.members[here[-1]]

    def all_present_at(self, addr: str) -> tuple[str, ...]:
        """Node ids of present members that say they are at an address, the last few; often one."""
        return self._at_addr.get(addr, ())

    def claim_about(self, node_id: str) -> Claim:
        """What is believed of a known member, as a claim to tell others."""
        info, status, incarnation, busy = _parts(self.members[node_id])
        if status is _ALIVE:
            return Claim(_ALIVE, node_id, incarnation, info, busy)
        accuser = self._own_id if status is _SUSPECT else ""
        return Claim(status, node_id, incarnation, accuser=accuser)

    def introduction(self, node_id: str) -> Claim:
        """Who a known member is, for somebody who may not know it: ALIVE at its incarnation."""
        member = self.members[node_id]
        return Claim(_ALIVE, node_id, member.incarnation, member.info, member.busy)

    def claim_digest(self, node_id: str) -> int:
        """64 bits of which member is present at which incarnation; 0 for one that is not.

        A suspicion makes no difference: it ends by itself. Neither do those that are gone: each
        node forgets them in its own time, and must not be taught about them again.
        """
        member = self.members.get(node_id)
        if member is None or member.status > _SUSPECT:
            return 0
        return _digest(node_id, member.incarnation)

    # --- deciding and believing

    def decide(self, claim: Claim) -> Verdict:
        """What to do with a claim. Changes nothing."""
        member = self.members.get(claim.node_id)
        if member is None:
            return UNKNOWN_PRECEDENCE[claim.status]
        table = OWN if claim.node_id == self._own_id else OTHERS
        return table.of(member.status, member.incarnation, claim.status, claim.incarnation)

    def apply(self, claim: Claim, now: float) -> Change | None:
        """Believe a claim about another member, if it prevails; None when nothing changed."""
        if claim.node_id == self._own_id or self.decide(claim) is not Verdict.APPLY:
            return None
        before = self.members.get(claim.node_id)
        if before is None and not self._make_room():
            self.refused += 1
            return None
        info = claim.info if before is None or claim.info is not None else before.info
        if info is None:
            return None
        changed = before is None or before.status is not claim.status or before.busy != claim.busy
        since = now if before is None or changed else before.since
        member = Member(info, claim.status, claim.incarnation, claim.busy, since)
        self._put(member, before, now)
        return Change(member, before)

    def _put(self, member: Member, before: Member | None, now: float) -> None:
        node_id, status = member.info.node_id, member.status
        self.members[node_id] = member
        self.touched.add(node_id)
        was_alive = before is not None and before.status is _ALIVE
        if (status is _ALIVE) is not was_alive:
            self._set_alive(node_id, status is _ALIVE)
        was_present = before is not None and before.status <= _SUSPECT
        is_present = status <= _SUSPECT
        moved = before is not None and before.info.addr != member.info.addr
        if before is not None and was_present and (moved or not is_present):
            self._leave_addr(before)
        if is_present and (moved or not was_present):
            here = self._at_addr.get(member.info.addr, ())
            self._at_addr[member.info.addr] = (*here[1 - _MAX_AT_ADDR :], node_id)
        self.present_count += is_present - was_present
        if is_present:
            self._gone.pop(node_id, None)
        else:
            self._gone.setdefault(node_id, now)

    def _leave_addr(self, member: Member) -> None:
        addr = member.info.addr
        here = self._at_addr.get(addr, ())
        rest = tuple(each for each in here if each != member.info.node_id)
        if rest:
            self._at_addr[addr] = rest
        else:
            self._at_addr.pop(addr, None)

    def _set_alive(self, node_id: str, alive: bool) -> None:
        if alive:
            self._places[node_id] = len(self._alive)
            self._alive.append(node_id)
            return
        place = self._places.pop(node_id)
        last = self._alive.pop()
        if last != node_id:
            self._alive[place] = last
            self._places[last] = place

    # --- this node itself

    def started(self, now: float) -> None:
        """This node is there from now on."""
        own = self.self_member
        self.members[self._own_id] = Member(own.info, own.status, own.incarnation, since=now)

    def raise_incarnation(self, above: int) -> None:
        """Rise above a claim about this node, as far as incarnations go."""
        own = self.self_member
        incarnation = min(max(own.incarnation, above) + 1, MAX_INCARNATION)
        self.members[self._own_id] = Member(own.info, own.status, incarnation, since=own.since)
        self.touched.add(self._own_id)

    def leave(self, now: float) -> None:
        """Believe of this node that it left, as others soon will."""
        own = self.self_member
        self.members[self._own_id] = Member(own.info, _LEFT, own.incarnation, since=now)
        self.touched.add(self._own_id)

    # --- forgetting

    def forget(self, node_id: str) -> None:
        """Know nothing any more of a member that is gone. Without effect for one that is not."""
        if self._gone.pop(node_id, None) is not None:
            del self.members[node_id]
            self.touched.add(node_id)

    def reap(self, before: float) -> tuple[str, ...]:
        """Forget all that have been gone since earlier than ``before``."""
        reaped: list[str] = []
        for node_id, since in self._gone.items():
            if since >= before:
                break
            reaped.append(node_id)
        for node_id in reaped:
            self.forget(node_id)
        return tuple(reaped)

    def _make_room(self) -> bool:
        if len(self.members) >= self._max_members and self._gone:
            self.forget(next(iter(self._gone)))
        return len(self.members) < self._max_members


def _parts(member: Member) -> tuple[NodeInfo, MemberStatus, int, bool]:
    return member.info, member.status, member.incarnation, member.busy


@lru_cache(maxsize=8192)
def _digest(node_id: str, incarnation: int) -> int:
    """The same in every process: the finaliser of SplitMix64 over both."""
    mixed = (int(node_id, 16) ^ (int(node_id, 16) >> 64)) & _MASK
    mixed = (mixed + (incarnation + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
