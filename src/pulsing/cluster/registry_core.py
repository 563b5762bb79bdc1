"""Which actor has which name, on every node.

Each node alone writes its part; the others hold copies. A change travels as a delta in the news
(`Registry.take_delta`, `Registry.apply`). Whoever missed one, or hears of a change that is too
large to say, pulls pages: a delta, or a listing when the delta is not known any more
(`Registry.next_pull`, `Registry.page`, `Registry.page_received`). The part of a dead node goes at
once (`Registry.remove_owner`).

Invariants: `registry_part` has that of versions; ``lookup`` shows exactly the union of all parts;
a listing that replaces an older state drops a name only after its last page.

What a peer says of this node's own part is never taken over. A version above the own one can only
be a lie, and is refuted as an incarnation is (SWIM 4.2): the own version is raised above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from .fields import MAX_NUMBER, actor_name
from .members import Registration
from .messages import NameChange, Page, Pull, RegistryDelta
from .registry_part import LISTING, Part

MAX_CLASS_NAME_CHARS: Final = 128

_OVERLAP: Final = 8
"""How many earlier changes go along with new ones."""

_node_id = attrgetter("node_id")


class Applied(Enum):
    """What became of a delta."""

    NEWS = "news"
    """It is in the registry now; pass it on."""
    KNOWN = "known"
    """It says nothing new, or is about a node that may have no names."""
    GAP = "gap"
    """Something before it is missing, or it is only a hint: pull from whoever told it."""


@dataclass(slots=True)
class _Listing:
    """A pull that may be answered by a listing, and how far it came.

    Attributes:
        version: of the listing; 0 before its first page.
        last: the name after which the next page begins.
        unseen: names held before, that no page had so far.
    """

    version: int = 0
    last: str = ""
    unseen: set[str] = field(default_factory=set[str])


class Registry:
    """The registered names of all nodes, as far as this one knows.

    Attributes:
        touched: owners whose version changed; `sync_core` empties it.
    """

    def __init__(
        self,
        node_id: str,
        admits: Callable[[str], bool] | None = None,
        *,
        max_foreign_names: int = 1_000_000,
        remembered_own: int = 4096,
        remembered_foreign: int = 512,
    ) -> None:
        """A registry without names.

        Args:
            node_id: of this node.
            admits: whether a node may have names here: it is a member, and present. Late news of a
                dead node must not bring its names back. None: every node may.
            max_foreign_names: names of one other owner beyond these are not taken in.
            remembered_own: so many own names are known to have changed lately; whoever missed more
                gets a listing of everything.
            remembered_foreign: the same, of each other owner's part.
        """
        self._node_id = node_id
        self._admits = admits
        self._max_foreign_names = max_foreign_names
        self._remembered_foreign = remembered_foreign
        self._own = Part(remembers=remembered_own, exact=True)
        self._taken = 0
        self._parts: dict[str, Part] = {node_id: self._own}
        self._listings: dict[str, _Listing] = {}
        self._index: dict[str, tuple[Registration, ...]] = {}
        self._changed: dict[str, None] = {}
        self.touched: set[str] = set()

    # --- the own part

    def register(self, name: str, local: int, class_name: str) -> None:
        """An actor of this node has this name from now on.

        Raises:
            ValueError: other nodes would refuse the name.
        """
        actor_name(name)
        shown = class_name[:MAX_CLASS_NAME_CHARS]
        if not shown.isprintable():
            shown = "".join(each if each.isprintable() else "?" for each in shown)
        self._own_change(name, Registration(name, self._node_id, local, shown))

    def unregister(self, name: str) -> None:
        """No actor of this node has this name any more. Without effect if none had."""
        if name in self._own.names:
            self._own_change(name, None)

    def _own_change(self, name: str, registration: Registration | None) -> None:
        own = self._own
        own.version += 1
        self._put(own, name, registration)
        own.note(name, own.version)
        self.touched.add(self._node_id)

    def take_delta(self, max_bytes: int) -> RegistryDelta | None:
        """What changed in the own part since the last call; None: nothing.

        A few earlier changes go along, so that whoever missed the last delta needs no pull. If it
        does not fit, only the version is said.
        """
        own, taken = self._own, self._taken
        if own.version == taken:
            return None
        self._taken = own.version
        found = own.latest(taken, max_bytes, _OVERLAP)
        if found is None:
            return RegistryDelta(self._node_id, min(taken, own.version - 1), own.version)
        return RegistryDelta(self._node_id, found[0], own.version, tuple(found[1]))

    def announce(self) -> None:
        """Let the next `take_delta` say everything, or at least that there is something.

        For members that just forgot this node's part: it joined, or had been believed dead.
        """
        self._taken = 0

    def _refute(self, version: int) -> None:
        if self._own.version < version < MAX_NUMBER - 1:
            self._own.restart(version + 1)
            self.touched.add(self._node_id)

    # --- the parts of others

    def apply(self, delta: RegistryDelta) -> Applied:
        """Take in what the news say of an owner's part."""
        owner = delta.owner
        if not self._may_write(owner, delta.version):
            return Applied.KNOWN
        part = self._parts.get(owner)
        have = part.version if part is not None else 0
        if delta.version <= have:
            return Applied.KNOWN
        if delta.base > have or not delta.changes or self._is_listing_beyond(owner, delta.version):
            return Applied.GAP
        self._change_part(owner, delta.version, delta.changes)
        return Applied.NEWS

    def version_of(self, owner: str) -> int:
        """The version of an owner's part that is known here; 0: none of it."""
        part = self._parts.get(owner)
        return part.version if part is not None else 0

    def next_pull(self, owner: str) -> Pull:
        """Ask, anew, for what is missing of an owner's part."""
        self._listings[owner] = _Listing()
        return Pull(owner, self.version_of(owner))

    def page(self, pull: Pull, max_bytes: int) -> Page:
        """The answer to a pull, of any owner's part, in at most ``max_bytes``."""
        part = self._parts.get(pull.owner)
        if part is None:
            return Page(pull.owner, 0, 0, ())
        return part.page(pull, max_bytes)

    def page_received(self, page: Page) -> Pull | None:
        """Take in the answer to a pull.

        Returns:
            What to ask the same node next; None: it has no more to say, or makes no sense.
        """
        following = self._page_received(page)
        if following is None:
            self._listings.pop(page.owner, None)
        return following

    def _page_received(self, page: Page) -> Pull | None:
        owner, version = page.owner, page.version
        have = self.version_of(owner)
        if not self._may_write(owner, version) or version <= have:
            return None
        if page.base == LISTING:
            return self._listing_received(page)
        if page.base > have or self._is_listing_beyond(owner, version):
            return None
        self._change_part(owner, version, page.changes)
        return Pull(owner, version) if page.more else None

    def _listing_received(self, page: Page) -> Pull | None:
        owner, _, version, changes, more = page
        listing = self._listings.get(owner)
        if listing is None:
            return None  # the owner was removed meanwhile: the pages before this one are lost
        part = self._part(owner)
        first = listing.version != version
        if first:
            listing.version, listing.last, listing.unseen = version, "", set(part.names)
        for name, local, class_name in changes:
            if local is not None:
                self._put(part, name, Registration(name, owner, local, class_name))
                listing.unseen.discard(name)
        if more:
            if not changes or changes[-1].name <= listing.last:
                return None
            listing.last = changes[-1].name
            return Pull(owner, part.version, version, listing.last)
        for name in sorted(listing.unseen):
            self._put(part, name, None)
        part.restart(version)
        self.touched.add(owner)
        # Names that changed between the first page and the last may be missing or stale.
        return None if first else Pull(owner, version)

    def remove_owner(self, owner: str) -> None:
        """Forget everything of a node that is dead, or gone. Without effect for this node."""
        if owner == self._node_id:
            return
        self._listings.pop(owner, None)
        part = self._parts.pop(owner, None)
        if part is not None:
            for name in part.names:
                self._displace(name, owner)
            self.touched.add(owner)

    def _may_write(self, owner: str, version: int) -> bool:
        if owner == self._node_id:
            self._refute(version)
            return False
        return 0 < version <= MAX_NUMBER and (self._admits is None or self._admits(owner))

    def heard_version(self, owner: str, version: int) -> bool:
        """Somebody holds this version of an owner's part: whether to pull it from there."""
        return self._may_write(owner, version) and version > self.version_of(owner)

    def _is_listing_beyond(self, owner: str, version: int) -> bool:
        """Pages of a later state were taken in: changes up to ``version`` would undo some of it."""
        listing = self._listings.get(owner)
        return listing is not None and version < listing.version

    def _part(self, owner: str) -> Part:
        part = self._parts.get(owner)
        if part is None:
            part = self._parts[owner] = Part(remembers=self._remembered_foreign, exact=False)
        return part

    def _change_part(self, owner: str, version: int, changes: Iterable[NameChange]) -> None:
        part = self._part(owner)
        for name, local, class_name in changes:
            if local is None:
                self._put(part, name, None)
            else:
                self._put(part, name, Registration(name, owner, local, class_name))
            part.note(name, version)
        part.version = version
        self.touched.add(owner)

    # --- finding

    def lookup(self, name: str) -> tuple[Registration, ...]:
        """All instances of a name, in order of node id."""
        return self._index.get(name, ())

    def names(self) -> Mapping[str, tuple[Registration, ...]]:
        """All names and their instances: a view that changes with the registry."""
        return MappingProxyType(self._index)

    def take_changed_names(self) -> tuple[str, ...]:
        """The names whose instances changed since the last call."""
        if not self._changed:
            return ()
        changed = tuple(self._changed)
        self._changed.clear()
        return changed

    def _put(self, part: Part, name: str, registration: Registration | None) -> None:
        """Change one name of a part, and what ``lookup`` says of it."""
        before = part.names.get(name)
        if registration is None:
            if before is not None:
                del part.names[name]
                self._displace(name, before.node_id)
            return
        if registration == before:
            return
        if before is None and part is not self._own and len(part.names) >= self._max_foreign_names:
            return
        part.names[name] = registration
        others = self._index.get(name, ())
        if before is not None:
            others = tuple(each for each in others if each is not before)
        if others:
            self._index[name] = tuple(sorted((*others, registration), key=_node_id))
        else:
            self._index[name] = (registration,)
        self._changed[name] = None

    def _displace(self, name: str, owner: str) -> None:
        others = tuple(each for each in self._index[name] if each.node_id != owner)
        if others:
            self._index[name] = others
        else:
            del self._index[name]
        self._changed[name] = None
