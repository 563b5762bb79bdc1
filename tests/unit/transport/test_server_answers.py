"""What a server says: answers, their order and end, and how it takes its leave."""

from __future__ import annotations

import pytest

from pulsing.errors import ConnectionLost, Delivery, MessageTooLarge, PulsingRuntimeError
from pulsing.transport.frames import (
    DATA,
    GOAWAY,
    HEADERS,
    LARGEST_STREAM_ID,
    PING,
    RST_STREAM,
    ErrorCode,
    Setting,
)
from pulsing.transport.limits import MIB, TransportLimits
from pulsing.transport.streams import ServerStream
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    REQUEST,
    Request,
    block,
    data,
    headers,
    make_server,
    ping,
    record,
    reset,
    settings,
    taken,
    window_update,
)

ITEMS = [*REQUEST, ("pulsing-stream", "4")]


def asked(body: bytes = b"", fields: list[tuple[str, str]] | None = None) -> Request:
    """A request that is complete."""
    server = make_server()
    server.receive_data(headers(1, fields or REQUEST) + data(1, body, end=True), 0.0)
    request: Request = server.app[0]
    return request


def test_a_small_answer_is_headers_and_data_in_one_go() -> None:
    request = asked(b"q")
    request.respond(b"answer")
    first, second = taken(request.connection)
    assert (first.kind, first.stream, first.payload, first.ends) == (HEADERS, 1, b"\x88", False)
    assert (second.kind, second.payload, second.ends) == (DATA, b"answer", True)
    assert request.closed
    f.assert_nothing_kept(request.connection)


@pytest.mark.parametrize(
    "body", [bytearray(b"abc"), [b"a", bytearray(b"b"), memoryview(b"c")], [b"", b"abc", b""]]
)
def test_bodies_of_other_kinds_are_sent_too(body: object) -> None:
    request = asked()
    request.respond(body)  # type: ignore[arg-type]
    frames = taken(request.connection)
    assert b"".join(each.payload for each in frames if each.kind == DATA) == b"abc"
    assert frames[-1].ends
    f.assert_nothing_kept(request.connection)


@pytest.mark.parametrize("body", [b"", [], bytearray()])
def test_an_empty_answer_ends_with_an_empty_frame(body: object) -> None:
    request = asked()
    request.respond(body)  # type: ignore[arg-type]
    assert [each.ends for each in taken(request.connection)] == [False, True]


def test_a_large_answer_is_announced() -> None:
    request = asked()
    request.respond(bytes(20_000))
    frames = taken(request.connection)
    assert frames[0].payload == block([(":status", "200"), ("content-length", "20000")])
    assert [len(each.payload) for each in frames[1:]] == [16_384, 3_616]


def test_failures_and_acknowledgements() -> None:
    request = asked()
    request.respond_failure(404, b"who?")
    assert taken(request.connection)[0].payload == block([(":status", "404")])
    request = asked()
    request.acknowledge()
    (only,) = taken(request.connection)
    assert (only.payload, only.ends) == (block([(":status", "204")]), True)
    f.assert_nothing_kept(request.connection)


def test_an_answer_over_the_limit_is_refused_before_anything_is_sent() -> None:
    server = make_server(TransportLimits(max_message_bytes=MIB))
    server.receive_data(headers(1, end=True), 0.0)
    with pytest.raises(MessageTooLarge):
        server.app[0].respond(bytes(MIB + 1))
    assert not taken(server)
    server.app[0].respond_failure(500, b"too large")
    assert taken(server)[-1].ends


def test_only_the_first_answer_counts() -> None:
    request = asked()
    request.respond(bytes(100_000))  # beyond the window: not all of it is out
    f.take(request.connection)
    request.respond(b"again")
    request.respond_failure(500, b"again")
    request.acknowledge()
    assert request.start_items(4).closed is not None
    assert not taken(request.connection)
    request.connection.receive_data(window_update(1, 100_000) + window_update(0, 100_000), 0.0)
    assert taken(request.connection)[-1].ends
    request.respond(b"again")
    request.acknowledge()
    request.respond_failure(500, b"again")
    request.reset(ErrorCode.CANCEL)
    assert not taken(request.connection)


def test_an_answer_ahead_of_the_request_resets_the_rest_without_error() -> None:
    server = make_server()
    server.receive_data(
        headers(1, [*REQUEST, ("content-length", "70000")]) + data(1, b"x" * 9), 0.0
    )
    server.app[0].respond_failure(413, b"no")
    frames = taken(server)
    assert [each.kind for each in frames] == [HEADERS, DATA, RST_STREAM]  # 8.1
    assert frames[-1].code == ErrorCode.NO_ERROR
    server.receive_data(data(1, b"late") * 3 + reset(1), 0.0)
    assert not taken(server)
    f.assert_nothing_kept(server)


