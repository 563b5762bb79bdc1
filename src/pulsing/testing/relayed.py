"""One connection through a relay: two sockets, and what is on the way between them."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from .faults import Direction, Faults, Lane

if TYPE_CHECKING:
    from .relay import Relay

MAX_WAITING_BYTES: Final = 1 << 20
"""A direction of a connection holds no more; then the sender has to wait, as with a network."""
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class RelayedConnection:
    """Two sockets and the lanes between them."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.name: str | None = None if relay.identify else ""
        self._head = b""
        self.client = _Side(self)
        self.target = _Side(self)
        self._to_target = _Flow(self, Direction.TO_TARGET, self.client, self.target)
        self._from_target = _Flow(self, Direction.FROM_TARGET, self.target, self.client)
        self._dialling: asyncio.Task[None] | None = None

    # --- the sockets say

    def made(self, side: _Side) -> None:
        if side is self.client:
            self.relay.opened(self)
            if self.name is not None:
                self._begin()
        else:
            self.changed()

    def received(self, side: _Side, data: bytes) -> None:
        if side is self.client and self.name is None:
            assert self.relay.identify is not None
            self._head += data
            self.name = self.relay.identify(self._head)
            if self.name is not None:
                self._begin()
        self._flow_from(side).put(data)

    def ended_by(self, side: _Side) -> None:
        """No more octets from this side."""
        if self.name is None:  # it never said who it is, and now it will not
            side.close()
        self._flow_from(side).put(b"")

    def lost(self, side: _Side, *, reset: bool) -> None:
        """The socket is closed."""
        self._flow_to(side).drop()
        if not side.is_silent:
            if not reset:
                self.ended_by(side)
            self._flow_from(side).finish(reset=reset)
        self._settle()

    def full(self, side: _Side, *, is_full: bool) -> None:
        """The operating system takes no more octets for this side, or takes some again."""
        self._flow_to(side).sink_full(is_full)

    # --- the relay says

    def changed(self) -> None:
        self._to_target.push()
        self._from_target.push()

    def reset(self) -> None:
        self.client.abort()
        self.target.abort()
        if self._dialling is not None:
            self._dialling.cancel()

    def vanish(self, direction: Direction) -> None:
        gone = self.target if direction is Direction.TO_TARGET else self.client
        gone.is_silent = True
        self._to_target.drop()
        self._from_target.drop()
        gone.abort()

    async def ended(self) -> None:
        """Wait until both sockets are closed."""
        if self._dialling is not None:
            await asyncio.wait((self._dialling,))
        for side in (self.client, self.target):
            if side.transport is not None:
                await side.closed

    # --- within

    def _begin(self) -> None:
        """It is known who the client is."""
        if self.relay.admits(self.name or ""):
            self._dialling = self.relay.loop.create_task(self._dial(), name="pulsing-relay")
            self._dialling.add_done_callback(lambda _: self._settle())
        else:
            self.client.abort()

    async def _dial(self) -> None:
        try:
            await self.relay.dial(lambda: self.target)
        except (OSError, asyncio.CancelledError) as error:
            self.client.abort()
            if isinstance(error, asyncio.CancelledError):
                raise

    def _settle(self) -> None:
        """Forget the connection once nothing of it is left."""
        if not self.client.closed.done():
            return
        if self._dialling is not None and not self._dialling.done():
            if not self.relay.target:
                self._dialling.cancel()
        elif self.target.transport is None or self.target.closed.done():
            self._to_target.drop()
            self._from_target.drop()
            self.relay.gone(self)

    def _flow_from(self, side: _Side) -> _Flow:
        return self._to_target if side is self.client else self._from_target

    def _flow_to(self, side: _Side) -> _Flow:
        return self._from_target if side is self.client else self._to_target

    def both_given(self) -> None:
        """If both directions have ended and all was given, there is nothing left to wait for."""
        if self._to_target.has_given_end and self._from_target.has_given_end:
            self.client.close()
            self.target.close()


