"""What a server makes of what a client sends: every rule it enforces has a row here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pulsing.transport.frames import (
    ACK,
    DATA,
    GOAWAY,
    HEADERS,
    LARGEST_STREAM_ID,
    LARGEST_WINDOW_BYTES,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    Setting,
)
from pulsing.transport.limits import MIB, TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    FEEDS,
    REQUEST,
    block,
    continuation,
    data,
    frame,
    headers,
    make_server,
    ping,
    record,
    reset,
    settings,
    taken,
    window_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulsing.transport.connection_core import Connection

E = ErrorCode
LIMITS = TransportLimits(
    max_message_bytes=2 * MIB, max_concurrent_streams=3, max_header_block_bytes=512
)
SELF = (1).to_bytes(4, "big") + b"\x10"
ITEMS = [*REQUEST, ("pulsing-stream", "4")]


def sized(length: int | str) -> list[tuple[str, str]]:
    return [*REQUEST, ("content-length", str(length))]


every_feed = pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.__name__.strip("_"))

# What ends the connection: the octets after the introduction, the error code, what is said.
CONNECTION_RULES = [
    (frame(DATA, b"x" * 300_000, 0, 1)[:9], E.FRAME_SIZE_ERROR, "exceeds 262144 (4.2)"),
    (frame(0x42, b"x" * 40_000)[:20_000], E.ENHANCE_YOUR_CALM, "frame of 40000 bytes"),
    (data(0, b"x"), E.PROTOCOL_ERROR, "DATA on stream 0, which is idle (5.1)"),
    (data(1, b"x"), E.PROTOCOL_ERROR, "DATA on stream 1, which is idle (5.1)"),
    (data(2, b"x"), E.PROTOCOL_ERROR, "DATA on stream 2, which is idle (5.1)"),
    (headers(1) + frame(DATA, b"\x05abc", 0x8, 1), E.PROTOCOL_ERROR, "padding longer than"),
    (
        headers(1) + frame(DATA, b"", 0x8, 1),
        E.PROTOCOL_ERROR,
        "padding longer than its frame (6.1)",
    ),
    (frame(HEADERS, b"\x09abc", 0xC, 1), E.PROTOCOL_ERROR, "padding longer than its frame (6.1)"),
    (
        frame(HEADERS, b"abc", 0x24, 1),
        E.FRAME_SIZE_ERROR,
        "too short for its priority fields (6.2)",
    ),
    (headers(1, priority=SELF), E.PROTOCOL_ERROR, "a stream depends on itself"),
    (headers(0), E.PROTOCOL_ERROR, "request on even stream 0 (5.1.1)"),
    (headers(2), E.PROTOCOL_ERROR, "request on even stream 2 (5.1.1)"),
    (headers(5) + headers(3), E.STREAM_CLOSED, "HEADERS on closed stream 3"),
    (headers(1, b"\x80"), E.COMPRESSION_ERROR, "header block cannot be decoded"),
    (headers(1, block(REQUEST) + bytes(600)), E.ENHANCE_YOUR_CALM, "header block too large"),
    (headers(1, bytes(600), whole=False), E.ENHANCE_YOUR_CALM, "header block too large"),
    (
        headers(1, bytes(400), whole=False) + continuation(1, bytes(400)),
        E.ENHANCE_YOUR_CALM,
        "header block too large",
    ),
    (continuation(1, b""), E.PROTOCOL_ERROR, "CONTINUATION without its HEADERS (6.10)"),
    (
        headers(1, b"", whole=False) + continuation(3, b""),
        E.PROTOCOL_ERROR,
        "CONTINUATION without its HEADERS (6.10)",
    ),
    (headers(1, whole=False) + ping(), E.PROTOCOL_ERROR, "a header block was not continued (6.10)"),
    (
        headers(1, whole=False) + data(1),
        E.PROTOCOL_ERROR,
        "a header block was not continued (6.10)",
    ),
    (
        headers(1, whole=False) + data(1, bytes(60_000))[:50_000],
        E.PROTOCOL_ERROR,
        "a header block was not continued (6.10)",
    ),
    (f.priority(0), E.PROTOCOL_ERROR, "PRIORITY on stream 0 (6.3)"),
    (f.priority(1, b"1234"), E.FRAME_SIZE_ERROR, "PRIORITY of wrong length (6.3)"),
    (frame(RST_STREAM, b"123", 0, 1), E.FRAME_SIZE_ERROR, "RST_STREAM of wrong length (6.4)"),
    (reset(0), E.PROTOCOL_ERROR, "RST_STREAM on an idle stream (6.4)"),
    (reset(1), E.PROTOCOL_ERROR, "RST_STREAM on an idle stream (6.4)"),
    (frame(SETTINGS, b"", 0, 1), E.PROTOCOL_ERROR, "SETTINGS on a stream (6.5)"),
    (frame(SETTINGS, bytes(6), ACK), E.FRAME_SIZE_ERROR, "SETTINGS ACK with a payload (6.5)"),
    (frame(SETTINGS, bytes(5)), E.FRAME_SIZE_ERROR, "SETTINGS of wrong length (6.5)"),
    (frame(SETTINGS, bytes(6 * 65)), E.FRAME_SIZE_ERROR, "SETTINGS of wrong length (6.5)"),
    (settings((Setting.ENABLE_PUSH, 2)), E.PROTOCOL_ERROR, "ENABLE_PUSH of 2 (6.5.2)"),
    (
        settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)),
        E.FLOW_CONTROL_ERROR,
        "INITIAL_WINDOW_SIZE of 2147483648 (6.5.2)",
    ),
    (
        settings((Setting.MAX_FRAME_SIZE, 16_383)),
        E.PROTOCOL_ERROR,
        "MAX_FRAME_SIZE of 16383 (6.5.2)",
    ),
    (settings((Setting.MAX_FRAME_SIZE, 1 << 24)), E.PROTOCOL_ERROR, "MAX_FRAME_SIZE of 16777216"),
    (
        headers(1)
        + window_update(1, LARGEST_WINDOW_BYTES - 65_535)
        + settings((Setting.INITIAL_WINDOW_SIZE, 65_536)),
        E.FLOW_CONTROL_ERROR,
        "INITIAL_WINDOW_SIZE beyond a window (6.9.2)",
    ),
    (frame(PUSH_PROMISE, bytes(4), 4, 1), E.PROTOCOL_ERROR, "PUSH_PROMISE, which is disabled (6.6"),
    (frame(6, bytes(8), 0, 1), E.PROTOCOL_ERROR, "PING on a stream (6.7)"),
    (frame(6, bytes(7)), E.FRAME_SIZE_ERROR, "PING of wrong length (6.7)"),
    (frame(GOAWAY, bytes(8), 0, 1), E.PROTOCOL_ERROR, "GOAWAY on a stream (6.8)"),
    (frame(GOAWAY, bytes(7)), E.FRAME_SIZE_ERROR, "GOAWAY of wrong length (6.8)"),
    (frame(WINDOW_UPDATE, bytes(3)), E.FRAME_SIZE_ERROR, "WINDOW_UPDATE of wrong length (6.9)"),
    (window_update(0, 0), E.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)"),
    (
        window_update(0, LARGEST_WINDOW_BYTES),
        E.FLOW_CONTROL_ERROR,
        "connection window beyond 2^31-1",
    ),
    (window_update(1, 1), E.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream (5.1)"),
    (window_update(2, 1), E.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream (5.1)"),
]

# What ends one stream: the octets, the code of the RST_STREAM, what our side is told.
STREAM_RULES = [
    (headers(1, end=True) + data(1, b"x"), E.STREAM_CLOSED, "DATA after END_STREAM"),
    (
        headers(1, end=True) + headers(1, [("a", "b")]),
        E.STREAM_CLOSED,
        "HEADERS after END_STREAM (5.1)",
    ),
    (
        headers(1, [(":method", "GET")]),
        E.PROTOCOL_ERROR,
        "without :method, :scheme or :path (8.3.1)",
    ),
    (headers(1, [("a", "b")]), E.PROTOCOL_ERROR, "a request without :method (8.3.1)"),
    (headers(1, [(":status", "200")]), E.PROTOCOL_ERROR, "a request without :method (8.3.1)"),
    (headers(1, [*REQUEST, ("A", "b")]), E.PROTOCOL_ERROR, "forbidden octets (8.2.1)"),
    (
        headers(1, [*REQUEST, ("upgrade", "x")]),
        E.PROTOCOL_ERROR,
        "connection-specific field (8.2.2)",
    ),
    (headers(1, sized("x")), E.PROTOCOL_ERROR, "bad content-length (8.1.1)"),
    (headers(1, sized(2), end=True), E.PROTOCOL_ERROR, "shorter than its content-length (8.1.1)"),
    (headers(1, sized(2)) + data(1, end=True), E.PROTOCOL_ERROR, "body shorter than its content-"),
    (headers(1, sized(2)) + data(1, b"x", end=True), E.PROTOCOL_ERROR, "body shorter than its"),
    (
        headers(1, sized(2)) + data(1, b"x") + headers(1, [("a", "b")], end=True),
        E.PROTOCOL_ERROR,
        "body shorter than its content-length (8.1.1)",
    ),
    (
        headers(1, sized(2)) + data(1, b"xyz"),
        E.PROTOCOL_ERROR,
        "longer than its content-length (8.1.1)",
    ),
    (headers(1, sized(0)) + data(1, b"x"), E.PROTOCOL_ERROR, "body longer than its content-length"),
    (headers(1) + headers(1, [("a", "b")]), E.PROTOCOL_ERROR, "malformed trailers (8.1)"),
    (headers(1) + headers(1, [("A", "b")], end=True), E.PROTOCOL_ERROR, "malformed trailers (8.1)"),
    (headers(1) + headers(1, end=True), E.PROTOCOL_ERROR, "malformed trailers (8.1)"),
    (headers(1) + window_update(1, 0), E.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)"),
    (
        headers(1) + window_update(1, LARGEST_WINDOW_BYTES),
        E.FLOW_CONTROL_ERROR,
        "stream window beyond 2^31-1 (6.9.1)",
    ),
    (headers(1, ITEMS, end=True), E.PROTOCOL_ERROR, "a request without its first record"),
    (headers(1, ITEMS) + data(1, end=True), E.PROTOCOL_ERROR, "a request without its first record"),
    (
        headers(1, ITEMS) + data(1, record(b"x", failure=True), end=True),
        E.PROTOCOL_ERROR,
        "a request without its first record",
    ),
    (headers(1, ITEMS) + data(1, b"\0\0", end=True), E.PROTOCOL_ERROR, "body ended inside an item"),
    (
        headers(1, ITEMS) + data(1, record(b"call") + record(b"abcd")[:-1], end=True),
        E.PROTOCOL_ERROR,
        "the body ended inside an item",
    ),
    (
        headers(1, ITEMS) + data(1, record(b"call") + record(b"f", failure=True) + record(b"x")),
        E.PROTOCOL_ERROR,
        "an item follows the failure record",
    ),
    (
        headers(1, ITEMS) + data(1, (3 * MIB).to_bytes(4, "big")),
        E.ENHANCE_YOUR_CALM,
        "stream item of 3145728 bytes exceeds the limit of 2097152",
    ),
]


@every_feed
@pytest.mark.parametrize(("octets", "code", "text"), CONNECTION_RULES)
def test_a_broken_rule_of_the_connection_ends_it(
    octets: bytes, code: ErrorCode, text: str, feed: Callable[[Connection, bytes], None]
) -> None:
    server = make_server(LIMITS)
    feed(server, octets)
    last = taken(server)[-1]
    assert last.kind == GOAWAY
    assert last.code == code
    assert text in last.payload[8:].decode()
    assert server.closing is not None
    assert text in str(server.closing)
    server.receive_data(headers(7, end=True), 0.0)
    assert not taken(server), "nothing is parsed any more"


@every_feed
@pytest.mark.parametrize(("octets", "code", "text"), STREAM_RULES)
def test_a_broken_rule_of_a_stream_ends_only_that(
    octets: bytes, code: ErrorCode, text: str, feed: Callable[[Connection, bytes], None]
) -> None:
    server = make_server(LIMITS)
    feed(server, octets)
    resets = [each for each in taken(server) if each.kind == RST_STREAM]
    assert [(each.stream, each.code) for each in resets] == [(1, code)]
    (broken,) = server.app
    assert len(broken.errors) == 1
    assert text in str(broken.errors[0])
    feed(server, headers(3) + data(3, b"next", end=True))
    assert server.app[-1].body == b"next"
    server.app[-1].respond(b"")
    f.take(server)
    f.assert_nothing_kept(server)


@every_feed
@pytest.mark.parametrize(
    ("octets", "code", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n" * 2, E.PROTOCOL_ERROR, "not an HTTP/2 preface (3.4)"),
        (PREFACE + ping(), E.PROTOCOL_ERROR, "the first frame must be SETTINGS (3.4)"),
        (PREFACE + headers(1), E.PROTOCOL_ERROR, "the first frame must be SETTINGS (3.4)"),
        (PREFACE + f.SETTINGS_ACK, E.PROTOCOL_ERROR, "the first frame must be SETTINGS (3.4)"),
    ],
)
def test_a_connection_begins_with_the_preface_and_settings(
    octets: bytes, code: ErrorCode, text: str, feed: Callable[[Connection, bytes], None]
) -> None:
    server = make_server(introduced=False)
    assert taken(server)[0].kind == SETTINGS
    feed(server, octets)
    (last,) = taken(server)
    assert (last.kind, last.code) == (GOAWAY, code)
    assert text in last.payload.decode("latin-1")


@every_feed
def test_the_introduction_is_told_once_and_acknowledged(
    feed: Callable[[Connection, bytes], None],
) -> None:
    server = make_server(introduced=False)
    f.take(server)
    heard: list[dict[int, int]] = []
    server.on_introduced = heard.append
    feed(server, PREFACE + settings((0xF050, 7), (3, 5)))
    assert [(each.kind, each.flags) for each in taken(server)] == [(SETTINGS, ACK)]
    assert not server.acknowledged
    feed(server, f.SETTINGS_ACK + settings((3, 6)))
    assert heard == [{0xF050: 7, 3: 5}]
    assert server.acknowledged
    assert server.peer_max_streams == 6


@pytest.mark.parametrize(
    ("feed", "size"),
    [(feed, size) for feed in FEEDS for size in (0, 1, 16_384, 16_385, 70_000)]
    + [(FEEDS[0], 300_000), (FEEDS[0], 2 * MIB)],
)
@pytest.mark.parametrize("announced", [False, True])
def test_a_request_arrives_whole_whatever_its_frames(
    size: int, announced: bool, feed: Callable[[Connection, bytes], None]
) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    server = make_server(LIMITS)
    feed(server, headers(1, sized(size) if announced else REQUEST))
    window = LIMITS.stream_window_bytes
    window += sum(each.number for each in taken(server) if each.stream == 1)
    sent = 0
    while True:
        piece = body[sent : sent + 50_000]
        sent += len(piece)
        window -= len(piece)
        assert window >= 0, "a sender would wait for ever"
        feed(server, data(1, piece, end=sent == size))
        window += sum(each.number for each in taken(server) if each.stream == 1)
        if sent == size:
            break
    (request,) = server.app
    assert request.body == body
    assert server.held == 0
    request.respond(b"done")
    answer = taken(server)
    assert [(each.kind, each.ends) for each in answer] == [(HEADERS, False), (DATA, True)]
    f.assert_nothing_kept(server)


def test_padding_and_priority_fields_are_stripped_and_padding_is_given_back() -> None:
    server = make_server()
    server.receive_data(headers(1, pad=9, priority=b"\0\0\0\3\7"), 0.0)
    server.receive_data(data(1, b"ab", pad=20) + data(1, b"cd", end=True, pad=0), 0.0)
    assert server.app[0].body == b"abcd"
    updates = [(each.stream, each.number) for each in taken(server) if each.kind == WINDOW_UPDATE]
    assert updates == [(1, 21)]


def test_a_header_block_may_come_in_pieces() -> None:
    server = make_server()
    octets = block(REQUEST)
    server.receive_data(
        headers(1, octets[:3], end=True, whole=False)
        + continuation(1, octets[3:9], whole=False)
        + continuation(1, octets[9:]),
        0.0,
    )
    assert server.app[0].body == b""


@pytest.mark.parametrize(
    "octets",
    [
        frame(0x42, b"anything", 0xFF, 77),
        f.priority(9),
        f.priority(2, b"\0\0\0\2\0"),
        ping(ack=True),
        settings((0x99, 5)),
        settings((Setting.ENABLE_PUSH, 1)),
        settings(*[(Setting.MAX_CONCURRENT_STREAMS, n) for n in range(64)]),
        f.SETTINGS_ACK,
        f.goaway(0),
        frame(0x0, b"", 0, 1),
    ],
)
def test_what_must_be_ignored_is_ignored(octets: bytes) -> None:
    server = make_server()
    server.receive_data(headers(1) + octets + data(1, b"x", end=True), 0.0)
    assert server.app[0].body == b"x"
    assert server.closing is None


def test_frames_for_a_stream_reset_here_are_dropped_in_silence() -> None:
    server = make_server()
    server.receive_data(headers(1) + headers(3), 0.0)
    server.app[0].reset(ErrorCode.CANCEL)
    f.take(server)
    late = data(1, b"late") + window_update(1, 2000) + reset(1) + headers(1, [("a", "b")], end=True)
    server.receive_data(late + data(1, bytes(40_000))[:30_000], 0.0)
    server.receive_data(data(1, bytes(40_000))[30_000:], 0.0)
    assert not taken(server)
    assert server.closing is None
    server.receive_data(data(3, b"on", end=True), 0.0)
    assert server.app[1].body == b"on"


def test_data_for_a_finished_stream_is_answered_with_stream_closed() -> None:
    server = make_server(stream_class=f.Echo)
    server.receive_data(headers(1, end=True), 0.0)
    f.take(server)
    server.receive_data(data(1, b"more"), 0.0)
    assert [(each.kind, each.code) for each in taken(server)] == [(RST_STREAM, E.STREAM_CLOSED)]


def test_ids_may_be_skipped_but_never_used_again() -> None:
    server = make_server()
    server.receive_data(headers(7, end=True) + headers(LARGEST_STREAM_ID, end=True), 0.0)
    assert [each.id for each in server.app] == [7, LARGEST_STREAM_ID]
    server.receive_data(headers(9, end=True), 0.0)
    assert server.closing is not None
    assert taken(server)[-1].payload[:4] == LARGEST_STREAM_ID.to_bytes(4, "big")
