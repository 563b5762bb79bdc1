"""The asyncio shell of a connection, in either role: octets to and from a core, and one timer.

Small messages of one loop turn leave in one write. Large bodies are fed to the transport frame by
frame, only while it takes them, and are received straight into their buffer: the link switches
itself to asyncio's buffered protocol while a large DATA frame is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, Final, Generic, TypeVar, cast

from pulsing.errors import ConnectionLost

from .connection_core import Connection
from .faults import ConnectionFault
from .frames import ErrorCode
from .limits import TransportLimits
from .sockets import retry_steadily

_WRITE_HIGH_BYTES: Final = 1 << 20
_WRITE_LOW_BYTES: Final = 256 << 10
_ROUND_BYTES: Final = 1 << 20
"""Bytes of queued DATA put into the transport in one loop turn."""
_DIRECT_BYTES: Final = 64 << 10
"""From here on the rest of a body is received without a copy."""
_DOUBT_S: Final = 0.05
"""How long a link that seems silent is read from once more."""
_CLOSE_GRACE_S: Final = 2.0
"""How long a closing link may take to hand its last octets to the peer."""


_Core = TypeVar("_Core", bound=Connection)


class Link(asyncio.Protocol, Generic[_Core]):
    """One TCP connection to or from a peer.

    Attributes:
        core: the connection's state; requests are made on it.
        closed: a future that is done when the transport is gone and every stream was told.
        lost: it was ended from outside, and the peer had not said goodbye.
        on_batch_begin: called before what has arrived is parsed.
        on_batch_end: called after that, before the answers are written.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: TransportLimits) -> None:
        self._loop = loop
        self._limits = limits
        self.core: _Core = cast(_Core, None)
        self.closed: asyncio.Future[None] = loop.create_future()
        self.lost = False
        self.on_batch_begin: Callable[[], None] | None = None
        self.on_batch_end: Callable[[], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._receiver = _DirectReceiver(self)
        self._flush_scheduled = False
        self._paused = False
        self._made_at = loop.time()
        self._pinged_at = inf
        self._doubted = False
        self._keepalive: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    def start(self, core: _Core) -> None:
        """Take the core; before ``connection_made``."""
        self.core = core
        core.on_full = self.flush

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        retry_steadily(self._transport)
        self._schedule_keepalive()
        self.flush()

    def data_received(self, data: bytes) -> None:
        core = self.core
        if self.on_batch_begin is not None:
            self.on_batch_begin()
        try:
            core.receive_data(data, self._loop.time())
        finally:
            self.end_batch()
        if core.direct_rest and core.direct_left() >= _DIRECT_BYTES:
            self._receiver.attach()

    def end_batch(self) -> None:
        """Let those work for whom something came, then write the answers."""
        core = self.core
        core.in_batch = True
        try:
            if self.on_batch_end is not None:
                self.on_batch_end()
        finally:
            core.in_batch = False
            if core.out or core.round.ready:
                self.flush()
            if core.closing is not None:
                self._close_after_flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._transport = None
        core = self.core
        self.lost = core.introduced and core.closing is None and core.goaway is None
        address = core.peer.address
        reason = f": {exc}" if exc is not None and str(exc) else ""
        try:
            core.connection_lost(
                ConnectionLost(
                    f"the connection to {address} was lost{reason}; whether the call ran is not "
                    "known",
                    exc,
                )
            )
        finally:
            if not self.closed.done():
                self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self.core.out or self.core.round.waiting:
            self._schedule_flush()

    # --- octets out

    def output_ready(self) -> None:
        """The core has something to send: once this loop turn is over."""
        if not self._flush_scheduled:
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Hand the core's output to the transport; large bodies as far as it takes them."""
        core, transport = self.core, self._transport
        if transport is None or transport.is_closing():
            core.out.clear()
            return
        if core.out:
            data = b"".join(core.out)
            core.out.clear()
            transport.write(data)
        if core.round.ready:
            self._send_bulk(transport)
        if self._paused:
            self.output_held()

    def _send_bulk(self, transport: asyncio.WriteTransport) -> None:
        """Queued DATA, until the transport has enough or others should have their turn."""
        core = self.core
        budget = _ROUND_BYTES
        while budget > 0 and not self._paused and core.round.waiting:
            size = core.send_frame_bytes
            core.round.fill(size)
            budget -= size
            transport.writelines(core.out)
            core.out.clear()
        if not self._paused and core.round.waiting:
            self._schedule_flush()

    def output_held(self) -> None:
        """The transport holds more output than the network takes."""

    # --- time

    def _schedule_keepalive(self) -> None:
        interval = self._limits.keepalive_interval_s or self._limits.idle_link_s
        if interval is not None:
            self._keepalive = self._loop.call_later(interval, self._check_alive)

    def is_spare(self, silence_s: float) -> bool:
        """Nobody needs this link, on which no request is open: it may be closed."""
        return False

    def idle_patience_s(self) -> float:
        """Silence without open requests after which the peer is asked whether it is there."""
        return inf

    def _check_alive(self) -> None:
        """A silent peer that owes us answers is asked with PING, then given up (RFC 9113 6.7)."""
        core = self.core
        now = self._loop.time()
        silence = now - core.last_received
        if not core.acknowledged and now - self._made_at > self._limits.keepalive_timeout_s:
            core.fail(ConnectionFault("no SETTINGS ACK in time", ErrorCode.SETTINGS_TIMEOUT))
            self.end_batch()  # 6.5.3
            return
        if core.streams:
            patience = self._limits.keepalive_interval_s or inf
        elif self.is_spare(silence):
            self.close()
            return
        else:
            patience = self.idle_patience_s()
        if silence < patience:
            self._pinged_at = inf
        elif self._pinged_at is inf or core.last_received >= self._pinged_at:
            self._pinged_at = now
            core.ping(b"pulsing?")
        elif now - self._pinged_at < self._limits.keepalive_timeout_s:
            pass
        elif not self._doubted:
            # Perhaps it is this loop that stood still, and the answer lies there unread.
            self._doubted = True
            self._keepalive = self._loop.call_later(_DOUBT_S, self._check_alive)
            return
        else:
            self.abort(
                ConnectionLost(
                    f"{core.peer.address} has been silent for {silence:.0f} s and does not answer "
                    "PING; whether the call ran is not known"
                )
            )
            return
        self._doubted = False
        self._schedule_keepalive()

    # --- the end

    def abort(self, error: ConnectionLost) -> None:
        """Drop the connection at once; every stream fails with ``error``."""
        self.core.connection_lost(error)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Say goodbye and close once the last octets are out."""
        if self._transport is not None and self.core.closing is None:
            self.core.go_away(ErrorCode.NO_ERROR)
            self.flush()
            self.core.stop(
                ConnectionLost(f"the connection to {self.core.peer.address} was closed here")
            )
        self._close_after_flush()

    def _close_after_flush(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.close()
            self._close_timer = self._loop.call_later(_CLOSE_GRACE_S, transport.abort)

    def swap_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Receive through another protocol from now on (uvloop needs the reading restarted)."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.pause_reading()
        transport.set_protocol(protocol)
        if self.may_read():
            transport.resume_reading()

    def may_read(self) -> bool:
        """Nothing speaks against receiving."""
        return True


class _DirectReceiver(asyncio.BufferedProtocol):
    """Receives the rest of a large DATA frame into the buffer of its body, then steps aside."""

    def __init__(self, link: Link[Any]) -> None:
        self._link = link
        self._scratch = bytearray(0)
        self._direct = False

    def attach(self) -> None:
        self._link.swap_protocol(self)

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        space: memoryview | None = self._link.core.direct_space()
        if space is None or not len(space):
            if not self._scratch:
                self._scratch = bytearray(64 << 10)
            self._direct = False
            return self._scratch
        self._direct = True
        return space

    def buffer_updated(self, nbytes: int) -> None:
        link = self._link
        core = link.core
        if link.on_batch_begin is not None:
            link.on_batch_begin()
        try:
            if self._direct:
                core.direct_received(nbytes, link.now)
            else:
                core.receive_data(bytes(memoryview(self._scratch)[:nbytes]), link.now)
        finally:
            link.end_batch()
        if not core.direct_left():
            link.swap_protocol(link)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.connection_lost(exc)

    def pause_writing(self) -> None:
        self._link.pause_writing()

    def resume_writing(self) -> None:
        self._link.resume_writing()