class _Side(asyncio.Protocol):
    """One of the two sockets."""

    def __init__(self, connection: RelayedConnection) -> None:
        self._connection = connection
        self.transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = connection.relay.loop.create_future()
        self.is_silent = False
        """Its end is not passed on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock = cast("socket.socket", transport.get_extra_info("socket"))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        self._connection.received(self, data)

    def eof_received(self) -> bool:
        self._connection.ended_by(self)
        return True  # the other direction may go on (RFC 9293 3.6)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        self._connection.lost(self, reset=isinstance(exc, ConnectionError))

    def pause_writing(self) -> None:
        self._connection.full(self, is_full=True)

    def resume_writing(self) -> None:
        self._connection.full(self, is_full=False)

    def close(self) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close the socket with a reset."""
        if self.transport is not None and not self.closed.done():
            sock = cast("socket.socket", self.transport.get_extra_info("socket"))
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self.transport.abort()

    def read(self, *, wanted: bool) -> None:
        """Read from the socket, or let octets wait in it."""
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.resume_reading if wanted else self.transport.pause_reading)()


class _Flow:
    """One direction of a connection: takes from one socket, gives to the other in time."""

    def __init__(
        self, connection: RelayedConnection, direction: Direction, source: _Side, sink: _Side
    ) -> None:
        self._connection = connection
        self._relay = connection.relay
        self._direction = direction
        self._source = source
        self._sink = sink
        self._lane = Lane(self._relay.dice)
        self._timer: asyncio.TimerHandle | None = None
        self._is_reading = True
        self._sink_is_full = False
        self._has_ended = False
        self._is_dropped = False
        self._finish_with_reset: bool | None = None
        self.has_given_end = False

    @property
    def _faults(self) -> Faults:
        return self._relay.faults_of(self._connection.name or "", self._direction)

    def put(self, data: bytes) -> None:
        """Octets came, or none will come any more."""
        if self._is_dropped:
            if not data:
                self._source.close()
        elif not self._has_ended:
            self._has_ended = not data
            self._lane.put(data, self._faults, self._relay.loop.time())
            self.push()

    def finish(self, *, reset: bool) -> None:
        """The source is closed: close the sink after what was given to it before."""
        self._finish_with_reset = reset
        self.push()

    def sink_full(self, is_full: bool) -> None:
        self._sink_is_full = is_full
        if is_full:  # called from within `push`
            self._throttle()
        else:
            self.push()

    def push(self) -> None:
        """Give what is due, and see to it that the rest comes in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sink = self._sink.transport
        if self._is_dropped or sink is None or self._connection.name is None:
            self._throttle()
            return
        if not self._sink_is_full:
            faults, now = self._faults, self._relay.loop.time()
            for data in self._lane.take(faults, now):
                self._give(sink, data)
            due = self._lane.next_due(faults)
            if due is not None:
                self._timer = self._relay.loop.call_at(due, self.push)
            elif self._finish_with_reset is not None and not faults.cut and self._lane.is_empty:
                (self._sink.abort if self._finish_with_reset else self._sink.close)()
        self._throttle()

    def _give(self, sink: asyncio.Transport, data: bytes) -> None:
        self._relay.passed[self._direction] += len(data)
        if sink.is_closing():
            return
        if data:
            sink.write(data)
            return
        self.has_given_end = True
        with suppress(OSError, RuntimeError):  # the other side closed it meanwhile
            sink.write_eof()
        self._connection.both_given()

    def _throttle(self) -> None:
        """Read no more than may wait; the sender's window does the rest."""
        room = self._lane.waiting_bytes < MAX_WAITING_BYTES and not self._sink_is_full
        wanted = self._is_dropped or room
        if wanted is not self._is_reading:
            self._is_reading = wanted
            self._source.read(wanted=wanted)

    def drop(self) -> None:
        """Nobody is left to give to: what comes is lost."""
        self._is_dropped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._throttle()
