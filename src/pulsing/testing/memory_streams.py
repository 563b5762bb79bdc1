"""The two ends of a connection in memory, as transports of asyncio.

When octets arrive is for a `Lane` to decide, as in the TCP proxy. What an operating system would do
is done here: buffers that fill up, FIN and RST, and silence from a stopped process.
"""

from __future__ import annotations

import asyncio
import errno
from asyncio import BufferedProtocol, Protocol, TimerHandle
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.testing.faults import Faults, Lane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pulsing.testing.memory_network import MemoryHost

_KERNEL_BYTES: Final = 256 << 10
"""What both systems take off the application's hands before the writer has to wait."""
_HIGH_BYTES: Final = 64 << 10


class MemoryStream(asyncio.Transport):
    """One end of a connection.

    Args:
        host: whose end it is.
        number: of this direction.
        local: its own address.
        remote: that of the other end.

    Attributes:
        faults: of the way from here to the other end.
        other: the other end.
        unread: octets that have arrived and were not taken.
        held: its protocol was told to write no more.
    """

    other: MemoryStream

    def __init__(
        self, host: MemoryHost, number: int, local: tuple[str, int], remote: tuple[str, int]
    ) -> None:
        super().__init__({"sockname": local, "peername": remote})
        self.host = host
        self.number = number
        self.faults = Faults()
        self._loop = host.loop
        self._lane = Lane(host.network.dice)
        self._arrival: TimerHandle | None = None
        self._protocol: asyncio.BaseProtocol | None = None
        self._arrived: deque[bytes] = deque()
        self.unread = 0
        self._reading = True
        self._closing = False
        self._eof_sent = False
        self._lost = False
        self.held = False
        self._high = _HIGH_BYTES
        self._low = _HIGH_BYTES // 4

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._closing else "open"
        return f"<MemoryStream {self.number} {self.host} -> {self.other.host} {state}>"

    @property
    def is_lost(self) -> bool:
        """This end is gone."""
        return self._lost

    def attach(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the end to a protocol. Runs as code of its host."""
        self._protocol = protocol
        protocol.connection_made(self)
        if self._lost:
            error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self._loop.call_soon(self.tell_lost, error, context=self.host.context)
        self._give()

    # --- asyncio.Transport: out

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._lost or self._closing:
            return
        octets = data if type(data) is bytes else bytes(data)
        self.host.octets_sent += len(octets)
        self.host.network.history.sent(self.number, self.host, self.other.host, octets)
        self._send(octets)
        if not self.held and self.get_write_buffer_size() > self._high:
            self.held = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof_sent and not self._lost:
            self._eof_sent = True
            self._send(b"")

    def get_write_buffer_size(self) -> int:
        return max(0, self._lane.waiting_bytes + self.other.unread - _KERNEL_BYTES)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 4 * low if low is not None else _HIGH_BYTES
        self._low = low if low is not None else self._high // 4

    def _send(self, octets: bytes) -> None:
        self._lane.put(octets, self.faults, self._loop.time())
        self.arm()

    def arm(self) -> None:
        """Wait for the next arrival, if nobody does; also when `faults` have changed."""
        if self._arrival is None:
            due = self._lane.next_due(self.faults)
            if due is not None:
                self._arrival = self._loop.call_at(
                    due, self._arrive, context=self.other.host.context
                )

    def _arrive(self) -> None:
        self._arrival = None
        other = self.other
        for octets in self._lane.take(self.faults, self._loop.time()):
            other.receive(octets)
        self.arm()

    def drained(self) -> None:
        """The other end has read something; only called while this one is `held`."""
        if self.get_write_buffer_size() <= self._low:
            self.held = False
            self._loop.call_soon(self._resume, context=self.host.context)

    def _resume(self) -> None:
        if not self._lost and not self.held and self._protocol is not None:
            self._protocol.resume_writing()

    # --- asyncio.Transport: in

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            if self._arrived:
                self._loop.call_soon(self._give, context=self.host.context)

    def receive(self, octets: bytes) -> None:
        """Octets arrive, or their end."""
        if self._lost:
            if octets:
                self.reset_other()  # nobody is here any more
            return
        self._arrived.append(octets)
        self.unread += len(octets)
        self._give()

    def _give(self) -> None:
        arrived = self._arrived
        while arrived and self._reading and not self._closing and self._protocol is not None:
            octets = arrived.popleft()
            self.unread -= len(octets)
            try:
                if octets:
                    self._feed(octets)
                elif not cast(Protocol, self._protocol).eof_received():
                    self.close()
            except Exception as error:  # noqa: BLE001 - as every transport: the loop is told
                self._loop.call_exception_handler(
                    {
                        "message": "a protocol failed on what it received",
                        "exception": error,
                        "transport": self,
                        "protocol": self._protocol,
                    }
                )
                self.abort()
        if self.other.held:
            self.other.drained()

    def _feed(self, octets: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, BufferedProtocol):
            cast(Protocol, protocol).data_received(octets)
            return
        buffer: Any = protocol.get_buffer(len(octets))  # typeshed: a Buffer, which has no methods
        with memoryview(buffer) as space:
            count = min(len(octets), len(space))
            space[:count] = octets[:count]
        if count < len(octets):
            self._arrived.appendleft(octets[count:])
            self.unread += len(octets) - count
        protocol.buffer_updated(count)

    # --- asyncio.Transport: the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            self._finish(None)

    def abort(self) -> None:
        if not self._lost or not self._lane.is_empty:
            self._forget()
            self.reset_other()
            self._finish(None)

    def reset_other(self) -> None:
        """Tell the other end that nothing is here: RST, which nobody repeats when it is lost."""
        faults = self.faults
        if not faults.cut:
            self._loop.call_later(
                faults.delay_s, self.other.was_reset, context=self.other.host.context
            )

    def was_reset(self) -> None:
        """RST has arrived."""
        self.fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def fail(self, error: OSError) -> None:
        """The system gives the connection up."""
        self._forget()
        self._finish(error)

    def vanish(self) -> None:
        """The process is gone; its code hears nothing, the other end gets a RST."""
        self._forget()
        self._lost = self._closing = True
        self.host.left(self)
        self.reset_other()

    def _forget(self) -> None:
        """Drop what is under way in both directions."""
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        self._lane = Lane(self.host.network.dice)
        self._arrived.clear()
        self.unread = 0

    def _finish(self, error: OSError | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self.host.left(self)
            self._loop.call_soon(self.tell_lost, error, context=self.host.context)

    def tell_lost(self, error: OSError | None) -> None:
        """Let the protocol know, as the last it hears."""
        protocol, self._protocol = self._protocol, None
        self._arrived.clear()
        self.unread = 0
        if self.other.held:
            self.other.drained()
        if protocol is not None:
            protocol.connection_lost(error)
