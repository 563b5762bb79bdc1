"""One request of a foreign client and its response, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application. In ``scope["state"]``: ``tls`` and ``authenticated``, both bool, of the
connection; a client is authenticated when it showed a certificate of the cluster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignLimits:
    """What foreign clients may take. Sizes in bytes, times in seconds."""

    max_connections: int = 256
    """More are answered 503. Raising it costs about 100 KiB a connection."""
    max_body_bytes: int = 1 << 20
    """Largest request body; it is held in memory. Larger ones are answered 413."""
    body_timeout_s: float = 30.0
    """For a request body to arrive; then 408."""
    send_timeout_s: float = 30.0
    """For a client to take what it was sent; then the connection ends."""
    idle_timeout_s: float = 75.0
    """Between requests, and for a request's head to arrive."""
    max_streams: int = 100
    """Concurrent requests on one HTTP/2 connection."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


class Exchange:
    """One request and its response, bounded by `ForeignLimits`.

    The body is read before the application runs because Hypercorn stalls a connection when an
    application answers without reading it.
    """

    __slots__ = ("_body", "_limits", "_receive", "_send", "_started")

    def __init__(self, receive: Receive, send: Send, limits: ForeignLimits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._body: bytes | None = b""
        self._started = False

    async def read_body(self) -> bool:
        """Whether there is a complete request to work on; if not, it was answered."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while True:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        return False
                    body += message.get("body", b"")
                    if len(body) > self._limits.max_body_bytes:
                        limit = self._limits.max_body_bytes
                        await self.answer(413, f"the body exceeds the limit of {limit} bytes")
                        return False
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            limit_s = self._limits.body_timeout_s
            await self.answer(408, f"the body did not arrive within {limit_s:g} s")
            return False
        self._body = bytes(body)
        return True

    async def receive(self) -> Message:
        """ASGI's ``receive``: the whole body once, then what becomes of the connection."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """ASGI's ``send``; raises TimeoutError when the client does not take it."""
        self._started = True
        async with asyncio.timeout(self._limits.send_timeout_s):
            await self._send(message)

    async def answer(self, status: int, reason: str) -> None:
        """A short answer of our own, unless one has begun."""
        if self._started:
            return
        text = f"{reason}\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(text)),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": text, "more_body": False})
