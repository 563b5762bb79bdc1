"""Frames to feed a connection with, ways to feed it, and streams that write down what they hear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulsing.transport.client_core import ClientConnection, request_block
from pulsing.transport.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame_header,
)
from pulsing.transport.header_blocks import Head, HeadCache, encode_headers
from pulsing.transport.limits import TransportLimits
from pulsing.transport.server_core import ServerConnection
from pulsing.transport.streams import ClientStream, PeerInfo, ServerStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pulsing.errors import PulsingRuntimeError
    from pulsing.transport.connection_core import Connection
    from pulsing.transport.items import ItemReader, ItemWriter

REQUEST = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/ask/m/a")]
OK = [(":status", "200")]
BLOCK = request_block("/ask/m/a", "x")

# --- frames ---------------------------------------------------------------------------------------


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return frame_header(len(payload), kind, flags, stream) + payload


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    return encode_headers(
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in fields
    )


def data(stream: int, body: bytes = b"", *, end: bool = False, pad: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if pad is not None:
        body = bytes((pad,)) + body + bytes(pad)
        flags |= PADDED
    return frame(DATA, body, flags, stream)


def headers(
    stream: int,
    fields: Iterable[tuple[str, str]] | bytes = REQUEST,
    *,
    end: bool = False,
    whole: bool = True,
    pad: int | None = None,
    priority: bytes = b"",
) -> bytes:
    payload = fields if isinstance(fields, bytes) else block(fields)
    flags = (END_STREAM if end else 0) | (END_HEADERS if whole else 0)
    if priority:
        payload = priority + payload
        flags |= PRIORITY_FLAG
    if pad is not None:
        payload = bytes((pad,)) + payload + bytes(pad)
        flags |= PADDED
    return frame(HEADERS, payload, flags, stream)


def continuation(stream: int, part: bytes, *, whole: bool = True) -> bytes:
    return frame(CONTINUATION, part, END_HEADERS if whole else 0, stream)


def settings(*pairs: tuple[int, int]) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return frame(SETTINGS, payload)


SETTINGS_ACK = frame(SETTINGS, flags=ACK)


def ping(payload: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return frame(PING, payload, ACK if ack else 0)


def reset(stream: int, code: int = ErrorCode.CANCEL) -> bytes:
    return frame(RST_STREAM, int(code).to_bytes(4, "big"), 0, stream)


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, size.to_bytes(4, "big"), 0, stream)


def goaway(last: int, code: int = 0, text: bytes = b"") -> bytes:
    return frame(GOAWAY, last.to_bytes(4, "big") + int(code).to_bytes(4, "big") + text)


def priority(stream: int, payload: bytes = b"\0\0\0\0\x10") -> bytes:
    return frame(PRIORITY, payload, 0, stream)


def record(body: bytes, *, failure: bool = False) -> bytes:
    """One item of an item stream."""
    return (len(body) | (0x8000_0000 if failure else 0)).to_bytes(4, "big") + body


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The payload of WINDOW_UPDATE and RST_STREAM."""
        return int.from_bytes(self.payload, "big")

    @property
    def code(self) -> ErrorCode:
        """The error code of GOAWAY and RST_STREAM."""
        return ErrorCode(int.from_bytes(self.payload[4:8] or self.payload, "big"))

    @property
    def ends(self) -> bool:
        return self.kind in {DATA, HEADERS} and bool(self.flags & END_STREAM)


def read_frames(octets: bytes) -> list[Frame]:
    """Every frame in ``octets``, which must end with one."""
    found: list[Frame] = []
    octets = octets.removeprefix(PREFACE)
    while octets:
        length = int.from_bytes(octets[:3], "big")
        stream = int.from_bytes(octets[5:9], "big")
        assert len(octets) >= 9 + length, "a frame is cut off"
        found.append(Frame(octets[3], octets[4], stream, octets[9 : 9 + length]))
        octets = octets[9 + length :]
    return found


# --- connections ----------------------------------------------------------------------------------


class Request(ServerStream):
    """A request that answers only when the test says so."""

    __slots__ = ("body", "errors")

    def __init__(self, connection: ServerConnection, stream_id: int, head: Head) -> None:
        super().__init__(connection, stream_id, head)
        self.body: bytes | None = None
        self.errors: list[PulsingRuntimeError] = []
        connection.app.append(self)

    def request_received(self, body: bytes | bytearray) -> None:
        assert self.body is None
        self.body = bytes(body)

    def aborted(self, error: PulsingRuntimeError) -> None:
        self.errors.append(error)


