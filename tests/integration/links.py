"""Two ends of a link over real sockets, without actors: for the tests of links."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from pulsing.errors import (
    PulsingRuntimeError,
)
from pulsing.transport.client_core import request_block
from pulsing.transport.faults import ConnectionFault
from pulsing.transport.frames import SETTINGS, frame_header
from pulsing.transport.header_blocks import Head, HeadCache
from pulsing.transport.limits import TransportLimits
from pulsing.transport.link import ServerLink, server_link
from pulsing.transport.pool import DialOptions, Peer, Pool
from pulsing.transport.preface import introduction_settings
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
