"""How links end: silent peers, peers that do not read, draining, closing, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from pathlib import Path

import pytest

from pulsing.errors import (
    ConnectionLost,
    Delivery,
)
from pulsing.transport import link as link_module
from pulsing.transport.frames import PREFACE
from pulsing.transport.limits import MIB, TransportLimits
from tests.integration.links import (
    BLOCK,
    Echo,
    Held,
    Node,
    ask,
    node,
    pool,
    raw_server,
    settings_frame,
    silent,
    until,
)

# --- silence --------------------------------------------------------------------------------------


async def test_a_frozen_peer_is_found_by_its_silence() -> None:
    limits = TransportLimits(keepalive_interval_s=0.03, keepalive_timeout_s=0.06)
    async with raw_server(silent) as address, pool(limits) as calls:
        peer = calls.peer(address)
        async with asyncio.timeout(2):
            with pytest.raises(ConnectionLost, match="does not answer PING") as caught:
                await ask(peer, within_s=None)
        assert caught.value.delivered is Delivery.UNKNOWN
        assert peer.core is None or not peer.core.accepting


async def test_a_slow_answer_is_no_silence() -> None:
    Held.here, Held.gone = [], []
    limits = TransportLimits(keepalive_interval_s=0.02, keepalive_timeout_s=0.1)
    async with node(Held, limits) as server, pool(limits) as calls:
        pending = asyncio.ensure_future(ask(calls.peer(server.address)))
        await asyncio.sleep(0.4)
        Held.here[0].respond(b"at last")
        assert await pending == b"at last"


async def test_settings_that_are_never_acknowledged_end_the_connection() -> None:
    limits = TransportLimits(keepalive_interval_s=0.02, keepalive_timeout_s=0.05)
    async with node(limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(PREFACE + settings_frame([]))
        async with asyncio.timeout(2):
            heard = await reader.read()
        assert b"no SETTINGS ACK in time" in heard
        writer.close()


async def test_a_peer_that_reads_no_answers_is_not_served_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Accepts(Echo):
        __slots__ = ()

        def request_received(self, body: bytes | bytearray) -> None:
            self.acknowledge()

    monkeypatch.setattr(link_module, "_UNREAD_BYTES", 1 << 20)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    server = Node(Accepts)
    await server.start(sock=listening)
    try:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sock.connect(("127.0.0.1", server.port))
            sock.setblocking(False)
            await loop.sock_sendall(sock, PREFACE + settings_frame([]))
            await until(lambda: server.links)
            (there,) = server.links

            async def ask_on() -> None:
                for first in range(0, 4_000_000, 2000):
                    requests = b"".join(block_of(2 * n + 1) for n in range(first, first + 2000))
                    await loop.sock_sendall(sock, requests)

            asking = asyncio.ensure_future(ask_on())
            async with asyncio.timeout(20):
                while not there._deaf:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not asking.done()
            assert there._transport is not None
            assert there._transport.get_write_buffer_size() < 4 << 20
            asking.cancel()
            while there._deaf:
                await loop.sock_recv(sock, 1 << 20)
    finally:
        await server.stop()


def block_of(stream: int) -> bytes:
    return BLOCK[0][:4] + b"\x05" + stream.to_bytes(4, "big") + BLOCK[1]


# --- leaving --------------------------------------------------------------------------------------


async def test_draining_answers_what_is_open_and_loses_nothing() -> None:
    Held.here, Held.gone = [], []
    async with node(Held) as server, pool() as calls:
        peer = calls.peer(server.address)
        before = [asyncio.ensure_future(ask(peer, b"before")) for _ in range(3)]
        await until(lambda: len(Held.here) == 3)
        draining = asyncio.ensure_future(server.links[0].drain(5.0))
        crossing = [asyncio.ensure_future(ask(peer, b"crossing")) for _ in range(3)]
        await until(lambda: len(Held.here) == 6)
        after = asyncio.ensure_future(ask(peer, b"after"))
        await until(lambda: len(Held.here) == 7)
        assert len(server.links) == 2, "new calls take a new connection"
        for each in Held.here:
            each.respond(each.body)
        assert await asyncio.gather(*before) == [b"before"] * 3
        assert await asyncio.gather(*crossing) == [b"crossing"] * 3
        assert await after == b"after"
        async with asyncio.timeout(2):
            await draining
            await server.links[0].closed


async def test_draining_ends_when_its_time_is_over() -> None:
    Held.here, Held.gone = [], []
    async with node(Held) as server, pool() as calls:
        pending = asyncio.ensure_future(ask(calls.peer(server.address)))
        await until(lambda: Held.here)
        async with asyncio.timeout(1):
            await server.links[0].drain(0.05)
        with pytest.raises(ConnectionLost):
            await pending


async def test_what_waits_for_a_stream_moves_to_the_next_connection() -> None:
    Held.here, Held.gone = [], []
    limits = TransportLimits(max_concurrent_streams=1)
    async with node(Held, limits) as server, pool() as calls:
        peer = calls.peer(server.address)
        asks = [asyncio.ensure_future(ask(peer, str(n).encode())) for n in range(3)]
        await until(lambda: Held.here)
        draining = asyncio.ensure_future(server.links[0].drain(5.0))
        for n in range(3):
            await until(lambda n=n: len(Held.here) > n)
            Held.here[n].respond(Held.here[n].body)
        assert await asyncio.gather(*asks) == [b"0", b"1", b"2"]
        await draining
        assert len(server.links) == 2


def open_sockets() -> set[str]:
    found: set[str] = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return {each for each in found if each.startswith("socket:")}


async def test_closing_fails_what_is_open_and_leaves_nothing() -> None:
    Held.here, Held.gone = [], []
    loop = asyncio.get_running_loop()
    gc.collect()
    before = open_sockets()
    server = Node(Held)
    await server.start()
    async with pool() as calls:
        peer = calls.peer(server.address)
        pending = [asyncio.ensure_future(ask(peer, bytes(size))) for size in (0, 10, 3 * MIB)]
        await until(lambda: len(Held.here) == 3)
        Held.here[0].respond(bytes(3 * MIB))
        await asyncio.sleep(0)
    errors = await asyncio.gather(*pending, return_exceptions=True)
    assert all(isinstance(error, ConnectionLost) for error in errors[1:])
    assert "was closed here" in str(errors[1])
    await until(lambda: all(each.closed.done() for each in server.links))
    assert len(Held.gone) >= 2
    await server.stop()
    timers = [each for each in getattr(loop, "_scheduled", []) if not each.cancelled()]
    assert not [each for each in timers if "pulsing" in repr(each)]
    del calls, peer
    await asyncio.sleep(0)
    gc.collect()
    assert open_sockets() <= before


async def test_a_pool_can_be_closed_twice() -> None:
    async with node() as server, pool() as calls:
        await ask(calls.peer(server.address))
        await calls.close()
        await calls.close()
