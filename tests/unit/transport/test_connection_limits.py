"""What a peer may make us do and keep: floods end with ENHANCE_YOUR_CALM, and nothing grows."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pulsing.transport
from pulsing.transport.abuse import ControlBudget
from pulsing.transport.faults import FloodFault
from pulsing.transport.frames import GOAWAY, LARGEST_WINDOW_BYTES, PREFACE, ErrorCode
from pulsing.transport.limits import KIB, MIB, TransportLimits
from tests.unit.transport import feeding as f
from tests.unit.transport import test_client_core as client_rules
from tests.unit.transport import test_header_blocks as head_rules
from tests.unit.transport import test_server_core as server_rules
from tests.unit.transport.feeding import (
    OK,
    REQUEST,
    Echo,
    call,
    data,
    frame,
    headers,
    make_client,
    make_server,
    ping,
    record,
    reset,
    taken,
    window_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulsing.transport.connection_core import Connection

LIMITS = TransportLimits(control_frames=2000, control_frames_per_s=100.0)
ITEMS = [*REQUEST, ("pulsing-stream", "4")]

# A flood, frame by frame: what the n-th frame is. Each makes work and brings nothing.
FLOODS: dict[str, Callable[[int], bytes]] = {
    "ping": lambda n: ping(),
    "ping ack": lambda n: ping(ack=True),
    "settings": lambda n: f.settings((4, 65_535 + n % 2)),
    "settings ack": lambda n: f.SETTINGS_ACK,
    "priority": lambda n: f.priority(1),
    "unknown": lambda n: frame(0x77, b"?"),
    "goaway": lambda n: f.goaway(0),
    "empty data": lambda n: data(1),
    "padding only": lambda n: data(1, pad=255),
    "one octet and padding": lambda n: data(1, b"x", pad=255),
    "tiny window for the connection": lambda n: window_update(0, 1),
    "tiny window for a stream": lambda n: window_update(1, 1),
    "window for a closed stream": lambda n: window_update(3, 100_000),
    "reset of a closed stream": lambda n: reset(3),
    "data for a closed stream": lambda n: data(3, b"x"),
    "header block in pieces": lambda n: (
        headers(5, f.block(REQUEST), whole=False) + f.continuation(5, b"", whole=False)
        if n == 0
        else f.continuation(5, b"", whole=False)
    ),
}  # fmt: skip


def busy_server(limits: TransportLimits = LIMITS) -> f.ServerConnection:
    """Stream 1 is open, stream 3 is done."""
    server = make_server(limits)
    server.receive_data(headers(1, REQUEST) + headers(3, end=True), 0.0)
    server.app[1].respond(b"")
    f.take(server)
    return server


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("chunk", [1, 500])
def test_a_flood_ends_with_enhance_your_calm(name: str, chunk: int) -> None:
    server = busy_server()
    most = 0
    for at in range(0, 10_000, chunk):
        server.receive_data(b"".join(FLOODS[name](n) for n in range(at, at + chunk)), at / 1e6)
        most = max(most, sum(map(len, server.out)))
        if server.closing is not None:
            break
        f.take(server)
    else:
        pytest.fail("nothing happened")
    assert at <= 2600
    assert most < 40_000
    last = taken(server)[-1]
    assert (last.kind, last.code) == (GOAWAY, ErrorCode.ENHANCE_YOUR_CALM)
    assert b"(10.5)" in last.payload or name == "header block in pieces"


@pytest.mark.parametrize("name", FLOODS)
def test_the_same_frames_over_a_longer_time_are_fine(name: str) -> None:
    if name == "header block in pieces":
        return  # a block is bounded by its size, and one block may take no time
    server = busy_server()
    for n in range(3000):
        server.receive_data(FLOODS[name](n), n * 0.03)
        f.take(server)
    assert server.closing is None


def test_requests_answered_earn_control_frames() -> None:
    server = make_server(LIMITS, Echo)
    for n in range(6000):
        server.receive_data(headers(2 * n + 1, end=True) + ping(), 0.0)
        f.take(server)
    assert server.closing is None
    server.receive_data(headers(1_000_001, end=True), 0.0)  # ids that were skipped earn nothing
    server.receive_data(ping() * 2100, 0.0)
    assert server.closing is not None


def test_streams_opened_only_to_be_reset_end_the_connection() -> None:
    server = make_server(TransportLimits())
    for n in range(20_000):
        server.receive_data(headers(2 * n + 1) + reset(2 * n + 1), 0.0)
        if server.closing is not None:
            break
    assert n <= 1100
    assert taken(server)[-1].code == ErrorCode.ENHANCE_YOUR_CALM
    assert len(server.streams) <= 1


def test_giving_up_everything_at_once_is_honest() -> None:
    server = make_server(TransportLimits())
    server.receive_data(b"".join(headers(2 * n + 1) for n in range(10_000)), 0.0)
    server.receive_data(b"".join(reset(2 * n + 1) for n in range(10_000)), 1.0)
    assert server.closing is None
    assert not server.streams
    assert all(len(each.errors) == 1 for each in server.app)


# CVE-2025-8671: each makes the server reset a stream that it opened.
MADE_RESETS: dict[str, Callable[[int], bytes]] = {
    "window of 0": lambda n: headers(n) + window_update(n, 0),
    "window too large": lambda n: headers(n) + window_update(n, LARGEST_WINDOW_BYTES),
    "data after the end": lambda n: headers(n, end=True) + data(n, b"x"),
    "headers after the end": lambda n: headers(n, end=True) + headers(n, [("a", "b")], end=True),
    "wrong length": lambda n: headers(n, [*REQUEST, ("content-length", "1")], end=True),
    "malformed": lambda n: headers(n, [*REQUEST, ("connection", "x")]),
    "no call": lambda n: headers(n, ITEMS, end=True),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE_RESETS)
def test_making_us_reset_streams_ends_the_connection(name: str) -> None:
    server = make_server(TransportLimits())
    for n in range(5000):
        server.receive_data(MADE_RESETS[name](2 * n + 1), 0.0)
        if server.closing is not None:
            break
        f.take(server)
    assert n <= 1100
    assert taken(server)[-1].code == ErrorCode.ENHANCE_YOUR_CALM


def test_announcing_bodies_over_the_limit_again_and_again_ends_the_connection() -> None:
    server = make_server(TransportLimits(control_frames=100, max_message_bytes=MIB))
    large = [*REQUEST, ("content-length", "99999999")]
    server.receive_data(b"".join(headers(2 * n + 1, large) for n in range(101)), 0.0)
    assert taken(server)[-1].code == ErrorCode.ENHANCE_YOUR_CALM


def test_a_client_is_protected_as_well() -> None:
    for flood in (ping(), headers(1, [(":status", "103")]), headers(3, OK), f.settings()):
        client = make_client(LIMITS)
        call(client)
        call(client).withdraw()
        client._resets.clear()
        f.take(client)
        client.receive_data(flood * 2500, 0.0)
        assert client.closing is not None
        assert taken(client)[-1].code == ErrorCode.ENHANCE_YOUR_CALM


def test_a_consumer_with_a_buffer_of_one_is_no_flood() -> None:
    limits = TransportLimits(control_frames=100, control_frames_per_s=0.0)
    server = make_server(limits)
    server.receive_data(headers(1, end=True), 0.0)
    writer = server.app[0].start_items(1)
    for _ in range(1000):
        writer.write(b"token")
        writer.flush()
        server.receive_data(window_update(1, 9), 0.0)
        assert writer.credit() == 1
        server.out.clear()
    assert server.closing is None
    server.receive_data(window_update(1, 9) * 200, 0.0)
    assert server.closing is not None


def test_large_bodies_are_no_flood_of_window_updates() -> None:
    limits = TransportLimits(control_frames=100, control_frames_per_s=0.0)
    server, client = make_server(limits, Echo, introduced=False), make_client(introduced=False)
    f.exchange(client, server)
    reply = call(client, bytes(64 * MIB))
    f.exchange(client, server)
    assert [len(body) for body in reply.bodies] == [64 * MIB]
    assert server.closing is None


def test_streams_reset_here_are_remembered_only_for_a_while() -> None:
    server = make_server(TransportLimits())
    for n in range(5000):
        server.receive_data(headers(2 * n + 1), n * 1.0)
        server.app[-1].reset(ErrorCode.CANCEL)
        f.take(server)
    assert len(server._resets) == 4096
    assert not server.streams


def test_a_frame_too_long_is_refused_at_its_ninth_octet() -> None:
    server = make_server()
    server.receive_data(frame(0, bytes(300_000), 0, 1)[:8], 0.0)
    assert server.closing is None
    server.receive_data(frame(0, bytes(300_000), 0, 1)[8:9], 0.0)
    assert taken(server)[-1].code == ErrorCode.FRAME_SIZE_ERROR


def test_data_beyond_the_windows_is_refused() -> None:
    limits = TransportLimits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    server = make_server(limits)
    server.receive_data(headers(1, ITEMS) + headers(3), 0.0)
    server.receive_data(data(1, record(bytes(65_531)) + b"x"), 0.0)
    assert "DATA beyond the connection's window (6.9.1)" in str(server.closing)
    server = make_server(TransportLimits(stream_window_bytes=65_535))
    server.receive_data(headers(1, ITEMS) + headers(3), 0.0)
    server.receive_data(data(1, record(b"call") + record(bytes(65_520))), 0.0)
    f.take(server)
    server.receive_data(data(1, bytes(300)), 0.0)
    assert "DATA beyond the stream's window" in str(server.app[0].errors[0])
    server.receive_data(data(3, b"fine", end=True), 0.0)
    assert server.app[1].body == b"fine"
    assert server.closing is None


def test_the_budget_forgets_with_time() -> None:
    budget = ControlBudget(100, 10.0, 0.0)
    budget.spend(100)
    budget.check(0.0, 0)
    budget.spend(5)
    with pytest.raises(FloodFault):
        budget.check(0.0, 0)
    budget = ControlBudget(100, 10.0, 0.0)
    for second in range(100):
        budget.spend(10)
        budget.spend_reset(0)
        budget.check(float(second), 0)
    for _ in range(5):
        budget.spend_reset(0)
    with pytest.raises(FloodFault):
        budget.spend_reset(0)
    with pytest.raises(FloodFault):
        budget.spend(101)


@settings(max_examples=300, deadline=None)
@given(octets=st.binary(max_size=400), introduced=st.booleans(), role=st.sampled_from("sc"))
def test_arbitrary_octets_give_a_goaway_or_nothing(
    octets: bytes, introduced: bool, role: str
) -> None:
    if role == "s":
        subject: Connection = make_server(introduced=introduced)
    else:
        subject = make_client(introduced=introduced)
        call(subject)
    f.take(subject)
    subject.receive_data((b"" if introduced or role == "c" else PREFACE) + octets, 0.0)
    out = taken(subject)
    if subject.closing is not None:
        assert out[-1].kind == GOAWAY


frames_of_any_kind = st.builds(
    frame,
    st.integers(0, 11),
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                f.block(REQUEST),
                f.block(OK),
                f.block(ITEMS),
                bytes(4),
                bytes(8),
                b"\0\0\0\1",
                record(b"x"),
            ]
        ),
    ),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 0x20]), st.integers(0, 255)),
    st.sampled_from([0, 0, 1, 1, 1, 2, 3, 5, 0x8000_0001]),
)


@settings(max_examples=400, deadline=None)
@given(
    frames=st.lists(frames_of_any_kind, max_size=12), cut=st.integers(1, 40), server=st.booleans()
)
def test_arbitrary_frames_give_a_goaway_or_nothing_and_spare_the_neighbour(
    frames: list[bytes], cut: int, server: bool
) -> None:
    heads = f.HeadCache()
    subject: Connection
    neighbour = make_server(stream_class=Echo, heads=heads)
    if server:
        subject = make_server(stream_class=Echo, heads=heads)
    else:
        subject = make_client()
        for _ in range(2):
            call(subject, bytes(70_000))
    octets = b"".join(frames)
    for at in range(0, len(octets), cut):
        subject.receive_data(octets[at : at + cut], 0.0)
    out = taken(subject)
    assert (subject.closing is not None) == (bool(out) and out[-1].kind == GOAWAY)
    neighbour.receive_data(headers(1) + data(1, b"alive", end=True), 0.0)
    assert taken(neighbour)[-1].payload == b"alive"


# --- the limits themselves, and the tables of rules -----------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"stream_window_bytes": 16 * KIB}, "stream_window_bytes must be between 65535"),
        ({"body_window_bytes": 1 << 31}, "body_window_bytes must be between"),
        ({"connection_window_bytes": 0}, "connection_window_bytes must be between"),
        ({"connection_window_bytes": 65_535}, "must not be below stream_window_bytes"),
        ({"max_frame_bytes": 1 << 24}, "max_frame_bytes must be between"),
        ({"max_message_bytes": 0}, "max_message_bytes must be between"),
        ({"max_buffered_bytes": MIB}, "max_buffered_bytes must not be below max_message_bytes"),
        ({"max_header_block_bytes": 1 << 20}, "max_header_block_bytes must be between"),
        ({"max_concurrent_streams": 0}, "max_concurrent_streams must be positive"),
        ({"control_frames": 1}, "control_frames must be 100 or more"),
        ({"keepalive_interval_s": 0.0}, "keepalive_interval_s must be positive"),
        ({"backoff_min_s": 2.0}, "backoff_min_s must be positive and not above"),
    ],
)
def test_limits_that_cannot_work_are_refused(wrong: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        TransportLimits(**wrong)  # type: ignore[arg-type]


def test_every_rule_in_the_code_has_a_row() -> None:
    """Collects what the cores can find wrong, and looks for it in the tables of these tests."""
    rows = [row[-1] for row in server_rules.CONNECTION_RULES + server_rules.STREAM_RULES]
    rows += [row[-1] for row in client_rules.CONNECTION_RULES + client_rules.STREAM_RULES]
    rows += [row[-1] for row in client_rules.ITEM_RULES]
    rows += [row[0] for row in head_rules.MALFORMED_FIELDS + head_rules.MALFORMED_PSEUDO]
    here = [Path(__file__).read_text("utf-8"), Path(server_rules.__file__).read_text("utf-8")]
    here.append((Path(__file__).parent / "test_server_answers.py").read_text("utf-8"))
    folder = Path(pulsing.transport.__path__[0])
    names = ("bodies", "client_core", "connection_core", "control", "items", "server_core")
    missing: list[str] = []
    found = 0
    for name in names:
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Fault")):
                continue
            found += 1
            said = [
                each.value
                for each in ast.walk(node.args[0])
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            longest = max(said, key=len, default="").strip()
            known = any(longest[:24] in row or row in longest for row in rows)
            if longest and not known and not any(longest[:20] in text for text in here):
                missing.append(f"{name}: {longest}")
    assert found > 45
    assert not missing
