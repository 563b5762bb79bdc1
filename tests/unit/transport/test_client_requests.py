"""How requests leave a client: at once or in their turn, in order, until a deadline or a cancel."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsing.errors import DeadlineExceeded, Delivery, MailboxFull, MessageTooLarge
from pulsing.transport.client_core import request_block
from pulsing.transport.frames import (
    DATA,
    HEADERS,
    LARGEST_STREAM_ID,
    RST_STREAM,
    ErrorCode,
    Setting,
)
from pulsing.transport.limits import TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    OK,
    Echo,
    call,
    data,
    headers,
    make_client,
    make_server,
    taken,
    window_update,
)

if TYPE_CHECKING:
    from pulsing.transport.client_core import ClientConnection


def sent(client: ClientConnection) -> list[int]:
    """The streams whose requests begin to leave now."""
    return [each.stream for each in taken(client) if each.kind == HEADERS]


def answer(client: ClientConnection, *streams: int) -> None:
    for stream in streams:
        client.receive_data(headers(stream, OK) + data(stream, end=True), 0.0)


def test_a_small_request_is_headers_and_data_in_one_go() -> None:
    client = make_client()
    call(client, b"hi")
    assert f.read_frames(b"".join(client.out)) == [
        f.Frame(HEADERS, 4, 1, f.block(f.REQUEST)),
        f.Frame(DATA, 1, 1, b"hi"),
    ]


def test_a_path_no_peer_would_take_is_refused() -> None:
    with pytest.raises(MessageTooLarge):
        request_block("/" + "x" * 17_000, "x")


def test_extra_fields_follow_the_path() -> None:
    _, block = request_block("/a", "x", scheme="https", extra=[("pulsing-buffer", "3")])
    assert block.endswith(f.block([("pulsing-buffer", "3")]))
    assert f.block([(":scheme", "https")]) in block


@pytest.mark.parametrize("body", [bytearray(b"abc"), [b"a", memoryview(b"bc")], [b"", b"abc"]])
def test_bodies_of_other_kinds_are_sent_too(body: object) -> None:
    client = make_client()
    call(client, body)
    frames = taken(client)
    assert b"".join(each.payload for each in frames if each.kind == DATA) == b"abc"
    assert frames[-1].ends


@pytest.mark.parametrize("body", [b"", [], [b""], bytearray()])
def test_an_empty_request_ends_with_an_empty_frame(body: object) -> None:
    client = make_client()
    call(client, body, order="k")
    call(client, b"", order="k")
    assert [(each.stream, each.ends) for each in taken(client)] == [
        (1, False), (1, True), (3, False), (3, True),
    ]  # fmt: skip


# --- turns ----------------------------------------------------------------------------------------


def test_requests_beyond_the_peers_streams_wait_in_order() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 2))
    replies = [call(client, bytes((n,))) for n in range(6)]
    assert sent(client) == [1, 3]
    replies[2].withdraw()
    answer(client, 3)
    assert replies[1].bodies
    frames = taken(client)
    assert [each.payload for each in frames if each.kind == DATA] == [b"\x03"]
    client.receive_data(f.settings((Setting.MAX_CONCURRENT_STREAMS, 3)), 0.0)
    assert sent(client) == [7]
    client.receive_data(f.settings((Setting.MAX_CONCURRENT_STREAMS, 0)), 0.0)
    answer(client, 1, 5, 7)
    assert sent(client) == []
    client.receive_data(f.settings((Setting.MAX_CONCURRENT_STREAMS, 1)), 0.0)
    answer(client, 9)
    assert [reply.bodies for reply in replies] == [[b""], [b""], [], [b""], [b""], [b""]]
    f.take(client)
    f.assert_nothing_kept(client)


def test_a_reset_stream_makes_room_for_the_next() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    first, second, third = call(client), call(client), call(client)
    f.take(client)
    first.withdraw()
    assert sent(client) == [3]
    client.receive_data(f.reset(3), 0.0)
    assert second.errors
    assert sent(client) == [5]
    assert third.id == 5


def test_what_waits_is_bounded_and_does_not_count_what_was_given_up() -> None:
    limits = TransportLimits(max_queued_requests=3)
    client = make_client(limits, (Setting.MAX_CONCURRENT_STREAMS, 1))
    call(client, bytes(100_000), order="k")
    behind = [call(client, order="k") for _ in range(2)]
    assert not behind[0].errors
    waiting = call(client)
    refused = [call(client), call(client, order="k")]
    assert all(isinstance(reply.errors[0], MailboxFull) for reply in refused)
    assert "3 requests wait for server already" in str(refused[0].errors[0])
    assert all(reply.closed for reply in refused)
    behind[0].withdraw()
    waiting.withdraw()
    assert not call(client).errors
    assert not call(client, order="k").errors
    assert call(client).errors


def test_a_connection_without_open_requests_says_so() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    idle: list[int] = []
    client.on_idle = lambda: idle.append(len(client.streams))
    call(client)
    call(client)
    answer(client, 1)
    assert not idle
    answer(client, 3)
    assert idle == [0]


# --- order ----------------------------------------------------------------------------------------


def test_a_small_request_waits_behind_a_large_one_of_its_order_only() -> None:
    client = make_client()
    call(client, bytes(100_000), order="a")
    call(client, order="a")
    call(client, order="b")
    call(client, order=None)
    assert sent(client) == [1, 3, 5]
    client.receive_data(window_update(0, 1 << 20) + window_update(1, 1 << 20), 0.0)
    assert sent(client) == [7]


def test_giving_up_what_is_sent_lets_the_next_go() -> None:
    client = make_client()
    large = call(client, bytes(100_000), order="a")
    call(client, order="a")
    f.take(client)
    large.withdraw()
    frames = taken(client)
    assert [(each.kind, each.stream) for each in frames] == [(RST_STREAM, 1), (HEADERS, 3)]


def test_the_end_of_another_request_of_that_order_releases_nobody() -> None:
    client = make_client()
    small = call(client, order="a")
    call(client, bytes(100_000), order="a")
    call(client, order="a")
    assert sent(client) == [1, 3]
    small.withdraw()
    assert [each.kind for each in taken(client)] == [RST_STREAM]
    client.receive_data(window_update(0, 1 << 20) + window_update(3, 1 << 20), 0.0)
    assert sent(client) == [5]


def test_those_behind_go_before_those_that_wait_for_a_stream() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    call(client, bytes(100_000), order="a")
    bodies = [b"behind", b"waits", b"last"]
    for body in bodies:
        call(client, body, order="a")
    f.take(client)
    client.receive_data(window_update(0, 1 << 20) + window_update(1, 1 << 20), 0.0)
    f.take(client)
    answer(client, 1)
    for n, body in enumerate(bodies):
        assert [each.payload for each in taken(client) if each.kind == DATA] == [body]
        answer(client, 2 * n + 3)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_requests_of_one_order_arrive_in_the_order_they_were_made(data: st.DataObject) -> None:
    """Whatever their sizes, the windows, the limit of streams, and who gives up."""
    most = data.draw(st.sampled_from([1, 2, 5, 100]), label="streams")
    window = data.draw(st.sampled_from([65_535, 70_000, 1 << 20]), label="window")
    server = make_server(
        TransportLimits(
            max_concurrent_streams=most, stream_window_bytes=window, connection_window_bytes=1 << 20
        ),
        Echo,
    )
    client = make_client(introduced=False)
    client.on_output = lambda: None
    server = make_server(server.limits, Echo, introduced=False)
    f.exchange(client, server)
    sizes = st.sampled_from([0, 5, 16_384, 16_385, 50_000, 150_000])
    steps = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.just("call"), st.sampled_from("ab"), sizes, st.booleans()),
                st.tuples(st.just("pump"), st.integers(0, 60_000)),
                st.tuples(st.just("withdraw"), st.integers(0, 30)),
            ),
            max_size=30,
        ),
        label="steps",
    )
    made: dict[str, list[bytes]] = {"a": [], "b": []}
    replies = []
    dropped: set[bytes] = set()
    for step in steps:
        if step[0] == "call":
            _, order, size, parts = step
            mark = f"{order}{len(made[order]):04}".encode()
            made[order].append(mark)
            body: object = mark + bytes(size)
            replies.append(
                (mark, call(client, [mark, bytes(size)] if parts else body, order=order))
            )
        elif step[0] == "pump":
            server.receive_data(f.take(client, step[1]), 0.0)
            client.receive_data(f.take(server, step[1]), 0.0)
        elif replies:
            mark, reply = replies[step[1] % len(replies)]
            if not reply.closed:
                dropped.add(mark)
            reply.withdraw()
    f.exchange(client, server)
    arrived = [request.body[:5] for request in server.app if request.body]
    for order, marks in made.items():
        mine = [mark for mark in arrived if mark[:1] == order.encode()]
        assert mine == [mark for mark in marks if mark in mine], "not in order"
        assert set(marks) - set(mine) <= dropped, "lost"
    for mark, reply in replies:
        if mark not in dropped:
            assert [body[:5] for body in reply.bodies] == [mark]
            assert not reply.errors
    assert client.closing is None
    assert server.closing is None
    f.assert_nothing_kept(client)
    f.assert_nothing_kept(server)


# --- giving up ------------------------------------------------------------------------------------


def test_a_request_withdrawn_before_it_was_sent_leaves_no_trace() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    call(client)
    waits = call(client)
    f.take(client)
    waits.withdraw()
    assert waits.closed
    answer(client, 1)
    assert not taken(client)
    assert not waits.errors
    f.assert_nothing_kept(client)


def test_deadlines_fail_what_is_due_and_only_that() -> None:
    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 3))
    told: list[float] = []
    client.on_expiry = lambda: told.append(client.next_expiry)
    sent_late = call(client, deadline=5.0)
    sent_early = call(client, deadline=2.0)
    large = call(client, bytes(100_000), order="k")
    behind = call(client, order="k", deadline=2.0)
    waits = call(client, deadline=3.0)
    forever = call(client)
    assert told == [5.0, 2.0]
    f.take(client)
    client.expire(1.9)
    assert client.next_expiry == 2.0
    client.expire(3.0)
    assert client.next_expiry == 5.0
    for reply in (sent_early, behind, waits):
        assert isinstance(reply.errors[0], DeadlineExceeded)
        assert reply.closed
    assert sent_early.errors[0].delivered is Delivery.UNKNOWN
    assert behind.errors[0].delivered is waits.errors[0].delivered is Delivery.NO
    assert not sent_late.errors
    assert [each.stream for each in taken(client) if each.kind == RST_STREAM] == [3]
    sent_late.withdraw()
    large.withdraw()
    forever.withdraw()
    client.expire(9.0)
    assert client.next_expiry == inf


def test_the_deadline_of_an_item_stream_is_told_by_its_reader() -> None:
    client = make_client()
    reply = call(client, deadline=1.0)
    f.take(client)
    client.receive_data(headers(1, [*OK, ("pulsing-stream", "4")]), 0.0)
    client.expire(1.0)
    assert reply.items is not None
    assert isinstance(reply.items.error, DeadlineExceeded)
    assert not reply.errors
    assert [each.code for each in taken(client)] == [ErrorCode.CANCEL]


# --- the end of stream ids ------------------------------------------------------------------------


def test_the_connection_retires_before_stream_ids_run_out() -> None:
    limits = TransportLimits(max_queued_requests=2)
    client = make_client(limits, (Setting.MAX_CONCURRENT_STREAMS, 2))
    retired: list[int] = []
    client.on_goaway = lambda: retired.append(len(client.streams))
    client._next_id = LARGEST_STREAM_ID - 10
    call(client)
    assert client.accepting
    last = call(client)
    assert not client.accepting
    assert retired == [1 + 1], "the request that found it is among those to finish"
    waiting = [call(client), call(client)]
    f.take(client)
    answer(client, last.id - 2, last.id)
    assert last.bodies
    assert [reply.id for reply in waiting] == [LARGEST_STREAM_ID - 6, LARGEST_STREAM_ID - 4]
    assert retired == [2]


def test_a_request_that_waits_for_a_stream_knows_its_order_from_the_start() -> None:
    asked: list[str] = []
    now = "caller"

    class Lazy(f.Reply):
        @property
        def order(self) -> object:
            asked.append(now)
            return "k"

        @order.setter
        def order(self, key: object) -> None:
            pass

    client = make_client(None, (Setting.MAX_CONCURRENT_STREAMS, 1))
    call(client)
    assert not asked, "a call that leaves at once is not asked"
    client.request(Lazy(), f.BLOCK, b"x")
    assert asked == ["caller"], "later, other code runs"