class Echo(Request):
    """A request that is answered with its body at once."""

    __slots__ = ()

    def request_received(self, body: bytes | bytearray) -> None:
        super().request_received(body)
        self.respond(bytes(body))


class Reply(ClientStream):
    """A call that writes down what it hears."""

    __slots__ = ("bodies", "errors", "items", "sink", "statuses")

    def __init__(self, order: object = None, deadline: float | None = None) -> None:
        super().__init__()
        self.order = order
        self.deadline = deadline
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.errors: list[PulsingRuntimeError] = []
        self.items: ItemReader | None = None
        self.sink: ItemWriter | None = None

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        self.statuses.append(head.status)
        self.bodies.append(bytes(body))

    def items_started(self, head: Head, reader: ItemReader) -> None:
        self.items = reader

    def failed(self, error: PulsingRuntimeError) -> None:
        self.errors.append(error)

    def request_writable(self, writer: ItemWriter) -> None:
        assert self.sink is None
        self.sink = writer


def take(connection: Connection, budget: int = 1 << 24) -> bytes:
    """What the connection sends now."""
    connection.round.fill(budget)
    octets = b"".join(connection.out)
    connection.out.clear()
    return octets


def taken(connection: Connection) -> list[Frame]:
    return read_frames(take(connection))


def make_server(
    limits: TransportLimits | None = None,
    stream_class: type[ServerStream] = Request,
    *,
    heads: HeadCache | None = None,
    introduced: bool = True,
    now: float = 0.0,
) -> ServerConnection:
    """A server whose ``app`` is the list of its requests."""
    server = ServerConnection(
        stream_class=stream_class,
        peer=PeerInfo("client"),
        limits=limits or TransportLimits(),
        heads=heads or HeadCache(),
        settings=[],
        now=now,
        on_output=lambda: None,
    )
    server.app = []
    if introduced:
        server.receive_data(PREFACE + settings() + SETTINGS_ACK, now)
        take(server)
    return server


def make_client(
    limits: TransportLimits | None = None,
    *peer_settings: tuple[int, int],
    introduced: bool = True,
    now: float = 0.0,
) -> ClientConnection:
    client = ClientConnection(
        peer=PeerInfo("server"),
        limits=limits or TransportLimits(),
        heads=HeadCache(),
        settings=[],
        now=now,
        on_output=lambda: None,
    )
    if introduced:
        client.receive_data(settings(*peer_settings) + SETTINGS_ACK, now)
        take(client)
    return client


def call(client: ClientConnection, body: Any = b"hi", items: int = 0, **options: Any) -> Reply:
    """A request that was made, and perhaps sent."""
    reply = Reply(**options)
    client.request(reply, BLOCK, body, items)
    return reply


def exchange(client: ClientConnection, server: ServerConnection, now: float = 0.0) -> None:
    """Let both talk until neither has anything to say."""
    while True:
        there, back = take(client), take(server)
        if not there and not back:
            return
        if there:
            server.receive_data(there, now)
        if back:
            client.receive_data(back, now)


def assert_nothing_kept(connection: Connection) -> None:
    """All streams have ended: nothing of them is left."""
    assert not connection.streams
    assert connection.held == 0
    assert not connection.round.waiting
    assert not connection.out
    assert len(connection._resets) <= 4096
    if isinstance(connection, ClientConnection):
        assert not len(connection.take_queued())
        assert not connection._behind


# --- ways to feed ---------------------------------------------------------------------------------

Feed = "Callable[[Connection, bytes], None]"
_TAIL = ping(b"the tail")


def _whole(connection: Connection, octets: bytes) -> None:
    connection.receive_data(octets, 0.0)


def _byte_by_byte(connection: Connection, octets: bytes) -> None:
    for at in range(len(octets)):
        connection.receive_data(octets[at : at + 1], 0.0)


def _with_a_tail(connection: Connection, octets: bytes) -> None:
    """A frame begins in the same chunk and ends in the next; its answer is taken away again."""
    connection.receive_data(octets + _TAIL[:12], 0.0)
    before = len(connection.out)
    connection.receive_data(_TAIL[12:], 0.0)
    if connection.closing is None:
        assert connection.out[before:] == [ping(b"the tail", ack=True)]
        del connection.out[before:]


FEEDS = [_whole, _byte_by_byte, _with_a_tail]
