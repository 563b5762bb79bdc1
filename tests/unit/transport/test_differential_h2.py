"""Random sessions between our engine and the h2 library, in both roles: they must agree.

Agree: everything sent was delivered, once, whole and in order; both consider the same streams
closed; neither finds a fault in what the other says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsing.transport.frames import ErrorCode
from pulsing.transport.limits import TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import (
    OK,
    REQUEST,
    Reply,
    Request,
    make_client,
    make_server,
    record,
)
from tests.unit.transport.oracle import Fields, Heard, Oracle, tolerate_empty_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pulsing.transport.connection_core import Connection

LIMITS = TransportLimits(
    stream_window_bytes=65_535, connection_window_bytes=100_000, max_frame_bytes=32_768
)
SIZES = st.sampled_from([0, 1, 100, 16_383, 16_384, 16_385, 40_000, 90_000])
CODES = st.sampled_from([ErrorCode.NO_ERROR, ErrorCode.REFUSED_STREAM, ErrorCode.CANCEL])
PADS = st.sampled_from([None, None, 0, 9, 255])


@pytest.fixture(autouse=True, scope="module")
def _patched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        tolerate_empty_data(monkeypatch)
        yield


class Session:
    """Our engine and h2, and the octets under way between them."""

    def __init__(self, ours: Connection, oracle: Oracle) -> None:
        self.ours = ours
        self.oracle = oracle
        self.there = self.back = b""
        self.settle()

    def move_there(self, size: int, budget: int) -> int:
        self.there += f.take(self.ours, budget)
        piece, self.there = self.there[:size], self.there[size:]
        if piece:
            self.oracle.receive(piece)
        return len(piece)

    def move_back(self, size: int) -> int:
        self.oracle.pump()
        self.back += self.oracle.output()
        piece, self.back = self.back[:size], self.back[size:]
        if piece:
            self.ours.receive_data(piece, 0.0)
        assert self.ours.closing is None, self.ours.closing
        return len(piece)

    def settle(self, step: Callable[[], None] = lambda: None) -> None:
        """Until neither has anything to say."""
        for _ in range(2000):
            moved = self.move_there(1 << 30, 1 << 24)
            step()
            for stream in list(self.oracle.heard):
                self.oracle.acknowledge(stream)
            if not moved + self.move_back(1 << 30):
                return
        pytest.fail("they talk for ever")

    def heal(self, step: Callable[[], None]) -> None:
        """Let everything that waits for window go on."""
        self.settle(step)
        self.oracle.change({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        self.settle(step)


def draw_pieces(data: st.DataObject) -> list[tuple[bytes, int | None]]:
    count = data.draw(st.integers(0, 3))
    return [(bytes((65 + n,)) * data.draw(SIZES), data.draw(PADS)) for n in range(count)]


def draw_settings(data: st.DataObject) -> dict[SettingCodes, int]:
    if data.draw(st.booleans()):
        return {SettingCodes.MAX_FRAME_SIZE: data.draw(st.integers(16_384, 100_000))}
    window = st.sampled_from([0, 1000, 10_000, 65_535, 100_000])
    return {SettingCodes.INITIAL_WINDOW_SIZE: data.draw(window)}


# --- our client, h2 as the server -----------------------------------------------------------------


class ClientSession(Session):
    def __init__(self) -> None:
        self.client = make_client(LIMITS, introduced=False)
        self.calls: list[tuple[Reply, bytes]] = []
        self.expected: dict[int, bytes] = {}
        self.sent_items: dict[int, list[bytes]] = {}
        self.resets: dict[int, int] = {}
        self.withdrawn: set[Reply] = set()
        super().__init__(self.client, Oracle(client=False))

    def open_streams(self) -> list[int]:
        return [
            stream
            for stream, heard in self.oracle.heard.items()
            if self.oracle.is_open(stream) and heard.reset is None
        ]

    def unanswered(self) -> list[int]:
        return [
            stream
            for stream in self.open_streams()
            if stream not in self.expected and stream not in self.sent_items
        ]

    def call(self, data: st.DataObject) -> None:
        body = bytes((97 + len(self.calls) % 26,)) * data.draw(SIZES)
        order = data.draw(st.sampled_from([None, "a"]))
        parts: Any = [body[:5], body[5:]] if data.draw(st.booleans()) else body
        self.calls.append((f.call(self.client, parts, order=order), body))

    def call_with_items(self, data: st.DataObject) -> None:
        reply = f.call(self.client, b"call", items=5)
        bodies = [b"call"]
        if reply.sink is not None:  # else it waits for a stream
            for size in data.draw(st.lists(SIZES, max_size=4)):
                bodies.append(bytes(size))
                reply.sink.write(bodies[-1])
            reply.sink.finish()
        else:
            reply.withdraw()
        self.calls.append((reply, b"".join(map(record, bodies))))

    def answer(self, data: st.DataObject) -> None:
        if not (streams := self.unanswered()):
            return
        stream = data.draw(st.sampled_from(streams))
        pieces = draw_pieces(data)
        body = b"".join(piece for piece, _ in pieces)
        headers: Fields = [*OK, ("server", "h2")]
        if data.draw(st.booleans()):
            headers.append(("content-length", str(len(body))))
        if data.draw(st.integers(0, 5)) == 0:
            self.oracle.connection.send_headers(stream, [(":status", "103")])
        trailers = [("x-trailer", "1")] if data.draw(st.booleans()) else None
        self.expected[stream] = body
        self.oracle.send(stream, headers, pieces, trailers)

    def answer_items(self, data: st.DataObject) -> None:
        if not (streams := self.unanswered()):
            return
        stream = data.draw(st.sampled_from(streams))
        bodies = [bytes((66,)) * data.draw(SIZES) for _ in range(data.draw(st.integers(0, 6)))]
        octets = b"".join(map(record, bodies))
        cut = max(data.draw(st.integers(1, 50_000)), len(octets) // 20)
        pad = data.draw(PADS)
        pieces = [(octets[at : at + cut], pad) for at in range(0, len(octets), cut)]
        self.sent_items[stream] = bodies
        headers = [*OK, ("pulsing-stream", "4")]
        self.oracle.send(stream, headers, pieces, [("pulsing-status", "ok")])

    def step(self, data: st.DataObject) -> None:
        match data.draw(st.sampled_from(CLIENT_STEPS)):
            case "call":
                self.call(data)
            case "items":
                self.call_with_items(data)
            case "answer":
                self.answer(data)
            case "answer items":
                self.answer_items(data)
            case "withdraw" if self.calls:
                reply = self.calls[data.draw(st.integers(0, len(self.calls) - 1))][0]
                if not reply.closed:
                    self.withdrawn.add(reply)
                reply.withdraw()
            case "reset":
                if streams := self.open_streams():
                    stream = data.draw(st.sampled_from(streams))
                    self.resets[stream] = data.draw(CODES)
                    self.oracle.reset(stream, self.resets[stream])
            case "consume":
                for reply, _ in self.calls:
                    if reply.items is not None and reply.items.items:
                        self.consume(reply)
            case other:
                shared_step(self, data, other)

    def consume(self, reply: Reply) -> None:
        assert reply.items is not None
        while reply.items.items:
            reply.bodies.append(bytes(reply.items.pop()))

    def consume_all(self) -> None:
        for reply, _ in self.calls:
            if reply.items is not None:
                self.consume(reply)

    def finish(self) -> None:
        self.heal(self.consume_all)
        self.settle(self.consume_all)
        for stream in self.unanswered():
            if self.oracle.heard[stream].ended:
                self.expected[stream] = b"last"
                self.oracle.send(stream, list(OK), [(b"last", None)])
        self.settle(self.consume_all)


CLIENT_STEPS = (
    ["call"] * 4 + ["items", "answer", "answer", "answer items", "withdraw", "reset", "consume"]
    + ["there", "there", "back", "back", "ping", "settings", "window", "acknowledge"]
)  # fmt: skip


def shared_step(session: Session, data: st.DataObject, kind: str) -> None:
    oracle = session.oracle
    match kind:
        case "there":
            session.move_there(data.draw(st.integers(1, 60_000)), data.draw(st.integers(0, 60_000)))
        case "back":
            session.move_back(data.draw(st.integers(1, 60_000)))
        case "ping":
            session.ours.ping(b"12345678")
            oracle.connection.ping(b"abcdefgh")
        case "settings":
            oracle.change(draw_settings(data))
        case "window":
            size = data.draw(st.integers(1, 50_000))
            streams = [None, *(each for each in oracle.heard if oracle.is_open(each))]
            oracle.connection.increment_flow_control_window(
                size, data.draw(st.sampled_from(streams))
            )
        case "acknowledge":
            for stream in oracle.heard:
                oracle.acknowledge(stream)
        case _:
            pass


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_our_client_and_the_server_of_h2_agree(data: st.DataObject) -> None:
    session = ClientSession()
    for _ in range(data.draw(st.integers(0, 40))):
        session.step(data)
    session.finish()
    oracle, client = session.oracle, session.client
    assert oracle.terminated is None
    order: list[int] = []
    for reply, body in session.calls:
        heard = oracle.heard.get(reply.id)
        if heard is not None and heard.ended:
            sent = bytes(heard.body)
            assert sent == body
            if reply.order == "a":
                order.append(reply.id)
        if (
            reply in session.withdrawn
            or reply.id in session.resets
            or (heard is not None and heard.reset is not None)
        ):
            assert reply.closed
        elif reply.id in session.expected:
            assert reply.bodies == [session.expected[reply.id]]
            assert not reply.errors
        elif reply.id in session.sent_items:
            assert reply.bodies == session.sent_items[reply.id]
            assert reply.items is not None
            assert (reply.items.ended, reply.items.error, reply.items.failure) == (True, None, None)
        if heard is not None:
            assert not oracle.is_open(reply.id), f"h2 waits for something: {heard}"[:300]
        else:
            assert reply.closed
    assert order == sorted(order)
    f.assert_nothing_kept(client)


# --- our server, h2 as the client -----------------------------------------------------------------


class Answerable(Request):
    __slots__ = ("answered", "items")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answered: bytes | None = None
        self.items: list[bytes] = []


class ServerSession(Session):
    def __init__(self) -> None:
        self.server = make_server(LIMITS, Answerable, introduced=False)
        self.sent: dict[int, bytes] = {}
        self.sent_items: dict[int, list[bytes]] = {}
        self.resets: set[int] = set()
        super().__init__(self.server, Oracle(client=True))

    def ask(self, data: st.DataObject) -> None:
        stream = self.oracle.connection.get_next_available_stream_id()
        headers: Fields = list(REQUEST)
        priority: dict[str, Any] = {}
        if data.draw(st.booleans()):
            priority = {"priority_weight": 9, "priority_depends_on": 0, "priority_exclusive": True}
        if data.draw(st.integers(0, 3)) == 0:
            bodies = [bytes(size) for size in data.draw(st.lists(SIZES, max_size=4))]
            octets = b"".join(map(record, [b"call", *bodies]))
            cut = max(data.draw(st.integers(1, 50_000)), len(octets) // 20)
            pad = data.draw(PADS)
            pieces: list[tuple[bytes, int | None]] = [
                (octets[at : at + cut], pad) for at in range(0, len(octets), cut)
            ]
            headers.append(("pulsing-stream", "4"))
            self.sent_items[stream] = bodies
            self.sent[stream] = b"call"
        else:
            pieces = draw_pieces(data)
            self.sent[stream] = b"".join(piece for piece, _ in pieces)
            if data.draw(st.booleans()):
                headers.append(("content-length", str(len(self.sent[stream]))))
        trailers = [("x-trailer", "1")] if data.draw(st.booleans()) else None
        self.oracle.heard.setdefault(stream, Heard())
        self.oracle.send(stream, headers, pieces, trailers, **priority)

    def answer(self, data: st.DataObject) -> None:
        open_requests = [
            each for each in self.server.app
            if each.body is not None and not each.closed and each.answered is None
        ]  # fmt: skip
        if not open_requests:
            return
        request = data.draw(st.sampled_from(open_requests))
        body = b"z" * data.draw(SIZES)
        request.answered = body
        match data.draw(st.sampled_from(["respond", "fail", "accept", "items", "reset"])):
            case "respond":
                request.respond([body[:7], body[7:]] if data.draw(st.booleans()) else body)
            case "fail":
                request.respond_failure(500, body)
            case "accept":
                request.answered = b""
                request.acknowledge()
            case "items":
                writer = request.start_items(9)
                bodies = [bytes(size) for size in data.draw(st.lists(SIZES, max_size=4))]
                for each in bodies:
                    writer.write(each)
                    if data.draw(st.booleans()):
                        writer.flush()
                writer.finish()
                request.answered = b"".join(map(record, bodies))
            case _:
                request.reset(ErrorCode.CANCEL)

    def consume(self) -> None:
        for request in self.server.app:
            while request.reader is not None and request.reader.items:
                request.items.append(bytes(request.reader.pop()))

    def step(self, data: st.DataObject) -> None:
        connection = self.oracle.connection
        match data.draw(st.sampled_from(SERVER_STEPS)):
            case "ask":
                self.ask(data)
            case "answer":
                self.answer(data)
            case "consume":
                self.consume()
            case "reset" if self.sent:
                stream = data.draw(st.sampled_from(sorted(self.sent)))
                self.resets.add(stream)
                self.oracle.reset(stream, data.draw(CODES))
            case "prioritize" if self.sent:
                stream = data.draw(st.sampled_from(sorted(self.sent)))
                connection.prioritize(stream, weight=3)
            case other:
                shared_step(self, data, other)

    def finish(self) -> None:
        self.heal(self.consume)
        for request in self.server.app:
            if request.body is not None and not request.closed and request.answered is None:
                request.answered = b"last"
                request.respond(b"last")
        self.settle(self.consume)


SERVER_STEPS = (
    ["ask"] * 4 + ["answer"] * 4 + ["consume", "reset", "prioritize"]
    + ["there", "there", "back", "back", "ping", "settings", "window", "acknowledge"]
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_our_server_and_the_client_of_h2_agree(data: st.DataObject) -> None:
    session = ServerSession()
    for _ in range(data.draw(st.integers(0, 40))):
        session.step(data)
    session.finish()
    oracle, server = session.oracle, session.server
    assert oracle.terminated is None
    assert [each.id for each in server.app] == sorted(each.id for each in server.app)
    requests = {each.id: each for each in server.app}
    for stream, body in session.sent.items():
        request = requests.get(stream)
        if request is None:
            assert stream in session.resets, "lost"
            continue
        heard = oracle.heard[stream]
        assert not oracle.is_open(stream)
        if stream in session.resets:
            continue
        assert request.body == body
        if request.answered is not None and heard.ended:
            assert bytes(heard.body) == request.answered
            assert heard.headers[0][0] == ":status"
            if stream in session.sent_items and heard.reset is None:
                assert request.items == session.sent_items[stream][: len(request.items)]
        else:
            assert heard.reset == ErrorCode.CANCEL
    f.assert_nothing_kept(server)
