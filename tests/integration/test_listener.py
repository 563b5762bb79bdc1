from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import socket
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from pulsing.errors import PulsingRuntimeError
from pulsing.gateway import Gateway
from pulsing.transport import sockets
from pulsing.transport.listener import Listener, ListenerLimits
from pulsing.transport.sockets import address_text, open_listening_sockets
from tests.integration.listening import (
    HELLO,
    BufferedPeer,
    FakeNode,
    PlainPeer,
    cluster_tls,
    descriptors,
    everything,
    gone,
    listening,
    until,
)

IMPATIENT = ListenerLimits(introduction_timeout_s=0.2, linger_s=0.2)
GET = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def get_livez(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    answer = await everything(reader)
    await gone(writer)
    return answer


async def no_more_descriptors_than(number: int) -> None:
    await until(lambda: descriptors() <= number)


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_arrives_while_the_listener_closes_is_closed(turns: int) -> None:
    before = 0
    for number in range(5):
        if number == 1:  # what a loop keeps from its first socket on is there now
            before = descriptors()
        listener = Listener("127.0.0.1", 0, make_peer_protocol=PlainPeer, app=Gateway(FakeNode()))
        await listener.start()
        await asyncio.sleep(0)
        client = socket.create_connection(("127.0.0.1", listener.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await listener.close()
            gc.collect()
        assert caught == []
        with contextlib.closing(client), contextlib.suppress(ConnectionResetError):
            client.settimeout(5)
            assert client.recv(1) == b""
    await no_more_descriptors_than(before)


# --- peers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", [PlainPeer, BufferedPeer])
@pytest.mark.parametrize("grain", [1, 7, 1000])
async def test_a_peer_gets_every_octet_from_the_first_on(
    peer: type[PlainPeer | BufferedPeer], grain: int
) -> None:
    async with listening(peer=peer) as harness:
        reader, writer = await harness.connect()
        sent = HELLO + bytes(range(256))
        for start in range(0, len(sent), grain):
            writer.write(sent[start : start + grain])
            await asyncio.sleep(0)
        assert await reader.readexactly(len(sent)) == sent
        assert bytes(harness.peers[0].received) == sent
        info = harness.peers[0].info
        assert not info.tls
        assert not info.authenticated
        assert info.address == address_text(writer.get_extra_info("sockname"))
        await gone(writer)
        await harness.peers[0].lost.wait()
        assert harness.listener.undecided == 0


async def test_small_writes_of_a_peer_are_not_delayed() -> None:
    async with listening() as harness:
        reader, writer = await harness.connect()
        writer.write(HELLO)
        await reader.readexactly(len(HELLO))
        transport = harness.peers[0].transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await gone(writer)


async def test_a_peer_outlives_its_listener() -> None:
    async with listening() as harness:
        reader, writer = await harness.connect()
        writer.write(HELLO)
        await reader.readexactly(len(HELLO))
        await harness.listener.close()
        writer.write(b"still there?")
        assert await reader.readexactly(12) == b"still there?"
        await gone(writer)


# --- everybody else ----------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [b"\0", b"\xff" * 100_000, b"EHLO\r\n", b"PRI * HTTP/2.1"])
async def test_garbage_ends_its_own_connection_with_one_line(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as harness:
        for _ in range(3):
            reader, writer = await harness.connect()
            writer.write(garbage)
            assert await everything(reader) == b""
            await gone(writer)
        assert b"alive" in await get_livez(harness.port)
        assert harness.listener.counters.turned_away == 3
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1
    assert "neither HTTP" in caplog.text


async def test_a_silent_connection_is_closed_in_time() -> None:
    async with listening(limits=IMPATIENT) as harness:
        reader, writer = await harness.connect()
        assert await everything(reader, within_s=3) == b""
        assert harness.listener.counters.too_slow == 1
        await gone(writer)


async def test_a_preface_that_trickles_in_is_closed_in_time() -> None:
    async with listening(limits=IMPATIENT) as harness:
        reader, writer = await harness.connect()

        async def trickle() -> None:
            with contextlib.suppress(ConnectionError):
                for octet in HELLO:
                    writer.write(bytes([octet]))
                    await writer.drain()
                    await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(trickle())
            assert await everything(reader, within_s=3) == b""
            task.cancel()
        assert harness.peers == []
        await gone(writer)


async def test_a_client_that_leaves_at_once_leaves_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with listening() as harness:
        for first in (b"", b"G", HELLO[:30]):
            _, writer = await harness.connect()
            writer.write(first)
            await gone(writer)
        await until(lambda: harness.listener.counters.accepted == 3)
        await until(lambda: harness.listener.undecided == 0)
    assert caplog.text == ""


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_a_thousand_silent_connections_do_not_slow_an_honest_one(secure: bool) -> None:
    limits = ListenerLimits(max_undecided=300)
    async with listening(limits=limits, tls=cluster_tls() if secure else None) as harness:
        silent = []
        for _ in range(1000):
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", harness.port))
            silent.append(sock)
            if len(silent) % 50 == 0:
                await asyncio.sleep(0)
        await until(lambda: harness.listener.counters.accepted == 1000)
        await until(lambda: harness.listener.undecided <= 300)
        began = time.perf_counter()
        reader, writer = await harness.connect()
        writer.write(HELLO)
        assert await reader.read(1)
        assert time.perf_counter() - began < 1.0
        assert harness.listener.counters.too_slow >= 700
        await gone(writer)
        for sock in silent:
            sock.close()
        await until(lambda: harness.listener.undecided == 0)


async def test_closing_ends_whatever_is_under_way_and_leaks_nothing() -> None:
    async with listening() as harness:
        await get_livez(harness.port)  # what a loop opens once, for itself
    for tls in (None, cluster_tls()):
        before = descriptors()
        async with listening(tls=tls) as harness:
            readers = []
            for first in (b"", b"GE", HELLO[:20], b"\x16\x03\x01", b"GET /livez HTTP/1.1\r\n"):
                reader, writer = await harness.connect()
                writer.write(first)
                readers.append((reader, writer))
            await until(lambda: harness.listener.counters.accepted == 5)
            await harness.listener.close()
            await harness.listener.close()
            assert harness.listener.undecided == 0
            for reader, writer in readers:
                await everything(reader)
                await gone(writer)
            with pytest.raises(ConnectionRefusedError):
                await harness.connect()
        await no_more_descriptors_than(before)


# --- addresses ---------------------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@needs_ipv6
async def test_it_listens_on_ipv6() -> None:
    async with listening(host="::1") as harness:
        assert harness.listener.addresses == [f"[::1]:{harness.port}"]
        reader, writer = await asyncio.open_connection("::1", harness.port)
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO))
        assert harness.peers[0].info.address.startswith("[::1]:")
        await gone(writer)


@needs_ipv6
async def test_all_ipv6_interfaces_take_ipv4_too() -> None:
    async with listening(host="::") as harness:
        reader, writer = await harness.connect()
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO))
        assert harness.peers[0].info.address.startswith("127.0.0.1:")
        await gone(writer)


