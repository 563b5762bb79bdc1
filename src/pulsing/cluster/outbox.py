"""What the parts of a gossip core want sent: requests before they get their news and number."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .effects import Effect
from .member_table import Change
from .messages import Answer, Request


class Purpose(Enum):
    """Why a request is made: who cares for its outcome, and how."""

    DIRECT = "direct"
    """A probe's first ping."""
    AGAIN = "again"
    """Its second ping, while others are asked."""
    INDIRECT = "indirect"
    """Another member pings for us."""
    VERIFY = "verify"
    """Another member pings a suspect, and tells it."""
    PROXY = "proxy"
    """We ping for another member."""
    CALL = "call"
    """Asking around before a suspicion comes true."""
    GOSSIP = "gossip"
    """Passing on news."""
    CORRECTION = "correction"
    """Telling who answered what it has wrong; its answer to that is not corrected again."""
    GOODBYE = "goodbye"
    """Telling that this node leaves."""
    JOIN = "join"
    SYNC = "sync"


class Ask(NamedTuple):
    """A request on its way.

    Attributes:
        purpose: why.
        peer_id: who is asked; "" when only the address is known.
        addr: where.
        request: what.
        timeout_s: for how long.
        about: the probed member.
        reply_to: the exchange of another member's request that waits for the outcome.
        epoch: how often this node had stood still when it asked.
    """

    purpose: Purpose
    peer_id: str
    addr: str
    request: Request
    timeout_s: float
    about: str = ""
    reply_to: int = 0
    epoch: int = 0


class Reply(NamedTuple):
    """An answer to another node's request.

    Attributes:
        exchange: of the request.
        peer_id: who gets it.
        answer: what; Ack and Nack get news.
        about: members that the news must include.
        heard: members that the request had news about.
    """

    exchange: int
    peer_id: str
    answer: Answer
    about: tuple[str, ...] = ()
    heard: frozenset[str] = frozenset()


class Outbox:
    """Collects what is to happen while one stimulus is handled.

    Attributes:
        asks: requests to other nodes.
        replies: answers to theirs.
        changes: beliefs that changed, each with the reason, for people.
        effects: everything else.
    """

    __slots__ = ("asks", "changes", "effects", "replies")

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.replies: list[Reply] = []
        self.changes: list[tuple[Change, str]] = []
        self.effects: list[Effect] = []
