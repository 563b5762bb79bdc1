"""What happened in a virtual run: a hash that tells two runs apart, and the last of it in words."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

_REMEMBERED: Final = 1000
_pack = struct.Struct("<dII").pack


class History:
    """Every octet that nodes sent, and whatever else was told, in order and with its time.

    Args:
        now: the clock.

    Attributes:
        events: how many of both there were.
        octets: how many were sent.
        sealed: nothing that happens now counts any more.
    """

    __slots__ = ("_hash", "_now", "_recent", "events", "octets", "sealed")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._hash = blake2b(digest_size=16)
        self._recent: deque[tuple[float, str | tuple[object, object, int]]] = deque(
            maxlen=_REMEMBERED
        )
        self.events = 0
        self.octets = 0
        self.sealed = False

    def happened(self, text: str) -> None:
        """Something in words: a fault, a connection, or what a test has to say."""
        if not self.sealed:
            now = self._now()
            self.events += 1
            self._hash.update(_pack(now, 0, len(text)) + text.encode())
            self._recent.append((now, text))

    def sent(self, connection: int, sender: object, receiver: object, data: bytes) -> None:
        """Octets left a node.

        Args:
            connection: its number; odd and even tell its two directions apart.
            sender: shown in `lines`.
            receiver: shown in `lines`.
            data: the octets.
        """
        if not self.sealed:
            now = self._now()
            self.events += 1
            self.octets += len(data)
            self._hash.update(_pack(now, connection, len(data)) + data)
            self._recent.append((now, (sender, receiver, len(data))))

    def digest(self) -> str:
        """Of all so far: equal for equal seeds, in every process."""
        return self._hash.hexdigest()

    def lines(self, last: int = 40) -> list[str]:
        """What happened last, for people."""
        return [f"{at:12.6f} {_told(what)}" for at, what in list(self._recent)[-last:]]


def _told(what: str | tuple[object, object, int]) -> str:
    if isinstance(what, str):
        return what
    sender, receiver, octets = what
    return f"{sender} -> {receiver}: {octets} octets"
