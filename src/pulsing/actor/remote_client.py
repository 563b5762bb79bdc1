"""Calls to other nodes: replies that come over a link, and the target that sends the calls."""

from __future__ import annotations

from asyncio import _get_running_loop, current_task
from collections.abc import Generator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pulsing.actor.call import DEFAULT_TIMEOUT
from pulsing.actor.deadline import SCOPE
from pulsing.actor.message import StreamMessage
from pulsing.actor.remote_items import RemoteItems, RemoteSink, Source, send_items
from pulsing.actor.reply import REPLY_SLOTS, Reply
from pulsing.errors import (
    DeadlineExceeded,
    Delivery,
    MessageTooLarge,
    PulsingActorError,
    PulsingError,
    PulsingRuntimeError,
    WireError,
)
from pulsing.transport.client_core import RequestBlock, request_block
from pulsing.transport.streams import ClientStream, body_size
from pulsing.wire import CALL
from pulsing.wire.failures import decode_failure, encode_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.actor.call import Call
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.transport.header_blocks import Head
    from pulsing.transport.items import ItemReader, ItemWriter
    from pulsing.transport.pool import Peer
    from pulsing.transport.streams import Body
    from pulsing.wire import Codec

_OK: Final = 200
_ACCEPTED: Final = 204
_MAX_BLOCKS: Final = 4096
_ARGUMENT_ITEMS: Final = 256
"""Items of a streamed argument that the caller may be ahead of the callee."""


class _Request(ClientStream):
    """What all requests of a target have in common."""

    __slots__ = ("_order", "argument", "method", "target")

    target: RemoteTarget

    def deadline_error(self, never_sent: bool) -> PulsingRuntimeError:
        """See `ClientStream.deadline_error`."""
        text = (
            "before there was a connection" if never_sent else "before an answer came; the callee "
            "is being cancelled"
        )
        return DeadlineExceeded(
            f"{self.target.label(self.method)}: the deadline of the call passed {text}",
            delivered=Delivery.NO if never_sent else Delivery.UNKNOWN,
        )

    @property
    def order(self) -> object:  # type: ignore[override]
        """What one actor, or one task, sends to an actor arrives in order.

        Worked out when the connection first asks: for a call that leaves at once, never.
        """
        try:
            return self._order
        except AttributeError:
            pass
        scope = SCOPE.get()
        sender: object = scope.cell if scope is not None else None
        if sender is None and _get_running_loop() is not None:
            sender = current_task()
        self._order: object = (self.target.name, id(sender))
        return self._order

    @order.setter
    def order(self, key: object) -> None:
        if key is not None:
            self._order = key

    def request_writable(self, writer: ItemWriter) -> None:
        """See `ClientStream.request_writable`: the argument's items follow."""
        target = self.target
        sink = RemoteSink(writer, target.codec, self._encode_raised)
        work = send_items(sink, self.argument, target.dispatcher)
        target.dispatcher.keep(work, name=f"pulsing-argument-{self.method}")

    def _encode_raised(self, error: BaseException) -> Body:
        return encode_failure(
            self.target.codec, error, node=self.target.node_id, actor="", method="an argument"
        )


class RemoteReply(Reply, _Request):
    """The answer of an actor on another node to a call that is awaited."""

    __slots__ = (*REPLY_SLOTS, "_collected")

    def __init__(self, target: RemoteTarget, method: str, deadline: float | None) -> None:
        self.target = target
        self.method = method
        self.deadline = deadline
        self.dispatcher = target.dispatcher
        self.settled = False
        self.error = self._waiter = None
        # ClientStream.__init__, inlined: this is made for every call.
        self.id = 0
        self.closed = self.remote_closed = False
        self.head = self.flow = self.reader = self.writer = None

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        """See `ClientStream.response_received`."""
        if self.settled:
            return
        codec = self.target.codec
        try:
            if head.status == _OK:
                self.settle(codec.decode(body))
            elif head.status == _ACCEPTED:
                self.settle(None)
            else:
                self.settle_error(decode_failure(codec, body))
        except WireError as error:
            self.settle_error(error)

    def items_started(self, head: Head, reader: ItemReader) -> None:
        """The method streams: collect its items. Or it answered with a `StreamMessage`."""
        self._collected: list[Any] = []
        reader.on_items = self._first
        self._first()

    def _first(self) -> None:
        """The first item may be a message whose chunks are the other items."""
        reader = self.reader
        assert reader is not None
        if not reader.items:
            self._collect()
            return
        source = Source(self.dispatcher, self.target.codec)
        chunks = RemoteItems(self.dispatcher, source, source.leave)
        try:
            item = self.target.codec.decode(reader.pop(), chunks)
        except WireError as error:
            chunks.disown()
            self._give_up_on(reader, error)
            return
        if item.__class__ is StreamMessage:
            source.begin(reader)
            self.deadline = None
            self.settle(item)
            return
        chunks.disown()
        self._collected.append(item)
        reader.on_items = self._collect
        self._collect()

    def _collect(self) -> None:
        reader = self.reader
        assert reader is not None
        if self.settled:
            return
        codec = self.target.codec
        try:
            while reader.items:
                self._collected.append(codec.decode(reader.pop()))
            if reader.failure is not None:
                self.settle_error(decode_failure(codec, reader.failure))
            elif reader.error is not None:
                self.settle_error(reader.error)
            elif reader.ended:
                self.settle(self._collected)
        except WireError as error:
            self._give_up_on(reader, error)

    def _give_up_on(self, reader: ItemReader, error: WireError) -> None:
        """An item makes no sense: the producer need not go on."""
        self.settle_error(error)
        reader.cancel()

    def failed(self, error: PulsingRuntimeError) -> None:
        """See `ClientStream.failed`."""
        self.settle_error(error)

    def expired(self) -> None:
        """See `ClientStream.expired`."""
        never_sent = not self.id
        self.settle_error(self.deadline_error(never_sent))
        self.withdraw()

    def abandon(self) -> None:
        """See `Reply.abandon`."""
        self.withdraw()


