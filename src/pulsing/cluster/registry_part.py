"""The names that one owner registered, and what of it others lack.

Invariant: a holder at version ``v`` has the right entry for every name that the owner did not
change after ``v``; the entry of a name that changed later may be any it had, and a later version
will bring it. So all that is ever sent is the present entry of a name, never its history; changes
may overlap, and be applied twice. Who has the owner's version has the owner's names.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from .members import Registration
from .messages import NameChange, Page, Pull

PAGE_OVERHEAD_BYTES: Final = 64
"""What a page or delta needs besides its changes, at most."""

_CHANGE_OVERHEAD_BYTES: Final = 18
_MAX_CHANGES: Final = 2048
"""In one message; `claim_codec` accepts more."""
_FRESH_LISTING_NAMES: Final = 1024
LISTING: Final = -1
"""``Page.base`` of a listing."""


def text_bytes(text: str) -> int:
    """Size of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def change_bytes(change: NameChange) -> int:
    """Size of a change in a message, at most."""
    return text_bytes(change.name) + text_bytes(change.class_name) + _CHANGE_OVERHEAD_BYTES


class Part:
    """One owner's part of the registry.

    Attributes:
        names: what is registered.
        version: of the owner's counter of changes; 0: nothing is known.
        floor: the lowest version from which the changes up to now are still known.
    """

    __slots__ = ("_exact", "_listed", "_listed_version", "_recent", "_remembers", "floor", "names",
                 "version")  # fmt: skip

    def __init__(self, *, remembers: int, exact: bool) -> None:
        """A part without names.

        Args:
            remembers: of how many names it is known when they changed.
            exact: this node is the owner: each change has a version of its own.
        """
        self.names: dict[str, Registration] = {}
        self.version = 0
        self.floor = 0
        self._remembers = remembers
        self._exact = exact
        # Name -> the version that brought its latest change; in order of version.
        self._recent: dict[str, int] = {}
        # The names in order as they were at some version, for the pages of a listing.
        self._listed: list[str] | None = None
        self._listed_version = 0

    def note(self, name: str, version: int) -> None:
        """This name is changed by ``version``, which is not below that of earlier notes."""
        recent = self._recent
        recent.pop(name, None)
        recent[name] = version
        if len(recent) > self._remembers:
            oldest = next(iter(recent))
            self.floor = recent.pop(oldest)

    def restart(self, version: int) -> None:
        """The part is at ``version``; what changed before is not known."""
        self._recent.clear()
        self._listed = None
        self.version = self.floor = version

    # --- what others lack

    def latest(
        self, have: int, max_bytes: int, overlap: int
    ) -> tuple[int, list[NameChange]] | None:
        """All changes after ``have``, and up to ``overlap`` earlier ones; None if too large.

        Only an owner may overlap: elsewhere several names share a version.

        Returns:
            The version they start from, at most ``have``, and the changes, oldest first.
        """
        if have < self.floor:
            return None
        room = max_bytes - PAGE_OVERHEAD_BYTES
        changes: list[NameChange] = []
        base = self.floor
        for name, version in reversed(self._recent.items()):
            if version <= have and not overlap:
                base = version
                break
            change = self._change(name)
            room -= change_bytes(change)
            if room < 0 or len(changes) >= _MAX_CHANGES:
                if version > have:
                    return None
                base = version
                break
            overlap -= version <= have
            changes.append(change)
        changes.reverse()
        return min(base, have), changes

    def page(self, pull: Pull, max_bytes: int) -> Page:
        """The answer to a pull: what comes after ``pull.have``, or the next page of a listing."""
        owner = pull.owner
        if not pull.version:
            if pull.have >= self.version:
                return Page(owner, self.version, self.version, ())
            if pull.have >= self.floor and (page := self._delta(pull, max_bytes)) is not None:
                return page
        self._list()
        if self.floor <= pull.version <= self._listed_version and pull.version:
            return self._listing(owner, pull.version, pull.after, max_bytes)
        return self._listing(owner, self._listed_version, "", max_bytes)

    def _delta(self, pull: Pull, max_bytes: int) -> Page | None:
        found = self.latest(pull.have, max_bytes, 0)
        if found is not None:
            return Page(pull.owner, pull.have, self.version, tuple(found[1]))
        if not self._exact:
            # A version here may stand for many of the owner's: nothing in between is known.
            return None
        room = max_bytes - PAGE_OVERHEAD_BYTES
        changes: list[NameChange] = []
        reached = pull.have
        for name in self._after(pull.have):
            change = self._change(name)
            room -= change_bytes(change)
            if room < 0 or len(changes) >= _MAX_CHANGES:
                break
            changes.append(change)
            reached = self._recent[name]
        return Page(pull.owner, pull.have, reached, tuple(changes), more=True)

    def _after(self, have: int) -> list[str]:
        """The names that changed after ``have``, oldest change first."""
        found: list[str] = []
        for name, version in reversed(self._recent.items()):
            if version <= have:
                break
            found.append(name)
        found.reverse()
        return found

    def _change(self, name: str) -> NameChange:
        registered = self.names.get(name)
        if registered is None:
            return NameChange(name, None)
        return NameChange(name, registered.local, registered.class_name)

    def _list(self) -> None:
        """Have an ordered list of names from which the changes up to now are known."""
        if (
            self._listed is None
            or self._listed_version < self.floor
            or (self._listed_version < self.version and len(self.names) <= _FRESH_LISTING_NAMES)
        ):
            self._listed = sorted(self.names)
            self._listed_version = self.version

    def _listing(self, owner: str, version: int, after: str, max_bytes: int) -> Page:
        listed = self._listed
        assert listed is not None
        room = max_bytes - PAGE_OVERHEAD_BYTES
        changes: list[NameChange] = []
        more = False
        for index in range(bisect_right(listed, after) if after else 0, len(listed)):
            registered = self.names.get(listed[index])
            if registered is None:
                continue
            change = NameChange(registered.name, registered.local, registered.class_name)
            room -= change_bytes(change)
            if room < 0 or len(changes) >= _MAX_CHANGES:
                more = True
                break
            changes.append(change)
        return Page(owner, LISTING, version, tuple(changes), more)
