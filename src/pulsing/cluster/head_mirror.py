"""What a worker takes over from its head: how far it has read, and what it lacks.

A worker reads the head's table from a version on, page by page. A new head (another epoch) or one
that forgot records is read from the start; members that it does not list are kept for a while,
because they may not have found it yet, and are dead afterwards.

Invariant: a part of the registry that the head has and this worker lacks is in ``behind`` until it
was fetched, because the head says each version once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .messages import PullAll, Table

_FETCHES: Final = 4


class HeadMirror:
    """How far a worker has read its head's table.

    Args:
        grace_s: how long members are kept that a head does not list.

    Attributes:
        behind: owners of parts of the registry that are to be fetched, and the versions wanted.
        fetching: those of them that are being fetched.
    """

    def __init__(self, grace_s: float) -> None:
        self.behind: dict[str, int] = {}
        self.fetching: set[str] = set()
        self._stuck: set[str] = set()
        self._grace_s = grace_s
        self._epoch = 0
        self._version = 0
        self._listed: set[str] | None = None
        self._kept_until: dict[str, float] = {}

    # --- the table

    def next_pull(self) -> PullAll:
        """What to ask the head for."""
        if self._version == 0:
            self._listed = set()
        return PullAll(self._epoch, self._version)

    def table_received(self, table: Table, present: Iterable[str], now: float) -> bool:
        """Note what a page of the table lists.

        Args:
            table: the page.
            present: ids of the others that are believed present, the head left out.
            now: the time.

        Returns:
            Whether to ask for more at once.
        """
        if table.epoch != self._epoch or (table.version == 0 and table.more):
            self._epoch = table.epoch
            if self._version:  # it answers what was asked of another head
                self._version = 0
                return True
            if not table.version:
                return False  # it makes no sense: a listing from the start has no earlier start
        self._version = table.version
        listed = [claim.node_id for claim in table.claims]
        for node_id in listed:
            self._kept_until.pop(node_id, None)
        self._stuck.clear()
        if self._listed is not None:
            self._listed.update(listed)
            if not table.more:
                for node_id in present:
                    if node_id not in self._listed:
                        self._kept_until.setdefault(node_id, now + self._grace_s)
                self._listed = None
        return table.more

    # --- members it does not list

    def next_deadline(self) -> float | None:
        """When the first member is not kept any longer."""
        return min(self._kept_until.values(), default=None)

    def unlisted(self, now: float) -> list[str]:
        """Members that the head still does not list; each is named once."""
        due = [node_id for node_id, at in self._kept_until.items() if now >= at]
        for node_id in due:
            del self._kept_until[node_id]
        return due

    def keep_all(self, now: float) -> None:
        """The head is away: it cannot list them."""
        self._kept_until = dict.fromkeys(self._kept_until, now + self._grace_s)

    def shift(self, by_s: float) -> None:
        """Keep them for longer: this node stood still."""
        self._kept_until = {node_id: at + by_s for node_id, at in self._kept_until.items()}

    # --- parts of the registry

    def next_fetches(self) -> list[str]:
        """Owners whose part may be fetched now."""
        waiting = [each for each in self.behind if each not in self.fetching | self._stuck]
        chosen = waiting[: _FETCHES - len(self.fetching)]
        self.fetching.update(chosen)
        return chosen

    def fetched(self, owner: str, *, is_complete: bool) -> None:
        """No further page of an owner's part comes now; if it is not complete, after a while."""
        self.fetching.discard(owner)
        if is_complete:
            self.behind.pop(owner, None)
        else:
            self._stuck.add(owner)