class RemoteTell(RemoteReply):
    """A message to another node. Awaiting it waits until the mailbox there has taken it."""

    __slots__ = ("_observed",)

    def __init__(self, target: RemoteTarget, method: str, deadline: float | None) -> None:
        super().__init__(target, method, deadline)
        self._observed = False
        self.value = None

    def settle_error(self, error: BaseException) -> None:
        """Somebody who waits gets the error; if nobody does, it is counted and logged."""
        super().settle_error(error)
        self.dispatcher.loop.call_soon(self._report_unless_observed, error)

    def wait(self) -> Generator[Any, None, Any]:
        """See `Reply.wait`."""
        self._observed = True
        return (yield from super().wait())

    __await__ = wait

    def _report_unless_observed(self, error: BaseException) -> None:
        if not self._observed:
            dispatcher = self.dispatcher
            dispatcher.counters.lost_tells += 1
            where = self.target.label(self.method)
            text = "a tell to %s failed: %s: %s"
            dispatcher.log.warning(f"tell {where}", text, where, type(error).__name__, error)


class ItemsRequest(_Request):
    """A call whose caller iterates over the result."""

    __slots__ = ("source",)

    def __init__(self, target: RemoteTarget, method: str, deadline: float | None) -> None:
        super().__init__()
        self.target = target
        self.method = method
        self.deadline = deadline
        self.source = Source(target.dispatcher, target.codec)

    def items_started(self, head: Head, reader: ItemReader) -> None:
        """See `ClientStream.items_started`."""
        self.source.begin(reader)

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        """No stream came: an error, or a method that gives one result."""
        if head.status == _OK:
            text = f"{self.target.label(self.method)} gives one result, not a stream; await it"
            self.source.end(PulsingActorError(text, self.target.name))
            return
        try:
            self.source.end(decode_failure(self.target.codec, body))
        except WireError as error:
            self.source.end(error)

    def failed(self, error: PulsingRuntimeError) -> None:
        """See `ClientStream.failed`."""
        self.source.end(error)

    def expired(self) -> None:
        """See `ClientStream.expired`."""
        self.source.end(self.deadline_error(not self.id))
        self.withdraw()

    def leave(self) -> None:
        """The consumer takes no more."""
        self.source.leave()
        self.withdraw()


