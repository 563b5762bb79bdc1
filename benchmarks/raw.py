"""The yardstick for calls: length-prefixed msgpack over TCP, as lean as asyncio allows.

What a good engineer would write who needs nothing but request and reply on one connection: a
request is ``[id, method, arguments]``, a reply ``[id, value]``; writes of one loop turn leave
together; no timeouts, no flow control, no errors, no streams, no names. Pulsing does all of that
and is measured against this.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import msgpack

LENGTH = struct.Struct(">I")
Handlers = dict[str, Callable[..., object]]


class _Framed(asyncio.Protocol):
    """Both ends: frames in, frames out, one write per loop turn."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending = b""
        self._out: list[bytes] = []
        self._pack: Callable[[object], bytes] = msgpack.Packer().pack
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, value: object) -> None:
        """Queue one frame; everything queued in this loop turn is one write."""
        body = self._pack(value)
        out = self._out
        if not out:
            self._loop.call_soon(self.flush)
        out.append(LENGTH.pack(len(body)))
        out.append(body)

    def flush(self) -> None:
        """Write what is queued."""
        if self._out and self.transport is not None:
            self.transport.write(b"".join(self._out))
        self._out.clear()

    def frames(self, data: bytes) -> list[Any]:
        """The messages that are complete with `data`; the rest is kept."""
        if self._pending:
            data = self._pending + data
        unpack, length_at = msgpack.unpackb, LENGTH.unpack_from
        messages = []
        position, size = 0, len(data)
        while position + 4 <= size:
            end = position + 4 + length_at(data, position)[0]
            if end > size:
                break
            messages.append(unpack(data[position + 4 : end]))
            position = end
        self._pending = data[position:] if position < size else b""
        return messages


class RawServer(_Framed):
    """Answers each request with the return value of the handler it names."""

    def __init__(self, handlers: Handlers) -> None:
        super().__init__()
        self._handlers = handlers

    def data_received(self, data: bytes) -> None:
        handlers, pack, out = self._handlers, self._pack, []
        for ident, method, arguments in self.frames(data):
            body = pack((ident, handlers[method](*arguments)))
            out.append(LENGTH.pack(len(body)))
            out.append(body)
        if out and self.transport is not None:
            self.transport.write(b"".join(out))


class RawClient(_Framed):
    """Calls a RawServer; any number of calls may be under way."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def call(self, method: str, *arguments: object) -> asyncio.Future[Any]:
        """Send a request; the future has the reply."""
        self._last = ident = self._last + 1
        future = self._waiting[ident] = self._loop.create_future()
        self.send((ident, method, arguments))
        return future

    def data_received(self, data: bytes) -> None:
        take = self._waiting.pop
        for ident, value in self.frames(data):
            future = take(ident)
            if not future.done():
                future.set_result(value)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(exc or ConnectionResetError("the raw server closed"))
        self._waiting.clear()


class Count:
    """The same work as the actors do: adds and returns the sum."""

    def __init__(self) -> None:
        self.value = 0

    def incr(self, n: int = 1) -> int:
        """Add `n` and return the sum."""
        self.value += n
        return self.value


async def serve_raw() -> asyncio.Server:
    """Listen on a free loopback port."""
    handlers: Handlers = {"incr": Count().incr}
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: RawServer(handlers), "127.0.0.1", 0)


async def connect_raw(address: str) -> RawClient:
    """Connect to ``host:port``."""
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(RawClient, host, int(port))
    return client
