"""Mailbox policy: how an actor takes messages, and what happens to one that finds no room.

Pure: the cell asks, the answer is a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from pulsing.actor.methods import Executor

if TYPE_CHECKING:
    from pulsing.actor.restart_policy import ChildSpec, SupervisorSpec


class OnFull(Enum):
    """What a full mailbox answers."""

    WAIT = "wait"
    """The sender waits for room; nothing is lost."""
    REJECT = "reject"
    """The sender gets `MailboxFull` at once; nothing was delivered."""
    DROP_OLDEST = "drop_oldest"
    """The message that waited longest makes room. If it was an ask, its caller gets `MailboxFull`;
    if it was a tell, it is a dead letter."""
    DROP_NEWEST = "drop_newest"
    """The message that finds no room is dropped in the same way. Its sender need not care: that is
    the difference to `REJECT`, for tells."""


class Admission(Enum):
    """What becomes of a message that arrives at a full mailbox."""

    PARK = "park"
    """It waits behind the mailbox, in order, and counts as accepted when there is room."""
    REJECT = "reject"
    """Its sender gets `MailboxFull`."""
    DROP_OLDEST = "drop_oldest"
    """The first one in the mailbox is dropped, and it takes the room."""
    DROP_NEWEST = "drop_newest"
    """It is dropped itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """How an actor takes its messages.

    Attributes:
        max_concurrency: messages that may be inside the actor's code at a time, each but one
            waiting at an ``await``. 1 makes it strictly one message after another.
        mailbox_size: messages that may wait. Higher takes bursts and memory.
        on_full: what a sender gets when as many wait.
        executor: where ``def`` methods run, unless they say otherwise.
        stream_buffer: items a stream may be ahead of its consumer, unless the method or the
            caller says otherwise. Higher smooths bursts and takes memory.
        restart: when it is made to run again; None: never.
        supervisor: how it looks after its children, or None: each has its own budget.
    """

    max_concurrency: int = 1000
    mailbox_size: int = 10_000
    on_full: OnFull = OnFull.WAIT
    executor: Executor = Executor.THREAD
    stream_buffer: int = 256
    restart: ChildSpec | None = None
    supervisor: SupervisorSpec | None = None

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "mailbox_size", "stream_buffer"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number, 1 or more")


_FIXED: Final = {
    OnFull.REJECT: Admission.REJECT,
    OnFull.DROP_OLDEST: Admission.DROP_OLDEST,
    OnFull.DROP_NEWEST: Admission.DROP_NEWEST,
}


def admission(on_full: OnFull, *, patient: bool, parked: int, mailbox_size: int) -> Admission:
    """Decide about a message for which there is no room.

    Whoever sends an ask waits for the answer and therefore sends no more: such senders may always
    be parked. The sender of a tell need not wait, so that tells beyond a second mailbox full are
    refused, whatever the policy: memory stays bounded.

    Args:
        on_full: the policy of the actor.
        patient: the sender waits for this very message.
        parked: how many wait already.
        mailbox_size: messages the mailbox holds.
    """
    fixed = _FIXED.get(on_full)
    if fixed is not None:
        return fixed
    if patient or parked < mailbox_size:
        return Admission.PARK
    return Admission.REJECT
