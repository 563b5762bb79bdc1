"""Damaged sessions: what h2 sends is changed on the way, and fed to our engine and to h2.

Neither may end in another exception. Where one of them finds a fault and the other does not, the
difference stands in a table here, with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from h2.exceptions import ProtocolError
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pulsing.transport.frames import GOAWAY, RST_STREAM, Setting
from pulsing.transport.limits import TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport.feeding import OK, REQUEST, Reply, make_client, make_server, record
from tests.unit.transport.oracle import Fields, Heard, Oracle

LIMITS = TransportLimits(
    stream_window_bytes=65_535, connection_window_bytes=65_535, max_frame_bytes=16_384
)
OUR_SETTINGS = {
    int(Setting.HEADER_TABLE_SIZE): 0,
    int(Setting.MAX_CONCURRENT_STREAMS): LIMITS.max_concurrent_streams,
    int(Setting.INITIAL_WINDOW_SIZE): LIMITS.stream_window_bytes,
    int(Setting.MAX_FRAME_SIZE): LIMITS.max_frame_bytes,
    int(Setting.MAX_HEADER_LIST_SIZE): LIMITS.max_header_block_bytes,
}

# What only we find wrong, by what we say; and why.
STRICTER: dict[str, str] = {
    r"the body ended inside an item|without its first record|an item follows the failure record"
    r"|stream item of \d+ bytes|final status": "item streams are ours; h2 knows only their octets",
    r"RST_STREAM on an idle stream": "6.4 wants it; h2 ignores it",
    r"PUSH_PROMISE, which is disabled": "8.4: nobody may push to a server, nor to us",
    r"HEADERS on idle stream": "5.1: a server opens no stream; h2 takes it for a request",
    r"frame of \d+ bytes exceeds": "4.2: at its ninth octet; h2 waits for all of it",
    r"^reset: STREAM_CLOSED$": "5.1: of a stream that is closed; h2 is silent about some",
    r"bad :status": "8.3.2: three digits; h2 leaves them to its user",
}
# What only h2 finds wrong, by what it says; and why.
LAXER: dict[str, str] = {
    r"in state ConnectionState.CLOSED": "6.8: what is under way at GOAWAY goes on; h2 stops",
    r"Encoder did not shrink table size": "7541 4.2, where a block was lost: we keep no table",
    r"Stream ID must be": "of a frame that is not complete: we judge it when it is",
    r"non-compliant data": "h2 reads ALTSVC (RFC 7838), a type that is unknown to us",
}


@dataclass
class Outcome:
    ours: str | None
    theirs: str | None


def mutate(data: st.DataObject, octets: bytes) -> bytes:
    """Frames dropped, repeated, swapped or cut; or octets changed."""
    frames: list[bytes] = []
    rest = octets
    while rest:
        size = 9 + int.from_bytes(rest[:3], "big")
        frames.append(rest[:size])
        rest = rest[size:]
    for _ in range(data.draw(st.integers(1, 3))):
        if not frames:
            break
        at = data.draw(st.integers(0, len(frames) - 1))
        match data.draw(st.sampled_from(["drop", "repeat", "swap", "flip", "head", "insert"])):
            case "drop":
                del frames[at]
            case "repeat":
                frames.insert(at, frames[at])
            case "swap":
                other = data.draw(st.integers(0, len(frames) - 1))
                frames[at], frames[other] = frames[other], frames[at]
            case "flip":
                frame = bytearray(frames[at])
                frame[data.draw(st.integers(0, min(len(frame), 60) - 1))] ^= 1 << data.draw(
                    st.integers(0, 7)
                )
                frames[at] = bytes(frame)
            case "head":
                frame = bytearray(frames[at])
                frame[data.draw(st.integers(3, 8))] = data.draw(
                    st.sampled_from([0, 1, 3, 4, 5, 8, 9])
                )
                frames[at] = bytes(frame)
            case _:
                frames.insert(at, data.draw(STRANGE))
    return b"".join(frames)


STRANGE = st.sampled_from(
    [
        f.ping(), f.ping(b"1234567"), f.settings((4, 100)), f.settings((5, 1)), f.settings((2, 1)),
        f.reset(1), f.reset(9), f.window_update(0, 0), f.window_update(1, 0), f.window_update(1, 9),
        f.window_update(0, (1 << 31) - 1), f.window_update(3, (1 << 31) - 1),
        f.window_update(99, 1), f.priority(1), f.priority(3, b"1"), f.frame(0x55, b"?"),
        f.frame(5, bytes(8), 4, 1),
        f.data(1), f.data(0, b"x"), f.data(99, b"x"), f.continuation(1, b""), f.headers(1, b""),
        f.headers(1, [("a", "b")], end=True), f.headers(3, [("A", "b")], end=True), f.headers(2),
        f.goaway(0), f.goaway(5, 2), f.SETTINGS_ACK,
    ]
)  # fmt: skip


def fed(feed: object, octets: bytes) -> str | None:
    """What h2 says is wrong with the octets."""
    assert isinstance(feed, Oracle)
    try:
        feed.receive(octets)
        feed.receive_rest()
    except ProtocolError as error:
        return f"{type(error).__name__}: {error}"
    sent = feed.output()
    for frame in f.read_frames(sent):
        if frame.kind == RST_STREAM:
            return f"reset: {frame.code.name}"
    return None


def judge(outcome: Outcome) -> None:
    ours, theirs = outcome.ours, outcome.theirs
    event(f"ours {ours is not None}, theirs {theirs is not None}")
    if (ours is None) == (theirs is None):
        return
    table, said = (STRICTER, ours) if ours is not None else (LAXER, theirs)
    assert said is not None
    assert any(re.search(pattern, said) for pattern in table), f"not allowed: {outcome}"


def our_fault(
    connection: f.ServerConnection | f.ClientConnection, streams: list[object]
) -> str | None:
    """What we say is wrong."""
    frames = f.taken(connection)
    assert (connection.closing is not None) == (bool(frames) and frames[-1].kind == GOAWAY)
    if connection.closing is not None:
        return str(connection.closing)
    resets = [frame for frame in frames if frame.kind == RST_STREAM]
    if not resets:
        return None
    errors = [str(error) for stream in streams for error in getattr(stream, "errors")]  # noqa: B009
    errors += [
        str(stream.items.error)
        for stream in streams
        if isinstance(stream, Reply) and stream.items is not None and stream.items.error is not None
    ]
    return "; ".join([*errors, *(f"reset: {frame.code.name}" for frame in resets)])


# --- requests -------------------------------------------------------------------------------------


def requests_of_h2() -> bytes:
    """What a client of h2 sends to a server of ours, after the preface and its settings."""
    oracle = Oracle(client=True)
    server = make_server(LIMITS, introduced=False)
    server.receive_data(oracle.output(), 0.0)
    oracle.receive(f.take(server))
    acknowledgement = oracle.output()
    for stream, body, extra, trailers in (
        (1, b"one", [("content-length", "3")], None),
        (3, record(b"call") + record(b"item"), [("pulsing-stream", "4")], None),
        (5, b"", [], None),
        (7, b"x" * 300, [], [("x-trailer", "1")]),
    ):
        oracle.heard[stream] = Heard()
        headers: Fields = [*REQUEST, *extra]
        pieces: list[tuple[bytes, int | None]] = [(body[:9], 3), (body[9:], None)] if body else []
        oracle.send(stream, headers, pieces, trailers)
    oracle.connection.ping(b"12345678")
    oracle.reset(5, 8)
    return acknowledgement + oracle.output()


REQUESTS = requests_of_h2()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_requests(data: st.DataObject) -> None:
    octets = mutate(data, REQUESTS)
    server = make_server(LIMITS, introduced=False)
    oracle = Oracle(client=False, settings=OUR_SETTINGS)
    start = f.PREFACE + f.settings()
    server.receive_data(start, 0.0)
    oracle.receive(start)
    f.take(server)
    oracle.output()
    cut = data.draw(st.integers(1, 100))
    for at in range(0, len(octets), cut):
        server.receive_data(octets[at : at + cut], 0.0)
    judge(Outcome(our_fault(server, list(server.app)), fed(oracle, octets)))


# --- answers --------------------------------------------------------------------------------------


def answers_of_h2() -> bytes:
    """What a server of h2 sends to a client of ours that has asked four times."""
    oracle = Oracle(client=False)
    client = make_client(LIMITS, introduced=False)
    client.receive_data(oracle.output(), 0.0)
    for _ in range(4):
        f.call(client, b"question")
    oracle.receive(f.take(client))
    acknowledgement = oracle.output()
    oracle.connection.send_headers(1, [(":status", "103")])
    for stream, body, extra, trailers in (
        (1, b"one", [("content-length", "3")], None),
        (3, record(b"a") + record(b"b"), [("pulsing-stream", "4")], [("pulsing-status", "ok")]),
        (5, b"", [], None),
        (7, b"x" * 300, [], [("x-trailer", "1")]),
    ):
        pieces: list[tuple[bytes, int | None]] = [(body[:9], 3), (body[9:], None)] if body else []
        oracle.send(stream, [*OK, *extra], pieces, trailers)
    oracle.connection.ping(b"12345678")
    return acknowledgement + oracle.output()


ANSWERS = answers_of_h2()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_answers(data: st.DataObject) -> None:
    octets = mutate(data, ANSWERS)
    client = make_client(LIMITS, introduced=False)
    oracle = Oracle(client=True, settings=OUR_SETTINGS)
    client.receive_data(f.settings(), 0.0)
    oracle.receive(f.settings())
    replies = []
    for n in range(4):
        replies.append(f.call(client, b"question"))
        oracle.heard[2 * n + 1] = Heard()
        oracle.send(2 * n + 1, list(REQUEST), [(b"question", None)])
    f.take(client)
    oracle.output()
    cut = data.draw(st.integers(1, 100))
    for at in range(0, len(octets), cut):
        client.receive_data(octets[at : at + cut], 0.0)
    judge(Outcome(our_fault(client, list(replies)), fed(oracle, octets)))
