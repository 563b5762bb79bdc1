"""The HTTP/2 connection between two nodes, without I/O.

Octets go in by ``receive_data``; what is to be sent collects in ``out``; streams hear through
their hooks. The layers: what leaves (outgoing), how streams end (ending), bodies that come in
(bodies), and here the frames. The two sides add what differs (client_core, server_core).

Invariants: every octet received is charged to both windows before anyone sees it; a stream is in
``streams`` exactly while it is open or half-closed; after ``closing`` is set nothing is parsed.
Whatever a peer sends gives hooks, frames, or a GOAWAY: never another exception.

Source: RFC 9113. Sections are cited where obeyed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .bodies import Bodies, strip_padding
from .control import ControlFrames
from .faults import ConnectionFault, FrameSizeFault
from .frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_BYTES,
    HEADERS,
    LARGEST_STREAM_ID,
    PADDED,
    PRIORITY_FLAG,
    SETTINGS,
    ErrorCode,
    unpack_frame_header,
)
from .header_blocks import Head, HeadCache
from .limits import TransportLimits
from .outgoing import SMALL_BODY_BYTES, data_end_prefix
from .sending import SendRound
from .streams import PeerInfo

__all__ = ["SMALL_BODY_BYTES", "Connection", "data_end_prefix"]

INCREMENTAL_BYTES: Final = 16_384
"""DATA frames above this are handed on as they arrive, not when complete."""
_MAX_WHOLE_BYTES: Final = 32_768
"""Other frames are kept until they are complete, and so may not be longer than this."""
_ID_MASK: Final = LARGEST_STREAM_ID


class Connection(Bodies):
    """Both roles of an HTTP/2 connection.

    Attributes:
        heads: decoded header blocks, shared by all connections of a node.
        introduced: the peer's first SETTINGS were read.
        acknowledged: the peer has confirmed ours.
        on_introduced: called with the peer's first SETTINGS.
    """

    peer_may_enable_push: bool

    def __init__(
        self,
        *,
        peer: PeerInfo,
        limits: TransportLimits,
        heads: HeadCache,
        settings: list[tuple[int, int]],
        now: float,
        on_output: Callable[[], None],
    ) -> None:
        super().__init__(peer=peer, limits=limits, on_output=on_output, now=now)
        self.heads = heads
        self.introduced = False
        self.acknowledged = False
        self.on_introduced: Callable[[dict[int, int]], None] | None = None
        self.round = SendRound(self)
        self._control = ControlFrames(self)
        self._useful = 0
        # Where the parser is.
        self._tail = b""
        self._block: bytearray | None = None
        self._block_id = 0
        self._block_flags = 0
        self.introduce(settings)
        self.in_batch = False

    def receive_data(self, data: bytes, now: float) -> None:
        """Parse what arrived. Never raises for what a peer sent."""
        self.last_received = now
        if self.closing is not None:
            return
        self.in_batch = True
        try:
            if self.direct_rest:
                data = self._continue_data(data)
            if self._tail:
                data = self._tail + data
                self._tail = b""
            if not self.introduced:
                data = self._opening(data)
            if data:
                self._parse(data)
            if self.budget.spent > 0:
                useful = self._opened() - self.broken - len(self.streams)
                self.budget.check(now, useful - self._useful)
                self._useful = useful
        except ConnectionFault as fault:
            self.fail(fault)
        finally:
            self.in_batch = False

    def _opening(self, data: bytes) -> bytes:
        """The first octets of a connection; returns those to be parsed."""
        if len(data) > 3 and data[3] != SETTINGS:
            raise ConnectionFault("the first frame must be SETTINGS (3.4)")
        return data

    def _parse(self, data: bytes) -> None:
        position, end = 0, len(data)
        streams = self.streams
        max_frame = self.limits.max_frame_bytes
        initial_window = self.limits.stream_window_bytes
        while True:
            position = self._fast(data, position, end)
            if end - position < FRAME_HEADER_BYTES:
                break
            high, low, kind, flags, stream_id = unpack_frame_header(data, position)
            length = high << 8 | low
            if length > max_frame:
                raise FrameSizeFault(f"frame of {length} bytes exceeds {max_frame} (4.2)")
            start = position + FRAME_HEADER_BYTES
            stop = start + length
            if stop > end:
                if self._incomplete(kind, flags, stream_id & _ID_MASK, length):
                    self._continue_data(data[start:])
                    return
                break
            if self._block is not None and kind != CONTINUATION:
                raise ConnectionFault("a header block was not continued (6.10)")
            if kind == DATA:
                window = self._recv_window - length
                self._recv_window = window
                if window < self._recv_low:
                    self._refill_window()
                stream = streams.get(stream_id)
                if (
                    flags == END_STREAM
                    and stream is not None
                    and stream.flow is None
                    and stream.reader is None
                    and not stream.remote_closed
                    and length <= initial_window
                ):
                    self._body_complete(stream, data[start:stop])
                else:
                    self._data(stream_id & _ID_MASK, flags, data[start:stop])
            elif kind == HEADERS:
                if flags & ~END_STREAM == END_HEADERS:
                    self._headers(stream_id & _ID_MASK, flags & END_STREAM, data[start:stop])
                else:
                    self._headers_slow(stream_id & _ID_MASK, flags, data[start:stop])
            elif kind == CONTINUATION:
                self._continuation(stream_id & _ID_MASK, flags, data[start:stop])
            else:
                self._control.receive(kind, flags, stream_id & _ID_MASK, data[start:stop])
                if self.closing is not None:
                    return
            position = stop
        if position < end:
            self._tail = data[position:]

    def _fast(self, data: bytes, position: int, end: int) -> int:
        """Messages of two whole frames, HEADERS and DATA: nearly all there are.

        The roles know what they look like. Everything else is left to `_parse`.

        Returns:
            Where the first frame begins that is something else.
        """
        raise NotImplementedError

    def _incomplete(self, kind: int, flags: int, stream_id: int, length: int) -> bool:
        """A frame of which not everything is here. Says whether it is taken piece by piece."""
        if self._block is not None and kind != CONTINUATION:
            raise ConnectionFault("a header block was not continued (6.10)")
        if kind == DATA and length > INCREMENTAL_BYTES and not flags & PADDED:
            self._begin_data(stream_id, flags, length)
            return True
        if length > _MAX_WHOLE_BYTES and kind != DATA:
            # Every piece that comes is copied to the others: long frames would cost too much.
            raise ConnectionFault(f"frame of {length} bytes", ErrorCode.ENHANCE_YOUR_CALM)
        return False

    # --- header blocks (6.2, 6.10)

    def _headers(self, stream_id: int, end_stream: int, block: bytes) -> None:
        """A complete header block. The roles differ in what it starts."""
        raise NotImplementedError

    def _headers_slow(self, stream_id: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = strip_padding(payload)
        if flags & PRIORITY_FLAG:
            if len(payload) < 5:
                raise FrameSizeFault("HEADERS too short for its priority fields (6.2)")
            if int.from_bytes(payload[:4], "big") & _ID_MASK == stream_id:
                raise ConnectionFault("a stream depends on itself (5.3.1 of RFC 7540)")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._headers(stream_id, flags & END_STREAM, payload)
        else:
            self._check_block(payload)
            self._block = bytearray(payload)
            self._block_id = stream_id
            self._block_flags = flags

    def _continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if self._block is None or stream_id != self._block_id:
            raise ConnectionFault("CONTINUATION without its HEADERS (6.10)")
        self.budget.spend()
        self._block += payload
        self._check_block(self._block)
        if flags & END_HEADERS:
            block, self._block = bytes(self._block), None
            self._headers(stream_id, self._block_flags & END_STREAM, block)

    def _check_block(self, block: bytes | bytearray) -> None:
        if len(block) > self.limits.max_header_block_bytes:
            raise ConnectionFault("header block too large", ErrorCode.ENHANCE_YOUR_CALM)

    def new_head(self, block: bytes) -> Head:
        """Decode a block that the cache does not know. Raises ConnectionFault."""
        self._check_block(block)
        return self.heads.decode(block)

    # --- what the roles know

    def _opened(self) -> int:
        """How many streams there have been."""
        raise NotImplementedError

    def settings_changed(self) -> None:
        """The peer's settings are others now."""

    def ping_acknowledged(self, payload: bytes) -> None:
        """The peer answered a PING of ours."""

    def peer_goes_away(self, last_id: int, code: int, text: str) -> None:
        """GOAWAY came."""
        raise NotImplementedError
