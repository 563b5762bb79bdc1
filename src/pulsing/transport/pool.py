"""One connection per peer, made on demand, made anew when it is lost.

Requests made before there is a connection wait in order, and fail together when none can be made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from math import inf
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

from pulsing import chance
from pulsing.errors import (
    ConnectionLost,
    Delivery,
    MailboxFull,
    NodeUnreachable,
    PulsingRuntimeError,
)

from .client_core import ClientConnection, RequestBlock
from .dialling import Dialler, DialOptions
from .link import ClientLink
from .streams import Body, ClientStream

if TYPE_CHECKING:
    from random import Random

__all__ = ["DialOptions", "Peer", "Pool"]

_Pending: TypeAlias = "tuple[ClientStream, RequestBlock, Body, int]"


class Peer:
    """A remote address, and the connection to it while there is one.

    Attributes:
        address: ``host:port``.
        node_id: of the node that answered there last, or "".
        core: the connection requests may be made on, or None while there is none.
        link: that connection as a whole.
    """

    def __init__(self, pool: Pool, address: str) -> None:
        self.address = address
        self.node_id = ""
        self.core: ClientConnection | None = None
        self._pool = pool
        self.link: ClientLink | None = None
        self._pending: deque[_Pending] = deque()
        self._dialling: asyncio.Task[None] | None = None
        self._backoff_s = 0.0
        self._next_attempt = -inf
        self._urgent = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_at = inf

    def submit(
        self,
        stream: ClientStream,
        block: RequestBlock,
        body: Body,
        items: int = 0,
        *,
        urgent: bool = False,
    ) -> None:
        """Send a request, now or as soon as there is a connection; ``stream`` hears the rest.

        Never blocks. Fails only through ``stream.failed``, which may be called before this
        returns. With ``items``, an item stream follows the body, that many items ahead at most.
        An ``urgent`` request dials at once, even if that failed only a moment ago.
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
        if urgent:
            self._urgent.set()
        if self._dialling is None:
            self._dialling = self._pool.loop.create_task(
                self._dial(), name=f"dial {self.address}", context=self._pool.context
            )

    def hurry(self) -> None:
        """Do not wait for the pause after a failed attempt to connect."""
        self._next_attempt = -inf
        self._urgent.set()

    # --- connecting

    async def _dial(self) -> None:
        pool, loop = self._pool, self._pool.loop
        try:
            pause = self._next_attempt - loop.time()
            if pause > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._urgent.wait()
            link = await pool.connect(self.address)
        except PulsingRuntimeError as error:
            limits = pool.options.limits
            self._backoff_s = min(
                limits.backoff_max_s, max(limits.backoff_min_s, self._backoff_s * 2)
            )
            jitter = pool.random.uniform(0.5, 1.0)
            self._next_attempt = loop.time() + self._backoff_s * jitter
            self._dialling = None
            self._urgent.clear()
            self._fail_pending(error)
        except BaseException as error:
            self._dialling = None
            reason = "this node is shut down" if pool.closed else repr(error)
            self._fail_pending(NodeUnreachable(f"cannot call {self.address}: {reason}", error))
            raise
        else:
            self._dialling = None
            self._urgent.clear()
            self._backoff_s = 0.0
            self._next_attempt = -inf
            self._connected(link)

    def _connected(self, link: ClientLink) -> None:
        self.link = link
        self.core = link.core
        self.node_id = link.core.peer.node_id
        link.core.on_goaway = lambda: self._retired(link)
        link.closed.add_done_callback(lambda _: self._closed(link))
        pending, self._pending = self._pending, deque()
        self._disarm_expiry()
        for request in pending:
            if not request[0].closed:
                self.submit(*request)

    def _closed(self, link: ClientLink) -> None:
        if self.link is link:
            self.link = None
            self.core = None
            self._settle()
        on_link_lost = self._pool.on_link_lost
        if link.lost and on_link_lost is not None:
            on_link_lost(link.core.peer.node_id)

    def _retired(self, link: ClientLink) -> None:
        """The peer said GOAWAY: what is under way may finish, the rest needs a new link."""
        if self.link is link:
            self.link, self.core = None, None
        queued = link.core.take_queued()
        self._pool.retire(link)
        for request in queued:
            self.submit(*request)
        self._settle()

    def _settle(self) -> None:
        if self.link is None and self._dialling is None and not self._pending:
            self._pool.release(self)

    def _fail_pending(self, error: PulsingRuntimeError) -> None:
        pending, self._pending = self._pending, deque()
        self._disarm_expiry()
        for stream, *_ in pending:
            if not stream.closed:
                stream.closed = True
                stream.failed(error)
        self._settle()

    def give_up(self, reason: str) -> None:
        """Fail what waits for a connection: the process it is meant for is gone."""
        self._fail_pending(ConnectionLost(reason, delivered=Delivery.NO))

    # --- deadlines of requests without a connection

    def _arm_expiry(self, at: float) -> None:
        self._disarm_expiry()
        self._expiry_at = at
        self._expiry = self._pool.loop.call_at(at, self._expire, context=self._pool.context)

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
        if self.link is not None:
            link = self.link
            link.close()
            # Bounded by the link's own close timer.
            await asyncio.wait({link.closed})


class Pool:
    """All connections this node has made.

    Attributes:
        closed: nothing is dialled any more.
        random: for jitter.
        context: of what links outlive: not that of whoever calls first.
        on_link_lost: called with the node id of a peer whose link ended without a goodbye.
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
        self.context = copy_context()
        self.on_link_lost: Callable[[str], None] | None = None
        self._dialler = Dialler(loop, options, on_batch_begin, on_batch_end)
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
        """Dial ``host:port`` and exchange introductions; see `Dialler.connect`."""
        return await self._dialler.connect(address)

    def close_links(self, node_id: str, address: str, reason: str) -> None:
        """End the connections to the process ``node_id``, at once, and fail what waits for it.

        A new process at the same address does not suffer. What was sent fails with an unknown
        delivery, what was not with none.

        Args:
            node_id: the process.
            address: ``host:port`` where it was.
            reason: for the errors of those who wait.
        """
        links = [peer.link for peer in self._busy if peer.link is not None]
        for link in (*links, *self._retired):
            if link.core.peer.node_id == node_id:
                link.abort(ConnectionLost(reason))
        peer = self._peers.get(address)
        if peer is not None and peer.node_id == node_id:
            peer.give_up(reason)

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
