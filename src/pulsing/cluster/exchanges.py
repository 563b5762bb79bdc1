"""What two nodes tell each other about the buckets that differ, within the bound of messages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from .claim_codec import encode_claim
from .claims import Claim
from .member_table import MemberTable
from .members import MemberStatus
from .messages import Exchange
from .registry_core import Registry
from .table_digest import BUCKETS, TableDigest

_OVERHEAD_BYTES: Final = 64 + 3 * BUCKETS
_CLAIM_OVERHEAD_BYTES: Final = 3
_VERSION_BYTES: Final = 27
_MAX_MEMBERS: Final = 2048
"""In one message; `message_codec` accepts more."""


class _Budget:
    """What still fits into a message."""

    def __init__(self, max_bytes: int) -> None:
        self.claims: list[Claim] = []
        self.versions: list[tuple[str, int]] = []
        self._room = max_bytes - _OVERHEAD_BYTES

    def add(self, claims: Sequence[Claim], version: tuple[str, int] | None) -> bool:
        """Whether it fitted: all of it, or nothing."""
        size = sum(len(encode_claim(each)) + _CLAIM_OVERHEAD_BYTES for each in claims)
        size += _VERSION_BYTES if version is not None else 0
        full = len(self.claims) >= _MAX_MEMBERS or len(self.versions) >= _MAX_MEMBERS
        if full or size > self._room:
            return False
        self._room -= size
        self.claims += claims
        if version is not None:
            self.versions.append(version)
        return True

    def mark(self) -> tuple[int, int, int]:
        return len(self.claims), len(self.versions), self._room

    def back_to(self, mark: tuple[int, int, int]) -> None:
        claims, versions, self._room = mark
        del self.claims[claims:]
        del self.versions[versions:]


class Exchanges:
    """Both sides of an Exchange, made of the tables of this node."""

    def __init__(
        self,
        table: MemberTable,
        registry: Registry,
        digest: TableDigest,
        *,
        max_bytes: int,
        rng: random.Random,
    ) -> None:
        self._table = table
        self._registry = registry
        self._digest = digest
        self._max_bytes = max_bytes
        self._rng = rng

    def ask(self, remaining: Sequence[int]) -> Exchange:
        """Ask for the buckets that differ, as many as the own claims about them fit for."""
        budget = _Budget(self._max_bytes)
        buckets: list[int] = []
        complete = True
        for bucket in remaining:
            mark = budget.mark()
            known = self._digest.known_in(bucket)
            for node_id in known if buckets else self._turned(known):
                present = self._table.members[node_id].is_present
                version = self._version(node_id) if present else None
                if not budget.add(self._claims_about(node_id), version):
                    complete = False
                    break
            if not complete and buckets:
                budget.back_to(mark)
                break
            buckets.append(bucket)
            if not complete:
                break
        return Exchange(tuple(buckets), tuple(budget.claims), tuple(budget.versions), complete)

    def _turned(self, known: list[str]) -> list[str]:
        """In case the first bucket does not fit: other members of it each time."""
        turn = self._rng.randrange(len(known)) if known else 0
        return known[turn:] + known[:turn]

    def answer(self, request: Exchange) -> Exchange:
        """What the other side does not have, bucket after bucket, as far as it fits.

        Only the first bucket may come in part, or one that never fits would never come.
        """
        theirs = {each.node_id: each for each in request.claims}
        versions = dict(request.versions)
        budget = _Budget(self._max_bytes)
        covered: list[int] = []
        complete = True
        for bucket in dict.fromkeys(request.buckets):
            if bucket >= BUCKETS:
                continue
            mark = budget.mark()
            known = self._digest.known_in(bucket)
            for node_id in known if covered else self._turned(known):
                claims = self._what_differs(node_id, theirs.get(node_id))
                version = self._version(node_id, above=versions.get(node_id, 0))
                if (claims or version is not None) and not budget.add(claims, version):
                    complete = False
                    break
            if not complete:
                if covered:
                    budget.back_to(mark)
                break
            covered.append(bucket)
        return Exchange(tuple(covered), tuple(budget.claims), tuple(budget.versions), complete)

    def _what_differs(self, node_id: str, theirs: Claim | None) -> Sequence[Claim]:
        ours = self._table.claim_about(node_id)
        if theirs is None:
            return self._claims_about(node_id) if ours.status <= MemberStatus.SUSPECT else ()
        return () if theirs[:3] == ours[:3] else (ours,)

    def _claims_about(self, node_id: str) -> Sequence[Claim]:
        """For somebody who may not know the member: a suspicion alone does not introduce it."""
        claim = self._table.claim_about(node_id)
        if claim.status is MemberStatus.SUSPECT:
            return self._table.introduction(node_id), claim
        return (claim,)

    def _version(self, owner: str, *, above: int = 0) -> tuple[str, int] | None:
        version = self._registry.version_of(owner)
        return (owner, version) if version > above else None
