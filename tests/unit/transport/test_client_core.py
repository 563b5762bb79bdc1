"""What a client makes of what a server sends: every rule it enforces has a row here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pulsing.errors import ConnectionLost, Delivery, MessageTooLarge, PulsingRuntimeError
from pulsing.transport.frames import (
    DATA,
    GOAWAY,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    Setting,
)
from pulsing.transport.limits import MIB, TransportLimits
from pulsing.transport.streams import ClientStream, Stream
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    FEEDS,
    OK,
    call,
    data,
    frame,
    headers,
    make_client,
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
LIMITS = TransportLimits(max_message_bytes=2 * MIB)
ITEMS = [*OK, ("pulsing-stream", "4")]
DONE = [("pulsing-status", "ok")]
FAILED = [("pulsing-status", "failed")]

every_feed = pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.__name__.strip("_"))


def sized(length: int) -> list[tuple[str, str]]:
    return [*OK, ("content-length", str(length))]


# One request is open, as stream 1.
CONNECTION_RULES = [
    (settings((Setting.ENABLE_PUSH, 1)), E.PROTOCOL_ERROR, "a server enables push (6.5.2)"),
    (headers(3, OK), E.PROTOCOL_ERROR, "HEADERS on idle stream 3 (5.1)"),
    (headers(2, OK), E.PROTOCOL_ERROR, "HEADERS on idle stream 2 (5.1)"),
    (headers(0, OK), E.PROTOCOL_ERROR, "HEADERS on idle stream 0 (5.1)"),
    (data(3, b"x"), E.PROTOCOL_ERROR, "DATA on stream 3, which is idle (5.1)"),
    (data(2, b"x"), E.PROTOCOL_ERROR, "DATA on stream 2, which is idle (5.1)"),
    (reset(3), E.PROTOCOL_ERROR, "RST_STREAM on an idle stream (6.4)"),
    (window_update(3, 1), E.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream (5.1)"),
    (frame(5, bytes(4), 4, 1), E.PROTOCOL_ERROR, "PUSH_PROMISE, which is disabled (6.6, 8.4)"),
    (headers(1, b"\xbe"), E.COMPRESSION_ERROR, "header block cannot be decoded"),
    (reset(1) + headers(1, b"\xbe"), E.COMPRESSION_ERROR, "header block cannot be decoded"),
]

STREAM_RULES = [
    (headers(1, [("a", "b")]), E.PROTOCOL_ERROR, "a response without :status"),
    (headers(1, f.REQUEST), E.PROTOCOL_ERROR, "a response without :status"),
    (headers(1, [(":status", "20")]), E.PROTOCOL_ERROR, "bad :status or a request pseudo-header"),
    (headers(1, [*OK, ("A", "b")]), E.PROTOCOL_ERROR, "field name with forbidden octets (8.2.1)"),
    (headers(1, [(":status", "103")], end=True), E.PROTOCOL_ERROR, "an interim response ends the"),
    (data(1, b"x"), E.PROTOCOL_ERROR, "DATA before HEADERS (8.1)"),
    (data(1, b"x", end=True), E.PROTOCOL_ERROR, "DATA before HEADERS (8.1)"),
    (data(1, bytes(60_000)), E.PROTOCOL_ERROR, "DATA before HEADERS (8.1)"),
    (
        headers(1, sized(2), end=True),
        E.PROTOCOL_ERROR,
        "body shorter than its content-length (8.1.1)",
    ),
    (headers(1, sized(2)) + data(1, b"x", end=True), E.PROTOCOL_ERROR, "body shorter than its"),
    (headers(1, sized(2)) + data(1, b"xyz", end=True), E.PROTOCOL_ERROR, "body longer than its"),
    (headers(1, OK) + headers(1, [("a", "b")]), E.PROTOCOL_ERROR, "malformed trailers (8.1)"),
    (headers(1, OK) + headers(1, OK, end=True), E.PROTOCOL_ERROR, "malformed trailers (8.1)"),
    (
        headers(1, OK) + data(1, b"x") + headers(1, [("A", "b")], end=True),
        E.PROTOCOL_ERROR,
        "malfor",
    ),
    (headers(1, OK) + window_update(1, 0), E.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)"),
]

ITEM_RULES = [
    (headers(1, ITEMS, end=True), "the stream ended without its final status"),
    (
        headers(1, ITEMS) + data(1, record(b"x"), end=True),
        "the stream ended without its final status",
    ),
    (
        headers(1, ITEMS) + headers(1, [("a", "b")], end=True),
        "the stream's final status is missing",
    ),
    (headers(1, ITEMS) + headers(1, FAILED, end=True), "the stream's final status is missing"),
    (
        headers(1, ITEMS) + data(1, record(b"", failure=True)) + headers(1, DONE, end=True),
        "the stream's final status is missing",
    ),
    (headers(1, ITEMS) + headers(1, DONE), "malformed trailers (8.1)"),
    (
        headers(1, ITEMS) + data(1, b"\0") + headers(1, DONE, end=True),
        "the body ended inside an item",
    ),
    (headers(1, ITEMS) + data(1, (3 * MIB).to_bytes(4, "big")), "stream item of 3145728 bytes"),
]


@every_feed
@pytest.mark.parametrize(("octets", "code", "text"), CONNECTION_RULES)
def test_a_broken_rule_of_the_connection_ends_it(
    octets: bytes, code: ErrorCode, text: str, feed: Callable[[Connection, bytes], None]
) -> None:
    client = make_client(LIMITS)
    reply = call(client)
    f.take(client)
    feed(client, octets)
    last = taken(client)[-1]
    assert (last.kind, last.code) == (GOAWAY, code)
    assert text in last.payload[8:].decode()
    assert not client.accepting
    client.connection_lost(ConnectionLost("the transport is gone"))
    assert len(reply.errors) == 1
    f.assert_nothing_kept(client)


@every_feed
@pytest.mark.parametrize(("octets", "code", "text"), STREAM_RULES)
def test_a_broken_rule_of_a_stream_ends_only_that(
    octets: bytes, code: ErrorCode, text: str, feed: Callable[[Connection, bytes], None]
) -> None:
    client = make_client(LIMITS)
    broken, fine = call(client), call(client)
    f.take(client)
    feed(client, octets)
    assert [(each.stream, each.code) for each in taken(client)] == [(1, code)]
    assert text in str(broken.errors[0])
    assert len(broken.errors) == 1
    assert not broken.bodies
    feed(client, headers(3, OK) + data(3, b"fine", end=True))
    assert fine.bodies == [b"fine"]
    f.assert_nothing_kept(client)


@every_feed
@pytest.mark.parametrize(("octets", "text"), ITEM_RULES)
def test_a_broken_rule_of_an_item_stream_is_told_by_its_reader_alone(
    octets: bytes, text: str, feed: Callable[[Connection, bytes], None]
) -> None:
    client = make_client(LIMITS)
    reply = call(client)
    f.take(client)
    feed(client, octets)
    (stop,) = taken(client)
    assert stop.kind == RST_STREAM
    assert not reply.errors
    assert reply.items is not None
    assert reply.items.ended
    assert text in str(reply.items.error)
    f.assert_nothing_kept(client)


def test_a_client_begins_with_the_preface_and_its_settings() -> None:
    client = make_client(introduced=False)
    octets = f.take(client)
    assert octets.startswith(PREFACE)
    first, window = f.read_frames(octets)
    assert (first.kind, first.flags, window.kind) == (SETTINGS, 0, WINDOW_UPDATE)
    values = {
        first.payload[at + 1]: int.from_bytes(first.payload[at + 2 : at + 6], "big")
        for at in range(0, len(first.payload), 6)
    }
    assert values[Setting.HEADER_TABLE_SIZE] == 0
    assert values[Setting.ENABLE_PUSH] == 0
    assert 65_535 + window.number == client.limits.connection_window_bytes


@every_feed
@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 70_000])
@pytest.mark.parametrize("announced", [False, True])
def test_an_answer_arrives_whole(
    size: int, announced: bool, feed: Callable[[Connection, bytes], None]
) -> None:
    client = make_client(LIMITS)
    reply = call(client, b"question")
    assert [each.payload for each in taken(client)][1:] == [b"question"]
    body = bytes(range(250)) * (size // 250 + 1)
    feed(client, headers(1, sized(size) if announced else OK))
    for at in range(0, size, 30_000):
        feed(client, data(1, body[at : min(size, at + 30_000)]))
    feed(client, data(1, end=True))
    assert reply.bodies == [body[:size]]
    assert reply.closed
    f.take(client)
    f.assert_nothing_kept(client)


@every_feed
def test_answers_without_body_or_with_trailers_or_after_interim_ones(
    feed: Callable[[Connection, bytes], None],
) -> None:
    client = make_client()
    replies = [call(client) for _ in range(4)]
    f.take(client)
    feed(client, headers(1, [(":status", "204")], end=True))
    feed(client, headers(3, [(":status", "103")]) + headers(3, OK) + data(3, b"b", end=True))
    feed(client, headers(5, OK) + data(5, b"c") + headers(5, [("a", "b")], end=True))
    feed(client, headers(7, sized(0), end=True))
    assert [reply.bodies for reply in replies] == [[b""], [b"b"], [b"c"], [b""]]
    assert [reply.statuses for reply in replies] == [[204], [200], [200], [200]]
    assert not taken(client)
    f.assert_nothing_kept(client)


def test_an_answer_over_the_limit_is_cancelled_before_it_comes() -> None:
    client = make_client(LIMITS)
    reply = call(client)
    f.take(client)
    client.receive_data(headers(1, sized(3 * MIB)) + data(1, bytes(9)), 0.0)
    assert [(each.kind, each.code) for each in taken(client)] == [(RST_STREAM, E.CANCEL)]
    assert isinstance(reply.errors[0], MessageTooLarge)
    f.assert_nothing_kept(client)


def test_without_room_for_an_answer_it_is_cancelled() -> None:
    client = make_client(TransportLimits(max_message_bytes=2 * MIB, max_buffered_bytes=2 * MIB))
    first, second = call(client), call(client)
    f.take(client)
    client.receive_data(headers(1, sized(2 * MIB)) + headers(3, sized(1)), 0.0)
    assert not first.errors
    assert "no room for 1 bytes more" in str(second.errors[0])
    first.withdraw()
    assert client.held == 0


@every_feed
def test_an_item_stream_brings_its_items_and_its_end(
    feed: Callable[[Connection, bytes], None],
) -> None:
    client = make_client()
    good, bad = call(client), call(client)
    f.take(client)
    feed(client, headers(1, ITEMS) + data(1, record(b"1") + record(b"") + record(b"3")))
    feed(client, headers(1, DONE, end=True))
    feed(client, headers(3, ITEMS) + data(3, record(b"1") + record(b"why", failure=True)))
    feed(client, headers(3, FAILED, end=True))
    assert good.items is not None
    assert bad.items is not None
    assert list(good.items.items) == [b"1", b"", b"3"]
    assert (good.items.ended, good.items.failure, good.items.error) == (True, None, None)
    assert (list(bad.items.items), bad.items.failure) == ([b"1"], b"why")
    assert not good.errors
    assert not bad.errors
    while good.items.items:
        good.items.pop()
    assert not taken(client), "no window for a stream that has ended"
    f.assert_nothing_kept(client)


def test_a_reset_fails_the_call_and_says_whether_it_may_have_run() -> None:
    client = make_client()
    replies = [call(client) for _ in range(3)]
    f.take(client)
    codes = (E.CANCEL, E.REFUSED_STREAM, 0x77)
    client.receive_data(b"".join(reset(2 * n + 1, code) for n, code in enumerate(codes)), 0.0)
    errors = [reply.errors[0] for reply in replies]
    assert [error.delivered for error in errors] == [
        Delivery.UNKNOWN,
        Delivery.NO,
        Delivery.UNKNOWN,
    ]
    assert str(errors[1]) == "server reset the stream: REFUSED_STREAM"
    client.receive_data(headers(1, OK), 0.0)
    assert [(each.kind, each.code) for each in taken(client)] == [(RST_STREAM, E.STREAM_CLOSED)]


def test_late_frames_of_a_withdrawn_call_are_dropped() -> None:
    client = make_client()
    reply = call(client)
    f.take(client)
    reply.withdraw()
    reply.withdraw()
    assert [each.code for each in taken(client)] == [E.CANCEL]
    client.receive_data(headers(1, OK) + data(1, b"late", end=True) + reset(1), 0.0)
    assert not taken(client)
    assert not reply.errors
    assert not reply.bodies
    f.assert_nothing_kept(client)


def test_an_answer_ahead_of_the_request_stops_the_rest_of_it() -> None:
    client = make_client()
    large, items = call(client, bytes(200_000)), call(client, b"call", items=4)
    f.take(client)
    client.receive_data(headers(1, OK) + data(1, b"no", end=True), 0.0)
    client.receive_data(headers(3, OK) + data(3, b"no", end=True), 0.0)
    assert large.bodies == items.bodies == [b"no"]
    assert [(each.kind, each.stream) for each in taken(client)] == [
        (RST_STREAM, 1),
        (RST_STREAM, 3),
    ]
    assert items.sink is not None
    assert items.sink.closed is not None
    client.receive_data(window_update(0, 1 << 20) + window_update(1, 1 << 20), 0.0)
    assert not taken(client)
    f.assert_nothing_kept(client)


def test_goaway_fails_what_was_not_processed_and_lets_the_rest_finish() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 3))
    replies = [call(client) for _ in range(5)]
    heard: list[str] = []
    client.on_goaway = lambda: heard.append("goaway")
    f.take(client)
    client.receive_data(f.goaway(3, 0, b"stopping"), 0.0)
    assert not client.accepting
    assert [bool(reply.errors) for reply in replies] == [False, False, True, True, True]
    for reply in replies[2:]:
        assert reply.errors[0].delivered is Delivery.NO
        assert str(reply.errors[0]) == "server did not process the call: stopping"
    assert len({id(reply.errors[0]) for reply in replies[2:]}) == 3
    client.receive_data(f.goaway(1), 0.0)
    assert replies[1].errors[0].delivered is Delivery.NO
    assert heard == ["goaway"]
    assert client.goaway == (0, "stopping")
    client.receive_data(headers(1, OK) + data(1, b"done", end=True), 0.0)
    assert replies[0].bodies == [b"done"]
    assert not taken(client)
    f.assert_nothing_kept(client)


def test_what_was_not_sent_at_goaway_can_be_sent_elsewhere() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    replies = [call(client, bytes((n,))) for n in range(3)]
    replies[1].withdraw()
    saved: list[bytes] = []
    client.on_goaway = lambda: saved.extend(request[2] for request in client.take_queued())  # type: ignore[misc]
    client.explain_goaway = lambda code, text: PulsingRuntimeError(f"{code} {text}")
    client.receive_data(f.goaway(0, 2, b"\xff"), 0.0)
    assert saved == [b"\x02"]
    assert not replies[2].errors
    assert str(replies[0].errors[0]) == "2 \ufffd"


def test_a_lost_connection_says_what_may_have_run() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    sent, waits, withdrawn = call(client), call(client), call(client)
    withdrawn.withdraw()
    client.connection_lost(ConnectionLost("gone"))
    assert sent.errors[0].delivered is Delivery.UNKNOWN
    assert waits.errors[0].delivered is Delivery.NO
    assert not withdrawn.errors
    f.take(client)
    f.assert_nothing_kept(client)


def test_pings_are_answered_and_asked() -> None:
    client = make_client()
    client.receive_data(ping(b"question") + ping(b"answered", ack=True), 0.0)
    client.ping(b"pulsing?")
    assert [each.payload for each in taken(client)] == [b"question", b"pulsing?"]


def test_hooks_have_no_default_but_that_for_items_of_a_request() -> None:
    stream = ClientStream()
    stream.request_writable(None)  # type: ignore[arg-type]
    for hook, *arguments in (("response_received", 1, 2), ("items_started", 1, 2), ("failed", 1)):
        with pytest.raises(NotImplementedError):
            getattr(stream, hook)(*arguments)
    for hook in ("message_received", "ended"):
        with pytest.raises(NotImplementedError):
            getattr(Stream(), hook)(None)
    assert frame(DATA) == bytes(9)
