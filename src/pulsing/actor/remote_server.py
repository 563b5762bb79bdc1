"""Calls from other nodes: what an inbound request becomes, and how it is answered.

A request is ``POST /<kind>/<method>/<target>``. Its body, the first record of an item stream when
the caller streams an argument, is ``[timeout_ms, keywords, meta, *arguments]``. Messages of the
cluster come here too, and are handed on as they are (cluster_wire).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import unquote

from pulsing import clock
from pulsing.actor.attributes import attribute_reader
from pulsing.actor.cluster_wire import CLUSTER_PATH
from pulsing.actor.dead_letters import LetterReason, lost_tell
from pulsing.actor.invocation import FINISHED, QUEUED, Invocation, Stage
from pulsing.actor.message import StreamMessage
from pulsing.actor.once import KEY, Execution, run_once
from pulsing.actor.remote_items import RemoteItems, RemoteSink, Source, send_items
from pulsing.errors import (
    ActorNotFound,
    ActorStopped,
    DeadlineExceeded,
    Deadlock,
    MailboxFull,
    MessageTooLarge,
    NameTaken,
    NotAuthenticated,
    PulsingActorError,
    PulsingError,
    PulsingRuntimeError,
    WireError,
)
from pulsing.transport.streams import ServerStream
from pulsing.wire.failures import encode_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextvars import Context

    from pulsing.actor.cell import Cell
    from pulsing.actor.cluster_wire import ClusterSide
    from pulsing.actor.deadline import Scope
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.invocation import ItemSink
    from pulsing.actor.methods import Method
    from pulsing.actor.runner import Runner
    from pulsing.transport.header_blocks import Head
    from pulsing.transport.items import ItemReader, ItemWriter
    from pulsing.transport.server_core import ServerConnection
    from pulsing.transport.streams import Body, Flow
    from pulsing.wire import Codec

RAW_METHOD: Final = "-"
"""The method of requests for ``receive``."""
_STATUS: Final[tuple[tuple[type[BaseException], int], ...]] = (
    # For people and tools that look at the wire; nodes read the failure in the body.
    (ActorNotFound, 404),
    (NameTaken, 409),
    (ActorStopped, 410),
    (MessageTooLarge, 413),
    (MailboxFull, 429),
    (DeadlineExceeded, 504),
    (NotAuthenticated, 403),
    (Deadlock, 508),
    (WireError, 400),
    (PulsingRuntimeError, 503),
)
_MAX_TIMEOUT_MS: Final = 10**12
_ENVELOPE_FIELDS: Final = 3


class Host(Protocol):
    """What answering requests needs of the system."""

    node_id: str
    codec: Codec
    dispatcher: Dispatcher

    def find_cell(self, target: str) -> Cell | None:
        """The actor that a request's target names."""
        ...

    def describe(self, cell: Cell) -> dict[str, Any]:
        """What a proxy of the actor needs to know."""
        ...

    def network(self) -> ClusterSide:
        """The node's side of the wire."""
        ...


@dataclass(slots=True)
class Route:
    """Where the requests with one header block go; kept in the block's `Head`."""

    cell: Cell
    method: Method
    is_tell: bool


