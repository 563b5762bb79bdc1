"""The server side of a connection: requests come in, answers go out.

Source: RFC 9113 5.1, 5.1.1, 6.8, 8.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pulsing.errors import MessageTooLarge, PulsingRuntimeError

from .connection_core import SMALL_BODY_BYTES, Connection, data_end_prefix
from .faults import ConnectionFault, StreamFault
from .frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_BYTES,
    HEADERS,
    LARGEST_STREAM_ID,
    PREFACE,
    ErrorCode,
    frame_header,
    unpack_frame_header,
)
from .header_blocks import Head, encode_headers
from .items import ItemReader, ItemWriter
from .outgoing import FULL_PIECES
from .streams import body_size

if TYPE_CHECKING:
    from .streams import Body, ServerStream, Stream

_OK: Final = encode_headers([(b":status", b"200")])
_OK_PREFIX: Final = frame_header(len(_OK), HEADERS, END_HEADERS, 0)[:5]
_OK_DATA: Final = [_OK + data_end_prefix(size) for size in range(2048)]
"""The block of status 200 and the begin of the DATA frame behind it, by size of the body."""
_TWO_HEADERS: Final = 2 * FRAME_HEADER_BYTES
_ACCEPTED: Final = encode_headers([(b":status", b"204")])
_ACCEPTED_PREFIX: Final = frame_header(len(_ACCEPTED), HEADERS, END_HEADERS | END_STREAM, 0)[:5]


_STOPPING: Final = "this node is stopping"
_DRAIN_PING: Final = b"draining"


def _answered(stream: ServerStream) -> bool:
    """The final answer was begun, though not all of it is out."""
    return stream.writer is not None or (stream.flow is not None and stream.flow.end is not None)


class ServerConnection(Connection):
    """Answers a peer's requests with streams of ``stream_class``.

    Attributes:
        app: belongs to the layer above, for its streams to find.
    """

    peer_may_enable_push = True

    def __init__(self, *, stream_class: type[ServerStream], **common: Any) -> None:
        self._stream_class = stream_class
        self.app: Any = None
        self._last_id = -1
        self._skipped = 0
        self._preface_left = PREFACE
        self._leaving = False
        self._draining = False
        self.on_drained: Callable[[], None] | None = None
        super().__init__(**common)

    def _opening(self, data: bytes) -> bytes:
        expected = self._preface_left
        if expected:
            size = min(len(data), len(expected))
            if data[:size] != expected[:size]:
                raise ConnectionFault("not an HTTP/2 preface (3.4)")
            self._preface_left = expected[size:]
            data = data[size:]
        return super()._opening(data)

    # --- requests in

    def _fast(self, data: bytes, position: int, end: int) -> int:
        if self._draining or self._block is not None or not self.introduced:
            return position
        known = self.heads.get
        streams = self.streams
        make = self._stream_class
        most = self.limits.max_concurrent_streams
        expected = self._last_id + 2
        while end - position >= _TWO_HEADERS:
            high, low, kind, flags, stream_id = unpack_frame_header(data, position)
            if kind != HEADERS or flags != END_HEADERS or stream_id != expected:
                break
            middle = position + FRAME_HEADER_BYTES + (high << 8 | low)
            if end - middle < FRAME_HEADER_BYTES:
                break
            high, low, kind, flags, data_id = unpack_frame_header(data, middle)
            size = high << 8 | low
            start = middle + FRAME_HEADER_BYTES
            stop = start + size
            if (
                flags != END_STREAM
                or kind != DATA
                or data_id != stream_id
                or stop > end
                or size > SMALL_BODY_BYTES
            ):
                break
            head = known(data[position + FRAME_HEADER_BYTES : middle])
            if head is None or not head.is_request or len(streams) >= most:
                break
            self._recv_window -= size
            if self._recv_window < self._recv_low:
                self._refill_window()
            self._last_id = stream_id
            expected = stream_id + 2
            stream = streams[stream_id] = make(self, stream_id, head)
            stream.remote_closed = True
            stream.request_received(data[start:stop])
            position = stop
        return position

    def _headers(self, stream_id: int, end_stream: int, block: bytes) -> None:
        if stream_id != self._last_id + 2:
            if stream_id <= self._last_id or not stream_id & 1:
                self._trailers(stream_id, end_stream, block)
                return
            self._skipped += (stream_id - self._last_id - 2) // 2  # 5.1.1: closed by that
        self._last_id = stream_id
        head = self.heads.get(block) or self.new_head(block)
        if self._draining or len(self.streams) >= self.limits.max_concurrent_streams:
            self._refuse(stream_id)  # 5.1.2
            return
        stream = self._stream_class(self, stream_id, head)
        self.streams[stream_id] = stream
        if (not head.plain or not head.method) and not self._special(stream, head):
            return
        if end_stream:
            if head.content_length:
                self.stream_fault(
                    stream, StreamFault("body shorter than its content-length (8.1.1)")
                )
            elif stream.reader is not None:
                self.stream_fault(stream, StreamFault("a request without its first record"))
            else:
                self._body_complete(stream, b"")

    def _special(self, stream: ServerStream, head: Head) -> bool:
        """A request that is not plain; False when it was answered already."""
        if head.malformed is not None or not head.method:
            reason = head.malformed or "a request without :method (8.3.1)"
            self.stream_fault(stream, StreamFault(reason))  # 8.1.1
            return False
        if head.stream_items is not None:
            stream.reader = _RequestReader(stream, head.stream_items)
        elif head.content_length is not None:
            limit = stream.body_limit()
            if head.content_length > limit:
                self.budget.spend()
                self.open_flow(stream).refused = True
                stream.request_refused(MessageTooLarge(head.content_length, limit, "request"))
                return False
            if self.expect_body(stream, head.content_length) is not None:
                self.forget(stream)
                self._refuse(stream.id)
                return False
        return True

    def _refuse(self, stream_id: int) -> None:
        """Certainly not processed: the caller may try again (8.7)."""
        self.budget.spend()
        self.broken += 1
        self.note_reset(stream_id)
        self.send_reset(stream_id, ErrorCode.REFUSED_STREAM)

    def _trailers(self, stream_id: int, end_stream: int, block: bytes) -> None:
        """HEADERS on a stream that is open or was: trailers, or a mistake (5.1, 5.1.1, 8.1)."""
        stream = self.streams.get(stream_id)
        if not stream_id & 1:
            raise ConnectionFault(f"request on even stream {stream_id} (5.1.1)")
        head = self.heads.get(block) or self.new_head(block)
        if stream is None:
            if stream_id not in self._resets:
                raise ConnectionFault(
                    f"HEADERS on closed stream {stream_id}", ErrorCode.STREAM_CLOSED
                )
        elif stream.remote_closed:
            self.stream_fault(
                stream, StreamFault("HEADERS after END_STREAM (5.1)", ErrorCode.STREAM_CLOSED)
            )
        elif not end_stream or head.malformed is not None or not head.is_trailers:
            self.stream_fault(stream, StreamFault("malformed trailers (8.1)"))
        else:
            self._body_end(stream)

    def _body_complete(self, stream: Stream, body: bytes | bytearray) -> None:
        stream.remote_closed = True
        stream.message_received(body)

    def remote_end(self, stream: Stream) -> None:
        if stream.reader is not None and not stream.reader.items:
            reader = stream.reader
            if isinstance(reader, _RequestReader) and not reader.started:
                self.stream_fault(stream, StreamFault("a request without its first record"))

    def _opened(self) -> int:
        return (self._last_id + 1) // 2 - self._skipped

    def is_idle(self, stream_id: int) -> bool:
        return stream_id > self._last_id or not stream_id & 1

    # --- answers out

    def respond(self, stream: ServerStream, body: Body) -> None:
        """Status 200 and one body."""
        if (
            type(body) is bytes
            and stream.flow is None
            and stream.remote_closed
            and (size := len(body)) <= SMALL_BODY_BYTES
            and size <= self.send_window
            and size <= self.peer_initial_window
        ):
            self.send_window -= size
            stream_id = stream.id
            octets = stream_id.to_bytes(4, "big")
            prefix = _OK_DATA[size] if size < len(_OK_DATA) else _OK + data_end_prefix(size)
            self.out += (_OK_PREFIX, octets, prefix, octets, body)
            stream.closed = True
            del self.streams[stream_id]
            if self._draining:
                self._check_drained()
            if not self.in_batch:
                self.on_output()
            elif len(self.out) >= FULL_PIECES:
                self.on_full()
        else:
            self._respond(stream, [(b":status", b"200")], body)

    def respond_failure(self, stream: ServerStream, status: int, body: Body) -> None:
        """An error status and the encoded failure. Nothing happens after another answer."""
        self._respond(stream, [(b":status", str(status).encode())], body)

    def acknowledge(self, stream: ServerStream) -> None:
        """Status 204, no body."""
        if _answered(stream):
            return
        octets = stream.id.to_bytes(4, "big")
        self.out += (_ACCEPTED_PREFIX, octets, _ACCEPTED)
        self.local_end(stream)
        self.output_ready()

    def _respond(
        self, stream: ServerStream, headers: list[tuple[bytes, bytes]], body: Body
    ) -> None:
        if _answered(stream):
            return
        size = body_size(body)
        limit = self.limits.max_message_bytes
        if size > limit:
            raise MessageTooLarge(size, limit, "response")
        if size > SMALL_BODY_BYTES:
            headers.append((b"content-length", str(size).encode()))
        self._send_headers(stream, headers)
        self.round.enqueue(stream, body, b"")
        self.output_ready()

    def _send_headers(self, stream: ServerStream, headers: list[tuple[bytes, bytes]]) -> None:
        block = encode_headers(headers)
        self.out.append(frame_header(len(block), HEADERS, END_HEADERS, stream.id) + block)

    def start_items(self, stream: ServerStream, buffer_items: int) -> ItemWriter:
        """Status 200 and an item stream; how far ahead the producer may be is said in it."""
        writer = ItemWriter(stream, buffer_items)
        if stream.closed or _answered(stream):
            writer.close(PulsingRuntimeError("the caller has gone"))
            return writer
        stream.writer = writer
        self._send_headers(
            stream,
            [(b":status", b"200"), (b"pulsing-stream", str(buffer_items).encode())],
        )
        self.output_ready()
        return writer

    def _items_trailer(self, status: bytes) -> bytes:
        return encode_headers([(b"pulsing-status", status)])

    def local_end(self, stream: Stream) -> None:
        if not stream.remote_closed:
            # 8.1: a complete answer makes the rest of the request superfluous.
            self.note_reset(stream.id)
            self.send_reset(stream.id, ErrorCode.NO_ERROR)
        self.forget(stream)
        if stream.reader is not None:
            stream.reader.end(PulsingRuntimeError("the call has been answered already"))

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if self._draining:
            self._check_drained()

    # --- the end

    def drain(self) -> None:
        """Ask the peer to make no more requests (6.8).

        Those it has sent meanwhile are answered still. When it has heard, the rest is refused, and
        ``on_drained`` is called when all are answered; ``refuse_new`` does not wait for it.
        """
        if not self._leaving:
            self._leaving = True
            self.go_away(ErrorCode.NO_ERROR, _STOPPING, LARGEST_STREAM_ID)
            self.ping(_DRAIN_PING)

    def ping_acknowledged(self, payload: bytes) -> None:
        if self._leaving and payload == _DRAIN_PING:
            self.refuse_new()

    def refuse_new(self) -> None:
        """Refuse requests from now on; ``on_drained`` is called when the open ones are answered."""
        if not self._draining:
            self._leaving = self._draining = True
            self.go_away(ErrorCode.NO_ERROR, _STOPPING)
            self._check_drained()

    def _check_drained(self) -> None:
        if not self.streams and self.on_drained is not None:
            self.on_drained()

    def _last_processed(self) -> int:
        return max(self._last_id, 0)

    def peer_goes_away(self, last_id: int, code: int, text: str) -> None:
        """The caller stops asking; what it asked is answered still."""
        self.goaway = self.goaway or (code, text)


class _RequestReader(ItemReader):
    """Items of a request: the first record is the call itself and starts it."""

    __slots__ = ("started",)

    def __init__(self, stream: ServerStream, buffer_items: int) -> None:
        super().__init__(stream, buffer_items)
        self.started = False
        self._stream: ServerStream = stream
        self.on_items = self._first

    def _first(self) -> None:
        if self.items and not self.started:
            self.started = True
            self.on_items = None
            self._stream.message_received(self.pop())
