"""The fault proxy, with sockets of the operating system at both ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

import pulsing as pul
from pulsing.addresses import split_host_port
from pulsing.testing import Direction, FaultProxy, assert_no_leaks
from pulsing.testing.relay import Relay
from tests.integration import nodes


class EchoServer:
    """Sends back what it gets; remembers the sockets it has."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.addr = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.sockets: list[socket.socket] = []
        self.got: list[bytes] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                self.sockets.append(accepted)
                threading.Thread(target=self._echo, args=(accepted,), daemon=True).start()

    def _echo(self, accepted: socket.socket) -> None:
        with suppress(OSError):
            while data := accepted.recv(65536):
                self.got.append(data)
                accepted.sendall(data)
            accepted.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with suppress(OSError):  # wakes accept
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with closing(EchoServer()) as made:
        yield made


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.addr, seed=1) as made:
        yield made


def dial(addr: str) -> socket.socket:
    made = socket.create_connection(split_host_port(addr), timeout=10)
    made.settimeout(10)
    return made


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = client.recv(65536)
        assert piece, f"ended after {len(got)} octets"
        got += piece
    return got


def nothing_comes(client: socket.socket, within_s: float = 0.15) -> bool:
    client.settimeout(within_s)
    try:
        return not client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


def becomes(predicate: Callable[[], bool]) -> bool:
    give_up_at = time.monotonic() + 10
    while not predicate():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.002)
    return True


def test_octets_pass_and_are_counted(proxy: FaultProxy) -> None:
    data = bytes(range(256)) * 8000
    with closing(dial(proxy.addr)) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        got = bytearray()
        while len(got) < len(data):
            got += client.recv(1 << 20)
        sender.join()
        assert got == data
        assert proxy.passed_bytes(Direction.TO_TARGET) == len(data)
        assert proxy.passed_bytes(Direction.FROM_TARGET) == len(data)
        assert (proxy.accepted, proxy.open_connections) == (1, 1)
    assert becomes(lambda: proxy.open_connections == 0)


def test_half_a_close_passes_and_the_answer_still_comes(proxy: FaultProxy) -> None:
    with closing(dial(proxy.addr)) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        got = b""
        while piece := client.recv(100):
            got += piece
        assert got == b"last words"
    assert becomes(lambda: proxy.open_connections == 0)


def test_a_delay_counts_both_ways_and_ends_on_the_live_connection(proxy: FaultProxy) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"warm") == b"warm"
        proxy.set(delay_s=0.1)
        began = time.monotonic()
        assert echoed(client, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2
        proxy.set(Direction.TO_TARGET, delay_s=0.0)
        began = time.monotonic()
        assert echoed(client, b"half") == b"half"
        assert time.monotonic() - began >= 0.1
        proxy.heal()
        assert echoed(client, b"fast") == b"fast"


def test_a_narrow_proxy_takes_its_time(proxy: FaultProxy) -> None:
    proxy.set(Direction.FROM_TARGET, bytes_per_s=100_000)
    with closing(dial(proxy.addr)) as client:
        began = time.monotonic()
        assert echoed(client, bytes(30_000)) == bytes(30_000)
        assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("direction", [None, *Direction])
def test_a_partition_holds_octets_until_it_heals(
    proxy: FaultProxy, server: EchoServer, direction: Direction | None
) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"before") == b"before"
        proxy.set(direction, cut=True)
        client.sendall(b"during")
        assert nothing_comes(client)
        arrived = b"during" in server.got
        assert arrived is (direction is Direction.FROM_TARGET), "one way only"
        proxy.heal()
        assert client.recv(100) == b"during"


def test_who_dials_during_a_partition_hears_nothing_until_it_heals(proxy: FaultProxy) -> None:
    proxy.set(cut=True)
    with closing(dial(proxy.addr)) as client:
        client.sendall(b"hello")
        assert nothing_comes(client)
        proxy.heal()
        assert client.recv(100) == b"hello"


def test_in_a_partition_not_even_an_end_is_heard(proxy: FaultProxy, server: EchoServer) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"x") == b"x"
        proxy.set(cut=True)
        server.sockets[0].shutdown(socket.SHUT_RDWR)
        assert nothing_comes(client)
        proxy.heal()
        assert client.recv(1) == b""


