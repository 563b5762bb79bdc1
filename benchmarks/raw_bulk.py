"""The yardsticks for large bodies: the same bytes, there and back, over a bare asyncio connection.

Two of them: streams (`open_connection` and `readexactly`, what most programs do; the targets are
relative to this one) and a `BufferedProtocol` that receives straight into the payload's buffer (the
upper bound of what asyncio can do). The frame is an 8-byte length and the bytes.
"""

from __future__ import annotations

import asyncio
import struct
from typing import cast

LENGTH = struct.Struct(">Q")
STREAM_LIMIT_BYTES = 4 * 1024 * 1024  # more gains nothing for bodies of 1 MiB and up


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readexactly(LENGTH.size)
            body = await reader.readexactly(LENGTH.unpack(head)[0])
            writer.write(head)
            writer.write(body)
            del body
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve_streams() -> asyncio.Server:
    """Echo over asyncio streams on a free loopback port."""
    return await asyncio.start_server(_echo, "127.0.0.1", 0, limit=STREAM_LIMIT_BYTES)


class StreamsClient:
    """One connection to `serve_streams`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, address: str) -> StreamsClient:
        """Connect to ``host:port``."""
        host, port = address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port), limit=STREAM_LIMIT_BYTES))

    async def echo(self, payload: bytes) -> bytes:
        """Send the bytes and return what comes back."""
        self._writer.write(LENGTH.pack(len(payload)))
        self._writer.write(payload)
        head = await self._reader.readexactly(LENGTH.size)
        return await self._reader.readexactly(LENGTH.unpack(head)[0])

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class _Bulk(asyncio.BufferedProtocol):
    """Receives a length, then that many bytes into a buffer of that size."""

    def __init__(self) -> None:
        self._head = bytearray(LENGTH.size)
        self._target = memoryview(self._head)
        self._body: bytearray | None = None
        self._filled = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._target[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._target):
            return
        self._filled = 0
        body, self._body = self._body, None
        if body is None:
            self._body = bytearray(LENGTH.unpack(self._head)[0])
            self._target = memoryview(self._body)
        else:
            self._target = memoryview(self._head)
            self.body_received(body)

    def body_received(self, body: bytearray) -> None:
        """One message is complete."""
        raise NotImplementedError

    def send(self, body: bytes | bytearray) -> None:
        """Write one message."""
        if self.transport is not None:
            self.transport.write(LENGTH.pack(len(body)))
            self.transport.write(body)


class BulkServer(_Bulk):
    """Echoes each message."""

    def body_received(self, body: bytearray) -> None:
        self.send(body)


class BulkClient(_Bulk):
    """One connection to `serve_buffered`."""

    def __init__(self) -> None:
        super().__init__()
        self._reply: asyncio.Future[bytearray] | None = None

    def body_received(self, body: bytearray) -> None:
        reply, self._reply = self._reply, None  # a kept future would keep the payload alive
        if reply is not None:
            reply.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("the raw server closed"))

    async def echo(self, payload: bytes) -> bytearray:
        """Send the bytes and return what comes back."""
        self._reply = reply = asyncio.get_running_loop().create_future()
        self.send(payload)
        body: bytearray = await reply
        return body

    def close(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.close()


async def serve_buffered() -> asyncio.Server:
    """Echo with a BufferedProtocol on a free loopback port."""
    return await asyncio.get_running_loop().create_server(BulkServer, "127.0.0.1", 0)


async def connect_buffered(address: str) -> BulkClient:
    """Connect to ``host:port``."""
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(BulkClient, host, int(port))
    return client
