"""Messages of the cluster on the links between nodes: ``POST /cluster``, one body each way.

They share the links of the calls, but never wait for calls: they have no order among each other or
with anything else, and none of them waits for the pause after a failed attempt to connect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from pulsing.cluster.stimuli import Failure
from pulsing.errors import (
    ConnectionLost,
    DeadlineExceeded,
    NodeUnreachable,
    NotAuthenticated,
    ProtocolMismatch,
    PulsingRuntimeError,
)
from pulsing.transport.client_core import RequestBlock
from pulsing.transport.errand import run_errand
from pulsing.transport.frames import ErrorCode
from pulsing.transport.streams import ClientStream
from pulsing.transport.waiting import bare_request_block

if TYPE_CHECKING:
    import asyncio

    from pulsing.transport.dialling import DialOptions
    from pulsing.transport.header_blocks import Head
    from pulsing.transport.items import ItemReader
    from pulsing.transport.pool import Pool

CLUSTER_PATH: Final = "/cluster"
MAX_CLUSTER_BYTES: Final = 64 * 1024
"""Largest message, either way, unless the node's settings say otherwise."""
MAX_OPEN: Final = 64
"""Messages to one address that may be under way; an address that needs more does not answer."""
_OK: Final = 200
_NO_CLUSTER: Final = 404

ClusterHandler = Callable[[str, bytes, Callable[[bytes], None]], None]
"""Takes the node id of a peer, its message, and what sends the answer: at once, later or never."""


class ClusterSide(Protocol):
    """What inbound messages of the cluster need of the network."""

    @property
    def cluster_handler(self) -> ClusterHandler | None:
        """Who takes them; None while this node is in no cluster."""
        ...

    @property
    def max_cluster_bytes(self) -> int:
        """The largest one."""
        ...


class ClusterWire:
    """Sends messages of the cluster; see `pulsing.cluster.wire.Wire`.

    Args:
        loop: where the callbacks are called.
        pool: the links of this node.
        close_links: ends all connections from and to a process.
        secure: whether the links are encrypted.
        max_bytes: the largest answer that is accepted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
        close_links: Callable[[str, str, str], None],
        *,
        secure: bool,
        max_bytes: int = MAX_CLUSTER_BYTES,
    ) -> None:
        self.loop = loop
        self._close_links = close_links
        self.max_bytes = max_bytes
        self.open: Counter[str] = Counter()
        self._pool = pool
        self._block = cluster_block(secure=secure)

    def close_links(self, node_id: str, addr: str, reason: str) -> None:
        """See `pulsing.cluster.wire.Wire.close_links`."""
        self._close_links(node_id, addr, reason)

    def request(
        self,
        addr: str,
        body: bytes,
        timeout_s: float,
        answered: Callable[[str, bytes], None],
        failed: Callable[[Failure, str], None],
    ) -> None:
        """See `pulsing.cluster.wire.Wire.request`."""
        if self.open[addr] >= MAX_OPEN:
            text = f"{self.open[addr]} messages to {addr} are under way already"
            self.loop.call_soon(failed, Failure.UNREACHABLE, text)
            return
        self.open[addr] += 1
        message = _Message(self, addr, answered, failed)
        message.deadline = self.loop.time() + timeout_s
        self._pool.peer(addr).submit(message, self._block, body, urgent=True)
        message.submitted = True


class _Message(ClientStream):
    """One message and its answer."""

    __slots__ = ("_addr", "_answered", "_failed", "_wire", "submitted")

    def __init__(
        self,
        wire: ClusterWire,
        addr: str,
        answered: Callable[[str, bytes], None],
        failed: Callable[[Failure, str], None],
    ) -> None:
        super().__init__()
        self._wire = wire
        self._addr = addr
        self._answered = answered
        self._failed = failed
        self.submitted = False

    def body_limit(self) -> int:
        """See `Stream.body_limit`."""
        return self._wire.max_bytes

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        """See `ClientStream.response_received`."""
        if head.status == _OK:
            self._settle()
            self._answered(self.connection.peer.node_id, bytes(body))
        elif head.status == _NO_CLUSTER:
            self._fail(Failure.FOREIGN, f"the node at {self._addr} is in no cluster")
        else:
            self._fail(Failure.UNREACHABLE, f"{self._addr} answered with status {head.status}")

    def items_started(self, head: Head, reader: ItemReader) -> None:
        """See `ClientStream.items_started`; no node answers like this."""
        self.reset(ErrorCode.CANCEL)
        self._fail(Failure.UNREACHABLE, f"{self._addr} answered with a stream")

    def failed(self, error: PulsingRuntimeError) -> None:
        """See `ClientStream.failed`."""
        failure = failure_of(error)
        text = f"{self._addr} did not answer in time" if failure is Failure.TIMEOUT else str(error)
        if self.submitted:
            self._fail(failure, text)
        else:  # whoever sends it is not prepared to hear of it yet
            self._wire.loop.call_soon(self._fail, failure, text)

    def _fail(self, failure: Failure, text: str) -> None:
        self._settle()
        self._failed(failure, text)

    def _settle(self) -> None:
        count = self._wire.open
        count[self._addr] -= 1
        if not count[self._addr]:
            del count[self._addr]


class BlockingWire:
    """Sends messages of the cluster without the loop; see `pulsing.cluster.guard.GuardWire`.

    Args:
        options: what this node says about itself.
    """

    def __init__(self, options: DialOptions) -> None:
        self._options = options
        self._block = cluster_block(secure=options.tls is not None)

    def tell(self, addr: str, body: bytes, timeout_s: float) -> bool:
        """See `pulsing.cluster.guard.GuardWire.tell`."""
        try:
            status, _ = run_errand(addr, self._block, body, self._options, timeout_s)
        except PulsingRuntimeError:
            return False
        return status == _OK


def cluster_block(*, secure: bool) -> RequestBlock:
    """The header block of every message. Short, because idle clusters send little else."""
    return bare_request_block(CLUSTER_PATH, scheme="https" if secure else "http")


def failure_of(error: PulsingRuntimeError) -> Failure:
    """Why a request has no answer, in the words of the cluster."""
    cause = error.cause
    if isinstance(error, NotAuthenticated | ProtocolMismatch):
        return Failure.FOREIGN
    if isinstance(error, DeadlineExceeded):
        return Failure.TIMEOUT
    if isinstance(error, ConnectionLost):
        return Failure.LOST
    if isinstance(error, NodeUnreachable) and isinstance(cause, ConnectionRefusedError):
        return Failure.REFUSED
    if isinstance(error, NodeUnreachable) and isinstance(cause, TimeoutError):
        return Failure.TIMEOUT
    return Failure.UNREACHABLE