def test_a_small_answer_waits_for_window_like_a_large_one() -> None:
    server = make_server()
    server.receive_data(settings((Setting.INITIAL_WINDOW_SIZE, 3)) + headers(1, end=True), 0.0)
    f.take(server)
    server.app[0].respond(b"12345")
    assert [each.payload for each in taken(server)] == [b"\x88", b"123"]
    server.receive_data(window_update(1, 1), 0.0)
    assert [(each.payload, each.ends) for each in taken(server)] == [(b"4", False)]
    server.receive_data(settings((Setting.INITIAL_WINDOW_SIZE, 5)), 0.0)
    assert [(each.payload, each.ends) for each in taken(server)][1:] == [(b"5", True)]
    f.assert_nothing_kept(server)


def test_a_reset_tells_the_request_and_drops_what_waits() -> None:
    server = make_server()
    server.receive_data(headers(1, end=True) + headers(3, end=True), 0.0)
    server.app[0].respond(bytes(200_000))
    writer = server.app[1].start_items(2)
    f.take(server)
    server.receive_data(reset(1) + reset(3, 0x99), 0.0)
    assert [str(each.errors[0]) for each in server.app] == [
        "client reset the stream: CANCEL",
        "client reset the stream: code 0x99",
    ]
    assert isinstance(writer.closed, ConnectionLost)
    assert writer.closed.delivered is Delivery.UNKNOWN
    server.receive_data(window_update(0, 1 << 20) + reset(1) + window_update(3, 5), 0.0)
    assert not taken(server)
    f.assert_nothing_kept(server)


def test_a_lost_connection_tells_every_request_with_an_error_of_its_own() -> None:
    server = make_server()
    server.receive_data(headers(1, end=True) + headers(3) + headers(5, ITEMS), 0.0)
    server.connection_lost(ConnectionLost("gone"))
    errors = [each.errors[0] for each in server.app]
    assert [str(error) for error in errors] == ["gone"] * 3
    assert len(set(map(id, errors))) == 3
    server.connection_lost(ConnectionLost("again"))
    assert [len(each.errors) for each in server.app] == [1, 1, 1]
    server.app[0].respond(b"too late")
    assert server.app[0].start_items(1).closed is not None
    f.assert_nothing_kept(server)


class Refuser(Request):
    __slots__ = ()

    def request_refused(self, error: PulsingRuntimeError) -> None:
        self.errors.append(error)
        self.respond_failure(413, str(error).encode())


def test_an_announced_request_over_the_limit_is_refused_at_once() -> None:
    limits = TransportLimits(max_message_bytes=MIB)
    for stream_class, kinds in ((Request, [RST_STREAM]), (Refuser, [HEADERS, DATA, RST_STREAM])):
        server = make_server(limits, stream_class)
        server.receive_data(headers(1, [*REQUEST, ("content-length", "1048577")]), 0.0)
        assert [each.kind for each in taken(server)] == kinds
        f.assert_nothing_kept(server)


@pytest.mark.parametrize("size", [0, 100, 70_000])
def test_what_follows_of_a_refused_request_is_dropped(size: int) -> None:
    server = make_server(TransportLimits(max_message_bytes=65_536), Refuser)
    octets = headers(1, [*REQUEST, ("content-length", "70000")])
    for start in range(0, size, 10_000):
        octets += data(1, bytes(min(10_000, size - start)))
    server.receive_data(octets + data(1, end=True), 0.0)
    assert server.app[0].body is None, "it was answered already"
    assert [each.kind for each in taken(server)] == [HEADERS, DATA]
    f.assert_nothing_kept(server)


class Modest(Refuser):
    __slots__ = ()

    def body_limit(self) -> int:
        return 1000


def test_a_stream_may_take_less_than_the_connection() -> None:
    server = make_server(TransportLimits(), Modest)
    server.receive_data(headers(1, [*REQUEST, ("content-length", "1001")]), 0.0)
    assert [each.kind for each in taken(server)] == [HEADERS, DATA, RST_STREAM]
    server.receive_data(headers(3) + data(3, bytes(600)) + data(3, bytes(401)), 0.0)
    (last,) = taken(server)
    assert (last.kind, last.code) == (RST_STREAM, ErrorCode.ENHANCE_YOUR_CALM)
    server.receive_data(headers(5) + data(5, bytes(600)) + data(5, bytes(400), end=True), 0.0)
    assert server.app[-1].body == bytes(1000)


def test_without_room_for_a_body_the_request_is_refused_unprocessed() -> None:
    limits = TransportLimits(max_message_bytes=2 * MIB, max_buffered_bytes=3 * MIB)
    server = make_server(limits)
    sized = [*REQUEST, ("content-length", str(2 * MIB))]
    server.receive_data(headers(1, sized) + headers(3, sized), 0.0)
    assert server.held == 2 * MIB
    refused = [each for each in taken(server) if each.kind == RST_STREAM]
    assert [(each.stream, each.code) for each in refused] == [(3, ErrorCode.REFUSED_STREAM)]
    server.receive_data(data(3, b"late") + reset(1) + headers(5, sized), 0.0)
    assert list(server.streams) == [5]


