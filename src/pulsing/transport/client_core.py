"""The client side of a connection: requests go out, answers come in.

Order: two requests with the same ``order`` key reach the peer complete in the order in which they
were made. A small one leaves at once; behind one that is still being sent, those of its key wait.

Source: RFC 9113 5.1.1, 5.1.2, 6.8, 8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Any

from pulsing.errors import (
    ConnectionLost,
    Delivery,
    MailboxFull,
    MessageTooLarge,
    PulsingRuntimeError,
)

from .connection_core import SMALL_BODY_BYTES, Connection, data_end_prefix
from .ending import code_name, fresh
from .faults import ConnectionFault, StreamFault
from .frames import (
    END_HEADERS,
    HEADERS,
    LARGEST_STREAM_ID,
    PREFACE,
    ErrorCode,
    frame_header,
)
from .header_blocks import Head, encode_headers
from .items import ItemReader, ItemWriter
from .streams import body_size
from .waiting import Request, RequestBlock, RequestQueue, request_block

if TYPE_CHECKING:
    from .streams import Body, ClientStream, Stream

__all__ = ["ClientConnection", "RequestBlock", "request_block"]


class ClientConnection(Connection):
    """Asks a peer.

    Attributes:
        accepting: new requests may be made; False after GOAWAY, when stream ids run out, and when
            the connection ends.
        next_expiry: the earliest deadline, in the caller's clock, as far as known.
        goaway: code and text of the peer's first GOAWAY.
        on_goaway: called once when ``accepting`` ends while the connection lives; whoever can send
            them elsewhere takes the requests not yet sent by ``take_queued``.
        explain_goaway: makes the error of requests the peer did not process, or returns None.
    """

    peer_may_enable_push = False

    def __init__(self, **common: Any) -> None:
        self._next_id = 1
        limits = common["limits"]
        self._queue = RequestQueue(limits.max_queued_requests)
        self._waiting = self._queue.waiting
        self._behind = self._queue.behind
        # From here on no new requests; what waits already may still be sent (5.1.1).
        self._retire_at = LARGEST_STREAM_ID - 2 * (limits.max_queued_requests + 2)
        self.accepting = True
        self.next_expiry = inf
        self.goaway: tuple[int, str] | None = None
        self.on_expiry: Callable[[], None] | None = None
        self.on_goaway: Callable[[], None] | None = None
        self.explain_goaway: Callable[[int, str], PulsingRuntimeError | None] | None = None
        self.on_idle: Callable[[], None] | None = None
        super().__init__(**common)

    def _send_preface(self) -> None:
        self.out.append(PREFACE)

    # --- requests out

    def request(
        self, stream: ClientStream, block: RequestBlock, body: Body, items: int = 0
    ) -> None:
        """Send a request, or let it wait for its turn; with ``items`` an item stream follows.

        ``body`` may be up to ``max_message_bytes``; the caller checked that. A request beyond
        ``max_queued_requests`` fails with MailboxFull.
        """
        if stream.deadline is not None and stream.deadline < self.next_expiry:
            self.next_expiry = stream.deadline
            if self.on_expiry is not None:
                self.on_expiry()
        if self._waiting or len(self.streams) >= self.peer_max_streams:
            if self._has_room(stream):
                self._waiting.append((stream, block, body, items))
        elif self._behind and stream.order in self._behind:
            if self._has_room(stream):
                self._queue.join_behind((stream, block, body, items))
        else:
            self._open(stream, block, body, items)

    def _has_room(self, stream: ClientStream) -> bool:
        if not self._queue.full():
            return True
        stream.closed = True
        stream.failed(
            MailboxFull(
                f"{len(self._queue)} requests wait for {self.peer.address} already; call slower, "
                "or raise max_queued_requests"
            )
        )
        return False

    def _open(self, stream: ClientStream, block: RequestBlock, body: Body, items: int) -> None:
        stream_id = self._next_id
        self._next_id = stream_id + 2
        stream.id = stream_id
        stream.connection = self
        self.streams[stream_id] = stream
        if (
            type(body) is bytes
            and not items
            and (size := len(body)) <= SMALL_BODY_BYTES
            and size <= self.send_window
            and size <= self.peer_initial_window
        ):
            self.send_window -= size
            octets = stream_id.to_bytes(4, "big")
            self.out += (block[0], octets, block[1], data_end_prefix(size), octets, body)
        else:
            self._open_slow(stream, block[1], body, items)
        if stream_id >= self._retire_at:
            self._retire()
        if not self.in_batch:
            self.on_output()

    def _open_slow(self, stream: ClientStream, block: bytes, body: Body, items: int) -> None:
        """A request in several frames, or behind a window."""
        if items:
            block += encode_headers([(b"pulsing-stream", str(items).encode())])
        elif (size := body_size(body)) > SMALL_BODY_BYTES:
            block += encode_headers([(b"content-length", str(size).encode())])
        self.out.append(frame_header(len(block), HEADERS, END_HEADERS, stream.id) + block)
        if items:
            writer = stream.writer = ItemWriter(stream, items)
            writer.write(body)
            writer.flush()
            if stream.send_blocked:
                self._queue.sending(stream)
            stream.request_writable(writer)
        else:
            self.round.enqueue(stream, body, b"")
            self._queue.sending(stream)

    def queue_drained(self, stream: Stream) -> None:
        super().queue_drained(stream)
        self._release(stream)

    def local_end(self, stream: Stream) -> None:
        self._release(stream)

    def _release(self, stream: Any) -> None:
        """The stream's request is out: those behind it may follow."""
        if self._behind and self._queue.sent(stream):
            self._admit_waiting()

    def _admit_waiting(self) -> None:
        waiting = self._waiting
        while waiting and len(self.streams) < self.peer_max_streams:
            request = waiting.popleft()
            if not request[0].closed and not self._queue.join_behind(request):
                self._open(*request)

    def take_queued(self) -> list[Request]:
        """The requests that were not sent; they are the caller's from now on."""
        return self._queue.take_all()

    def _items_trailer(self, status: bytes) -> bytes:
        return b""

    def settings_changed(self) -> None:
        """The peer may allow more streams now."""
        if self._waiting:
            self._admit_waiting()

    # --- answers in

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
        if size > self.limits.max_message_bytes:
            stream.reset(ErrorCode.CANCEL)
            stream.failed(MessageTooLarge(size, self.limits.max_message_bytes, "response"))
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

    def _opened(self) -> int:
        return self._next_id // 2

    def is_idle(self, stream_id: int) -> bool:
        return stream_id >= self._next_id or not stream_id & 1

    # --- deadlines

    def expire(self, now: float) -> None:
        """Fail what is past its deadline, and find the next one.

        One pass over the open requests, made only when the earliest known deadline has come:
        with equal timeouts that is once per timeout, so a call pays one comparison.
        """
        due: list[ClientStream] = []
        earliest = inf
        for stream in self._all_requests():
            deadline = stream.deadline
            if deadline is None or stream.closed:
                continue
            if deadline <= now:
                due.append(stream)
            elif deadline < earliest:
                earliest = deadline
        self.next_expiry = earliest
        for stream in due:
            if not stream.closed:
                stream.expired()

    def _all_requests(self) -> Iterator[ClientStream]:
        streams: Any = self.streams
        yield from streams.values()
        for request in self._queue:
            yield request[0]

    # --- the end

    def stop(self, error: ConnectionLost) -> None:
        self.accepting = False
        super().stop(error)

    def fail(self, fault: ConnectionFault) -> None:
        was_accepting = self.accepting
        super().fail(fault)
        self.accepting = was_accepting
        self._retire()

    def _retire(self) -> None:
        if self.accepting:
            self.accepting = False
            if self.on_goaway is not None:
                self.on_goaway()

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