class RemoteTarget:
    """An actor of another node, as the target of calls; see `pulsing.actor.call.Target`.

    Attributes:
        name: the target as it is sent: canonical name, or ``@<node>/<number>``.
    """

    __slots__ = (
        "__weakref__",
        "_asks",
        "_blocks",
        "_default_ms",
        "_limit",
        "_peer",
        "_scheme",
        "codec",
        "dispatcher",
        "name",
        "node_id",
    )

    def __init__(
        self,
        peer: Peer,
        name: str,
        *,
        dispatcher: Dispatcher,
        codec: Codec,
        node_id: str,
        scheme: str,
        max_message_bytes: int,
    ) -> None:
        self._peer = peer
        self.name = name
        self.dispatcher = dispatcher
        self.codec = codec
        self.node_id = node_id
        self._scheme = scheme
        self._limit = max_message_bytes
        self._asks: dict[str, RequestBlock] = {}
        self._blocks: dict[tuple[str, str, int | None], RequestBlock] = {}
        default = dispatcher.default_timeout_s
        self._default_ms = None if default is None else int(default * 1000)

    def label(self, method: str) -> str:
        """What to call a method of this actor in messages to people."""
        name = self.name if method == "-" else f"{self.name}.{method}"
        return f"{name} at {self._peer.address}"

    # --- Target

    def start_ask(self, call: Call[Any]) -> RemoteReply:
        """See `Target.start_ask`."""
        block = self._asks.get(call.method)
        if block is None:
            block = self._asks[call.method] = self._block("ask", call.method, None)
        if call.buffer is not None:
            block = self._block("ask", call.method, call.buffer)
        return self._ask(call, block)

    def start_get(self, call: Call[Any]) -> RemoteReply:
        """See `Target.start_get`."""
        return self._ask(call, self._block("get", call.method, None))

    def _ask(self, call: Call[Any], block: RequestBlock) -> RemoteReply:
        dispatcher = self.dispatcher
        if _get_running_loop() is not dispatcher.loop:
            self._refuse_loop(call.method)
        timeout = call.timeout
        if timeout == DEFAULT_TIMEOUT:
            timeout = dispatcher.default_timeout_s
            timeout_ms = self._default_ms
        else:
            timeout_ms = None if timeout is None else int(timeout * 1000)
        now = monotonic()
        deadline = None if timeout is None else now + timeout
        scope = SCOPE.get()
        if scope is not None:
            inherited = scope.deadline
            if inherited is not None and (deadline is None or inherited < deadline):
                deadline = inherited
                timeout_ms = max(0, int((inherited - now) * 1000))
        reply = RemoteReply(self, call.method, deadline)
        self._send(reply, block, [timeout_ms, call.kwargs or None, None, *call.args])
        return reply

    def start_items(self, call: Call[Any]) -> RemoteItems:
        """See `Target.start_items`. A stream has no timeout unless the call was given one."""
        dispatcher = self.dispatcher
        if _get_running_loop() is not dispatcher.loop:
            self._refuse_loop(call.method)
        timeout = call.timeout
        now = monotonic()
        deadline = None if timeout is None or timeout < 0 else now + timeout
        scope = SCOPE.get()
        inherited = scope.deadline if scope is not None else None
        if inherited is not None and (deadline is None or inherited < deadline):
            deadline = inherited
        timeout_ms = None if deadline is None else max(0, int((deadline - now) * 1000))
        request = ItemsRequest(self, call.method, deadline)
        items = RemoteItems(dispatcher, request.source, request.leave)
        block = self._block("ask", call.method, call.buffer)
        self._send(request, block, [timeout_ms, call.kwargs or None, None, *call.args])
        return items

    def tell(
        self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None
    ) -> RemoteTell:
        """See `Target.tell`."""
        dispatcher = self.dispatcher
        default = dispatcher.default_timeout_s
        deadline = None if default is None else monotonic() + default
        message = RemoteTell(self, method, deadline)
        block = self._block("tell", method, None)
        # How long the message may wait in the mailbox is not bounded: nobody waits for it.
        envelope = [None, kwargs or None, None, *args]
        if _get_running_loop() is dispatcher.loop:
            self._send(message, block, envelope)
        else:
            dispatcher.loop.call_soon_threadsafe(self._send_late, message, block, envelope)
        return message

    # --- inside

    def _send_late(self, message: RemoteTell, block: RequestBlock, envelope: list[Any]) -> None:
        try:
            self._send(message, block, envelope)
        except PulsingError as error:
            message.settle_error(error)

    def _send(self, request: _Request, block: RequestBlock, envelope: list[Any]) -> None:
        """Encode a call and hand it to the link.

        Raises:
            WireError: an argument does not travel. Nothing was sent.
        """
        streams: list[AsyncIterator[Any]] = []
        body = self.codec.encode(envelope, streams, root=CALL)
        if body.__class__ is not bytes or len(body) > 16_384:  # noqa: PLR2004 - surely small
            size = body_size(body)
            if size > self._limit:
                raise MessageTooLarge(size, self._limit, f"call of {self.label(request.method)}")
        if streams:
            request.argument = streams[0]
            self._peer.submit(request, block, body, _ARGUMENT_ITEMS)
            return
        core = self._peer.core
        if core is not None and core.accepting:
            core.request(request, block, body)
        else:
            _ = request.order  # of the code that runs now, not of what dials
            self._peer.submit(request, block, body)

    def _block(self, kind: str, method: str, buffer: int | None) -> RequestBlock:
        key = (kind, method, buffer)
        block = self._blocks.get(key)
        if block is None:
            if len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.clear()
            path = f"/{kind}/{quote(method, safe='')}/{quote(self.name, safe='/@')}"
            extra = [("pulsing-buffer", str(buffer))] if buffer is not None else []
            block = request_block(path, self._peer.address, scheme=self._scheme, extra=extra)
            self._blocks[key] = block
        return block

    def _refuse_loop(self, method: str) -> None:
        raise PulsingRuntimeError(
            f"{self.label(method)}: the system it is called from runs on another event loop; "
            "call it from there, or from other threads through `.sync`"
        )

    async def describe(self) -> Any:
        """What the actor says about itself.

        Raises:
            ActorNotFound: there is no such actor at the address.
            NodeUnreachable: nobody answers there.
        """
        dispatcher = self.dispatcher
        timeout = dispatcher.default_timeout_s
        deadline = None if timeout is None else monotonic() + timeout
        reply = RemoteReply(self, "-", deadline)
        self._send(reply, self._block("describe", "-", None), [self._default_ms, None, None])
        return await reply
