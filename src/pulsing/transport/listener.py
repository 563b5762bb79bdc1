"""The one port of a node: accepts, and lets each connection show what it is (`sniffing`).

The accept loop is our own because it must outlive a shortage of file descriptors, and because the
first octet decides between TLS and cleartext before any transport exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pulsing.logs import LimitedLogger

from .exchange import AsgiApp
from .foreign import ForeignServer
from .reception import (
    ListenerCounters,
    ListenerLimits,
    MakePeerProtocol,
    PeerConnectionInfo,
    Reception,
)
from .sniffing import Arrival
from .sockets import EXHAUSTED, ListeningSocket, SpareDescriptor, address_text
from .wiring import SystemSockets, Wiring

if TYPE_CHECKING:
    from .tls import ClusterTls

__all__ = [
    "Listener",
    "ListenerCounters",
    "ListenerLimits",
    "MakePeerProtocol",
    "PeerConnectionInfo",
]

logger = logging.getLogger(__name__)

_BURST: Final = 32  # connections accepted before the loop gets a turn
_PAUSE_S: Final = 0.05  # after an error of accept()
# A client that was gone before we came (accept(2)): not our problem.
_CLIENT_GONE: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ETIMEDOUT})


class Listener:
    """Accepts connections of peers and of foreign clients on one port.

    Args:
        host: name or address to listen on, IPv6 without brackets; ``::`` takes IPv4 as well.
        port: 0 picks a free one, `port` tells it.
        make_peer_protocol: makes the protocol for a peer's connection. It is given the transport by
            ``connection_made`` and then every octet, from the preface on, by ``data_received`` or,
            when it is an ``asyncio.BufferedProtocol``, through its buffer.
        app: the ASGI application for everyone else.
        tls: the cluster's, to require TLS; ``None`` for cleartext.
        limits: what the port allows.
        introduction: `preface.introduction_settings` of this node, for peers that are refused.
        wiring: the network; None is that of the operating system.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        make_peer_protocol: MakePeerProtocol,
        app: AsgiApp,
        tls: ClusterTls | None = None,
        limits: ListenerLimits | None = None,
        introduction: Sequence[tuple[int, int]] = (),
        wiring: Wiring | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._wiring = wiring
        self._limits = limits or ListenerLimits()
        self._log = LimitedLogger(logger)
        self._foreign = ForeignServer(app, self._limits.foreign, self._log)
        self.counters = ListenerCounters()
        self._reception = Reception(
            make_peer_protocol,
            self._foreign,
            tls,
            self._limits,
            introduction,
            self._log,
            self.counters,
            self._left,
        )
        self._arrivals: dict[Arrival, None] = {}  # in order of arrival
        self._sockets: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._spare: SpareDescriptor | None = None
        self._nobody_here = asyncio.Event()
        self._nobody_here.set()

    @property
    def port(self) -> int:
        """The port it listens on; before `start`, the one it was given."""
        return self._port

    @property
    def addresses(self) -> list[str]:
        """``HOST:PORT`` of every socket it listens on."""
        return [address_text(sock.getsockname()) for sock in self._sockets]

    @property
    def undecided(self) -> int:
        """Connections that have not shown yet what they are, or are being turned away."""
        return len(self._arrivals)

    @property
    def foreign_connections(self) -> int:
        """Connections of foreign clients being served."""
        return self._foreign.connections

    async def start(self) -> None:
        """Listen.

        Raises:
            PulsingRuntimeError: the address cannot be used; nothing is left open.
        """
        loop = asyncio.get_running_loop()
        wiring = self._wiring or SystemSockets(loop)
        self._sockets = await wiring.listen(self._host, self._port, self._limits.backlog)
        self._port = self._sockets[0].getsockname()[1]
        self._spare = SpareDescriptor()
        self._tasks = [
            loop.create_task(self._accept(sock, self._spare), name="pulsing-accept")
            for sock in self._sockets
        ]

    async def close(self, grace_s: float = 1.0) -> None:
        """Stop listening and end every connection but those of peers. Safe to call twice.

        Args:
            grace_s: how long foreign clients may still wait for an answer under way.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        for arrival in list(self._arrivals):
            arrival.abort()
        await self._foreign.close(grace_s)
        await self._nobody_here.wait()
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    async def _accept(self, listening: socket.socket, spare: SpareDescriptor) -> None:
        loop = asyncio.get_running_loop()
        burst = 0
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno not in _CLIENT_GONE:
                    self._accept_failed(listening, spare, error)
                    await asyncio.sleep(_PAUSE_S)
                continue
            if isinstance(listening, ListeningSocket):
                listening.unclaimed = None
            self._welcome(sock, address_text(address))
            burst += 1
            if burst % _BURST == 0:
                await asyncio.sleep(0)

    def _accept_failed(
        self, listening: socket.socket, spare: SpareDescriptor, error: OSError
    ) -> None:
        if error.errno in EXHAUSTED:
            # All that wait, so that the next round does not find them again.
            for _ in range(self._limits.backlog):
                if not spare.refuse_one(listening):
                    break
                self.counters.shed += 1
        self._log.error(
            f"accept {error.errno}",
            "cannot accept connections: %s; refusing new ones until it can (raise ulimit -n?)",
            error.strerror,
        )

    def _welcome(self, sock: socket.socket, address: str) -> None:
        self.counters.accepted += 1
        if len(self._arrivals) >= self._limits.max_undecided:
            # The oldest: an honest client decides within milliseconds, a silent one never does.
            oldest = next(iter(self._arrivals))
            self._arrivals[oldest] = self._arrivals.pop(oldest)  # it takes a turn to be gone
            oldest.make_room()
        with contextlib.suppress(OSError):
            sock.setblocking(False)
        self._arrivals[Arrival(self._reception, sock, address)] = None
        self._nobody_here.clear()

    def _left(self, arrival: Arrival) -> None:
        self._arrivals.pop(arrival, None)
        if not self._arrivals:
            self._nobody_here.set()
