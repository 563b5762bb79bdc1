"""The private connections between a node and the process of one of its actors.

Two socket pairs, inherited when the process starts: the node calls over one, the process over the
other. Nobody else can connect, so everything may travel, pickles included, and nothing is asked
after a silence: a process may hold its interpreter for as long as it likes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.remote_server import RemoteInvocation
from pulsing.actor.travel import WITHIN_NODE
from pulsing.transport.header_blocks import HeadCache
from pulsing.transport.limits import TransportLimits
from pulsing.transport.link import ServerLink, server_link
from pulsing.transport.pool import DialOptions, Pool
from pulsing.transport.preface import introduction_settings, read_introduction
from pulsing.transport.streams import PeerInfo
from pulsing.wire import Codec, WireLimits

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.cluster_wire import ClusterSide
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.system import ActorSystem
    from pulsing.transport.tls import ClusterTls
    from pulsing.wire.container import Body

MAIN_ACTOR: Final = "actor"
"""The target of calls to the actor of a process."""
CONTROL: Final = "control"
"""The target of calls to the process itself."""
PROCESS: Final = "process.invalid:1"
"""A process, to the pool of its node; nothing can have such a name (RFC 2606 2)."""
_FOR_EVER_S: Final = 10.0 * 365 * 86400
"""A process answers once the modules of its actor are imported; its death is noticed anyway."""


class PrivateCodec(Codec):
    """Turns values into bodies for the other side of a private connection, and back."""

    def __init__(self, system: ActorSystem) -> None:
        limits = WireLimits(max_message_bytes=system.config.max_message_bytes)
        super().__init__(limits=limits, allow_pickle=True, context=system)

    def encode(self, value: Any, streams: list[Any] | None = None, *, root: str = "value") -> Body:
        """See `Codec.encode`. References need no address."""
        token = WITHIN_NODE.set(True)
        try:
            return super().encode(value, streams, root=root)
        finally:
            WITHIN_NODE.reset(token)

    def encode_call(self, envelope: list[Any], arguments: Sequence[Any]) -> bytes | None:
        """See `Codec.encode_call`."""
        token = WITHIN_NODE.set(True)
        try:
            return super().encode_call(envelope, arguments)
        finally:
            WITHIN_NODE.reset(token)


class _OneSocket:
    """A network of one connection, which is there already; see `pulsing.transport.wiring.Wiring`.

    Args:
        loop: where it is used.
        sock: the end of a socket pair.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock: socket.socket | None = sock

    async def dial(
        self, protocol: asyncio.Protocol, host: str, port: int, *, tls: ClusterTls | None
    ) -> None:
        """See `Wiring.dial`. Works once: a connection that was lost means an end."""
        sock, self._sock = self._sock, None
        if sock is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the other process has ended")
        await self._loop.create_unix_connection(lambda: protocol, sock=sock)

    async def listen(self, host: str, port: int, backlog: int) -> list[socket.socket]:
        """See `Wiring.listen`."""
        raise OSError(errno.EOPNOTSUPP, "nobody else can connect")


class PrivateHost:
    """What one side answers requests with; see `pulsing.actor.remote_server.Host`.

    Args:
        system: whose actors can be called.
        node_id: of the node, for errors.
        find: the actor that a request's target names.
    """

    def __init__(
        self, system: ActorSystem, node_id: str, find: Callable[[str], Cell | None]
    ) -> None:
        self._system = system
        self.node_id = node_id
        self.codec: Codec = system.private_codec
        self.dispatcher: Dispatcher = system.dispatcher
        self._find = find

    def find_cell(self, target: str) -> Cell | None:
        """See `Host.find_cell`."""
        return self._find(target)

    def describe(self, cell: Cell) -> dict[str, Any]:
        """See `Host.describe`."""
        return self._system.describe(cell)

    def network(self) -> ClusterSide:
        """See `Host.network`."""
        return self._system.network()


def private_pool(system: ActorSystem, sock: socket.socket) -> Pool:
    """The way to the other side, over one end of a socket pair."""
    dispatcher = system.dispatcher
    return Pool(
        system.loop,
        DialOptions(
            node_id=system.node_id,
            cluster=system.config.cluster_name,
            tls=None,
            limits=_limits(system),
            wiring=_OneSocket(system.loop, sock),
        ),
        on_batch_begin=dispatcher.expect_pump,
        on_batch_end=dispatcher.pump,
    )


async def serve(system: ActorSystem, sock: socket.socket, host: PrivateHost) -> ServerLink:
    """Answer the requests of the other side, which come over one end of a socket pair."""
    dispatcher = system.dispatcher

    def introduced(settings: dict[int, int]) -> None:
        link.core.peer.node_id = read_introduction(settings).node_id

    link = server_link(
        system.loop,
        limits=_limits(system),
        on_batch_begin=dispatcher.expect_pump,
        on_batch_end=dispatcher.pump,
        check_introduction=introduced,
        stream_class=RemoteInvocation,
        peer=PeerInfo("the other process", authenticated=True),
        heads=HeadCache(),
        settings=introduction_settings(system.node_id, system.config.cluster_name),
    )
    link.core.app = host
    await system.loop.create_unix_connection(lambda: cast(asyncio.Protocol, link), sock=sock)
    return link


def _limits(system: ActorSystem) -> TransportLimits:
    return TransportLimits(
        max_message_bytes=system.config.max_message_bytes,
        connect_timeout_s=_FOR_EVER_S,
        keepalive_interval_s=None,
        idle_link_s=None,
    )
