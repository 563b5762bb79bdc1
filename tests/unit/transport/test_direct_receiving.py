"""Large bodies that are received straight into their buffer must not differ from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsing.transport.frames import RST_STREAM, ErrorCode
from pulsing.transport.limits import MIB, TransportLimits
from pulsing.transport.streams import new_buffer
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import REQUEST, data, headers, make_server, ping, record, taken

if TYPE_CHECKING:
    from pulsing.transport.faults import StreamFault
    from pulsing.transport.server_core import ServerConnection

LIMITS = TransportLimits(max_message_bytes=4 * MIB)
ITEMS = [*REQUEST, ("pulsing-stream", "4")]


def sized(length: int) -> list[tuple[str, str]]:
    return [*REQUEST, ("content-length", str(length))]


class Wire:
    """Octets under way, read as the shell reads them."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.direct = 0

    def read(self, server: ServerConnection, most: int) -> None:
        space = server.direct_space() if server.direct_rest and server.direct_left() else None
        if space is not None:
            size = min(len(space), len(self.octets), most)
            space[:size] = self.octets[:size]
            self.direct += size
            server.direct_received(size, 0.0)
        else:
            size = min(len(self.octets), most)
            server.receive_data(self.octets[:size], 0.0)
        self.octets = self.octets[size:]


@settings(max_examples=100, deadline=None)
@given(data_=st.data())
def test_what_is_received_directly_is_what_was_sent(data_: st.DataObject) -> None:
    server = make_server(LIMITS)
    frames: list[bytes] = []
    expected: dict[int, tuple[bytes, list[bytes]]] = {}
    queues: list[list[bytes]] = []
    for stream in range(1, 2 * data_.draw(st.integers(1, 4)), 2):
        sizes = st.sampled_from([0, 10, 20_000, 200_000, 700_000])
        cut = data_.draw(st.integers(10_000, 200_000))
        if data_.draw(st.booleans()):
            body = bytes((stream,)) * data_.draw(sizes)
            expected[stream] = (body, [])
            frames.append(headers(stream, sized(len(body))))
        else:
            items = [bytes((n,)) * data_.draw(sizes) for n in range(data_.draw(st.integers(0, 3)))]
            expected[stream] = (b"call", items)
            body = b"".join(map(record, [b"call", *items]))[: 1 << 20]
            frames.append(headers(stream, ITEMS))
        queue = [data(stream, body[at : at + cut]) for at in range(0, len(body), cut)]
        queues.append([*queue, data(stream, end=True)])
    while queues:
        queue = data_.draw(st.sampled_from(queues))
        frames.append(queue.pop(0))
        if data_.draw(st.integers(0, 9)) == 0:
            frames.append(ping())
        queues = [each for each in queues if each]
    wire = Wire(b"".join(frames))
    most = data_.draw(st.sampled_from([30_000, 100_000, 1 << 20]))
    while wire.octets:
        wire.read(server, most)
        for request in server.app:
            while request.reader is not None and request.reader.items:
                request.errors.append(bytes(request.reader.pop()))
        f.take(server)
    assert server.closing is None
    for request in server.app:
        body, items = expected[request.id]
        if sum(map(len, items)) < 1_000_000:
            assert request.body == body
            assert request.errors == items


def test_the_header_of_the_next_frame_comes_along() -> None:
    server = make_server(LIMITS)
    server.receive_data(headers(1, sized(600_000)) + data(1, bytes(200_000))[:1000], 0.0)
    space = server.direct_space()
    assert space is not None
    assert len(space) == 200_000 - 991 + 9
    space[:] = bytes(200_000 - 991) + data(1, bytes(200_000))[:9]
    server.direct_received(len(space), 0.0)
    assert server.direct_rest == 200_000
    assert server.direct_left() == 400_000
    space = server.direct_space()
    assert space is not None
    server.direct_received(100, 0.0)
    assert server.direct_rest == 199_900


def test_a_stream_that_ends_in_the_middle_takes_nothing_more() -> None:
    server = make_server(LIMITS)
    frame = data(1, bytes(200_000))
    server.receive_data(headers(1, sized(600_000)) + frame[:1000], 0.0)
    assert server.direct_space() is not None
    server.app[0].reset(ErrorCode.CANCEL)
    server.direct_received(500, 0.0)
    assert server.direct_space() is None
    assert server.direct_left() == 0
    server.receive_data(frame[1500:] + headers(3, end=True), 0.0)
    assert server.app[1].body == b""
    assert server.held == 0


def test_what_was_not_announced_or_is_a_small_item_is_not_received_directly() -> None:
    server = make_server(LIMITS)
    server.receive_data(headers(1) + data(1, bytes(200_000))[:1000], 0.0)
    assert server.direct_left() == 0
    server.receive_data(data(1, bytes(200_000))[1000:], 0.0)
    server.receive_data(headers(3, ITEMS) + data(3, record(b"call") + bytes(100_000))[:1000], 0.0)
    assert server.direct_space() is None


def test_a_fault_at_the_end_of_a_direct_frame_is_a_fault() -> None:
    server = make_server(LIMITS)
    server.receive_data(headers(1, sized(200_000)) + data(1, bytes(100_000), end=True)[:1000], 0.0)
    server.direct_received(100_000 - 991, 0.0)
    assert [each.code for each in taken(server) if each.kind == RST_STREAM] == [
        ErrorCode.PROTOCOL_ERROR
    ]
    assert "shorter than its content-length" in str(server.app[0].errors[0])


def test_memory_that_is_not_there_is_a_fault_of_the_stream() -> None:
    with pytest.raises(Exception, match="no memory for a body") as caught:
        new_buffer((1 << 62) - 1)
    fault: StreamFault = caught.value  # type: ignore[assignment]
    assert fault.code == ErrorCode.ENHANCE_YOUR_CALM
