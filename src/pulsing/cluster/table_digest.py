"""A digest of who is present and which version of its names is known, in buckets.

Two nodes with equal digests agree. Kept up to date change by change, so that asking costs nothing
when nothing happened. The dead and those who left count as absent: whether a node still remembers
them makes no difference, or long forgotten members would be told round for ever.
"""

from __future__ import annotations

from typing import Final

from .member_table import MemberTable
from .registry_core import Registry

BUCKETS: Final = 64
"""A power of two, at most 256."""

_MASK: Final = (1 << 64) - 1


def mixed(value: int) -> int:
    """64 bits of which each depends on every bit of ``value`` (the finalizer of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def bucket_of(node_id: str) -> int:
    """The bucket a node belongs to, on every node."""
    return int(node_id[:2], 16) * BUCKETS >> 8


class TableDigest:
    """Digests of a table of members together with a registry."""

    def __init__(self, table: MemberTable, registry: Registry) -> None:
        self._table = table
        self._registry = registry
        # Per bucket: what each known node adds to the digest; 0 for one that is not present.
        self._known: list[dict[str, int]] = [{} for _ in range(BUCKETS)]
        self._digests = [0] * BUCKETS
        self._root: int | None = None
        for node_id in table.members:
            self._update(node_id)

    def root(self) -> int:
        """The digest of everything."""
        self._refresh()
        if self._root is None:
            root = 0
            for digest in self._digests:
                root = mixed(root ^ digest)
            self._root = root
        return self._root

    def buckets(self) -> tuple[int, ...]:
        """The digest of each bucket."""
        self._refresh()
        return tuple(self._digests)

    def known_in(self, bucket: int) -> list[str]:
        """Whom the table knows in a bucket: those present first, in order of node id."""
        self._refresh()
        known = self._known[bucket]
        return sorted(known, key=lambda node_id: (not known[node_id], node_id))

    def _refresh(self) -> None:
        for touched in (self._table.touched, self._registry.touched):
            if touched:
                for node_id in touched:
                    self._update(node_id)
                touched.clear()

    def _update(self, node_id: str) -> None:
        bucket = bucket_of(node_id)
        known = self._known[bucket]
        before = known.get(node_id, 0)
        member = self._table.members.get(node_id)
        if member is None:
            known.pop(node_id, None)
            after = 0
        else:
            after = self._digest_of(node_id) if member.is_present else 0
            known[node_id] = after
        if after != before:
            self._digests[bucket] ^= before ^ after
            self._root = None

    def _digest_of(self, node_id: str) -> int:
        version = self._registry.version_of(node_id)
        return mixed(self._table.claim_digest(node_id) ^ mixed(version)) or 1
