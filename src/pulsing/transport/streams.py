"""One request, seen from either end. The layer above subclasses these and overrides the hooks.

Hooks run on the loop thread, from inside the connection: they must neither block nor raise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pulsing.errors import DeadlineExceeded, Delivery, PulsingRuntimeError

from .faults import StreamFault
from .frames import ErrorCode

if TYPE_CHECKING:
    from .header_blocks import Head
    from .items import ItemReader, ItemWriter
    from .requesting import Requests
    from .server_core import ServerConnection

Body: TypeAlias = "bytes | bytearray | list[bytes | bytearray | memoryview]"
"""One message, encoded: in one piece, or in parts that are sent in order without being joined.

Memoryviews are flat (one octet per item)."""


def body_size(body: Body) -> int:
    """Length of a body in bytes."""
    return sum(map(len, body)) if type(body) is list else len(body)


def new_buffer(size: int) -> bytearray:
    """Memory for a body. Raises StreamFault when the system has none."""
    try:
        return bytearray(size)
    except MemoryError:
        text = f"no memory for a body of {size} bytes"
        raise StreamFault(text, ErrorCode.ENHANCE_YOUR_CALM) from None


@dataclass(slots=True)
class PeerInfo:
    """Who is at the other end of a connection.

    Attributes:
        address: ``host:port`` as this side knows it.
        node_id: 32 hex digits, or "" before the introduction.
        authenticated: it proved that it knows the cluster's passphrase.
        aside: the connection is a short one beside the node's link.
    """

    address: str
    node_id: str = ""
    authenticated: bool = False
    aside: bool = False


class Flow:
    """What a stream needs once it is more than two frames: windows, queued and collected data."""

    __slots__ = (
        "collected",
        "collected_bytes",
        "end",
        "expected",
        "held",
        "queue",
        "recv_unreturned",
        "recv_window",
        "refused",
        "scheduled",
        "send_window",
    )

    def __init__(self, send_window: int, recv_window: int) -> None:
        self.send_window = send_window
        self.recv_window = recv_window
        self.recv_unreturned = 0
        self.queue: deque[memoryview] = deque()
        """DATA not sent yet."""
        self.end: bytes | None = None
        """What follows the queue: b"" = END_STREAM, else the block of the trailers."""
        self.scheduled = False
        """Takes part in the round of senders."""
        self.collected: bytearray | None = None
        """The incoming body so far; allocated at its announced size."""
        self.collected_bytes = 0
        self.held = 0
        """Bytes counted for the incoming body."""
        self.expected: int | None = None
        """Announced size of the incoming body."""
        self.refused = False
        """The request was answered by its headers: what still comes of its body is dropped."""


class Stream:
    """What both ends have in common."""

    __slots__ = ("closed", "connection", "flow", "head", "id", "reader", "remote_closed", "writer")

    connection: Any
    """The Connection it belongs to; of the matching role in the subclasses."""

    def __init__(self) -> None:
        self.id = 0
        self.flow: Flow | None = None
        self.reader: ItemReader | None = None
        self.writer: ItemWriter | None = None
        self.remote_closed = False
        self.closed = False

    @property
    def send_blocked(self) -> bool:
        """Data of this stream waits for window or for its turn."""
        return self.flow is not None and bool(self.flow.queue)

    def body_limit(self) -> int:
        """The largest body, in bytes, that is received on this stream."""
        limit: int = self.connection.limits.max_message_bytes
        return limit

    def reset(self, code: ErrorCode) -> None:
        """Give the stream up at once: RST_STREAM (RFC 9113 6.4). Nothing more is sent for it."""
        if not self.closed:
            self.connection.reset_stream(self, code)

    # --- from the connection

    def message_received(self, body: bytes | bytearray) -> None:
        """A whole unary body has come."""
        raise NotImplementedError

    def ended(self, error: PulsingRuntimeError) -> None:
        """The stream is gone before its regular end."""
        raise NotImplementedError


class ServerStream(Stream):
    """One request from a peer.

    Attributes:
        head: its header block; ``head.path`` says what is asked.
        reader: the items the caller streams, or None.
    """

    __slots__ = ()

    connection: ServerConnection
    head: Head

    def __init__(self, connection: ServerConnection, stream_id: int, head: Head) -> None:
        self.connection = connection
        self.id = stream_id
        self.head = head
        self.flow = None
        self.reader = None
        self.writer = None
        self.remote_closed = False
        self.closed = False

    @property
    def peer(self) -> PeerInfo:
        """Who asks."""
        return self.connection.peer

    def respond(self, body: Body) -> None:
        """Answer with a value. Nothing happens once the stream is closed."""
        if not self.closed:
            self.connection.respond(self, body)

    def respond_failure(self, status: int, body: Body) -> None:
        """Answer with a 4xx or 5xx status and an encoded failure."""
        if not self.closed:
            self.connection.respond_failure(self, status, body)

    def acknowledge(self) -> None:
        """Answer without a value: accepted (204)."""
        if not self.closed:
            self.connection.acknowledge(self)

    def start_items(self, buffer_items: int) -> ItemWriter:
        """Answer with an item stream whose producer is at most ``buffer_items`` ahead."""
        return self.connection.start_items(self, buffer_items)

    def message_received(self, body: bytes | bytearray) -> None:
        self.request_received(body)

    def ended(self, error: PulsingRuntimeError) -> None:
        self.aborted(error)

    # --- hooks

    def request_received(self, body: bytes | bytearray) -> None:
        """The request is complete; with ``reader``, its first record is."""
        raise NotImplementedError

    def request_refused(self, error: PulsingRuntimeError) -> None:
        """The announced request is over a limit: answer with the error, or leave it reset."""
        self.reset(ErrorCode.ENHANCE_YOUR_CALM)

    def aborted(self, error: PulsingRuntimeError) -> None:
        """The caller cancelled, broke the protocol, or the connection is lost: stop working for it.

        Comes without ``request_received`` before it when the request was never complete.
        """
        raise NotImplementedError


class ClientStream(Stream):
    """One request to a peer.

    Attributes:
        deadline: loop time in seconds at which it fails with DeadlineExceeded, or None.
        order: requests with equal keys arrive in the order they were sent, whatever their size.
    """

    __slots__ = ("deadline", "order")

    connection: Requests
    head: Head | None

    def __init__(self) -> None:
        self.id = 0
        self.head = None
        self.flow = None
        self.reader = None
        self.writer = None
        self.remote_closed = False
        self.closed = False
        self.deadline: float | None = None
        self.order: object = None

    def withdraw(self) -> None:
        """Take the request back: RST_STREAM(CANCEL) if it was sent. No hook is called after.

        An open reader and writer are closed with an error.
        """
        if not self.closed:
            self._give_up(None)

    def _give_up(self, error: PulsingRuntimeError | None) -> None:
        if self.id:
            self.connection.reset_stream(self, ErrorCode.CANCEL, error)
        else:
            self.closed = True

    def message_received(self, body: bytes | bytearray) -> None:
        assert self.head is not None
        self.response_received(self.head, body)

    def ended(self, error: PulsingRuntimeError) -> None:
        if self.reader is None:  # else that has told it
            self.failed(error)

    def expired(self) -> None:
        """The deadline passed: the request is withdrawn, then ``failed`` or the reader tells it."""
        error = self.deadline_error(not self.id)
        self._give_up(error)
        self.ended(error)

    def deadline_error(self, never_sent: bool) -> PulsingRuntimeError:
        """The error a passed deadline gives."""
        return DeadlineExceeded(
            "the deadline of the call passed",
            delivered=Delivery.NO if never_sent else Delivery.UNKNOWN,
        )

    # --- hooks: exactly one of response_received, items_started, failed; none after withdraw.
    # What ends an item stream after items_started is told by its reader.

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        """The answer is complete; ``head.status`` tells its kind."""
        raise NotImplementedError

    def items_started(self, head: Head, reader: ItemReader) -> None:
        """The answer is an item stream."""
        raise NotImplementedError

    def failed(self, error: PulsingRuntimeError) -> None:
        """There will be no answer."""
        raise NotImplementedError

    def request_writable(self, writer: ItemWriter) -> None:
        """The request has been sent and its items may follow (client streams)."""
