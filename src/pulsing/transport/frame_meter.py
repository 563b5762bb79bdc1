"""Weighs what an HTTP/2 client makes a server do, where the server's library counts nothing.

Pure: octets and the time in, a verdict out. Only frame headers are read (RFC 9113 4.1); the library
behind judges the rest. Abuse limits: RFC 9113 10.5; rapid reset is CVE-2023-44487.
"""

from __future__ import annotations

from typing import Final

from .frames import (
    CONTINUATION,
    DATA,
    DEFAULT_MAX_FRAME_BYTES,
    FRAME_HEADER_BYTES,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    unpack_frame_header,
)

BURST: Final = 20_000.0
"""Weight a client may spend at once: 900 requests each reset at once, or 1,000 pings."""
REFILL_PER_S: Final = 5_000.0
"""Weight that grows back: 2,500 requests a second, or 250 pings."""

_EMPTY_DATA: Final = 10
_OTHER: Final = 10  # PRIORITY and unknown types: cheap, but nobody needs many
_WEIGHTS: Final = {
    DATA: 0,  # flow control bounds it
    HEADERS: 2,
    RST_STREAM: 20,
    SETTINGS: 20,
    PING: 20,
    WINDOW_UPDATE: 1,
    CONTINUATION: 20,
}


class FrameMeter:
    """Follows the octets of one client, from its preface on.

    Args:
        now: seconds, of any monotonic clock.
    """

    __slots__ = ("_as_of", "_header", "_left", "_skip")

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._as_of = now
        self._skip = len(PREFACE)
        self._header = bytearray()

    def feed(self, data: bytes, now: float) -> ErrorCode | None:
        """Count the frames that begin in ``data``.

        Returns:
            The code to end the connection with: the client makes too much work, or announces a
            frame above the default limit, which the library would collect first (4.2).
        """
        self._left = min(BURST, self._left + (now - self._as_of) * REFILL_PER_S)
        self._as_of = now
        position, size = self._skip, len(data)
        while position < size:
            part = data[position : position + FRAME_HEADER_BYTES - len(self._header)]
            self._header += part
            position += len(part)
            if len(self._header) < FRAME_HEADER_BYTES:
                break
            high, low, kind, _, _ = unpack_frame_header(self._header)
            length: int = high << 8 | low
            if length > DEFAULT_MAX_FRAME_BYTES:
                return ErrorCode.FRAME_SIZE_ERROR
            self._header.clear()
            self._left -= _EMPTY_DATA if kind == DATA and not length else _WEIGHTS.get(kind, _OTHER)
            position += length
        self._skip = max(0, position - size)
        return ErrorCode.ENHANCE_YOUR_CALM if self._left < 0 else None
