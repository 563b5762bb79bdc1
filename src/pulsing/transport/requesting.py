"""Requests on their way out: at once or in their turn, until they are sent or their time is over.

Fourth layer of a client's connection (client_core). Order: two requests with the same ``order`` key
reach the peer complete in the order in which they were made. A small one leaves at once; behind one
that is still being sent, those of its key wait (waiting).

Source: RFC 9113 5.1.1, 5.1.2, 8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Any

from pulsing.errors import ConnectionLost, MailboxFull

from .connection_core import SMALL_BODY_BYTES, Connection, data_end_prefix
from .frames import END_HEADERS, HEADERS, LARGEST_STREAM_ID, PREFACE, frame_header
from .header_blocks import encode_headers
from .items import ItemWriter
from .outgoing import DATA_END, FULL_PIECES
from .streams import body_size
from .waiting import Request, RequestBlock, RequestQueue

if TYPE_CHECKING:
    from .streams import Body, ClientStream, Stream


class Requests(Connection):
    """The asking half of a client.

    Attributes:
        accepting: new requests may be made; False after GOAWAY, when stream ids run out, and when
            the connection ends.
        next_expiry: the earliest deadline, in the caller's clock, as far as known.
        on_expiry: called when ``next_expiry`` became earlier.
        on_goaway: called once when ``accepting`` ends while the connection lives; whoever can send
            them elsewhere takes the requests not yet sent by ``take_queued``.
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
        self.on_expiry: Callable[[], None] | None = None
        self.on_goaway: Callable[[], None] | None = None
        super().__init__(**common)

    def _send_preface(self) -> None:
        self.out.append(PREFACE)

    def _opened(self) -> int:
        return self._next_id // 2

    def is_idle(self, stream_id: int) -> bool:
        """Nobody has used this stream id yet (5.1)."""
        return stream_id >= self._next_id or not stream_id & 1

    # --- out

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
                _ = stream.order  # of the code that asks now, not of what lets it go later
                self._waiting.append((stream, block, body, items))
        elif self._behind and stream.order in self._behind:
            if self._has_room(stream):
                self._queue.join_behind((stream, block, body, items))
        elif (
            type(body) is bytes
            and not items
            and (size := len(body)) <= SMALL_BODY_BYTES
            and size <= self.send_window
            and size <= self.peer_initial_window
        ):
            # `_open`, inlined for what nearly every request is.
            stream_id = stream.id = self._next_id
            self._next_id = stream_id + 2
            stream.connection = self
            self.streams[stream_id] = stream
            self.send_window -= size
            octets = stream_id.to_bytes(4, "big")
            self.out += (
                block[0],
                octets,
                block[1],
                DATA_END[size] if size < len(DATA_END) else data_end_prefix(size),
                octets,
                body,
            )
            if stream_id >= self._retire_at:
                self._retire()
            if not self.in_batch:
                self.on_output()
            elif len(self.out) >= FULL_PIECES:
                self.on_full()
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
        # Those that wait first: what is due must not be sent when others make room.
        for request in self._queue:
            yield request[0]
        streams: Any = self.streams
        yield from streams.values()

    # --- no more of them

    def stop(self, error: ConnectionLost) -> None:
        self.accepting = False
        super().stop(error)

    def _retire(self) -> None:
        if self.accepting:
            self.accepting = False
            if self.on_goaway is not None:
                self.on_goaway()
