"""Item streams: records, and how far a producer may be ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsing.errors import ConnectionLost, MessageTooLarge, PulsingRuntimeError
from pulsing.transport.frames import DATA, HEADERS, RST_STREAM, WINDOW_UPDATE
from pulsing.transport.limits import MIB, TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    FEEDS,
    OK,
    REQUEST,
    Reply,
    Request,
    call,
    data,
    exchange,
    headers,
    make_client,
    make_server,
    record,
    taken,
    window_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulsing.transport.client_core import ClientConnection
    from pulsing.transport.connection_core import Connection
    from pulsing.transport.items import ItemReader, ItemWriter
    from pulsing.transport.server_core import ServerConnection

SMALL = TransportLimits(stream_window_bytes=65_535, max_message_bytes=2 * MIB)


class Pipe:
    """An item stream from a server to a client."""

    def __init__(self, buffer_items: int, limits: TransportLimits = SMALL) -> None:
        self.server = make_server(limits, introduced=False)
        self.client = make_client(limits, introduced=False)
        exchange(self.client, self.server)
        self.reply, self.request, self.writer = self.open(buffer_items)

    def open(self, buffer_items: int) -> tuple[Reply, Request, ItemWriter]:
        reply = call(self.client, b"")
        exchange(self.client, self.server)
        request: Request = self.server.app[-1]
        writer = request.start_items(buffer_items)
        exchange(self.client, self.server)
        assert reply.items is not None
        return reply, request, writer

    @property
    def reader(self) -> ItemReader:
        assert self.reply.items is not None
        return self.reply.items

    def produce(self, body: bytes = b"x", most: int = 10_000) -> int:
        """Write until there is no credit."""
        written = 0
        while written < most and self.writer.credit() > 0:
            self.writer.write(body)
            written += 1
        self.writer.flush()
        exchange(self.client, self.server)
        return written


@pytest.mark.parametrize("buffer_items", [1, 2, 3, 7, 256])
def test_a_producer_is_at_most_the_buffer_ahead(buffer_items: int) -> None:
    pipe = Pipe(buffer_items)
    wakes: list[int] = []
    pipe.writer.on_writable = lambda: wakes.append(1)
    assert pipe.produce() == buffer_items
    assert pipe.produce() == 0
    assert len(pipe.reader.items) == buffer_items
    assert not wakes
    total = buffer_items
    for _ in range(500):
        assert pipe.reader.pop() == b"x"
        exchange(pipe.client, pipe.server)
        total += pipe.produce()
        assert 1 <= len(pipe.reader.items) <= buffer_items, "starved, or too far ahead"
    assert total >= 500
    assert wakes


def test_a_fast_consumer_never_stops_the_producer() -> None:
    pipe = Pipe(4)
    for _ in range(1000):
        assert pipe.produce(most=1) == 1
        assert pipe.reader.pop() == b"x"
        exchange(pipe.client, pipe.server)


def test_a_producer_is_at_most_a_window_ahead() -> None:
    pipe = Pipe(256)
    written = pipe.produce(bytes(20_000))
    waiting = sum(map(len, pipe.reader.items))
    assert waiting <= 65_535
    assert written * 20_004 <= 65_535 + 20_004, "one item may wait for the window"
    assert pipe.request.send_blocked or pipe.writer.credit() == 0
    pipe.writer.on_writable = lambda: None
    for _ in range(100):
        if pipe.reader.items:
            pipe.reader.pop()
        exchange(pipe.client, pipe.server)
        pipe.produce(bytes(20_000))
        assert sum(map(len, pipe.reader.items)) <= 65_535
    assert pipe.client.held <= 65_535


@pytest.mark.parametrize("buffer_items", [1, 16])
def test_items_larger_than_the_window_pass(buffer_items: int) -> None:
    pipe = Pipe(buffer_items)
    body = bytes(range(250)) * 1200
    for _ in range(3):
        assert pipe.produce(body, most=1) == 1
        assert pipe.reader.pop() == body
        exchange(pipe.client, pipe.server)
    pipe.writer.finish()
    exchange(pipe.client, pipe.server)
    assert pipe.reader.ended
    f.assert_nothing_kept(pipe.client)
    f.assert_nothing_kept(pipe.server)


def test_zero_length_items_are_items() -> None:
    pipe = Pipe(3)
    assert pipe.produce(b"") == 3
    assert [pipe.reader.pop() for _ in range(3)] == [b""] * 3


def test_a_failure_comes_behind_the_items_before_it() -> None:
    pipe = Pipe(8)
    pipe.writer.write(b"one")
    pipe.writer.fail(b"why")
    pipe.writer.write(b"too late")
    pipe.writer.flush()
    pipe.writer.fail(b"again")
    pipe.writer.finish()
    exchange(pipe.client, pipe.server)
    assert list(pipe.reader.items) == [b"one"]
    assert pipe.reader.failure == b"why"
    assert pipe.reader.ended
    assert pipe.reader.error is None
    f.assert_nothing_kept(pipe.client)
    f.assert_nothing_kept(pipe.server)


def test_an_item_over_the_limit_is_refused_before_it_is_written() -> None:
    pipe = Pipe(8)
    with pytest.raises(MessageTooLarge):
        pipe.writer.write(bytes(2 * MIB + 1))
    pipe.writer.write([b"a", bytearray(b"b"), memoryview(b"c")])
    pipe.writer.finish()
    exchange(pipe.client, pipe.server)
    assert list(pipe.reader.items) == [b"abc"]


def test_a_consumer_that_leaves_stops_the_producer() -> None:
    pipe = Pipe(2)
    woken: list[object] = []
    pipe.produce()
    pipe.writer.on_writable = lambda: woken.append(pipe.writer.closed)
    pipe.reader.cancel()
    assert not pipe.reader.items
    exchange(pipe.client, pipe.server)
    assert isinstance(pipe.request.errors[0], ConnectionLost)
    assert woken == [pipe.writer.closed]
    assert pipe.writer.credit() == 0
    pipe.writer.write(b"x")
    pipe.writer.flush()
    pipe.writer.finish()
    assert not taken(pipe.server)
    pipe.reader.cancel()
    assert not taken(pipe.client)
    f.assert_nothing_kept(pipe.client)
    f.assert_nothing_kept(pipe.server)


def test_a_reset_by_the_producer_is_told_once_and_leaves_the_items() -> None:
    pipe = Pipe(4)
    pipe.produce(most=2)
    told: list[int] = []
    pipe.reader.on_items = lambda: told.append(len(pipe.reader.items))
    pipe.server.connection_lost(ConnectionLost("gone"))
    pipe.client.connection_lost(ConnectionLost("gone"))
    assert told == [2]
    assert str(pipe.reader.error) == "gone"
    assert not pipe.reply.errors
    assert pipe.reader.pop() == b"x"


def test_credit_is_returned_for_what_was_consumed_only() -> None:
    client = make_client(SMALL)
    reply = call(client)
    f.take(client)
    client.receive_data(headers(1, [*OK, ("pulsing-stream", "10")]), 0.0)
    client.receive_data(data(1, record(b"abc") * 10 + record(b"abc")[:-1]), 0.0)
    assert reply.items is not None
    returned = 0
    for taken_items in range(1, 11):
        reply.items.pop()
        returned += sum(each.number for each in taken(client) if each.kind == WINDOW_UPDATE)
        assert returned <= 7 * taken_items
    assert returned == 70
    assert not reply.items.ended


def test_credit_for_an_item_under_way_comes_when_nothing_else_is_there_to_take() -> None:
    client = make_client(SMALL)
    reply = call(client)
    f.take(client)
    client.receive_data(headers(1, [*OK, ("pulsing-stream", "10")]), 0.0)
    large = record(bytes(100_000))
    client.receive_data(
        data(1, record(b"abc") + large[:20_000]) + data(1, large[20_000:60_000]), 0.0
    )
    assert not taken(client), "there is an item to take first"
    assert reply.items is not None
    reply.items.pop()
    needed = 7 + 100_004 - 65_535
    assert [each.number for each in taken(client)] == [needed], "as much as it needs, no more"
    client.receive_data(data(1, large[60_000:]), 0.0)
    assert not taken(client), "while it is not taken the producer waits"
    assert reply.items.pop() == bytes(100_000)
    assert sum(each.number for each in taken(client)) == 100_011 - needed


def test_an_item_never_waits_for_credit_that_waits_for_more_items() -> None:
    client = make_client(SMALL)
    reply = call(client)
    f.take(client)
    client.receive_data(headers(1, [*OK, ("pulsing-stream", "256")]), 0.0)
    first, second = record(bytes(20_000)), record(bytes(60_000))
    client.receive_data(data(1, (first + second)[:65_535]), 0.0)
    assert reply.items is not None
    reply.items.pop()
    needed = len(first + second) - 65_535
    assert sum(each.number for each in taken(client)) >= needed
    client.receive_data(data(1, (first + second)[65_535:]), 0.0)
    assert len(reply.items.pop()) == 60_000


def test_a_peer_cannot_grant_items_it_was_not_sent() -> None:
    server = make_server()
    server.receive_data(headers(1, end=True), 0.0)
    writer = server.app[0].start_items(2)
    server.receive_data(window_update(1, 1 << 20), 0.0)
    for _ in range(2):
        writer.write(b"x")
    writer.flush()
    assert writer.credit() == 0


@pytest.mark.parametrize("feed", FEEDS)
def test_records_may_be_cut_anywhere(feed: Callable[[Connection, bytes], None]) -> None:
    bodies = [b"", b"a", bytes(300), b"", bytes(range(256)) * 70, b"end"]
    octets = b"".join(map(record, bodies))
    for size in (1, 3, 4, 5, 1000, 60_000):
        client = make_client()
        reply = call(client)
        f.take(client)
        feed(client, headers(1, [*OK, ("pulsing-stream", "10")]))
        for at in range(0, len(octets), size):
            client.receive_data(data(1, octets[at : at + size]), 0.0)
        feed(client, headers(1, [("pulsing-status", "ok")], end=True))
        assert reply.items is not None
        assert list(reply.items.items) == bodies
        assert reply.items.error is None


def test_items_both_ways_at_once() -> None:
    pipe = Pipe(4)
    reply = call(pipe.client, b"call", items=3)
    exchange(pipe.client, pipe.server)
    request = pipe.server.app[-1]
    assert request.body == b"call"
    back = request.start_items(4)
    assert reply.sink is not None
    for n in range(20):
        while reply.sink.credit() == 0:
            back.write(request.reader.pop())
            back.flush()
            exchange(pipe.client, pipe.server)
        reply.sink.write(str(n).encode())
        reply.sink.flush()
        exchange(pipe.client, pipe.server)
        assert len(request.reader.items) <= 3
        while reply.items is not None and reply.items.items:
            reply.items.pop()
    reply.sink.finish()
    exchange(pipe.client, pipe.server)
    assert request.reader.ended
    back.finish()
    exchange(pipe.client, pipe.server)
    assert reply.items is not None
    assert reply.items.ended
    assert reply.items.error is None


def test_the_items_of_a_call_can_be_stopped_by_the_callee() -> None:
    pipe = Pipe(4)
    reply = call(pipe.client, b"call", items=3)
    exchange(pipe.client, pipe.server)
    pipe.server.app[-1].reader.cancel()
    exchange(pipe.client, pipe.server)
    assert reply.sink is not None
    assert isinstance(reply.sink.closed, ConnectionLost)
    assert len(reply.errors) == 1


def test_a_failed_request_stream_ends_with_its_failure() -> None:
    pipe = Pipe(4)
    reply = call(pipe.client, b"call", items=3)
    assert reply.sink is not None
    reply.sink.fail(b"why")
    exchange(pipe.client, pipe.server)
    reader = pipe.server.app[-1].reader
    assert (reader.failure, reader.ended, reader.error) == (b"why", True, None)


def test_unread_items_keep_the_connections_window_shut_until_they_are_read() -> None:
    limits = TransportLimits(
        max_message_bytes=MIB,
        max_buffered_bytes=MIB,
        stream_window_bytes=MIB,
        connection_window_bytes=MIB,
    )
    server = make_server(limits, introduced=False)
    client = make_client(limits, introduced=False)
    exchange(client, server)
    replies = [call(client) for _ in range(4)]
    exchange(client, server)
    for request in server.app:
        writer = request.start_items(256)
        for _ in range(200):
            writer.write(bytes(4092))
        writer.flush()
    exchange(client, server)
    assert MIB < client.held <= 2 * MIB, "what is kept at most, and one window"
    assert server.send_window < MIB // 2, "it is not opened any more"
    popped = 0
    for reply in replies:
        assert reply.items is not None
        while reply.items.items:
            reply.items.pop()
            popped += 1
            exchange(client, server)
    for reply in replies:
        while reply.items is not None and reply.items.items:
            reply.items.pop()
            popped += 1
            exchange(client, server)
    assert popped == 800
    assert server.send_window > MIB // 2


def test_large_items_under_way_are_bounded_together() -> None:
    limits = TransportLimits(
        max_message_bytes=MIB, max_buffered_bytes=MIB, stream_window_bytes=65_535
    )
    client = make_client(limits)
    replies = [call(client) for _ in range(2)]
    f.take(client)
    start = (700_000).to_bytes(4, "big") + b"abc"
    for stream in (1, 3):
        client.receive_data(
            headers(stream, [*OK, ("pulsing-stream", "4")]) + data(stream, start), 0
        )
    assert replies[0].items is not None
    assert replies[1].items is not None
    assert replies[0].items.error is None
    assert "no room for 700000 bytes" in str(replies[1].items.error)
    replies[0].items.cancel()
    f.take(client)
    f.assert_nothing_kept(client)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_many_streams_interleave_and_each_keeps_its_order_and_bounds(data: st.DataObject) -> None:
    pipe = Pipe(data.draw(st.integers(1, 5)))
    count = data.draw(st.integers(1, 4))
    streams = []
    for _ in range(count):
        buffer_items = data.draw(st.integers(1, 9))
        reply, request, writer = pipe.open(buffer_items)
        streams.append((buffer_items, reply, request, writer, [], []))
    pipe.reader.cancel()
    sizes = st.sampled_from([0, 1, 10, 1000, 16_380, 40_000, 65_531, 65_532, 130_000])
    for _ in range(data.draw(st.integers(0, 60))):
        buffer_items, reply, _, writer, written, read = data.draw(st.sampled_from(streams))
        match data.draw(st.sampled_from(["write", "write", "read", "there", "back"])):
            case "write":
                for _ in range(min(writer.credit(), 3)):
                    body = len(written).to_bytes(2, "big") + bytes(data.draw(sizes))
                    writer.write(body)
                    written.append(body)
                writer.flush()
            case "read" if reply.items.items:
                read.append(reply.items.pop())
            case "there":
                step(pipe.server, pipe.client, data.draw(st.integers(1, 100_000)))
            case "back":
                step(pipe.client, pipe.server, 1)
        assert len(written) - len(read) <= buffer_items
        assert len(reply.items.items) <= buffer_items
    for each in streams:
        each[3].finish()
    for _ in range(10_000):
        exchange(pipe.client, pipe.server)
        for *_, reply, _request, _writer, _written, read in streams:
            while reply.items.items:
                read.append(reply.items.pop())
        if not pipe.client.streams:
            break
    for _, reply, _, _, written, read in streams:
        assert read == written
        assert reply.items.ended
        assert reply.items.error is None
    exchange(pipe.client, pipe.server)
    f.assert_nothing_kept(pipe.client)
    f.assert_nothing_kept(pipe.server)


def step(
    source: ServerConnection | ClientConnection,
    target: ServerConnection | ClientConnection,
    budget: int,
) -> None:
    target.receive_data(f.take(source, budget), 0.0)


def test_what_cannot_be_sent_yet_is_joined_when_small_and_not_copied_when_large() -> None:
    server = make_server()
    server.receive_data(headers(1, REQUEST, end=True), 0.0)
    writer = server.app[0].start_items(10)
    large = bytes(50_000)
    writer.write(large)
    writer.write(large)
    writer.flush()
    server.round.fill(1 << 20)
    views = [each for each in server.out if isinstance(each, memoryview) and each.obj is large]
    assert sum(map(len, views)) >= 50_000
    kinds = {each.kind for each in taken(server)}
    assert kinds <= {HEADERS, DATA}
    server.app[0].reset(8)
    assert [each.kind for each in taken(server)] == [RST_STREAM]
    assert isinstance(writer.closed, PulsingRuntimeError)
