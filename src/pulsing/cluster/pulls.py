"""Which parts of the registry to pull from whom: a few at a time, each once, never for ever."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import inf
from typing import Final

from .member_table import MemberTable
from .messages import Page, Pull, RegistryDelta
from .registry_core import Registry
from .registry_part import LISTING, PAGE_OVERHEAD_BYTES, change_bytes

MAX_IN_FLIGHT: Final = 16
MAX_WANTED: Final = 32_768
MAX_PAGES: Final = 16_384
"""Of one pull. An owner with the most names that are taken in has fewer."""


@dataclass(slots=True)
class _Want:
    """A part that is behind.

    Attributes:
        source: who has more.
        version: what it has.
        gossip: news told of it, so others may lack it as well.
        started_at: the version here when the pull began.
        pages: received so far.
    """

    source: str
    version: int
    gossip: bool
    started_at: int = 0
    pages: int = 0


class Pulls:
    """The pulls of one node, wanted and under way.

    Attributes:
        due: when the next wanted pull can begin; inf: none waits, or too many are under way.
    """

    def __init__(self, table: MemberTable, registry: Registry, max_delta_bytes: int) -> None:
        """No pulls.

        Args:
            table: who is there to ask.
            registry: what to complete.
            max_delta_bytes: what was pulled is passed on as a hint if it is larger.
        """
        self._table = table
        self._registry = registry
        self._max_delta_bytes = max_delta_bytes
        self._wanted: OrderedDict[str, _Want] = OrderedDict()
        self._under_way: dict[str, _Want] = {}
        self.due = inf

    def want(self, owner: str, source: str, version: int, now: float, *, gossip: bool) -> None:
        """``source`` holds that version of an owner's part. Whether it is needed shows later."""
        under_way = self._under_way.get(owner)
        if under_way is not None:
            under_way.version = max(under_way.version, version)
            under_way.gossip |= gossip
            return
        waiting = self._wanted.get(owner)
        if waiting is None:
            if len(self._wanted) >= MAX_WANTED:
                return  # comparing tables will show it again
            self._wanted[owner] = _Want(source, version, gossip)
        elif version > waiting.version:
            waiting.source, waiting.version = source, version
            waiting.gossip |= gossip
        self._set_due(now)

    def begin(self, now: float, source: str | None = None) -> tuple[str, Pull] | None:
        """Begin one of the pulls that wait; with ``source`` one that goes there.

        Returns:
            Whom to ask what; None: nothing waits, or too many are under way.
        """
        found: tuple[str, Pull] | None = None
        if len(self._under_way) < MAX_IN_FLIGHT and (source is None or self._is_present(source)):
            while found is None and (owner := self._first(source)) is not None:
                want = self._wanted.pop(owner)
                if self._is_present(owner) and self._is_needed(owner, want):
                    if not self._is_present(want.source):
                        want.source = owner
                    want.started_at, want.pages = self._registry.version_of(owner), 0
                    self._under_way[owner] = want
                    found = want.source, self._registry.next_pull(owner)
        self._set_due(now)
        return found

    def _first(self, source: str | None) -> str | None:
        for owner, want in self._wanted.items():
            if source is None or want.source == source:
                return owner
        return None

    def answered(self, pull: Pull, page: Page | None, now: float) -> Pull | RegistryDelta | None:
        """A pull has an answer, or none (``page`` is None).

        Returns:
            What to ask the same node next; or, when it is done, what to pass on.
        """
        owner = pull.owner
        want = self._under_way.get(owner)
        if want is None:
            return None
        want.pages += 1
        if page is not None and page.owner == owner and want.pages <= MAX_PAGES:
            following = self._registry.page_received(page)
            if following is not None:
                return following
        del self._under_way[owner]
        self._set_due(now)
        have = self._registry.version_of(owner)
        progress = have > want.started_at
        if self._is_needed(owner, want):
            if not progress and want.source == owner:
                return None  # it is lost, or a lie: comparing tables will show
            if not progress or page is None:
                want.source = owner
            self._wanted[owner] = want
            self._set_due(now)
        if not progress or not want.gossip:
            return None
        return self._told(owner, want.started_at, page if want.pages == 1 else None)

    def _told(self, owner: str, base: int, page: Page | None) -> RegistryDelta:
        """What to tell others: what came, if it came in one small piece, or that there is more."""
        have = self._registry.version_of(owner)
        if page is not None and page.base != LISTING and page.version == have:
            size = sum(map(change_bytes, page.changes)) + PAGE_OVERHEAD_BYTES
            if size <= self._max_delta_bytes:
                return RegistryDelta(owner, page.base, have, page.changes)
        return RegistryDelta(owner, base, have)

    def _is_needed(self, owner: str, want: _Want) -> bool:
        return self._registry.version_of(owner) < want.version

    def _is_present(self, node_id: str) -> bool:
        member = self._table.members.get(node_id)
        return member is not None and member.is_present

    def _set_due(self, now: float) -> None:
        waits = self._wanted and len(self._under_way) < MAX_IN_FLIGHT
        self.due = min(self.due, now) if waits else inf
