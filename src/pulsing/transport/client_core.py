"""The client side of a connection: the answers that come in, and how it ends.

How requests go out is in ``requesting``.

Source: RFC 9113 5.1.1, 5.1.2, 6.8, 8.1.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from pulsing.errors import ConnectionLost, Delivery, MessageTooLarge, PulsingRuntimeError

from .connection_core import SMALL_BODY_BYTES
from .ending import code_name, fresh
from .faults import ConnectionFault, StreamFault
from .frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_BYTES,
    HEADERS,
    ErrorCode,
    frame_header,
)
from .header_blocks import Head
from .items import ItemReader
from .requesting import Requests
from .waiting import RequestBlock, request_block

if TYPE_CHECKING:
    from .streams import ClientStream, Stream

__all__ = ["ClientConnection", "RequestBlock", "request_block"]

_OK_BLOCK: Final = 0x88
"""The header block of status 200: one octet of the static table (RFC 7541 appendix A)."""
_OK_PREFIX: Final = frame_header(1, HEADERS, END_HEADERS, 0)[:5]
_unpack_answer: Final = Struct(">5sIBHBBBI").unpack_from
"""HEADERS with a block of one octet, and the header of the DATA frame behind it."""
_ANSWER_BYTES: Final = 2 * FRAME_HEADER_BYTES + 1


class ClientConnection(Requests):
    """Asks a peer.

    Attributes:
        explain_goaway: makes the error of requests the peer did not process, or returns None.
        on_idle: called when the last open request has ended.
    """

    def __init__(self, **common: Any) -> None:
        self.explain_goaway: Callable[[int, str], PulsingRuntimeError | None] | None = None
        self.on_idle: Callable[[], None] | None = None
        super().__init__(**common)
        self._ok = self.heads.get(bytes((_OK_BLOCK,))) or self.new_head(bytes((_OK_BLOCK,)))

    # --- answers in

    def _fast(self, data: bytes, position: int, end: int) -> int:
        if self._block is not None or not self.introduced:
            return position
        streams = self.streams
        ok = self._ok
        while end - position >= _ANSWER_BYTES:
            prefix, stream_id, block, high, low, kind, flags, data_id = _unpack_answer(
                data, position
            )
            if (
                block != _OK_BLOCK
                or prefix != _OK_PREFIX
                or flags != END_STREAM
                or kind != DATA
                or data_id != stream_id
            ):
                break
            size = high << 8 | low
            start = position + _ANSWER_BYTES
            stop = start + size
            stream: Any = streams.get(stream_id)
            if (
                stop > end
                or size > SMALL_BODY_BYTES
                or stream is None
                or stream.flow is not None
                or stream.head is not None
            ):
                break
            self._recv_window -= size
            if self._recv_window < self._recv_low:
                self._refill_window()
            del streams[stream_id]
            stream.closed = True
            stream.response_received(ok, data[start:stop])
            position = stop
            if self._waiting:
                self._admit_waiting()
            elif self.on_idle is not None and not streams:
                self.on_idle()
        return position

    def _headers(self, stream_id: int, end_stream: int, block: bytes) -> None:
        stream: Any = self.streams.get(stream_id)
        if stream is None:
            self._headers_unknown(stream_id, block)
            return
        head = self.heads.get(block) or self.new_head(block)
        if stream.head is not None:
            self._trailers(stream, end_stream, head)
        elif head.malformed is not None or not head.status:
            self.stream_fault(stream, StreamFault(head.malformed or "a response without :status"))
        elif head.status < 200:
            self.budget.spend()  # 8.1: interim responses are not used
            if end_stream:
                self.stream_fault(stream, StreamFault("an interim response ends the stream (8.1)"))
        else:
            stream.head = head
            if head.plain:
                if end_stream:
                    self._body_complete(stream, b"")
            else:
                self._special(stream, head, end_stream)

    def _headers_unknown(self, stream_id: int, block: bytes) -> None:
        if self.is_idle(stream_id):
            raise ConnectionFault(f"HEADERS on idle stream {stream_id} (5.1)")
        _ = self.heads.get(block) or self.new_head(block)  # 4.3: must be decoded all the same
        if stream_id not in self._resets:
            self.budget.spend()
            self.send_reset(stream_id, ErrorCode.STREAM_CLOSED)

    def _special(self, stream: ClientStream, head: Head, end_stream: int) -> None:
        if head.stream_items is not None:
            stream.reader = ItemReader(stream, head.stream_items)
            stream.items_started(head, stream.reader)
            if end_stream and not stream.closed:
                self._body_end(stream)
            return
        size = head.content_length or 0
        if size > (limit := stream.body_limit()):
            stream.reset(ErrorCode.CANCEL)
            stream.failed(MessageTooLarge(size, limit, "response"))
        elif end_stream:
            if size:
                self.stream_fault(
                    stream, StreamFault("body shorter than its content-length (8.1.1)")
                )
            else:
                self._body_complete(stream, b"")
        else:
            error = self.expect_body(stream, size)
            if error is not None:
                stream.reset(ErrorCode.CANCEL)
                stream.failed(error)

    def _trailers(self, stream: ClientStream, end_stream: int, head: Head) -> None:
        if stream.remote_closed:
            fault = StreamFault("HEADERS after END_STREAM (5.1)", ErrorCode.STREAM_CLOSED)
            self.stream_fault(stream, fault)
        elif not end_stream or head.malformed is not None or not head.is_trailers:
            self.stream_fault(stream, StreamFault("malformed trailers (8.1)"))
        elif stream.reader is None:
            self._body_end(stream)
        else:
            reader = stream.reader
            if head.final_status not in ("ok", "failed") or (
                (head.final_status == "failed") != (reader.failure is not None)
            ):
                self.stream_fault(stream, StreamFault("the stream's final status is missing"))
            else:
                stream.remote_closed = True
                super()._items_end(stream, reader)

    def _body_begun(self, stream: Any) -> bool:
        return stream.head is not None

    def _items_end(self, stream: Stream, reader: ItemReader) -> None:
        # END_STREAM on DATA: trailers with the final status did not come.
        self.stream_fault(stream, StreamFault("the stream ended without its final status"))

    def _body_complete(self, stream: Stream, body: bytes | bytearray) -> None:
        stream.remote_closed = True
        if getattr(stream, "head", None) is None:
            self.stream_fault(stream, StreamFault("DATA before HEADERS (8.1)"))
            return
        self._finish(stream)
        stream.message_received(body)

    def remote_end(self, stream: Stream) -> None:
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        """The answer is complete: what of the request was not sent is not needed any more."""
        if stream.flow is not None:
            if self._sending(stream):
                self.note_reset(stream.id)
                self.send_reset(stream.id, ErrorCode.CANCEL)
                self.forget(stream)
                if stream.writer is not None:
                    stream.writer.close(PulsingRuntimeError("the callee has answered already"))
                return
            if stream.reader is not None:
                self.release(stream.reader.let_go())
        stream.closed = True
        del self.streams[stream.id]
        if self._waiting:
            self._admit_waiting()
        elif self.on_idle is not None and not self.streams:
            self.on_idle()

    @staticmethod
    def _sending(stream: Stream) -> bool:
        flow = stream.flow
        return flow is not None and (
            bool(flow.queue)
            or flow.end is not None
            or (stream.writer is not None and stream.writer.closed is None)
        )

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        self._release(stream)
        if self._waiting:
            self._admit_waiting()
        elif self.on_idle is not None and not self.streams:
            self.on_idle()

    # --- the end

    def fail(self, fault: ConnectionFault) -> None:
        was_accepting = self.accepting
        super().fail(fault)
        self.accepting = was_accepting
        self._retire()

    def peer_goes_away(self, last_id: int, code: int, text: str) -> None:
        self.goaway = self.goaway or (code, text)
        self._retire()
        queued = self.take_queued()
        for stream in [each for each in self.streams.values() if each.id > last_id]:
            if not stream.closed:  # 6.8: certainly not processed
                self.broken += 1
                self.forget(stream)
                error = self._not_processed(code, text)
                self._close_ends(stream, error)
                stream.ended(error)
        for waiting, *_ in queued:
            waiting.closed = True
            waiting.failed(self._not_processed(code, text))

    def _not_processed(self, code: int, text: str) -> PulsingRuntimeError:
        explained = self.explain_goaway(code, text) if self.explain_goaway is not None else None
        return explained or ConnectionLost(
            f"{self.peer.address} did not process the call: {text or code_name(code)}",
            delivered=Delivery.NO,
        )

    def connection_lost(self, error: ConnectionLost) -> None:
        queued = self.take_queued()
        super().connection_lost(error)
        for stream, *_ in queued:
            if not stream.closed:
                stream.closed = True
                stream.failed(fresh(self.closing or error, Delivery.NO))
