"""The messages between nodes of a cluster, as values.

Every request has one answer. Each carries news; ``encode`` and ``decode`` turn them into bytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from .claims import Claim


class NameChange(NamedTuple):
    """A name that an owner registered (``local`` is its actor's number) or dropped (None)."""

    name: str
    local: int | None
    class_name: str = ""


class RegistryDelta(NamedTuple):
    """What an owner changed in its part of the registry from version ``base`` to ``version``.

    Without changes it is a hint that there is such a version: too much changed to say it here.
    """

    owner: str
    base: int
    version: int
    changes: tuple[NameChange, ...] = ()


class News(NamedTuple):
    """What rides along with every message."""

    claims: tuple[Claim, ...] = ()
    deltas: tuple[RegistryDelta, ...] = ()


NO_NEWS: Final = News()

# --- probes and gossip ---------------------------------------------------------------------------


class Ping(NamedTuple):
    """Are you there, ``target``? Answered by Ack, or by NotMe from another process."""

    target: str
    news: News = NO_NEWS


class Probe(NamedTuple):
    """Ping ``target`` at ``addr`` for me. Answered by Ack, or by Nack when it is silent."""

    target: str
    addr: str
    news: News = NO_NEWS


class Gossip(NamedTuple):
    """Nothing but news. Answered by Ack."""

    news: News = NO_NEWS


class Ack(NamedTuple):
    """Yes; and news in return."""

    news: News = NO_NEWS


class Nack(NamedTuple):
    """The probed member did not answer in time, but I do (Lifeguard)."""

    news: News = NO_NEWS


class NotMe(NamedTuple):
    """Another process is at this address: the one that sends ``claim`` about itself."""

    claim: Claim


# --- joining, and comparing tables ---------------------------------------------------------------


class Join(NamedTuple):
    """I am ``claim``; who is there? Answered by Welcome or Rejected."""

    claim: Claim


class Welcome(NamedTuple):
    """Members, this one first; the rest of a large cluster comes by Compare."""

    claims: tuple[Claim, ...]


class RejectCode(IntEnum):
    """Why a node is not let in, or not answered. The number is what travels."""

    NAME_TAKEN = 1
    """A present member has the same configured name: give this node another one."""
    SELF = 2
    """The asked node has the asker's node id: it is the same process."""
    FULL = 3
    """No further members are accepted."""
    MODE = 4
    """One of the two uses gossip, the other a head node."""
    INVALID = 5
    """The message breaks the protocol."""


class Rejected(NamedTuple):
    """No; ``reason`` for people. ``code`` says what to do: see `RejectCode`."""

    code: int
    reason: str


class Compare(NamedTuple):
    """The digest of my tables is ``root``. Answered by Same or Buckets."""

    root: int


class Same(NamedTuple):
    """So is mine."""


class Buckets(NamedTuple):
    """It is not: these are the digests of my buckets."""

    digests: tuple[int, ...]


class Exchange(NamedTuple):
    """What I know in the buckets that differ; the answer is the same of the other side.

    Attributes:
        buckets: the numbers of the buckets.
        claims: about every member in them.
        versions: of the registry parts of members in them: owner and version.
        complete: False when more did not fit; the next round brings it.
    """

    buckets: tuple[int, ...]
    claims: tuple[Claim, ...]
    versions: tuple[tuple[str, int], ...]
    complete: bool = True


class Pull(NamedTuple):
    """Tell me of ``owner``'s part of the registry what came after version ``have``.

    ``after`` is the last name of the previous page of a listing, "" for its first page, and
    ``version`` that listing's version, 0 when none was begun.
    """

    owner: str
    have: int
    version: int = 0
    after: str = ""


class Page(NamedTuple):
    """The answer to Pull: a delta, or one page of a listing of everything.

    Attributes:
        owner: whose part.
        base: changes apply to this version; a listing replaces everything and has -1.
        version: afterwards; 0: nothing is known of the owner here.
        changes: as in a delta; of a listing: all names in order.
        more: the listing goes on after the last of these names.
    """

    owner: str
    base: int
    version: int
    changes: tuple[NameChange, ...]
    more: bool = False


# --- head mode -----------------------------------------------------------------------------------


class Register(NamedTuple):
    """A worker to its head: I am ``claim``, with these names (all of them)."""

    claim: Claim
    version: int
    names: tuple[NameChange, ...]
    more: bool = False


class Heartbeat(NamedTuple):
    """A worker to its head: I live; my part of the registry has this version."""

    node_id: str
    version: int
    delta: RegistryDelta | None = None


class Registered(NamedTuple):
    """The head knows you. ``known``: its version of your names; below yours: register again."""

    known: int


class Unknown(NamedTuple):
    """The head does not know you (it restarted, or declared you dead): register again."""


class PullAll(NamedTuple):
    """A worker to its head: what changed since ``version`` of your table? 0: everything."""

    epoch: int
    version: int


class Table(NamedTuple):
    """The head's table, or what changed of it: members and registry versions."""

    epoch: int
    version: int
    claims: tuple[Claim, ...]
    versions: tuple[tuple[str, int], ...]
    more: bool = False


Request: TypeAlias = (
    Ping | Probe | Gossip | Join | Compare | Exchange | Pull | Register | Heartbeat | PullAll
)
Answer: TypeAlias = (
    Ack
    | Nack
    | NotMe
    | Welcome
    | Rejected
    | Same
    | Buckets
    | Exchange
    | Page
    | Registered
    | Unknown
    | Table
)
