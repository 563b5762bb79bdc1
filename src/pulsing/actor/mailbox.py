"""Mailbox policy: what happens to a message that arrives at a full mailbox.

Pure: the cell asks, the answer is a value.
"""

from __future__ import annotations

from enum import Enum


class OnFull(Enum):
    """What a full mailbox answers."""

    WAIT = "wait"
    """The sender waits for room; nothing is lost."""
    REJECT = "reject"
    """The sender gets `MailboxFull` at once; nothing was delivered."""


class Admission(Enum):
    """What becomes of a message that arrives at a full mailbox."""

    PARK = "park"
    """It waits behind the mailbox, in order, and counts as accepted when there is room."""
    REJECT = "reject"
    """Its sender gets `MailboxFull`."""


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
    if on_full is OnFull.REJECT:
        return Admission.REJECT
    if patient or parked < mailbox_size:
        return Admission.PARK
    return Admission.REJECT
