"""A listener with a peer protocol that only remembers, for the tests of this folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from pulsing.gateway import Gateway
from pulsing.transport.exchange import AsgiApp
from pulsing.transport.frames import PREFACE
from pulsing.transport.listener import Listener, ListenerLimits, PeerConnectionInfo
from pulsing.transport.preface import introduction_settings, settings_frame
from pulsing.transport.tls import ClusterTls

NODE_ID = "0123456789abcdef" * 2
PASSPHRASE = "correct horse battery staple"
HELLO = PREFACE + settings_frame(introduction_settings(NODE_ID, "pulsing"))
"""What a peer says first."""


@dataclass
class FakeNode:
    node_id: str = NODE_ID
    addr: str | None = "127.0.0.1:1"
    version: str = "9.9.9"
    status: str = "ready"
    ready: bool = True
    actors: int = 3
    uptime_s: float = 12.3456
    node_name: str = "n1"
    members: dict[str, int] = field(default_factory=lambda: {"Alive": 1})
    messages: Mapping[str, int] = field(default_factory=dict[str, int])
    last_stall: dict[str, object] | None = None


class Peer:
    """Remembers what it received and sends it back."""

    def __init__(self, info: PeerConnectionInfo) -> None:
        self.info = info
        self.received = bytearray()
        self.lost = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def take(self, data: bytes) -> None:
        assert self.transport is not None
        self.received += data
        self.transport.write(data)


class PlainPeer(Peer, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.take(data)


class BufferedPeer(Peer, asyncio.BufferedProtocol):
    """Takes at most seven octets at a time, through its own buffer."""

    def __init__(self, info: PeerConnectionInfo) -> None:
        super().__init__(info)
        self.buffer = bytearray(7)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.take(bytes(self.buffer[:nbytes]))


@dataclass
class Harness:
    listener: Listener
    node: FakeNode
    peers: list[Peer] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.port

    async def connect(self, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, **kwargs)


@cache
def cluster_tls(passphrase: str = PASSPHRASE, cluster: str = "pulsing") -> ClusterTls:
    return ClusterTls.derive(passphrase, cluster)


@asynccontextmanager
async def listening(
    *,
    tls: ClusterTls | None = None,
    limits: ListenerLimits | None = None,
    app: AsgiApp | None = None,
    peer: Callable[[PeerConnectionInfo], PlainPeer | BufferedPeer] = PlainPeer,
    host: str = "127.0.0.1",
) -> AsyncIterator[Harness]:
    node = FakeNode()
    peers: list[Peer] = []

    def make_peer(info: PeerConnectionInfo) -> PlainPeer | BufferedPeer:
        made = peer(info)
        peers.append(made)
        return made

    listener = Listener(
        host,
        0,
        make_peer_protocol=make_peer,
        app=app or Gateway(node),
        tls=tls,
        limits=limits,
        introduction=introduction_settings(NODE_ID, "pulsing"),
    )
    await listener.start()
    try:
        yield Harness(listener, node, peers)
    finally:
        await listener.close()
        for each in peers:
            if each.transport is not None:
                each.transport.abort()
                await each.lost.wait()


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for what no event tells."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.002)


async def everything(reader: asyncio.StreamReader, within_s: float = 5.0) -> bytes:
    """All that comes until the other side closes."""
    parts = bytearray()
    async with asyncio.timeout(within_s):
        with suppress(ConnectionError):
            while part := await reader.read(65536):
                parts += part
    return bytes(parts)


async def gone(writer: asyncio.StreamWriter) -> None:
    """Close our side, whatever state the connection is in."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def run_program(*command: str, within_s: float = 15.0) -> tuple[int, str, str]:
    """Exit code, output and error output of a program."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(within_s):
        out, error = await process.communicate()
    return process.returncode or 0, out.decode(errors="replace"), error.decode(errors="replace")


def descriptors() -> int:
    """How many file descriptors this process has open."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