def test_bodies_that_were_not_announced_are_bounded_as_they_come() -> None:
    limits = TransportLimits(max_message_bytes=MIB, max_buffered_bytes=MIB)
    server = make_server(limits)
    server.receive_data(headers(1) + headers(3), 0.0)
    for _ in range(4):
        server.receive_data(data(1, bytes(200_000)), 0.0)
    assert server.held == 800_000
    server.receive_data(data(3, bytes(250_000)), 0.0)
    assert "bytes more: 800000 are kept for this connection already" in str(server.app[1].errors[0])
    for _ in range(2):
        server.receive_data(data(1, bytes(200_000)), 0.0)
    assert "message exceeds 1048576 bytes" in str(server.app[0].errors[0])
    f.take(server)
    f.assert_nothing_kept(server)


def test_more_streams_than_allowed_are_refused_and_the_others_go_on() -> None:
    server = make_server(TransportLimits(max_concurrent_streams=2))
    server.receive_data(b"".join(headers(n) for n in (1, 3, 5, 7)), 0.0)
    assert [(each.stream, each.code) for each in taken(server)] == [
        (5, ErrorCode.REFUSED_STREAM),
        (7, ErrorCode.REFUSED_STREAM),
    ]
    server.receive_data(data(5, b"x", end=True) + data(1, b"a", end=True), 0.0)
    server.app[0].respond(b"")
    server.receive_data(headers(9), 0.0)
    assert [each.id for each in server.app] == [1, 3, 9]


# --- client streams -------------------------------------------------------------------------------


def test_the_first_record_is_the_call_and_the_rest_its_items() -> None:
    server = make_server()
    records = [record(each) for each in (b"call", b"one", b"two")]
    server.receive_data(headers(1, ITEMS) + data(1, b"".join(records)[:-1]), 0.0)
    (request,) = server.app
    assert request.body == b"call"
    assert request.reader is not None
    assert list(request.reader.items) == [b"one"]
    server.receive_data(data(1, b"o", end=True), 0.0)
    assert [request.reader.pop() for _ in range(2)] == [b"one", b"two"]
    assert request.reader.ended
    assert request.reader.error is None
    request.respond(b"")
    assert taken(server)[-1].ends
    f.assert_nothing_kept(server)


def test_an_answer_ahead_of_the_items_ends_their_reader() -> None:
    server = make_server()
    server.receive_data(headers(1, ITEMS) + data(1, record(b"call") + record(b"1")), 0.0)
    reader = server.app[0].reader
    server.app[0].respond(b"enough")
    assert [each.kind for each in taken(server)] == [HEADERS, DATA, RST_STREAM]
    assert reader.ended
    assert reader.error is not None
    assert reader.pop() == b"1"
    f.assert_nothing_kept(server)


# --- leaving --------------------------------------------------------------------------------------


def test_a_draining_server_answers_what_was_sent_before_the_client_heard() -> None:
    server = make_server()
    drained: list[bool] = []
    server.on_drained = lambda: drained.append(True)
    server.receive_data(headers(1), 0.0)
    server.drain()
    server.drain()
    leave, question = taken(server)
    assert (leave.kind, leave.code) == (GOAWAY, ErrorCode.NO_ERROR)
    assert leave.payload[:4] == LARGEST_STREAM_ID.to_bytes(4, "big")
    assert question.kind == PING
    server.receive_data(headers(3, end=True), 0.0)  # crossed the GOAWAY
    server.receive_data(ping(b"another.", ack=True), 0.0)
    assert not taken(server)
    server.receive_data(ping(question.payload, ack=True), 0.0)
    assert taken(server)[0].payload[:4] == (3).to_bytes(4, "big")
    server.receive_data(headers(5), 0.0)
    assert taken(server)[0].code == ErrorCode.REFUSED_STREAM
    server.app[1].respond(b"")
    assert not drained
    server.receive_data(data(1, end=True), 0.0)
    server.app[0].respond(bytes(20_000))
    f.take(server)
    assert drained
    server.refuse_new()
    assert not taken(server)


def test_a_server_with_nothing_to_do_is_drained_when_the_client_has_heard() -> None:
    server = make_server()
    drained: list[bool] = []
    server.on_drained = lambda: drained.append(True)
    server.refuse_new()
    assert drained


def test_hooks_have_no_default() -> None:
    request = asked()
    with pytest.raises(NotImplementedError):
        ServerStream.request_received(request, b"")
    with pytest.raises(NotImplementedError):
        ServerStream.aborted(request, PulsingRuntimeError())
    assert request.peer.address == "client"
