"""Flow control on the sending side, and whose turn it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pulsing.transport.frames import DATA, HEADERS, WINDOW_UPDATE, Setting
from pulsing.transport.limits import TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    OK,
    call,
    data,
    headers,
    make_client,
    make_server,
    settings,
    taken,
    window_update,
)

BIG = settings((Setting.INITIAL_WINDOW_SIZE, 1 << 24)) + window_update(0, 1 << 24)


def body_bytes(frames: list[f.Frame], stream: int) -> int:
    return sum(len(each.payload) for each in frames if each.kind == DATA and each.stream == stream)


def test_large_bodies_take_turns_frame_by_frame() -> None:
    client = make_client()
    client.receive_data(BIG, 0.0)
    for _ in range(3):
        call(client, bytes(50_000))
    turns = [each.stream for each in taken(client) if each.kind == DATA]
    assert turns == [1, 3, 5] * 4


def test_one_turn_is_one_frame_and_the_budget_is_kept() -> None:
    client = make_client()
    client.receive_data(BIG + settings((Setting.MAX_FRAME_SIZE, 65_536)), 0.0)
    call(client, bytes(300_000))
    f.take(client, 0)
    assert [len(each.payload) for each in taken_with(client, 1)] == [65_536]
    assert [len(each.payload) for each in taken_with(client, 65_537)] == [65_536, 65_536]


def taken_with(client: f.ClientConnection, budget: int) -> list[f.Frame]:
    return f.read_frames(f.take(client, budget))


def test_frames_are_no_larger_than_the_peer_takes_nor_than_our_grain() -> None:
    client = make_client(TransportLimits(max_frame_bytes=32_768))
    client.receive_data(BIG + settings((Setting.MAX_FRAME_SIZE, 1 << 20)), 0.0)
    call(client, bytes(100_000))
    assert max(len(each.payload) for each in taken(client)) == 32_768


def test_a_small_request_overtakes_a_large_one_of_another_order() -> None:
    client = make_client()
    client.receive_data(BIG, 0.0)
    call(client, bytes(500_000))
    f.take(client, 1)
    call(client, b"ping")
    assert taken_with(client, 1)[0].kind == HEADERS


def test_a_stream_without_window_holds_up_nobody() -> None:
    client = make_client()
    client.receive_data(window_update(0, 1 << 20), 0.0)
    for _ in range(2):
        call(client, bytes(100_000))
    frames = taken(client)
    assert body_bytes(frames, 1) == body_bytes(frames, 3) == 65_535
    client.receive_data(window_update(3, 100_000), 0.0)
    assert body_bytes(taken(client), 3) == 100_000 - 65_535
    assert not client.round.waiting


def test_a_connection_without_window_lets_ends_pass_still() -> None:
    server = make_server()
    server.receive_data(headers(1, end=True) + headers(3, end=True), 0.0)
    server.app[0].respond(bytes(100_000))
    writer = server.app[1].start_items(4)
    f.take(server)
    assert server.send_window == 0
    writer.finish()
    assert server.round.waiting
    assert [(each.stream, each.ends) for each in taken(server)] == [(3, True)]
    assert not server.round.waiting
    server.receive_data(window_update(0, 1), 0.0)
    assert not taken(server), "the stream's own window is used up as well"
    server.receive_data(window_update(1, 1), 0.0)
    assert body_bytes(taken(server), 1) == 1


def test_an_initial_window_made_smaller_stops_what_was_about_to_be_sent() -> None:
    client = make_client()
    call(client, bytes(60_000))
    f.take(client, 1)
    client.receive_data(settings((Setting.INITIAL_WINDOW_SIZE, 10_000)), 0.0)
    assert body_bytes(taken(client), 1) == 0
    assert not client.round.waiting
    client.receive_data(window_update(1, 6_384), 0.0)
    assert body_bytes(taken(client), 1) == 0, "6.9.2: the window was below zero"
    client.receive_data(window_update(1, 1), 0.0)
    assert body_bytes(taken(client), 1) == 1
    client.receive_data(settings((Setting.INITIAL_WINDOW_SIZE, 65_535)), 0.0)
    assert taken(client)[-1].ends


def test_nothing_of_a_body_that_was_given_up_is_sent() -> None:
    client = make_client()
    client.receive_data(BIG, 0.0)
    first, second = call(client, bytes(100_000)), call(client, bytes(100_000))
    f.take(client, 1)
    first.withdraw()
    assert body_bytes(taken(client), 1) == 0
    second.withdraw()
    assert not client.round.waiting


def test_output_is_announced_outside_a_batch_only() -> None:
    told: list[int] = []
    client = make_client()
    client.on_output = lambda: told.append(1)
    call(client, b"x")
    assert len(told) == 1
    client.receive_data(f.ping(), 0.0)
    assert len(told) == 1
    client.ping(b"12345678")
    assert len(told) == 2
    call(client, bytes(50_000), order="k")
    call(client, b"y", order="k")
    before = len(told)
    f.take(client)
    assert len(told) == before, "who fills the output sends what that sets off"


@hypothesis_settings(max_examples=100, deadline=None)
@given(data_=st.data())
def test_never_more_is_sent_than_both_windows_allow(data_: st.DataObject) -> None:
    """An accountant beside the client, over any mixture of windows and settings."""
    client = make_client()
    connection_window = initial = 65_535
    windows: dict[int, int] = {}
    sent: dict[int, int] = {}
    sizes: dict[int, int] = {}
    max_frame = 16_384
    for _ in range(data_.draw(st.integers(1, 25))):
        match data_.draw(st.sampled_from(["call", "stream", "connection", "initial", "frame"])):
            case "call":
                size = data_.draw(st.sampled_from([0, 1, 16_384, 16_385, 70_000, 200_000]))
                sizes[call(client, bytes(size)).id] = size
            case "stream" if windows:
                stream = data_.draw(st.sampled_from(sorted(windows)))
                size = data_.draw(st.integers(1, 100_000))
                windows[stream] += size
                client.receive_data(window_update(stream, size), 0.0)
            case "connection":
                size = data_.draw(st.integers(1, 200_000))
                connection_window += size
                client.receive_data(window_update(0, size), 0.0)
            case "initial":
                new = data_.draw(st.integers(0, 200_000))
                windows = {stream: left + new - initial for stream, left in windows.items()}
                initial = new
                client.receive_data(settings((Setting.INITIAL_WINDOW_SIZE, new)), 0.0)
            case "frame":
                max_frame = data_.draw(st.integers(16_384, 100_000))
                client.receive_data(settings((Setting.MAX_FRAME_SIZE, max_frame)), 0.0)
        for each in f.read_frames(f.take(client, data_.draw(st.integers(0, 300_000)))):
            if each.kind == HEADERS:
                windows[each.stream] = initial
                sent[each.stream] = 0
            elif each.kind == DATA:
                size = len(each.payload)
                assert size <= max_frame
                windows[each.stream] -= size
                connection_window -= size
                sent[each.stream] += size
                if size:
                    assert windows[each.stream] >= 0
                    assert connection_window >= 0
                assert each.ends == (sent[each.stream] == sizes[each.stream])
    assert client.closing is None
    assert client.send_window == connection_window


@hypothesis_settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.integers(0, 60_000), max_size=12), announced=st.booleans())
def test_window_is_given_for_what_came_and_never_runs_dry(
    pieces: list[int], announced: bool
) -> None:
    limits = TransportLimits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    client = make_client(limits)
    reply = call(client)
    f.take(client)
    total = sum(pieces)
    length = [("content-length", str(total))] if announced else []
    client.receive_data(headers(1, [*OK, *length]), 0.0)
    stream_window = connection_window = 65_535
    sent = 0
    for size in [0, *pieces, *[total] * 100]:
        if size := min(size, stream_window, connection_window, total - sent):
            stream_window -= size
            connection_window -= size
            sent += size
            client.receive_data(data(1, bytes(size)), 0.0)
        assert sent == total or min(stream_window, connection_window) > 0 or client.out, "stuck"
        for each in taken(client):
            assert each.kind == WINDOW_UPDATE
            if each.stream:
                stream_window += each.number
            else:
                connection_window += each.number
    assert sent == total
    client.receive_data(data(1, end=True), 0.0)
    assert [len(body) for body in reply.bodies] == [total]
    assert stream_window <= max(65_535, min(total, limits.body_window_bytes)) + 65_535
    f.take(client)
    f.assert_nothing_kept(client)
