"""One connection per peer, made on demand, made anew when it is lost.

Requests made before there is a connection wait in order, and fail together when none can be made.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

from pulsing import chance
from pulsing.addresses import split_host_port
from pulsing.errors import (
    ConnectionLost,
    Delivery,
    MailboxFull,
    NodeUnreachable,
    ProtocolMismatch,
    PulsingRuntimeError,
)

from .client_core import ClientConnection, RequestBlock
from .faults import ConnectionFault
from .header_blocks import HeadCache
from .limits import TransportLimits
from .link import ClientLink, goaway_error
from .preface import Refusal, introduction_settings, read_introduction
from .streams import Body, ClientStream, PeerInfo
from .tls import ClusterTls, explain_tls_error

if TYPE_CHECKING:
    from random import Random

_Pending: TypeAlias = "tuple[ClientStream, RequestBlock, Body, int]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOptions:
    """What a node says about itself when it dials.

    Attributes:
        node_id: of this node, 32 hex digits.
        cluster: name of the cluster both must belong to.
        tls: of the cluster's passphrase, or None for cleartext.
        limits: bounds of every connection.
    """

    node_id: str
    cluster: str
    tls: ClusterTls | None
    limits: TransportLimits


class Peer:
    """A remote address, and the connection to it while there is one.

    Attributes:
        address: ``host:port``.
        node_id: of the node that answered there last, or "".
        core: the connection requests may be made on, or None while there is none.
    """

    def __init__(self, pool: Pool, address: str) -> None:
        self.address = address
        self.node_id = ""
        self.core: ClientConnection | None = None
        self._pool = pool
        self._link: ClientLink | None = None
        self._pending: deque[_Pending] = deque()
        self._dialling: asyncio.Task[None] | None = None
        self._backoff_s = 0.0
        self._next_attempt = -inf
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_at = inf

    def submit(self, stream: ClientStream, block: RequestBlock, body: Body, items: int = 0) -> None:
        """Send a request, now or as soon as there is a connection; ``stream`` hears the rest.

        Never blocks. Fails only through ``stream.failed``, which may be called before this
        returns. With ``items``, an item stream follows the body, that many items ahead at most.
        """
        core = self.core
        if core is not None and core.accepting:
            core.request(stream, block, body, items)
            return
        if self._pool.closed:
            stream.closed = True
            stream.failed(NodeUnreachable(f"cannot call {self.address}: this node is shut down"))
            return
        if len(self._pending) >= self._pool.options.limits.max_queued_requests:
            stream.closed = True
            stream.failed(
                MailboxFull(
                    f"{len(self._pending)} requests wait for a connection to {self.address}"
                )
            )
            return
        self._pending.append((stream, block, body, items))
        if stream.deadline is not None and stream.deadline < self._expiry_at:
            self._arm_expiry(stream.deadline)
        self._pool.keep(self)
        if self._dialling is None:
            self._dialling = self._pool.loop.create_task(self._dial(), name=f"dial {self.address}")

    # --- connecting

    async def _dial(self) -> None:
        pool, loop = self._pool, self._pool.loop
        try:
            pause = self._next_attempt - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            link = await pool.connect(self.address)
        except PulsingRuntimeError as error:
            limits = pool.options.limits
            self._backoff_s = min(
                limits.backoff_max_s, max(limits.backoff_min_s, self._backoff_s * 2)
            )
            jitter = pool.random.uniform(0.5, 1.0)
            self._next_attempt = loop.time() + self._backoff_s * jitter
            self._dialling = None
            self._fail_pending(error)
        except BaseException as error:
            self._dialling = None
            reason = "this node is shut down" if pool.closed else repr(error)
            self._fail_pending(NodeUnreachable(f"cannot call {self.address}: {reason}", error))
            raise
        else:
            self._dialling = None
            self._backoff_s = 0.0
            self._next_attempt = -inf
            self._connected(link)

    def _connected(self, link: ClientLink) -> None:
        self._link = link
        self.core = link.core
        self.node_id = link.core.peer.node_id
        link.core.on_goaway = lambda: self._retired(link)
        link.closed.add_done_callback(self._lost)
        pending, self._pending = self._pending, deque()
        self._disarm_expiry()
        for request in pending:
            if not request[0].closed:
                self.submit(*request)

    def _lost(self, closed: asyncio.Future[None]) -> None:
        if self._link is not None and self._link.closed is closed:
            self._link = None
            self.core = None
            self._settle()

    def _retired(self, link: ClientLink) -> None:
        """The peer said GOAWAY: what is under way may finish, the rest needs a new link."""
        if self._link is link:
            self._link, self.core = None, None
        queued = link.core.take_queued()
        self._pool.retire(link)
        for request in queued:
            self.submit(*request)
        self._settle()

    def _settle(self) -> None:
        if self._link is None and self._dialling is None and not self._pending:
            self._pool.release(self)

    def _fail_pending(self, error: PulsingRuntimeError) -> None:
        pending, self._pending = self._pending, deque()
        self._disarm_expiry()
        for stream, *_ in pending:
            if not stream.closed:
                stream.closed = True
                stream.failed(error)
        self._settle()

    # --- deadlines of requests without a connection

    def _arm_expiry(self, at: float) -> None:
        self._disarm_expiry()
        self._expiry_at = at
        self._expiry = self._pool.loop.call_at(at, self._expire)

    def _disarm_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None
        self._expiry_at = inf

    def _expire(self) -> None:
        self._disarm_expiry()
        now = self._pool.loop.time()
        for request in list(self._pending):
            stream = request[0]
            if not stream.closed and stream.deadline is not None and stream.deadline <= now:
                self._pending.remove(request)
                stream.expired()
        deadlines = [s.deadline for s, *_ in self._pending if s.deadline is not None]
        if deadlines:
            self._arm_expiry(min(deadlines))

    # --- the end

    async def close(self) -> None:
        """Give up dialling, close the link, fail what waits."""
        if self._dialling is not None:
            self._dialling.cancel()
            # Ends at once: nothing in it survives its cancellation.
            await asyncio.wait({self._dialling})
            self._dialling = None
        self._fail_pending(NodeUnreachable(f"cannot call {self.address}: this node is shut down"))
        if self._link is not None:
            link = self._link
            link.close()
            # Bounded by the link's own close timer.
            await asyncio.wait({link.closed})


class Pool:
    """All connections this node has made.

    Attributes:
        closed: nothing is dialled any more.
        random: for jitter.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: DialOptions,
        *,
        on_batch_begin: Callable[[], None] | None = None,
        on_batch_end: Callable[[], None] | None = None,
        rng: Random | None = None,
    ) -> None:
        self.loop = loop
        self.options = options
        self.closed = False
        self.random = rng or chance.dice()
        self._on_batch_begin = on_batch_begin
        self._on_batch_end = on_batch_end
        self._heads = HeadCache()
        self._peers: WeakValueDictionary[str, Peer] = WeakValueDictionary()
        self._busy: dict[Peer, None] = {}  # ordered, so that runs can be repeated
        self._retired: dict[ClientLink, None] = {}

    def peer(self, address: str) -> Peer:
        """The peer at ``host:port``; the same object as long as anyone holds it."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = Peer(self, address)
        return peer

    def keep(self, peer: Peer) -> None:
        """The peer has a connection or wants one: keep it alive."""
        self._busy[peer] = None

    def release(self, peer: Peer) -> None:
        """The peer has nothing open."""
        self._busy.pop(peer, None)

    def retire(self, link: ClientLink) -> None:
        """Let the link finish what it has begun, then close it."""
        self._retired[link] = None
        link.closed.add_done_callback(lambda _: self._retired.pop(link, None))
        link.close_when_idle()

    async def connect(self, address: str) -> ClientLink:
        """Dial ``host:port`` and exchange introductions.

        Raises:
            NodeUnreachable: nobody answers there, in time.
            NotAuthenticated: passphrases differ, or one side has none.
            ProtocolMismatch: no node of Pulsing, another version, or another cluster.
        """
        limits = self.options.limits
        link = ClientLink(self.loop, limits)
        peer = PeerInfo(address, authenticated=self.options.tls is not None)
        core = ClientConnection(
            peer=peer,
            limits=limits,
            heads=self._heads,
            settings=introduction_settings(self.options.node_id, self.options.cluster),
            now=self.loop.time(),
            on_output=link.output_ready,
        )
        link.start(core)
        link.on_batch_begin = self._on_batch_begin
        link.on_batch_end = self._on_batch_end
        try:
            async with asyncio.timeout(limits.connect_timeout_s):
                await self._open(link, address)
                settings = await link.ready
        except TimeoutError as error:
            link.abort(_gave_up(address))
            raise NodeUnreachable(
                f"cannot reach {address}: no answer within {limits.connect_timeout_s:g} s", error
            ) from error
        except ssl.SSLError as error:
            link.abort(_gave_up(address))
            raise explain_tls_error(error, address) from error
        except OSError as error:
            link.abort(_gave_up(address))
            raise self._explain(error, address) from error
        except (ValueError, OverflowError) as error:  # a name or port that cannot exist
            link.abort(_gave_up(address))
            raise NodeUnreachable(f"{address} is no address: {error}", error) from error
        except BaseException:
            link.abort(_gave_up(address))
            raise
        if core.goaway is not None:
            link.close()
            raise goaway_error(address, core.goaway)
        try:
            introduction = read_introduction(settings)
            mismatch = introduction.mismatch(self.options.cluster)
        except ProtocolMismatch as error:
            introduction, mismatch = None, str(error)
        if introduction is None or mismatch is not None:
            core.fail(ConnectionFault(Refusal.MISMATCH.value + (mismatch or "")))
            link.close()
            raise ProtocolMismatch(f"{address} cannot be a peer of this node: {mismatch}")
        peer.node_id = introduction.node_id
        return link

    async def _open(self, link: ClientLink, address: str) -> None:
        host, port = split_host_port(address)
        tls = self.options.tls
        await self.loop.create_connection(
            lambda: link,
            host,
            port,
            ssl=tls.client_context() if tls is not None else None,
            server_hostname=tls.server_name if tls is not None else None,
        )

    def _explain(self, error: OSError, address: str) -> PulsingRuntimeError:
        if isinstance(error, ConnectionRefusedError):
            return NodeUnreachable(
                f"cannot reach {address}: connection refused; no node listens there", error
            )
        if isinstance(error, ConnectionError):
            if self.options.tls is not None:
                return explain_tls_error(error, address)
            return NodeUnreachable(
                f"cannot reach {address}: it closed the connection before introducing itself; it "
                "is stopping, overloaded, or no node of Pulsing",
                error,
            )
        return NodeUnreachable(f"cannot reach {address}: {error}", error)

    async def close(self) -> None:
        """Close every connection; what is under way fails with ConnectionLost."""
        self.closed = True
        for link in list(self._retired):
            link.close()
        # Each is bounded by its link's close timer.
        waits = [peer.close() for peer in list(self._busy)]
        waits += [_closed(link) for link in list(self._retired)]
        await asyncio.gather(*waits)


async def _closed(link: ClientLink) -> None:
    await asyncio.wait({link.closed})  # bounded by the link's close timer


def _gave_up(address: str) -> ConnectionLost:
    return ConnectionLost(f"gave up connecting to {address}", delivered=Delivery.NO)
