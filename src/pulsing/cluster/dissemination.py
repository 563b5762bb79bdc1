"""News waiting to be passed on, each piece a bounded number of times.

Pieces that were passed on least go first, claims before changes of names. A newer claim about a
member replaces an older one; accusers of one suspicion are pieces of their own. A piece ends after
``limit`` transmissions: repeating news that often reaches everybody with high probability, and an
idle cluster is silent.

Source: SWIM 4.1 (piggyback, least sent first, lambda log n times).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Generic, TypeVar

from .claim_codec import encode_claim, encode_delta
from .claims import Claim
from .members import MemberStatus
from .messages import NO_NEWS, News, RegistryDelta

_SUSPECT: Final = MemberStatus.SUSPECT
_HEAD_BYTES: Final = 5
"""What surrounds a piece in a message."""
_ID_CHARS: Final = 32
"""Every key begins with the node id of whom the piece is about."""
_LEAST_BYTES: Final = 24
"""No piece is smaller."""
MAX_DELTAS: Final = 4096

_T = TypeVar("_T", Claim, RegistryDelta)


class _Queue(Generic[_T]):
    """Pieces by how often they were sent: tier 0 has not been sent at all."""

    __slots__ = ("_tiers", "tier_of")

    def __init__(self) -> None:
        self._tiers: list[dict[str, tuple[_T, int]]] = [{}]
        self.tier_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.tier_of)

    def put(self, key: str, piece: _T, size: int) -> None:
        self.drop(key)
        self._tiers[0][key] = (piece, size)
        self.tier_of[key] = 0

    def drop(self, key: str) -> None:
        tier = self.tier_of.pop(key, None)
        if tier is not None:
            del self._tiers[tier][key]

    def drop_most_sent(self) -> None:
        for tier in reversed(self._tiers):
            if tier:
                self.drop(next(iter(tier)))
                return

    def take(
        self, room: int, limit: int, copies: int, spare: bool, skip: Collection[str]
    ) -> tuple[list[_T], int]:
        """Pieces that fit, and the room left; ``spare`` lets one that never fits go alone."""
        taken: list[_T] = []
        moved: list[tuple[str, int]] = []
        for sent, tier in enumerate(self._tiers):
            for key, (piece, size) in tier.items():
                if room < _LEAST_BYTES and taken:
                    break
                fits = size <= room or (spare and not taken)
                if fits and not (skip and key[:_ID_CHARS] in skip):
                    taken.append(piece)
                    moved.append((key, sent))
                    room -= size
            if room < _LEAST_BYTES and taken:
                break
        for key, sent in moved:
            self._move(key, sent, sent + copies, limit)
        return taken, room

    def _move(self, key: str, sent: int, now_sent: int, limit: int) -> None:
        entry = self._tiers[sent].pop(key)
        if now_sent >= limit:
            del self.tier_of[key]
            return
        while len(self._tiers) <= now_sent:
            self._tiers.append({})
        self._tiers[now_sent][key] = entry
        self.tier_of[key] = now_sent


class Dissemination:
    """News on their way out.

    Attributes:
        is_fresh: something was added; reset by who sees to it that it leaves soon.
    """

    def __init__(self) -> None:
        self.is_fresh = False
        self._claims: _Queue[Claim] = _Queue()
        self._deltas: _Queue[RegistryDelta] = _Queue()
        self._accused: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._claims) + len(self._deltas)

    def put_claim(self, claim: Claim) -> None:
        """Pass a claim on, instead of what it replaces."""
        node_id = claim.node_id
        key = node_id
        if claim.status is _SUSPECT:
            self._claims.drop(node_id)
            key = f"{node_id} {claim.accuser}"
            keys = self._accused.setdefault(node_id, [])
            if key not in keys:
                keys.append(key)
        else:
            self.drop_member(node_id)
        self.is_fresh = True
        self._claims.put(key, claim, len(encode_claim(claim)) + _HEAD_BYTES)

    def put_delta(self, delta: RegistryDelta) -> None:
        """Pass a change of names on. Of too many, those sent most often are dropped."""
        if len(self._deltas) >= MAX_DELTAS:
            self._deltas.drop_most_sent()
        key = f"{delta.owner} {delta.version}"
        self.is_fresh = True
        self._deltas.put(key, delta, len(encode_delta(delta)) + _HEAD_BYTES)

    def drop_member(self, node_id: str) -> None:
        """What was said about a member is out of date."""
        for key in self._accused.pop(node_id, ()):
            self._claims.drop(key)
        self._claims.drop(node_id)

    def take(self, max_bytes: int, limit: int, copies: int = 1, skip: Collection[str] = ()) -> News:
        """News for a message.

        Args:
            max_bytes: no more than that, unless a single piece is larger.
            limit: a piece is dropped after as many transmissions.
            copies: to how many members the message goes.
            skip: nothing about these members, nor of their names.
        """
        if not self._claims and not self._deltas:
            return NO_NEWS
        claims, room = self._claims.take(max_bytes, limit, copies, True, skip)
        deltas, _ = self._deltas.take(room, limit, copies, not claims, skip)
        if not claims and not deltas:
            return NO_NEWS
        if not self._claims:
            self._accused.clear()
        return News(tuple(claims), tuple(deltas))
