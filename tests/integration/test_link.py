"""Links over real sockets: many asks, large bodies, lost peers, draining, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import random
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
from pulsing.transport import link as link_module
from pulsing.transport import shell
from pulsing.transport.client_core import request_block
from pulsing.transport.faults import ConnectionFault
from pulsing.transport.frames import PREFACE, SETTINGS, frame_header
from pulsing.transport.header_blocks import Head, HeadCache
from pulsing.transport.limits import MIB, TransportLimits
from pulsing.transport.link import ServerLink, server_link
from pulsing.transport.pool import DialOptions, Peer, Pool
from pulsing.transport.preface import Refusal, introduction_settings, read_introduction
from pulsing.transport.streams import ClientStream, PeerInfo, ServerStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BLOCK = request_block("/ask/m/actors/a", "x")
LIMITS = TransportLimits()


class Ask(ClientStream):
    """A call that can be awaited."""

    __slots__ = ("answer",)

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__()
        self.deadline = deadline
        self.answer: asyncio.Future[bytes | bytearray] = asyncio.get_running_loop().create_future()

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        self.answer.set_result(body)

    def failed(self, error: PulsingRuntimeError) -> None:
        self.answer.set_exception(error)


async def ask(peer: Peer, body: Any = b"", within_s: float | None = 30.0) -> bytes | bytearray:
    now = asyncio.get_running_loop().time()
    call = Ask(None if within_s is None else now + within_s)
    peer.submit(call, BLOCK, body)
    return await call.answer


class Echo(ServerStream):
    __slots__ = ()

    def request_received(self, body: bytes | bytearray) -> None:
        self.respond(body)

    def aborted(self, error: PulsingRuntimeError) -> None:
        pass


class Held(ServerStream):
    """Answers when the test says so."""

    __slots__ = ("body",)
    here: ClassVar[list[Held]] = []
    gone: ClassVar[list[PulsingRuntimeError]] = []

    def request_received(self, body: bytes | bytearray) -> None:
        self.body = body
        self.here.append(self)

    def aborted(self, error: PulsingRuntimeError) -> None:
        self.gone.append(error)


class Node:
    """The side that is asked."""

    def __init__(
        self,
        stream_class: type[ServerStream] = Echo,
        limits: TransportLimits = LIMITS,
        settings: list[tuple[int, int]] | None = None,
        check: Callable[[dict[int, int]], ConnectionFault | None] = lambda _: None,
    ) -> None:
        self.stream_class = stream_class
        self.limits = limits
        self.settings = settings or introduction_settings("0" * 31 + "1", "c")
        self.check = check
        self.links: list[ServerLink] = []
        self.server: asyncio.Server | None = None
        self.port = 0

    def accept(self) -> ServerLink:
        made = server_link(
            asyncio.get_running_loop(),
            limits=self.limits,
            on_batch_end=None,
            check_introduction=self.check,
            stream_class=self.stream_class,
            peer=PeerInfo("client"),
            heads=HeadCache(),
            settings=self.settings,
        )
        self.links.append(made)
        return made

    async def start(self, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        options = options or {"host": "127.0.0.1", "port": self.port}
        self.server = await loop.create_server(self.accept, **options)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for each in self.links:
            each.close()
        await asyncio.gather(*(each.closed for each in self.links))
        self.links.clear()
        await self.server.wait_closed()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def node(*arguments: Any, **options: Any) -> AsyncIterator[Node]:
    made = Node(*arguments, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def pool(limits: TransportLimits = LIMITS, **options: Any) -> AsyncIterator[Pool]:
    made = Pool(
        asyncio.get_running_loop(),
        DialOptions(node_id="2" * 32, cluster="c", tls=None, limits=limits),
        **options,
    )
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    """A server that says whatever the test wants, until the test is over."""
    over = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
            await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def settings_frame(settings: list[tuple[int, int]]) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in settings)
    return frame_header(len(payload), SETTINGS, 0, 0) + payload


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Introduces itself, and freezes."""
    introduction = settings_frame(introduction_settings("3" * 32, "c"))
    writer.write(introduction + frame_header(0, SETTINGS, 1, 0))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


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
    limits = TransportLimits(keepalive_interval_s=0.02, keepalive_timeout_s=0.05)
    async with node(Held, limits) as server, pool(limits) as calls:
        pending = asyncio.ensure_future(ask(calls.peer(server.address)))
        await asyncio.sleep(0.3)
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
            total = 400_000
            sent = 0
            for first in range(0, total, 2000):
                requests = b"".join(block_of(2 * n + 1) for n in range(first, first + 2000))
                try:
                    async with asyncio.timeout(1.5):  # the kernel may stall a while by itself
                        await loop.sock_sendall(sock, requests)
                except TimeoutError:
                    break
                sent = first
            (there,) = server.links
            assert sent < total - 10_000, "it would have taken everything"
            assert there._deaf
            assert there._transport is not None
            assert there._transport.get_write_buffer_size() < 4 << 20
            unread = there._transport.get_write_buffer_size()
            read = 0
            while read < unread:
                read += len(await loop.sock_recv(sock, 1 << 20))
            await until(lambda: not there._deaf)
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