class RemoteInvocation(Invocation, ServerStream):
    """A message from an actor or a program on another node.

    One is made for every request: what nearly never changes is kept in the class.
    """

    connection: ServerConnection
    # ServerStream
    flow: Flow | None = None
    reader: ItemReader | None = None
    writer: ItemWriter | None = None
    remote_closed: bool = False
    closed: bool = False
    # Invocation
    stage: Stage = FINISHED  # nothing has begun
    watched: bool = False
    sender: object = None
    caller: Scope | None = None
    meta: dict[str, Any] | None = None
    work: Any = None
    context: Context | None = None
    runner: Runner | None = None
    is_tell: bool = False
    execution: Execution | None = None
    """What runs in its place; see `pulsing.actor.once`."""

    def __init__(self, connection: ServerConnection, stream_id: int, head: Head) -> None:
        self.connection = connection
        self.id = stream_id
        self.head = head

    # --- in

    def request_received(self, body: bytes | bytearray) -> None:
        """Decode the call and hand it to its actor; answer whatever is wrong with it."""
        host: Host = self.connection.app
        route: Route | None = self.head.route
        try:
            if route is None or route.cell.stopping is not None:
                route = self._find_route(host, body)
                if route is None:
                    return
            if self.reader is None:
                envelope = host.codec.decode(body)
            else:
                envelope = host.codec.decode(body, self._request_items(host))
            if envelope.__class__ is not list or len(envelope) < _ENVELOPE_FIELDS:
                raise WireError("the body of a call is [timeout_ms, keywords, meta, *arguments]")
            timeout_ms, keywords, meta, *arguments = envelope
            if (
                keywords is not None or meta is not None or type(timeout_ms) is not int
            ) or not 0 <= timeout_ms <= _MAX_TIMEOUT_MS:
                if isinstance(meta, bytes):
                    meta = host.codec.decode(meta)  # see `pulsing.actor.beside.packed_meta`
                _check_envelope(timeout_ms, keywords, meta)
        except PulsingError as error:
            self.refuse(error)
            return
        except Exception as error:  # noqa: BLE001 - one request fails, the connection lives
            self._give_up(host, error)
            return
        # `prepare_invocation`, inlined: this runs for every request.
        cell = self.cell = route.cell
        self.method = route.method
        self.args = arguments
        self.kwargs = keywords
        self.deadline = None if timeout_ms is None else clock.monotonic() + timeout_ms / 1000
        self.stage = QUEUED
        if meta is not None:
            self.meta = meta
            if KEY in meta and not route.is_tell and self.reader is None:
                self.stage = FINISHED  # another message runs in its place
                run_once(self, meta[KEY])
                return
        if not route.is_tell:
            cell.deliver(self)
            return
        self.is_tell = True
        if cell.deliver(self):
            self.acknowledge()

    def _find_route(self, host: Host, body: bytes | bytearray) -> Route | None:
        """The actor and the method a request names; None when it was answered here."""
        head = self.head
        if head.path == CLUSTER_PATH:
            self._cluster_message(host, body)
            return None
        kind, name, target = _parse_path(head)
        cell = host.find_cell(target)
        if cell is None:
            raise ActorNotFound(
                f"no actor {target!r} on node {host.node_id}: it is not public, was never spawned "
                "there, or has stopped"
            )
        if kind == "describe":
            self.respond(host.codec.encode(host.describe(cell)))
            return None
        if kind == "get":
            method: Method | None = attribute_reader(cell, name)
        elif name == RAW_METHOD:
            method = cell.table.receive
        else:
            method = cell.table.get(name)
        if method is None:
            wanted = "receive method" if name == RAW_METHOD else f"method {name!r}"
            known = ", ".join(cell.table.names) or "no methods"
            raise PulsingActorError(
                f"Not found: {cell.label} has no {wanted}; it has {known}", cell.label
            )
        route = head.route = head.base.route = Route(cell, method, kind == "tell")
        return route

    def _cluster_message(self, host: Host, body: bytes | bytearray) -> None:
        """A message of the cluster, which the layer below understands."""
        handler = host.network().cluster_handler
        if self.reader is not None or self.head.method != "POST":
            raise WireError("a message of the cluster is one body")
        if handler is None:
            self.respond_failure(404, b"")
        else:
            handler(self.connection.peer.node_id, bytes(body), self.respond)

    def body_limit(self) -> int:
        """See `Stream.body_limit`."""
        limit = self.connection.limits.max_message_bytes
        if self.head.path == CLUSTER_PATH:
            host: Host = self.connection.app
            limit = min(limit, host.network().max_cluster_bytes)
        return limit

    def _request_items(self, host: Host) -> RemoteItems:
        """The iterator that stands for the caller's async iterator."""
        assert self.reader is not None
        source = Source(host.dispatcher, host.codec)
        source.begin(self.reader)
        return RemoteItems(host.dispatcher, source, source.ignore)

    def _give_up(self, host: Host, error: Exception) -> None:
        """A defect, here or in a class that was asked to describe or rebuild itself."""
        path = self.head.path[:200]
        host.dispatcher.log.error(path, "request %s failed: %r", path, error)
        self.refuse(PulsingRuntimeError(f"request {path} failed: {error!r}"))

    def request_refused(self, error: PulsingRuntimeError) -> None:
        """See `ServerStream.request_refused`."""
        self.refuse(error)

    def aborted(self, error: PulsingRuntimeError) -> None:
        """The caller is gone or took the call back: its code is cancelled."""
        if self.execution is not None:
            self.execution.left(self, comes_back=self.connection.closing is not None)
        self.withdraw()

    # --- out

    def refuse(self, error: BaseException) -> None:
        """Answer with an error of the framework; a stream that has begun ends with it."""
        if not self.closed:
            host: Host = self.connection.app
            body = encode_failure(host.codec, error, node=host.node_id, actor="", method="")
            if self.writer is not None:
                self.writer.fail(body)
            else:
                self.respond_failure(status_of(error), body)

    def accepted(self) -> None:
        """See `Invocation.accepted`."""
        if self.is_tell:
            self.acknowledge()

    def reply(self, value: Any) -> None:
        """See `Invocation.reply`."""
        if self.closed:
            return
        connection = self.connection
        if value.__class__ is StreamMessage:
            self._reply_stream(value)
            return
        try:
            connection.respond(self, connection.app.codec.encode(value))
        except WireError as error:
            self.refuse(error)

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `Invocation.fail`."""
        if self.closed and self.is_tell:
            self._lost(error)
        else:
            self.refuse(error)

    def discard(self, error: MailboxFull) -> None:
        """See `Invocation.discard`."""
        if self.is_tell:
            self.drop()
            self._lost(error, LetterReason.DROPPED)
            self.acknowledge()
        else:
            super().discard(error)

    def _lost(self, error: PulsingRuntimeError, reason: LetterReason | None = None) -> None:
        """A tell that the mailbox had taken was not handled."""
        method = self.method.name
        lost_tell(self.cell.dispatcher, error, target=self.cell.label, method=method, reason=reason)

    def raised(self, error: BaseException) -> None:
        """See `Invocation.raised`."""
        if not self.closed:
            self.respond_failure(*self.describe_raised(error))
        elif self.is_tell:
            self.lost(error)

    def lost(self, error: BaseException) -> None:
        """The code of a tell failed, and nobody waits for it: count and log."""
        dispatcher = self.cell.dispatcher
        dispatcher.counters.lost_tells += 1
        where = f"{self.cell.label}.{self.method.name}"
        text = "a tell to %s from %s failed: %s: %s"
        address = self.peer.address
        dispatcher.log.warning(f"tell {where}", text, where, address, type(error).__name__, error)

    def describe_raised(self, error: BaseException) -> tuple[int, Body]:
        """Status and body of the answer to a call whose code raised."""
        return status_of(error), self._encode_raised(error)

    def _encode_raised(self, error: BaseException) -> Body:
        host: Host = self.connection.app
        return encode_failure(
            host.codec, error, node=host.node_id, actor=self.cell.label, method=self.method.name
        )

    def open_items(self, buffer_items: int) -> ItemSink:
        """See `Invocation.open_items`."""
        writer = self.start_items(self.head.stream_buffer or buffer_items)
        return RemoteSink(writer, self.connection.app.codec, self._encode_raised)

    def _reply_stream(self, message: StreamMessage) -> None:
        """Answer with a message whose chunks follow as items, while they are made."""
        host: Host = self.connection.app
        chunks: list[AsyncIterator[Any]] = []
        try:
            head = host.codec.encode(message, chunks)
            source = aiter(chunks[0])
        except PulsingRuntimeError as error:
            self.refuse(error)
            return
        writer = self.start_items(self.cell.options.stream_buffer)
        writer.write(head)
        writer.flush()
        sink = RemoteSink(writer, host.codec, self._encode_raised)
        work = send_items(sink, source, host.dispatcher)
        host.dispatcher.keep(work, name=f"pulsing-chunks-{message.msg_type}")


def status_of(error: BaseException) -> int:
    """The HTTP status that stands for an error."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return 500


_KINDS: Final = frozenset({"ask", "tell", "get", "describe"})


def _parse_path(head: Head) -> tuple[str, str, str]:
    """Kind, method and target. Raises WireError when the path is not of a request between nodes."""
    parts = head.path.split("/", 3)
    if head.method != "POST" or len(parts) != 4 or parts[0] or parts[1] not in _KINDS:
        raise WireError(f"{head.method} {head.path[:80]} is not a request between nodes")
    return parts[1], unquote(parts[2]), unquote(parts[3])


def _check_envelope(timeout_ms: object, keywords: object, meta: object) -> None:
    """Raises WireError unless the fields have their types."""
    if timeout_ms is not None and not (
        type(timeout_ms) is int and 0 <= timeout_ms <= _MAX_TIMEOUT_MS
    ):
        raise WireError(f"a timeout of {str(timeout_ms)[:40]} ms makes no sense")
    if keywords is not None and not (
        isinstance(keywords, dict)
        and all(isinstance(key, str) for key in cast("dict[object, object]", keywords))
    ):
        raise WireError("keyword arguments are a map with names as keys")
    if meta is not None and type(meta) is not dict:
        raise WireError("the meta field of a call is a map or nil")
