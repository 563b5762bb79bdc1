"""Dead letters: messages that no actor has handled, and of which no sender was told.

A call that fails says so to its caller. A tell, of which nobody awaits whether it arrived, becomes
a `DeadLetter` instead: it is counted, logged at a limited rate, and shown to whoever subscribed.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pulsing.actor.feed import Feed
from pulsing.errors import (
    ActorNotFound,
    ActorStopped,
    ConnectionLost,
    DeadlineExceeded,
    Delivery,
    MailboxFull,
    NodeUnreachable,
)

if TYPE_CHECKING:
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.ids import ActorId
    from pulsing.logs import LimitedLogger

_log = logging.getLogger(__name__)


class LetterReason(Enum):
    """Why nobody got a message."""

    NOT_FOUND = "not_found"
    """There was no such actor."""
    STOPPED = "stopped"
    """The actor stopped, or was restarted, before it came to the message."""
    FULL = "full"
    """There was no room in the mailbox."""
    DROPPED = "dropped"
    """It was thrown away for lack of room, as ``on_full`` of the actor says."""
    EXPIRED = "expired"
    """Its deadline passed before it was started."""
    UNREACHABLE = "unreachable"
    """The node of the actor could not be reached."""
    INTERRUPTED = "interrupted"
    """The actor was stopped or killed while its code for the message ran."""
    LOST = "lost"
    """The connection ended on the way. The actor may have got it nevertheless."""
    REFUSED = "refused"
    """Something else; the error says what."""


_REASONS: Final = (
    (ActorNotFound, LetterReason.NOT_FOUND),
    (ActorStopped, LetterReason.STOPPED),
    (MailboxFull, LetterReason.FULL),
    (DeadlineExceeded, LetterReason.EXPIRED),
    (NodeUnreachable, LetterReason.UNREACHABLE),
    (ConnectionLost, LetterReason.LOST),
)


_ON_ARRIVAL: Final = (ActorStopped, DeadlineExceeded)


def reason_of(error: BaseException) -> LetterReason:
    """The reason behind the error with which a message failed."""
    if isinstance(error, _ON_ARRIVAL) and error.delivered is not Delivery.NO:
        return LetterReason.INTERRUPTED
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return LetterReason.REFUSED


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that no actor has handled.

    Attributes:
        target: the actor it was for: its name or id, and its address when it is on another node.
        method: what was called; ``"receive"`` for a raw message.
        message: the class of a raw message, or empty.
        reason: why.
        error: the same in a sentence.
        sender: the actor that sent it, or None: it came from elsewhere, or it is not known.
    """

    target: str
    method: str
    message: str
    reason: LetterReason
    error: str
    sender: ActorId | None = None


RECEIVE: Final = "receive"
Listener: TypeAlias = Callable[[DeadLetter], object]


class DeadLetterFeed(Feed[DeadLetter]):
    """Dead letters of a node from when this was made: ``async for letter in ...``."""


class DeadLetters:
    """The dead letters of one system.

    Attributes:
        count: how many there were.
    """

    def __init__(self, log: LimitedLogger) -> None:
        self.count = 0
        self._counts: Counter[LetterReason] = Counter()
        self._log = log
        self._listeners: dict[object, Listener] = {}
        self._feeds: weakref.WeakSet[DeadLetterFeed] = weakref.WeakSet()
        self._closed = False

    @property
    def by_reason(self) -> Mapping[LetterReason, int]:
        """How many there were for each reason."""
        return self._counts

    def put(self, letter: DeadLetter) -> None:
        """Count it, log it, show it."""
        self.count += 1
        self._counts[letter.reason] += 1
        where = letter.target if letter.method == RECEIVE else f"{letter.target}.{letter.method}"
        self._log.warning(f"tell {where}", "a tell to %s was lost: %s", where, letter.error)
        for listener in tuple(self._listeners.values()):
            try:
                listener(letter)
            except Exception:  # noqa: BLE001  # of the user's code
                _log.exception("a listener of dead letters failed")
        for feed in tuple(self._feeds):
            feed.put(letter)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with each. Returns what ends it."""
        key = object()
        self._listeners[key] = listener

        def end() -> None:
            self._listeners.pop(key, None)

        return end

    def feed(self) -> DeadLetterFeed:
        """An iterator over those to come."""
        feed = DeadLetterFeed()
        if self._closed:
            feed.end()
        else:
            self._feeds.add(feed)
        return feed

    def close(self) -> None:
        """The system is shut down: end the iterators."""
        self._closed = True
        for feed in tuple(self._feeds):
            feed.end()


def lost_tell(
    dispatcher: Dispatcher,
    error: BaseException,
    *,
    target: str,
    method: str,
    message: str = "",
    sender: object = None,
    reason: LetterReason | None = None,
) -> None:
    """A tell was not handled, and nobody waits for it.

    Args:
        dispatcher: of the system that noticed.
        error: why.
        target: see `DeadLetter`, as all that follow.
        method: likewise.
        message: likewise.
        sender: the cell or the id of the actor that sent it, or None.
        reason: default: what the error says.
    """
    dispatcher.counters.lost_tells += 1
    text = f"{type(error).__name__}: {error}"
    sender_id: Any = getattr(sender, "actor_id", sender)
    dispatcher.dead_letters.put(
        DeadLetter(target, method, message, reason or reason_of(error), text, sender_id)
    )
