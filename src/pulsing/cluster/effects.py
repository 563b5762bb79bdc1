"""What a cluster core wants done: imperative, frozen. What is not in the list did not happen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from .members import Member, MemberStatus


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send a message and hand back its answer, or why there is none.

    Attributes:
        exchange: number for `stimuli.AnswerReceived` or `stimuli.RequestFailed`, exactly one of
            which must follow.
        addr: ``HOST:PORT`` to send it to.
        body: the message.
        timeout_s: seconds after which it has failed with ``Failure.TIMEOUT``.
    """

    exchange: int
    addr: str
    body: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """Answer a `stimuli.RequestReceived`. Lost silently when its connection has ended."""

    exchange: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ResolveSeeds:
    """Look all seeds up (again), and report with `stimuli.SeedsResolved`."""


@dataclass(frozen=True, slots=True)
class TellMemberChange:
    """Something is believed of a member that was not before: tell whoever listens.

    Attributes:
        member: as it is now.
        before: what was believed of it; None when it was not known.
    """

    member: Member
    before: MemberStatus | None


@dataclass(frozen=True, slots=True)
class TellNameChange:
    """Other instances of these names exist now: wake whoever waits for them."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseLinks:
    """A member is dead, or gone: end the connections to it, so that what waits for it fails.

    Attributes:
        node_id: the member.
        addr: where it was. A new process at the same address must not suffer.
        reason: for the errors of those who wait.
    """

    node_id: str
    addr: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeaveFinished:
    """Enough members know that this node leaves, or time was up."""


class Severity(Enum):
    """How much a line of the log matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class WriteLog:
    """A line for the log.

    Attributes:
        key: lines of one key are limited in their rate.
        text: the line.
        severity: how much it matters.
    """

    key: str
    text: str
    severity: Severity = Severity.INFO


Effect: TypeAlias = (
    SendRequest
    | SendAnswer
    | ResolveSeeds
    | TellMemberChange
    | TellNameChange
    | CloseLinks
    | LeaveFinished
    | WriteLog
)
