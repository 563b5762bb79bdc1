"""Stand-ins for sockets that listen and sockets that were accepted, in a network of memory."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulsing.testing.memory_network import MemoryHost
    from pulsing.testing.memory_streams import MemoryStream


class MemoryListening:
    """A port that takes connections; stands for a listening socket.

    Attributes:
        address: host and port.
    """

    def __init__(self, owner: MemoryHost, host: str, port: int) -> None:
        self.owner = owner
        self.address = (host, port)
        self._arrived: deque[MemoryStream] = deque()
        self._awaited: asyncio.Future[None] | None = None
        self._closed = False

    def arrive(self, stream: MemoryStream) -> None:
        """The system accepts a connection, whether the process runs or not."""
        self._arrived.append(stream)
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    async def next_connection(self) -> tuple[MemorySocket, tuple[str, int]]:
        """Wait for the next connection; gives its socket and where it comes from."""
        while not self._arrived:
            self._awaited = self.owner.loop.create_future()
            await self._awaited
        stream = self._arrived.popleft()
        return MemorySocket(stream), stream.get_extra_info("peername")

    def getsockname(self) -> tuple[str, int]:
        """Host and port."""
        return self.address

    def close(self) -> None:
        """Take no more connections; those not taken are reset."""
        if not self._closed:
            self._closed = True
            self.owner.network.close_port(self)
            self.owner.closed(self)
            while self._arrived:
                self._arrived.popleft().abort()


class MemorySocket:
    """An accepted connection nobody serves yet; stands for its socket."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream

    def setblocking(self, flag: bool) -> None:
        """Nothing blocks here."""

    def setsockopt(self, *option: Any) -> None:
        """There are no options."""

    def shutdown(self, how: int) -> None:
        """End the connection."""
        self._stream.abort()

    def close(self) -> None:
        """End the connection."""
        self._stream.abort()

    def recv(self, count: int, flags: int = 0) -> bytes:
        """Looked at only to recognise TLS, which does not exist here."""
        refuse_tls(True)
        return b""

    async def adopt(self, protocol: Any, *, secure: bool) -> asyncio.Transport:
        """Give the connection to a protocol."""
        refuse_tls(secure)
        await attached(self._stream, protocol)
        return self._stream


async def attached(stream: MemoryStream, protocol: asyncio.BaseProtocol) -> None:
    """Give an end to a protocol, as code of its host, and wait until it knows."""
    made: asyncio.Future[None] = stream.host.loop.create_future()

    def attach() -> None:
        if not made.done():
            stream.attach(protocol)
            made.set_result(None)

    stream.host.loop.call_soon(attach, context=stream.host.context)
    await made


def refuse_tls(secure: bool) -> None:
    """Raise an OSError that says so, when a connection is to be encrypted."""
    if secure:
        raise OSError(
            errno.EPROTONOSUPPORT,
            "a network in memory carries cleartext only; leave the passphrase out of virtual time",
        )
