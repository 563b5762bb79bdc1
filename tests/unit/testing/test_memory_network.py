"""Connections in memory: they behave as TCP does, in virtual time, and repeat themselves."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pulsing.errors import PulsingRuntimeError
from pulsing.testing.faults import Faults
from pulsing.testing.virtual_loop import VirtualLoop, current_virtual_loop
from pulsing.testing.virtual_run import run_virtual, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SERVER = "127.0.0.1"
CLIENT = "127.0.0.2"


class Recorder(asyncio.Protocol):
    """Writes down what its transport tells it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.received = bytearray()
        self.told: list[Any] = []
        self.changed = asyncio.Event()

    def _tell(self, what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._tell("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def eof_received(self) -> bool:
        self._tell("eof")
        return False

    def pause_writing(self) -> None:
        self._tell("pause")

    def resume_writing(self) -> None:
        self._tell("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(("lost", type(exc)))

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10_000):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def lost(self) -> type:
        await self.until(lambda: any(isinstance(each, tuple) for each in self.told))
        return self.told[-1][1]


class Pair:
    """A connection, its two hosts, and the protocol of either end."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.network = loop.network
        self.server = self.network.host()
        self.client = self.network.host()
        self.ours = Recorder()
        self.theirs = Recorder()

    async def open(self) -> None:
        (listening,) = await self.server.listen(SERVER, 7000, 10)
        self.client.name = CLIENT
        accepting = asyncio.ensure_future(self.loop.sock_accept(listening))
        await self.client.dial(self.ours, SERVER, 7000, tls=None)
        sock, self.came_from = await accepting
        await self.loop.connect_accepted_socket(lambda: self.theirs, sock)
        self.listening: Any = listening


@asynccontextmanager
async def connected() -> AsyncGenerator[Pair]:
    pair = Pair(current_virtual_loop())
    await pair.open()
    try:
        yield pair
    finally:
        pair.ours.transport.abort()
        pair.theirs.transport.abort()
        pair.listening.close()


@virtual_time()
async def test_octets_arrive_in_order_and_take_as_long_as_the_network_says() -> None:
    async with connected() as pair:
        sent_at = pair.loop.time()
        for number in range(100):
            pair.ours.transport.write(bytes((number,)))
        await pair.theirs.until(lambda: len(pair.theirs.received) == 100)
        assert pair.theirs.received == bytes(range(100))
        assert 0.0003 <= pair.loop.time() - sent_at <= 0.0005


@virtual_time()
async def test_both_ends_know_their_addresses() -> None:
    async with connected() as pair:
        assert pair.ours.transport.get_extra_info("peername") == (SERVER, 7000)
        assert pair.theirs.transport.get_extra_info("sockname") == (SERVER, 7000)
        assert pair.theirs.transport.get_extra_info("peername") == pair.came_from
        assert pair.came_from[0] == CLIENT


@virtual_time()
async def test_closing_flushes_and_then_ends_the_other_end() -> None:
    async with connected() as pair:
        pair.ours.transport.write(b"last words")
        pair.ours.transport.close()
        assert await pair.ours.lost() is type(None)
        assert await pair.theirs.lost() is type(None)
        assert pair.theirs.received == b"last words"
        assert pair.theirs.told == ["made", "eof", ("lost", type(None))]


@virtual_time()
async def test_aborting_resets_the_other_end() -> None:
    async with connected() as pair:
        pair.ours.transport.abort()
        assert await pair.ours.lost() is type(None)
        assert await pair.theirs.lost() is ConnectionResetError


@virtual_time()
async def test_what_is_sent_to_an_end_that_was_closed_is_answered_by_a_reset() -> None:
    async with connected() as pair:
        pair.theirs.eof_received = lambda: True  # type: ignore[method-assign]
        pair.ours.transport.close()
        await asyncio.sleep(1)
        pair.theirs.transport.write(b"are you there?")
        assert await pair.theirs.lost() is ConnectionResetError


@virtual_time()
async def test_a_writer_is_held_while_the_reader_does_not_read() -> None:
    async with connected() as pair:
        pair.theirs.transport.pause_reading()
        written = 0
        while "pause" not in pair.ours.told:
            pair.ours.transport.write(bytes(10_000))
            written += 10_000
            assert written < 1_000_000
        await asyncio.sleep(60)
        assert not pair.theirs.received
        pair.theirs.transport.resume_reading()
        await pair.ours.until(lambda: "resume" in pair.ours.told)
        await pair.theirs.until(lambda: len(pair.theirs.received) == written)


@virtual_time()
async def test_a_buffered_protocol_is_fed_through_its_buffer() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(7)
            self.received = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.received += self.buffer[:nbytes]

    async with connected() as pair:
        buffered = Buffered()
        pair.theirs.transport.set_protocol(buffered)
        pair.ours.transport.write(bytes(range(200)))
        await asyncio.sleep(1)
        assert buffered.received == bytes(range(200))


@virtual_time()
async def test_a_partition_holds_octets_back_and_healing_lets_them_through() -> None:
    async with connected() as pair:
        pair.network.partition([SERVER], [CLIENT])
        pair.ours.transport.write(b"one")
        pair.theirs.transport.write(b"two")
        await asyncio.sleep(30)
        assert not pair.theirs.received
        assert not pair.ours.received
        pair.network.heal()
        await pair.theirs.until(lambda: pair.theirs.received == b"one")
        await pair.ours.until(lambda: pair.ours.received == b"two")


@virtual_time()
async def test_a_cut_of_one_direction_lets_the_other_through() -> None:
    async with connected() as pair:
        pair.network.cut([CLIENT], [SERVER])
        pair.ours.transport.write(b"lost")
        pair.theirs.transport.write(b"heard")
        await pair.ours.until(lambda: pair.ours.received == b"heard")
        await asyncio.sleep(10)
        assert not pair.theirs.received


@virtual_time()
async def test_delay_applies_to_the_direction_it_was_given() -> None:
    async with connected() as pair:
        pair.network.set_faults(CLIENT, SERVER, Faults(delay_s=2.0))
        began = pair.loop.time()
        pair.ours.transport.write(b"slow")
        pair.theirs.transport.write(b"fast")
        await pair.ours.until(lambda: pair.ours.received == b"fast")
        assert pair.loop.time() - began < 0.01
        await pair.theirs.until(lambda: pair.theirs.received == b"slow")
        assert pair.loop.time() - began == pytest.approx(2.0, abs=1e-3)


@virtual_time(seed=2)
async def test_loss_delays_as_tcp_would_and_loses_nothing() -> None:
    async with connected() as pair:
        pair.network.set_faults(CLIENT, SERVER, Faults(lost=0.3))
        times: list[float] = []
        for number in range(50):
            began = pair.loop.time()
            pair.ours.transport.write(bytes((number,)))
            await pair.theirs.until(lambda count=number: len(pair.theirs.received) > count)
            times.append(pair.loop.time() - began)
        assert pair.theirs.received == bytes(range(50))
        assert 5 < sum(each >= 0.2 for each in times) < 30


@virtual_time()
async def test_a_killed_host_resets_its_connections_and_refuses_new_ones() -> None:
    async with connected() as pair:
        pair.server.kill()
        assert await pair.ours.lost() is ConnectionResetError
        assert pair.theirs.told == ["made"]  # the dead hear nothing
        with pytest.raises(ConnectionRefusedError):
            await pair.client.dial(Recorder(), SERVER, 7000, tls=None)


@virtual_time()
async def test_a_kill_behind_a_partition_is_noticed_only_when_something_is_sent() -> None:
    async with connected() as pair:
        pair.network.partition([SERVER], [CLIENT])
        pair.server.kill()
        await asyncio.sleep(5)
        pair.network.heal()
        await asyncio.sleep(5)
        assert pair.ours.told == ["made"]
        pair.ours.transport.write(b"still there?")
        assert await pair.ours.lost() is ConnectionResetError


@virtual_time()
async def test_the_port_of_a_killed_host_is_free_for_another() -> None:
    async with connected() as pair:
        pair.server.kill()
        again = pair.network.host()
        (listening,) = await again.listen(SERVER, 7000, 10)
        fresh = Recorder()
        await pair.client.dial(fresh, SERVER, 7000, tls=None)
        listening.close()
        assert await fresh.lost() is ConnectionResetError


@virtual_time()
async def test_a_stopped_process_accepts_connections_and_says_nothing() -> None:
    async with connected() as pair:
        pair.loop.freeze(pair.server.home)
        late = Recorder()
        await pair.client.dial(late, SERVER, 7000, tls=None)
        pair.ours.transport.write(b"hello?")
        await asyncio.sleep(100)
        assert not pair.theirs.received
        assert late.told == ["made"]
        pair.loop.thaw(pair.server.home)
        await pair.theirs.until(lambda: pair.theirs.received == b"hello?")
        late.transport.abort()


@virtual_time()
async def test_dialling_into_a_partition_repeats_until_it_is_healed() -> None:
    async with connected() as pair:
        pair.network.partition([SERVER], [CLIENT])
        late = Recorder()
        began = pair.loop.time()
        dialling = asyncio.create_task(pair.client.dial(late, SERVER, 7000, tls=None))
        await asyncio.sleep(2)
        assert not dialling.done()
        pair.network.heal()
        await dialling
        assert pair.loop.time() - began == pytest.approx(3.0, abs=0.01)  # 1 s, then 2 s more
        late.transport.abort()


@virtual_time()
async def test_dialling_into_a_lasting_partition_times_out() -> None:
    async with connected() as pair:
        pair.network.partition([SERVER], [CLIENT])
        with pytest.raises(TimeoutError):
            await pair.client.dial(Recorder(), SERVER, 7000, tls=None)
        assert pair.loop.time() == pytest.approx(127, abs=1)


@virtual_time()
async def test_nobody_listens_where_nobody_ever_did() -> None:
    host = current_virtual_loop().network.host()
    with pytest.raises(OSError, match="No route to host"):
        await host.dial(Recorder(), "127.0.0.9", 1, tls=None)
    with pytest.raises(socket.gaierror):
        await host.dial(Recorder(), "no-such-name", 1, tls=None)


@virtual_time()
async def test_a_name_leads_to_the_first_of_its_addresses_that_answers() -> None:
    async with connected() as pair:
        pair.network.names["service"] = ["127.0.0.77", SERVER]
        found = Recorder()
        await pair.client.dial(found, "service", 7000, tls=None)
        assert found.transport.get_extra_info("peername") == (SERVER, 7000)
        found.transport.abort()


@virtual_time()
async def test_one_port_has_one_listener_and_port_zero_finds_another() -> None:
    network = current_virtual_loop().network
    one, two = network.host(), network.host()
    (first,) = await one.listen(SERVER, 7001, 1)
    with pytest.raises(PulsingRuntimeError, match="Address already in use"):
        await two.listen(SERVER, 7001, 1)
    (second,) = await two.listen(SERVER, 0, 1)
    assert first.getsockname() != second.getsockname()


@virtual_time()
async def test_encryption_is_refused_with_a_reason() -> None:
    async with connected():
        with pytest.raises(OSError, match="cleartext only"):
            await asyncio.open_connection(SERVER, 7000, ssl=True)


@virtual_time()
async def test_asyncios_streams_work() -> None:
    async with connected() as pair:
        reader, writer = await asyncio.open_connection(SERVER, 7000)
        sock, _ = await pair.loop.sock_accept(pair.listening)
        await pair.loop.connect_accepted_socket(lambda: pair.theirs, sock)
        writer.write(b"GET")
        await pair.theirs.until(lambda: pair.theirs.received == b"GET")
        pair.theirs.transport.write(b"answer\n")
        pair.theirs.transport.close()
        assert await reader.readline() == b"answer\n"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_a_protocol_that_fails_loses_its_connection_and_nobody_elses() -> None:
    reports: list[dict[str, Any]] = []

    async def main() -> None:
        current_virtual_loop().set_exception_handler(lambda _, context: reports.append(context))
        async with connected() as pair:

            def fail(data: bytes) -> None:
                raise ValueError("a bug in the protocol")

            pair.theirs.data_received = fail  # type: ignore[method-assign]
            pair.ours.transport.write(b"x")
            assert await pair.ours.lost() is ConnectionResetError

    run_virtual(main)
    assert [str(each["exception"]) for each in reports] == ["a bug in the protocol"]


def test_the_history_tells_runs_apart_and_repeats_with_the_seed() -> None:
    async def main(word: bytes) -> tuple[str, int, list[str]]:
        async with connected() as pair:
            for _ in range(10):
                pair.ours.transport.write(word)
                await asyncio.sleep(0.1)
            history = pair.network.history
            return history.digest(), history.octets, history.lines(3)

    first = run_virtual(main(b"same"), seed=1)
    assert run_virtual(main(b"same"), seed=1) == first
    assert run_virtual(main(b"same"), seed=2)[0] != first[0]
    assert run_virtual(main(b"sane"), seed=1)[0] != first[0]
    assert first[1] == 40
    assert first[2][-1].endswith("127.0.0.2 -> 127.0.0.1: 4 octets")


def test_what_happens_after_the_seal_does_not_count() -> None:
    async def main(*, more: bool) -> str:
        async with connected() as pair:
            history = pair.network.history
            history.sealed = True
            if more:
                history.happened("something else")
                pair.ours.transport.write(b"something else")
            return history.digest()

    assert run_virtual(main(more=True)) == run_virtual(main(more=False))


@virtual_time()
async def test_every_host_is_a_home_of_its_own() -> None:
    network = current_virtual_loop().network
    assert network.host().home != network.host().home
