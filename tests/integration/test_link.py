"""Links over real sockets: many asks, large bodies, lost peers, who may talk to whom."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
from typing import Any

import pytest

from pulsing.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Delivery,
    MailboxFull,
    NodeUnreachable,
    ProtocolMismatch,
    PulsingRuntimeError,
)
from pulsing.transport import shell
from pulsing.transport.faults import ConnectionFault
from pulsing.transport.frames import PREFACE
from pulsing.transport.limits import MIB, TransportLimits
from pulsing.transport.preface import Refusal, introduction_settings, read_introduction
from tests.integration.links import (
    BLOCK,
    Ask,
    Echo,
    Held,
    Node,
    ask,
    node,
    pool,
    raw_server,
    settings_frame,
    until,
)

# --- asks -----------------------------------------------------------------------------------------


async def test_ten_thousand_asks_at_once() -> None:
    async with node() as server, pool() as calls:
        peer = calls.peer(server.address)
        assert calls.peer(server.address) is peer
        bodies = [str(n).encode() for n in range(10_000)]
        answers = await asyncio.gather(*(ask(peer, body) for body in bodies))
        assert answers == bodies
        assert len(server.links) == 1
        assert peer.node_id == "0" * 31 + "1"
        assert peer.core is not None
        assert not peer.core.streams
        assert not server.links[0].core.streams


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 1_000_003, 64 * MIB])
async def test_bodies_of_every_size_come_back_as_they_were(size: int) -> None:
    body = random.Random(size).randbytes(size)
    async with node() as server, pool() as calls:
        same = await ask(calls.peer(server.address), body) == body
        assert same
        assert server.links[0].core.held == 0


async def test_a_body_in_parts_arrives_joined() -> None:
    large = bytearray(os.urandom(300_000))
    async with node() as server, pool() as calls:
        answer = await ask(calls.peer(server.address), [b"head", memoryview(large), b"", b"tail"])
        assert answer == b"head" + large + b"tail"


async def test_large_frames_are_received_into_their_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    direct = 0
    received = shell._DirectReceiver.buffer_updated

    def counted(self: Any, size: int) -> None:
        nonlocal direct
        if self._direct:
            direct += size
        received(self, size)

    monkeypatch.setattr(shell._DirectReceiver, "buffer_updated", counted)
    body = os.urandom(32 * MIB)
    async with node() as server, pool() as calls:
        peer = calls.peer(server.address)
        answers = await asyncio.gather(ask(peer, body), ask(peer, b"small"), ask(peer, body))
        same = answers == [body, b"small", body]
        assert same
        assert direct > 16 * MIB
        assert await ask(peer, b"and back to normal") == b"and back to normal"


async def test_a_small_ask_overtakes_a_large_one() -> None:
    async with node() as server, pool() as calls:
        peer = calls.peer(server.address)
        await ask(peer)
        large = asyncio.ensure_future(ask(peer, bytes(64 * MIB)))
        await asyncio.sleep(0)
        assert await ask(peer, b"ping") == b"ping"
        assert not large.done()
        await large


async def test_giving_up_reaches_the_other_side() -> None:
    Held.here, Held.gone = [], []
    async with node(Held) as server, pool() as calls:
        call = Ask()
        calls.peer(server.address).submit(call, BLOCK, b"")
        await until(lambda: Held.here)
        call.withdraw()
        await until(lambda: Held.gone)
        assert "CANCEL" in str(Held.gone[0])
        assert not call.answer.done()


async def test_a_deadline_cancels_the_call_there() -> None:
    Held.here, Held.gone = [], []
    async with node(Held) as server, pool() as calls:
        peer = calls.peer(server.address)
        answers = await asyncio.gather(
            *(ask(peer, within_s=after) for after in (0.05, 0.02, 0.1)), return_exceptions=True
        )
        assert all(isinstance(answer, DeadlineExceeded) for answer in answers)
        await until(lambda: len(Held.gone) == 3)


# --- connecting -----------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_closed_port_is_an_error_at_once() -> None:
    async with pool() as calls:
        peer = calls.peer(f"127.0.0.1:{free_port()}")
        async with asyncio.timeout(1):
            with pytest.raises(NodeUnreachable, match="connection refused") as caught:
                await ask(peer)
        assert caught.value.delivered is Delivery.NO


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "no.such.host.invalid:80"])
async def test_an_address_that_leads_nowhere_is_an_error(address: str) -> None:
    async with pool() as calls:
        with pytest.raises(NodeUnreachable):
            await ask(calls.peer(address))
        with pytest.raises(NodeUnreachable):
            await ask(calls.peer(address))


async def test_attempts_keep_a_growing_distance_with_jitter() -> None:
    asked: list[tuple[float, float]] = []

    class Dice(random.Random):
        def uniform(self, a: float, b: float) -> float:
            asked.append((a, b))
            return 1.0

    limits = TransportLimits(backoff_min_s=0.02, backoff_max_s=0.08)
    async with pool(limits, rng=Dice()) as calls:
        loop = asyncio.get_running_loop()
        attempts: list[float] = []
        connect = calls.connect

        async def counted(address: str) -> Any:
            attempts.append(loop.time())
            return await connect(address)

        calls.connect = counted  # type: ignore[method-assign]
        peer = calls.peer(f"127.0.0.1:{free_port()}")
        for _ in range(6):
            with pytest.raises(NodeUnreachable):
                await ask(peer)
        pauses = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        for pause, least in zip(pauses, [0.02, 0.04, 0.08, 0.08, 0.08], strict=True):
            assert pause >= least - 0.002
        assert asked == [(0.5, 1.0)] * 6


async def test_a_node_that_comes_back_on_its_port_is_found_again() -> None:
    server = Node(Held)
    Held.here, Held.gone = [], []
    await server.start()
    async with pool(TransportLimits(backoff_max_s=0.05)) as calls:
        peer = calls.peer(server.address)
        pending = asyncio.ensure_future(ask(peer))
        await until(lambda: Held.here)
        await server.stop()
        with pytest.raises(ConnectionLost) as caught:
            await pending
        assert caught.value.delivered is Delivery.UNKNOWN
        with pytest.raises(NodeUnreachable):
            await ask(peer)
        server.stream_class = Echo
        await server.start()
        assert await ask(peer, b"again") == b"again"
        await server.stop()


async def test_a_lost_connection_is_made_anew_at_once() -> None:
    async with node() as server, pool() as calls:
        peer = calls.peer(server.address)
        for n in range(3):
            assert await ask(peer) == b""
            assert len(server.links) == n + 1
            server.links[-1].abort(ConnectionLost("cut"))
            core = peer.core
            await until(lambda core=core: core.closing is not None)


async def test_a_deadline_passes_while_connecting() -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with raw_server(nothing) as address, pool() as calls:
        peer = calls.peer(address)
        async with asyncio.timeout(1):
            answers = await asyncio.gather(
                *(ask(peer, within_s=after) for after in (0.06, 0.03)), return_exceptions=True
            )
        assert all(isinstance(answer, DeadlineExceeded) for answer in answers)
        assert {answer.delivered for answer in answers} == {Delivery.NO}  # type: ignore[union-attr]


async def test_who_accepts_and_says_nothing_is_given_up() -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with (
        raw_server(nothing) as address,
        pool(TransportLimits(connect_timeout_s=0.05)) as calls,
    ):
        with pytest.raises(NodeUnreachable, match=r"no answer within 0\.05 s"):
            await ask(calls.peer(address))


async def test_who_hangs_up_during_the_introduction_is_unreachable() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    async with raw_server(hang_up) as address, pool() as calls:
        with pytest.raises(NodeUnreachable):
            await ask(calls.peer(address))


async def test_waiting_for_a_connection_is_bounded() -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with raw_server(nothing) as address:
        async with pool(TransportLimits(max_queued_requests=2)) as calls:
            peer = calls.peer(address)
            waiting = [asyncio.ensure_future(ask(peer)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(MailboxFull):
                await ask(peer)
        for each in waiting:
            with pytest.raises(NodeUnreachable, match="shut"):
                await each
        with pytest.raises(NodeUnreachable, match="shut down"):
            await ask(peer)


# --- who is who -----------------------------------------------------------------------------------


async def test_another_protocol_version_is_refused_by_the_caller() -> None:
    settings = introduction_settings("1" * 32, "c")
    settings[0] = (settings[0][0], 9 << 16)
    async with node(settings=settings) as server, pool() as calls:
        with pytest.raises(ProtocolMismatch, match=r"protocol version 1\.0 here and 9\.0 there"):
            await ask(calls.peer(server.address))
        await until(lambda: all(each.closed.done() for each in server.links))


async def test_another_cluster_is_refused_by_the_callee_with_its_reason() -> None:
    def check(settings: dict[int, int]) -> ConnectionFault | None:
        mismatch = read_introduction(settings).mismatch("other")
        assert mismatch is not None
        return ConnectionFault(Refusal.MISMATCH.value + mismatch)

    # The settings are in order, so that the refusal is what the caller hears.
    async with node(check=check) as server, pool() as calls:
        with pytest.raises(ProtocolMismatch, match="'other' here and another cluster there"):
            await ask(calls.peer(server.address))
        with pytest.raises(ProtocolMismatch):
            await ask(calls.peer(server.address))


async def test_another_http2_server_is_no_node() -> None:
    async def http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readexactly(24)) == PREFACE
        writer.write(settings_frame([(3, 100)]))

    async with raw_server(http2) as address, pool() as calls:
        with pytest.raises(ProtocolMismatch, match="not a node of Pulsing"):
            await ask(calls.peer(address))


async def test_what_speaks_no_http2_is_an_error() -> None:
    async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(http1) as address, pool() as calls:
        with pytest.raises(PulsingRuntimeError):
            await ask(calls.peer(address))
