"""Foreign clients: curl, probes, browsers, Prometheus. Hypercorn serves them our application.

A connection arrives here with the octets that told it from a peer. Hypercorn does HTTP/1.1 and
HTTP/2; what it does not bound is bounded around it: connections, bodies, slow readers, floods of
frames. It is imported when the first foreign client comes, in a thread, so that nodes nobody asks
never pay for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, Final, cast

from pulsing.logs import LimitedLogger

from .exchange import AsgiApp, Exchange, ForeignLimits, Receive, Scope, Send
from .frame_meter import FrameMeter
from .frames import PREFACE, ErrorCode
from .preface import goaway_frame

__all__ = ["ForeignServer"]

logger = logging.getLogger(__name__)

_LINGER_S: Final = 2.0  # for the last octets of a closed connection to leave


class ForeignServer:
    """Serves an ASGI application to connections it is handed.

    Args:
        app: sees ``http`` and ``websocket`` scopes, no ``lifespan``. The body of an ``http``
            request is complete when it is called.
        limits: what clients may take.
        log: for lines that clients can provoke.
    """

    def __init__(self, app: AsgiApp, limits: ForeignLimits, log: LimitedLogger) -> None:
        self._app = app
        self._limits = limits
        self._log = log
        self._tasks: dict[asyncio.Task[None], _ForeignProtocol] = {}
        self._loading = asyncio.Lock()
        self._hypercorn: _Hypercorn | None = None
        self._closing = False

    @property
    def connections(self) -> int:
        """How many are being served."""
        return len(self._tasks)

    @property
    def is_full(self) -> bool:
        """Whether another connection would be one too many."""
        return self._closing or len(self._tasks) >= self._limits.max_connections

    def adopt(
        self,
        transport: asyncio.Transport,
        received: bytes,
        *,
        address: str,
        tls: bool,
        authenticated: bool,
    ) -> None:
        """Take over a connection.

        Args:
            transport: connected; its protocol is replaced.
            received: every octet read from it so far, decrypted.
            address: of the client, for the log.
            tls: whether the connection is encrypted.
            authenticated: whether the client showed a certificate of the cluster.
        """
        loop = asyncio.get_running_loop()
        protocol = _ForeignProtocol(loop, self._limits.send_timeout_s)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        state = {"tls": tls, "authenticated": authenticated}
        task = loop.create_task(self._serve(protocol, address, state))
        self._tasks[task] = protocol
        task.add_done_callback(self._tasks.pop)
        protocol.data_received(received)

    async def close(self, grace_s: float) -> None:
        """End all connections: idle ones now, others when they answered or after ``grace_s``."""
        self._closing = True
        for protocol in self._tasks.values():
            protocol.ended.set_now()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, protocol: _ForeignProtocol, address: str, state: dict[str, Any]) -> None:
        try:
            async with self._loading:
                if self._hypercorn is None:
                    self._hypercorn = await asyncio.to_thread(_load_hypercorn, self._limits)
            if not self._closing and not protocol.lost.is_set():
                async with protocol.patience:
                    await self._hypercorn.serve(self._guarded, protocol, state)
        except Exception as error:  # noqa: BLE001 - the seam to Hypercorn: whatever a client provoked
            self._log.warning(
                "foreign-failure",
                "gave up on the HTTP connection of %s: %s",
                address,
                _innermost(error),
            )
        finally:
            protocol.transport.abort()
            await protocol.lost.wait()

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Send, _spawn: object, _call_soon: object
    ) -> None:
        """The application, with bounds around it, in the form Hypercorn calls."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(receive, send, self._limits)
        try:
            if await exchange.read_body():
                await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - one line instead of a traceback per request
            self._log.error(
                "foreign-application",
                "%s %s failed: %s: %s",
                scope["method"],
                scope["path"],
                type(error).__name__,
                error,
            )
            await exchange.answer(500, "the node failed to answer; its log says why")


class _Ended:
    """Hypercorn's event ``terminated``, one per connection: be done after the current answer."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.set_now = self._event.set
        self.is_set = self._event.is_set

    async def wait(self) -> None:
        await self._event.wait()

    async def set(self) -> None:
        self._event.set()

    async def clear(self) -> None:
        self._event.clear()


class _ForeignReader(asyncio.StreamReader):
    """Notices that Hypercorn has seen the end of the client's octets.

    Left alone, Hypercorn keeps a connection whose client is gone until its idle timeout.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        super().__init__(loop=loop)
        self._on_end = on_end

    def at_eof(self) -> bool:
        at_eof = super().at_eof()
        if at_eof:
            self._on_end()
        return at_eof


