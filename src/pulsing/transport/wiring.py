"""Where connections come from: the operating system, or a loop that brings a network of its own.

A loop with a method ``make_wiring()`` (a simulation) is asked for the network of each node that
starts on it; any other has the sockets of the machine.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from .sockets import open_listening_sockets

if TYPE_CHECKING:
    from .tls import ClusterTls


class Wiring(Protocol):
    """What one node needs of a network. Its sockets fit the methods of its loop."""

    async def dial(
        self, protocol: asyncio.Protocol, host: str, port: int, *, tls: ClusterTls | None
    ) -> None:
        """Connect; ``protocol`` hears of it by ``connection_made`` before this returns.

        Raises:
            OSError: as ``loop.create_connection``, ``ssl.SSLError`` included.
        """
        ...

    async def listen(self, host: str, port: int, backlog: int) -> list[socket.socket]:
        """Sockets for ``loop.sock_accept``, on every address of ``host``, with one port.

        Raises:
            PulsingRuntimeError: the address cannot be used; nothing is left open.
        """
        ...


class SystemSockets:
    """The network of the operating system."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def dial(
        self, protocol: asyncio.Protocol, host: str, port: int, *, tls: ClusterTls | None
    ) -> None:
        """See `Wiring.dial`."""
        await self._loop.create_connection(
            lambda: protocol,
            host,
            port,
            ssl=tls.client_context() if tls is not None else None,
            server_hostname=tls.server_name if tls is not None else None,
        )

    async def listen(self, host: str, port: int, backlog: int) -> list[socket.socket]:
        """See `Wiring.listen`."""
        return await open_listening_sockets(host, port, backlog)


def wiring_of(loop: asyncio.AbstractEventLoop) -> Wiring:
    """The network of a node that starts on ``loop``."""
    make = cast("Callable[[], Wiring] | None", getattr(loop, "make_wiring", None))
    return SystemSockets(loop) if make is None else make()