def test_a_sender_waits_when_too_much_is_held_back(proxy: FaultProxy) -> None:
    proxy.set(cut=True)
    with closing(dial(proxy.addr)) as client:
        client.setblocking(False)
        sent = 0

        def is_full() -> bool:
            nonlocal sent
            try:
                sent += client.send(bytes(1 << 16))
            except BlockingIOError:
                time.sleep(0.05)
                with suppress(BlockingIOError):
                    sent += client.send(bytes(1 << 16))
                    return False
                return True
            return False

        assert becomes(is_full)
        assert sent < 64 << 20
        client.settimeout(10)
        proxy.heal()
        got = 0
        while got < sent:
            got += len(client.recv(1 << 20))


def test_a_reset_is_a_reset_at_both_ends(proxy: FaultProxy, server: EchoServer) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"x") == b"x"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert becomes(lambda: proxy.open_connections == 0)
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"again") == b"again"


def test_a_reset_by_one_end_arrives_at_the_other() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listening,
        FaultProxy(f"127.0.0.1:{listening.getsockname()[1]}") as proxy,
        closing(dial(proxy.addr)) as client,
    ):
        accepted, _ = listening.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_half_open_connection_is_silent_for_the_end_that_is_left(
    proxy: FaultProxy, server: EchoServer
) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"x") == b"x"
        proxy.half_open()
        client.sendall(b"into the void")
        assert nothing_comes(client)
        assert b"into the void" not in server.got
        assert proxy.open_connections == 1
    assert becomes(lambda: proxy.open_connections == 0)


def test_clients_can_vanish_too(proxy: FaultProxy, server: EchoServer) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"x") == b"x"
        proxy.half_open(Direction.FROM_TARGET)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert proxy.open_connections == 1, "the target still believes in it"


def test_corruption_changes_octets_and_loses_none(proxy: FaultProxy) -> None:
    proxy.set(Direction.TO_TARGET, corrupted=1.0)
    with closing(dial(proxy.addr)) as client:
        got = echoed(client, bytes(1000))
        assert got != bytes(1000)
        proxy.heal()
        assert echoed(client, bytes(1000)) == bytes(1000)


def test_a_refusing_proxy_refuses_and_listens_again_at_the_same_address(proxy: FaultProxy) -> None:
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"first") == b"first"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            dial(proxy.addr)
        assert echoed(client, b"still") == b"still"
    proxy.listen()
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"again") == b"again"


def test_a_dead_target_resets_whoever_dials(server: EchoServer) -> None:
    server.close()
    with FaultProxy(server.addr) as proxy:
        # A quick reset already ends the dialling itself.
        with pytest.raises(ConnectionResetError), closing(dial(proxy.addr)) as client:
            client.recv(1)
        assert becomes(lambda: proxy.open_connections == 0)


def test_connections_wait_for_a_target(server: EchoServer) -> None:
    with FaultProxy() as proxy, closing(dial(proxy.addr)) as client:
        client.sendall(b"early")
        assert nothing_comes(client)
        proxy.retarget(server.addr)
        assert client.recv(100) == b"early"


def test_a_wrong_fault_is_refused_and_changes_nothing(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="lost"):
        proxy.set(lost=2.0)
    with pytest.raises(TypeError):
        proxy.set(wrong=1)
    with closing(dial(proxy.addr)) as client:
        assert echoed(client, b"x") == b"x"


def test_an_address_in_use_is_an_error_that_leaves_no_thread(server: EchoServer) -> None:
    before = threading.active_count()
    with pytest.raises(OSError, match="address"):
        FaultProxy(server.addr, addr=server.addr)
    assert threading.active_count() == before


async def test_a_relay_on_the_loop_leaves_nothing_behind() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async with assert_no_leaks():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        relay = Relay()
        await relay.start()
        relay.target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ends = []
        for number in range(20):
            reader, writer = await asyncio.open_connection(*split_host_port(relay.addr))
            writer.write(b"%d" % number)
            assert await reader.read(100) == b"%d" % number
            ends.append(writer)
        for writer in ends[:10]:
            writer.close()
            await writer.wait_closed()
        await relay.close()
        assert relay.open_connections == 0
        for writer in ends[10:]:
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()
        server.close()
        await server.wait_closed()


async def test_calls_between_nodes_survive_a_slow_and_lossy_proxy() -> None:
    async with nodes.system("127.0.0.1:0") as host:
        await nodes.hosted.pulsing_setup(host)
        with FaultProxy(str(host.addr), seed=3) as proxy:
            proxy.set(delay_s=0.005, jitter_s=0.02, lost=0.02)
            async with nodes.system() as caller:
                echo = await caller.resolve(f"actor://{proxy.addr}/echo")
                assert await asyncio.gather(*map(echo.echo, range(50))) == [*range(50)]
                proxy.half_open()
                with pytest.raises(pul.DeadlineExceeded):
                    await echo.echo(1).with_timeout(0.2)
