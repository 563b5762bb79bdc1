"""What happens between a node and the actors it watches on another: the words of `watch_core`.

Stimuli are past tense, effects are imperative; both are frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pulsing.actor.exit_reason import ExitReason


class Loss(Enum):
    """Why there is no session any more, or could be none."""

    LOST = "lost"
    """The connection ended, or the node does not know the session any more."""
    UNREACHABLE = "unreachable"
    """No connection could be made, or nothing was heard in time."""
    REFUSED = "refused"
    """Nobody listens at the address: the operating system there said so."""
    FOREIGN = "foreign"
    """Another process answers there."""
    CLOSED = "closed"
    """The node ended it: it takes no more calls."""


@dataclass(frozen=True, slots=True)
class End:
    """An actor is gone.

    Attributes:
        local: its number on its node.
        reason: how it ended.
        error: what ended it, as text.
    """

    local: int
    reason: ExitReason
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """What the other node is to do. Doing any of it twice changes nothing.

    Attributes:
        watch: actors to watch from now on.
        again: likewise, but they had been watched before: how they ended meanwhile is of interest.
        drop: actors to watch no more.
        link: actors to link, each with the number of the actor here.
        unlink: links to dissolve, likewise.
    """

    watch: tuple[int, ...] = ()
    again: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()
    link: tuple[tuple[int, int], ...] = ()
    unlink: tuple[tuple[int, int], ...] = ()


# --- stimuli -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WatchWanted:
    """Somebody here wants to hear of the end of an actor there."""

    local: int


@dataclass(frozen=True, slots=True)
class WatchDropped:
    """Nobody here does any more."""

    local: int


@dataclass(frozen=True, slots=True)
class LinkWanted:
    """An actor there shall hear of the end of one here, which watches it already."""

    local: int
    ours: int


@dataclass(frozen=True, slots=True)
class LinkDropped:
    """It shall not any more."""

    local: int
    ours: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The node takes orders for the session ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """There is no session.

    Attributes:
        loss: why.
        guarded: the cluster believes the node present, and would notice its death.
    """

    loss: Loss
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class OrdersDone:
    """The batch that was under way has been carried out; ``missing`` were gone already."""

    missing: tuple[End, ...] = ()


@dataclass(frozen=True, slots=True)
class EndsHeard:
    """The node told who has ended."""

    ends: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class NodeDied:
    """The cluster knows that the node is dead, or has left."""


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """``next_deadline()`` has come."""


Stimulus: TypeAlias = (
    WatchWanted
    | WatchDropped
    | LinkWanted
    | LinkDropped
    | SessionOpened
    | SessionEnded
    | OrdersDone
    | EndsHeard
    | NodeDied
    | DeadlineReached
)


# --- effects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Answer with `SessionOpened` or `SessionEnded`."""


@dataclass(frozen=True, slots=True)
class CloseSession:
    """It is not needed; nothing is to be told of it any more."""


@dataclass(frozen=True, slots=True)
class SendOrders:
    """Answer with `OrdersDone` or `SessionEnded`."""

    session: int
    orders: Orders


@dataclass(frozen=True, slots=True)
class TellEnds:
    """These have ended, and are forgotten here."""

    ends: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class TellPlaced:
    """The node knows of the watches on these actors."""

    locals: tuple[int, ...]


Effect: TypeAlias = OpenSession | CloseSession | SendOrders | TellEnds | TellPlaced