async def test_a_name_with_two_addresses_has_one_port() -> None:
    async with listening(host="localhost") as harness:
        ports = {address.rpartition(":")[2] for address in harness.listener.addresses}
        assert ports == {str(harness.port)}


def listener_at(host: str, port: int) -> Listener:
    return Listener(host, port, make_peer_protocol=PlainPeer, app=Gateway(FakeNode()))


@pytest.mark.parametrize(
    ("host", "advice"),
    [("203.0.113.7", "no interface of this machine"), ("no-such-host.invalid", "this machine")],
)
async def test_an_impossible_address_is_an_error_with_advice(host: str, advice: str) -> None:
    before = descriptors()
    with pytest.raises(PulsingRuntimeError, match=advice) as caught:
        await listener_at(host, 0).start()
    assert host in str(caught.value)
    assert descriptors() <= before


async def test_a_taken_port_is_an_error_with_advice() -> None:
    async with listening() as harness:
        with pytest.raises(PulsingRuntimeError, match="port 0 for a free one"):
            await listener_at("127.0.0.1", harness.port).start()


async def test_a_port_is_free_again_after_close() -> None:
    async with listening() as harness:
        _, writer = await harness.connect()
        writer.write(b"\0")
        port = harness.port
        await gone(writer)
    again = listener_at("127.0.0.1", port)
    await again.start()
    await again.close()


async def test_a_free_port_that_is_taken_meanwhile_makes_it_pick_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bind = sockets._bind
    outcomes = iter([OSError(errno.EADDRINUSE, "taken"), None])

    def unlucky(*args: Any, **options: Any) -> socket.socket:
        if (error := next(outcomes)) is not None:
            raise error
        return bind(*args, **options)

    monkeypatch.setattr(sockets, "_bind", unlucky)
    (opened,) = await open_listening_sockets("127.0.0.1", 0, 5)
    opened.close()


# --- shortage ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on descriptors to lower")
async def test_without_descriptors_clients_are_refused_and_it_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import resource

    async with listening() as harness:
        assert b"alive" in await get_livez(harness.port)  # Hypercorn is imported
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        clients = [socket.socket() for _ in range(12)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 2, hard))
        try:
            for client in clients:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", harness.port))
            await until(lambda: harness.listener.counters.shed >= 8)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            client.close()
        assert b"alive" in await get_livez(harness.port)
    assert "ulimit" in caplog.text
    assert caplog.text.count("ulimit") == 1


async def test_a_spare_descriptor_refuses_one_waiting_connection() -> None:
    (listening_socket,) = await open_listening_sockets("127.0.0.1", 0, 10)
    spare = sockets.SpareDescriptor()
    try:
        assert not spare.refuse_one(listening_socket)
        with socket.create_connection(listening_socket.getsockname()) as client:
            assert spare.refuse_one(listening_socket)
            assert client.recv(1) == b""
    finally:
        spare.close()
        spare.close()
        listening_socket.close()


@pytest.mark.parametrize(
    "change",
    [{"backlog": 0}, {"max_undecided": -1}, {"introduction_timeout_s": 0}, {"linger_s": 0}],
    ids=str,
)
def test_limits_are_positive(change: dict[str, int]) -> None:
    make: Callable[..., ListenerLimits] = ListenerLimits
    with pytest.raises(ValueError, match=next(iter(change))):
        make(**change)
