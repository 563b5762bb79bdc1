"""What happens to a cluster core: past tense, frozen.

A core has one door, ``handle(stimulus, now=...) -> list[Effect]``, and ``next_deadline()``, at
which its shell hands it `DeadlineReached`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Failure(Enum):
    """Why a request to another node has no answer."""

    REFUSED = "refused"
    """Nobody listens at the address: the operating system there said so."""
    TIMEOUT = "timeout"
    """Nothing was heard in time."""
    LOST = "lost"
    """The connection ended while the request was under way."""
    UNREACHABLE = "unreachable"
    """No way to the address, or it is none."""
    FOREIGN = "foreign"
    """Another cluster, protocol version or passphrase, or no node at all."""


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """``next_deadline()`` has come."""


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A node asks.

    Attributes:
        exchange: number for the `effects.SendAnswer`; the shell's, never reused.
        peer_id: node id the connection was introduced with.
        body: the message.
    """

    exchange: int
    peer_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class AnswerReceived:
    """The answer to an `effects.SendRequest`.

    Attributes:
        exchange: number of the request; the core's.
        peer_id: node id of the node that answered.
        body: the message.
    """

    exchange: int
    peer_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """There is no answer to an `effects.SendRequest`.

    Attributes:
        exchange: number of the request.
        failure: why.
        text: the same for people.
    """

    exchange: int
    failure: Failure
    text: str = ""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """A connection to or from a member ended without a goodbye (reset or closed by the other side).

    Together with a refused new connection it is proof that the process is gone.
    """

    node_id: str


@dataclass(frozen=True, slots=True)
class SeedsResolved:
    """The answer to `effects.ResolveSeeds`: addresses of all seeds, as far as they resolve."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameRegistered:
    """A public named actor of this node was started."""

    name: str
    local: int
    class_name: str


@dataclass(frozen=True, slots=True)
class NameUnregistered:
    """A public named actor of this node stopped."""

    name: str


@dataclass(frozen=True, slots=True)
class StallEnded:
    """The loop of this node turns again.

    Attributes:
        incarnation: the highest incarnation that the guard claimed meanwhile on this node's behalf.
    """

    incarnation: int


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """This node is about to stop: say goodbye. Ends with `effects.LeaveFinished`."""


Stimulus: TypeAlias = (
    DeadlineReached
    | RequestReceived
    | AnswerReceived
    | RequestFailed
    | LinkLost
    | SeedsResolved
    | NameRegistered
    | NameUnregistered
    | StallEnded
    | LeaveRequested
)