class _ForeignProtocol(asyncio.StreamReaderProtocol):
    """Between a transport and Hypercorn's streams: counts frames and times slow readers."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, send_timeout_s: float) -> None:
        self.ended = _Ended()
        self.reader = _ForeignReader(loop, self._ends)
        super().__init__(self.reader, loop=loop)
        self.lost = asyncio.Event()
        self.patience = asyncio.timeout(None)
        self._clock = loop
        self._send_timeout_s = send_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._meter: FrameMeter | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        code = self._judge(data)
        if code is not None:
            self.transport.write(goaway_frame(code))
            self.transport.close()
            self.close_within(_LINGER_S)
        elif not self.transport.is_closing():
            super().data_received(data)

    def _judge(self, data: bytes) -> ErrorCode | None:
        if self._meter is None:
            # A client may also upgrade from HTTP/1.1 later: then its preface comes in between.
            seen = self._tail + data
            start = seen.find(PREFACE)
            if start < 0:
                self._tail = seen[1 - len(PREFACE) :]
                return None
            data = seen[start:]
            self._meter = FrameMeter(self._clock.time())
        return self._meter.feed(data, self._clock.time())

    def pause_writing(self) -> None:
        super().pause_writing()
        self.close_within(self._send_timeout_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        self.lost.set()
        self._clock.call_soon(self._end_within, _LINGER_S)

    def _ends(self) -> None:
        # It may have left, or closed only its side and wait for an answer: that looks the same.
        self._end_within(self._send_timeout_s)

    def _end_within(self, seconds: float) -> None:
        """An idle connection ends now, others after their answer, which may take so long."""
        self.ended.set_now()
        with contextlib.suppress(RuntimeError):  # nobody serves it, or not any more
            self.patience.reschedule(self._clock.time() + seconds)

    def close_within(self, seconds: float) -> None:
        """Abort the connection unless it ends, or gets going again, by itself."""
        self._disarm()
        self._deadline = self._clock.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _ForeignWriter(asyncio.StreamWriter):
    """Closing does not wait for a client that does not read."""

    def __init__(self, protocol: _ForeignProtocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(protocol.transport, protocol, protocol.reader, loop)
        self._foreign = protocol

    def close(self) -> None:
        super().close()
        if not self._foreign.lost.is_set():
            self._foreign.close_within(_LINGER_S)


# --- the seam to Hypercorn ----------------------------------------------------------------------


class _Hypercorn:
    """Its server, configured."""

    def __init__(self, server: Any, context: Any, config: Any) -> None:
        self._server = server
        self._context = context
        self._config = config

    async def serve(self, app: Any, protocol: _ForeignProtocol, state: dict[str, Any]) -> None:
        """Until the connection ends, whoever ends it."""
        loop = asyncio.get_running_loop()
        context = self._context(None)
        context.terminated = protocol.ended
        writer = _ForeignWriter(protocol, loop)
        await self._server(app, loop, self._config, context, state, protocol.reader, writer).run()


def _load_hypercorn(limits: ForeignLimits) -> _Hypercorn:
    """Import it, which takes about 0.2 s, and configure it."""
    from hypercorn.asyncio.tcp_server import TCPServer
    from hypercorn.asyncio.worker_context import WorkerContext
    from hypercorn.config import Config

    config = Config()
    config.accesslog = None
    config.errorlog = logger
    config.include_server_header = False
    config.keep_alive_timeout = limits.idle_timeout_s
    config.keep_alive_max_requests = sys.maxsize
    config.h2_max_concurrent_streams = limits.max_streams
    config.websocket_max_message_size = limits.max_body_bytes
    return _Hypercorn(TCPServer, WorkerContext, config)


def _innermost(error: BaseException) -> str:
    """What went wrong, in one line, without the groups a task group wraps around it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast(BaseExceptionGroup[BaseException], error).exceptions[0]
    return f"{type(error).__name__}: {error}"
