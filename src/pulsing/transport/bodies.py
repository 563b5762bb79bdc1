"""Bodies that come in: windows charged, octets collected, windows opened again.

Third layer of ``Connection`` (connection_core). Every octet is charged to both windows before
anyone sees it. What is kept for one connection is bounded: a body is counted in full when it is
announced and refused when there is no room; unread items keep the connection's window shut.

Source: RFC 9113 sections 5.2, 6.1, 6.9, 8.1.1.
"""

from __future__ import annotations

from collections.abc import Callable

from pulsing.errors import PulsingRuntimeError

from .ending import Streams
from .faults import ConnectionFault, FlowControlFault, StreamFault
from .frames import END_STREAM, FRAME_HEADER_BYTES, PADDED, ErrorCode
from .items import ItemReader
from .limits import TransportLimits
from .streams import Flow, PeerInfo, Stream, new_buffer


class Bodies(Streams):
    """The receiving of DATA.

    Attributes:
        held: bytes kept for incomplete bodies and unread items.
        direct_rest: octets still to come of the large DATA frame under way.
        last_received: time of the last octets, in the caller's clock.
    """

    def __init__(
        self,
        *,
        peer: PeerInfo,
        limits: TransportLimits,
        on_output: Callable[[], None],
        now: float,
    ) -> None:
        super().__init__(peer=peer, limits=limits, on_output=on_output, now=now)
        self.last_received = now
        self.held = 0
        self.direct_rest = 0
        self._rest_stream: Stream | None = None
        self._rest_end = False
        self._space: memoryview | None = None
        self._recv_window = limits.connection_window_bytes
        self._recv_low = limits.connection_window_bytes // 2

    # --- frames: 6.1

    def _data(self, stream_id: int, flags: int, payload: bytes) -> None:
        """A complete DATA frame off the fast path; the connection's window is charged already."""
        length = len(payload)
        if flags & PADDED:
            payload = strip_padding(payload)
        stream = self._data_stream(stream_id, length)
        if stream is None:
            return
        if length > len(payload) and not flags & END_STREAM:
            self._return_padding(stream, length - len(payload))
        if payload:
            self._body_data(stream, payload)
        elif not flags & END_STREAM:
            self.budget.spend()  # 10.5: empty frames are work without progress
        if flags & END_STREAM and not stream.closed:
            self._body_end(stream)

    def _begin_data(self, stream_id: int, flags: int, length: int) -> None:
        """The header of a large DATA frame: charge the windows now, hand on what comes."""
        self._recv_window -= length
        if self._recv_window < self._recv_low:
            self._refill_window()
        self.direct_rest = length
        self._rest_stream = self._data_stream(stream_id, length)
        self._rest_end = bool(flags & END_STREAM)

    def _continue_data(self, data: bytes) -> bytes:
        """Octets of the large frame under way; returns what lies behind it."""
        piece = data[: self.direct_rest]
        self.direct_rest -= len(piece)
        stream = self._rest_stream
        if stream is not None and not stream.closed and piece:
            self._body_data(stream, piece)
        if not self.direct_rest:
            self._end_rest()
        return data[len(piece) :]

    def _end_rest(self) -> None:
        stream, self._rest_stream = self._rest_stream, None
        if self._rest_end and stream is not None and not stream.closed:
            self._body_end(stream)

    def _room(self) -> memoryview | None:
        """Memory for the rest of the body, or item, that the large frame under way belongs to."""
        stream = self._rest_stream
        if stream is None or stream.closed or self.closing is not None:
            return None
        if stream.reader is not None:
            return stream.reader.space()
        flow = stream.flow
        if flow is None or flow.collected is None or flow.expected is None:
            return None
        return memoryview(flow.collected)[flow.collected_bytes :]

    def direct_left(self) -> int:
        """How many octets could still be received without a copy, in this frame and the next."""
        room = self._room() if self.direct_rest else None
        return len(room) if room is not None else 0

    def direct_space(self) -> memoryview | None:
        """Where the coming octets of a large body belong, so that they need no copy; or None.

        With room for the header of the next frame, which so comes along without another read:
        what belongs in its place is written over it later.
        """
        room = self._room()
        if not room:
            return None
        ahead = self.direct_rest + FRAME_HEADER_BYTES
        self._space = room[: ahead if len(room) >= ahead else self.direct_rest]
        return self._space

    def direct_received(self, size: int, now: float) -> None:
        """``size`` octets were put into ``direct_space()``."""
        self.last_received = now
        behind = b""
        if size > self.direct_rest and self._space is not None:
            behind = bytes(self._space[self.direct_rest : size])
            size = self.direct_rest
        self._space = None
        stream = self._rest_stream
        self.direct_rest -= size
        self.in_batch = True
        try:
            if stream is not None and not stream.closed:
                if stream.reader is not None:
                    self.held += size
                    stream.reader.space_filled(size)
                    self._items_changed(stream.reader)
                elif stream.flow is not None:
                    stream.flow.collected_bytes += size
                    self._body_arrived(stream, stream.flow, size)
            if not self.direct_rest:
                self._end_rest()
        except ConnectionFault as fault:
            self.fail(fault)
        finally:
            self.in_batch = False
        if behind:
            self.receive_data(behind, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Parse what arrived."""
        raise NotImplementedError

    def _data_stream(self, stream_id: int, length: int) -> Stream | None:
        """The stream a DATA frame belongs to, its window charged; None when it is to be dropped."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id == 0 or self.is_idle(stream_id):
                raise ConnectionFault(f"DATA on stream {stream_id}, which is idle (5.1)")
            if stream_id not in self._resets:
                self.budget.spend()
                self.send_reset(stream_id, ErrorCode.STREAM_CLOSED)  # 6.1
            return None
        if stream.remote_closed:
            self.stream_fault(stream, StreamFault("DATA after END_STREAM", ErrorCode.STREAM_CLOSED))
            return None
        if not self._body_begun(stream):
            self.stream_fault(stream, StreamFault("DATA before HEADERS (8.1)"))
            return None
        flow = stream.flow or self.open_flow(stream)
        flow.recv_window -= length
        if flow.recv_window < 0:
            fault = StreamFault("DATA beyond the stream's window", ErrorCode.FLOW_CONTROL_ERROR)
            self.stream_fault(stream, fault)  # 6.9.1
            return None
        return stream

    def _body_begun(self, stream: Stream) -> bool:
        """The peer may send DATA: its HEADERS were there."""
        return True

    def _return_padding(self, stream: Stream, size: int) -> None:
        """Padding takes window like data (6.9.1), and nobody will ever consume it."""
        self.budget.spend()
        self.return_stream_window(stream, size)

    # --- octets

    def _body_data(self, stream: Stream, data: bytes) -> None:
        reader = stream.reader
        try:
            if reader is not None:
                self.held += len(data)
                reader.feed(data)
                self._items_changed(reader)
                return
            flow = stream.flow
            assert flow is not None
            if flow.refused:
                return
            self._collect(flow, data, stream.body_limit)
            self._body_arrived(stream, flow, len(data))
        except StreamFault as fault:
            self.stream_fault(stream, fault)

    def _items_changed(self, reader: ItemReader) -> None:
        if reader.on_items is not None and (reader.items or reader.failure is not None):
            reader.on_items()

    def _collect(self, flow: Flow, data: bytes, body_limit: Callable[[], int]) -> None:
        size = flow.collected_bytes + len(data)
        expected = flow.expected
        if expected is not None:
            if size > expected:
                raise StreamFault("body longer than its content-length (8.1.1)")
        else:
            limit = body_limit()
            if size > limit:
                raise StreamFault(f"message exceeds {limit} bytes", ErrorCode.ENHANCE_YOUR_CALM)
            self.hold(len(data))
            flow.held += len(data)
        if flow.collected is None:
            flow.collected = new_buffer(expected or 0)
        flow.collected[flow.collected_bytes : size] = data
        flow.collected_bytes = size

    def _body_arrived(self, stream: Stream, flow: Flow, size: int) -> None:
        """Part of a unary body is here: let more come."""
        flow.recv_unreturned += size
        if flow.recv_unreturned >= self.limits.stream_window_bytes // 4:
            self.return_stream_window(stream, flow.recv_unreturned)
            flow.recv_unreturned = 0

    def _body_end(self, stream: Stream) -> None:
        """END_STREAM came with or after data, or by trailers."""
        stream.remote_closed = True
        reader = stream.reader
        if reader is not None:
            self._items_end(stream, reader)
            return
        flow = stream.flow
        body: bytes | bytearray = b""
        if flow is not None:
            if flow.refused:
                return
            if flow.expected is not None and flow.collected_bytes != flow.expected:
                fault = StreamFault("body shorter than its content-length (8.1.1)")
                self.stream_fault(stream, fault)
                return
            if flow.collected is not None:
                body, flow.collected = flow.collected, None
            self.release(flow.held)
            flow.held = 0
        self._body_complete(stream, body)

    def _items_end(self, stream: Stream, reader: ItemReader) -> None:
        if reader.truncated:
            self.stream_fault(stream, StreamFault("the body ended inside an item"))
            return
        self.remote_end(stream)
        reader.end(None)

    def _body_complete(self, stream: Stream, body: bytes | bytearray) -> None:
        """The last octet of a unary body is here."""
        raise NotImplementedError

    def remote_end(self, stream: Stream) -> None:
        """The peer sent END_STREAM on an item stream."""
        raise NotImplementedError

    # --- what is kept

    def hold(self, size: int) -> None:
        """Count ``size`` bytes that will be kept here. Raises StreamFault when there is no room."""
        if self.held + size > self.limits.max_buffered_bytes:
            raise StreamFault(
                f"no room for {size} bytes more: {self.held} are kept for this connection already "
                "(max_buffered_bytes)",
                ErrorCode.ENHANCE_YOUR_CALM,
            )
        self.held += size

    def release(self, size: int) -> None:
        """``size`` bytes are not kept here any more."""
        self.held -= size
        if self._recv_window < self._recv_low:
            self._refill_window()

    # --- windows: 6.9

    def expect_body(self, stream: Stream, size: int) -> PulsingRuntimeError | None:
        """A body was announced: make room, and open the window for it at once.

        Returns:
            Why there is no room; then the stream is to be given up.
        """
        flow = stream.flow or self.open_flow(stream)
        flow.expected = size
        try:
            self.hold(size)
        except StreamFault as fault:
            return PulsingRuntimeError(fault.text)
        flow.held = size
        window = self.limits.stream_window_bytes
        if size > window:
            self.return_stream_window(stream, min(size, self.limits.body_window_bytes) - window)
        return None

    def return_stream_window(self, stream: Stream, size: int) -> None:
        """Let the peer send ``size`` more bytes on this stream."""
        if size > 0 and not stream.closed and not stream.remote_closed:
            flow = stream.flow or self.open_flow(stream)
            flow.recv_window += size
            self.send_window_update(stream.id, size)

    def _refill_window(self) -> None:
        """The connection's window is half used: open it again, unless too much is kept here."""
        if self._recv_window < 0:
            raise FlowControlFault("DATA beyond the connection's window (6.9.1)")
        if self.held <= self.limits.max_buffered_bytes:
            size = self.limits.connection_window_bytes - self._recv_window
            self._recv_window += size
            self.send_window_update(0, size)


def strip_padding(payload: bytes) -> bytes:
    """The payload without pad length and padding (6.1)."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault("padding longer than its frame (6.1)")
    return payload[1 : len(payload) - payload[0]]
