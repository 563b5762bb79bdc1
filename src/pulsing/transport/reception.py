"""What a listening port allows, counts and knows: shared by its listener and its arrivals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pulsing.logs import LimitedLogger

from .exchange import ForeignLimits
from .foreign import ForeignServer

if TYPE_CHECKING:
    from .sniffing import Arrival
    from .tls import ClusterTls


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenerLimits:
    """What one listening port allows. Times in seconds."""

    backlog: int = 1024
    """Connections the system queues before they are accepted."""
    max_undecided: int = 1024
    """Connections that have not said yet what they are; beyond, the oldest of them goes."""
    introduction_timeout_s: float = 5.0
    """From accept to the decision, a TLS handshake included."""
    linger_s: float = 1.0
    """For a client that was turned away to read why."""
    foreign: ForeignLimits = field(default_factory=ForeignLimits)

    def __post_init__(self) -> None:
        for name in ("backlog", "max_undecided", "introduction_timeout_s", "linger_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


@dataclass(slots=True)
class ListenerCounters:
    """What became of the connections of one listener, since its start."""

    accepted: int = 0
    peers: int = 0
    foreign: int = 0
    turned_away: int = 0
    """Told that they are not welcome, or closed for talking nonsense."""
    handshakes_failed: int = 0
    """TLS handshakes that ended without a connection, whoever ended them."""
    too_slow: int = 0
    """Did not say in time what they are, or made room for others."""
    shed: int = 0
    """Refused because the process had no file descriptor left."""


@dataclass(frozen=True, slots=True)
class PeerConnectionInfo:
    """What is known about an inbound connection of a peer before its first frame is read.

    Attributes:
        address: remote ``HOST:PORT``.
        tls: whether it is encrypted.
        authenticated: whether the peer proved to hold the passphrase. True whenever ``tls`` is.
    """

    address: str
    tls: bool
    authenticated: bool


MakePeerProtocol = Callable[[PeerConnectionInfo], asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class Reception:
    """What an arrival needs of its listener."""

    make_peer_protocol: MakePeerProtocol
    foreign: ForeignServer
    tls: ClusterTls | None
    limits: ListenerLimits
    introduction: Sequence[tuple[int, int]]
    log: LimitedLogger
    counters: ListenerCounters
    left: Callable[[Arrival], None]
    """Called once per arrival: somebody serves it, or it is gone."""
