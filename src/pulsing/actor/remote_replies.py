"""What waits for the answers of actors on other nodes: requests over a link, and their replies."""

from __future__ import annotations

from asyncio import _get_running_loop, current_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, Protocol

from pulsing.actor.call import RAW_METHOD
from pulsing.actor.dead_letters import RECEIVE, lost_tell
from pulsing.actor.deadline import SCOPE
from pulsing.actor.message import StreamMessage
from pulsing.actor.remote_items import RemoteItems, RemoteSink, Source, send_items
from pulsing.actor.reply import Reply
from pulsing.errors import (
    DeadlineExceeded,
    Delivery,
    PulsingActorError,
    PulsingRuntimeError,
    WireError,
)
from pulsing.transport.streams import ClientStream
from pulsing.wire.failures import decode_failure, encode_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextvars import Context

    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.reply import Wakeup
    from pulsing.transport.header_blocks import Head
    from pulsing.transport.items import ItemReader, ItemWriter
    from pulsing.transport.streams import Body, Flow
    from pulsing.wire import Codec

_OK: Final = 200
_ACCEPTED: Final = 204


class Callee(Protocol):
    """What a request needs to know of the actor it goes to."""

    name: str
    node_id: str
    codec: Codec
    dispatcher: Dispatcher

    @property
    def address(self) -> str:
        """Of its node."""
        ...

    def label(self, method: str) -> str:
        """What to call a method of this actor in messages to people."""
        ...


class Request(ClientStream):
    """What all requests of a target have in common."""

    __slots__ = ("_order", "argument", "method", "target")

    target: Callee
    method: str
    argument: AsyncIterator[Any]
    """What the caller streams, if it does."""
    _order: object

    def deadline_error(self, never_sent: bool) -> PulsingRuntimeError:
        """See `ClientStream.deadline_error`."""
        text = (
            "before there was a connection"
            if never_sent
            else "before an answer came; the callee is being cancelled"
        )
        return DeadlineExceeded(
            f"{self.target.label(self.method)}: the deadline of the call passed {text}",
            delivered=Delivery.NO if never_sent else Delivery.UNKNOWN,
        )

    @property
    def order(self) -> object:
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
        self._order = (self.target.name, id(sender))
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


class RemoteReply(Reply, Request):
    """The answer of an actor on another node to a call that is awaited.

    One is made for every call: what nearly never changes is kept in the class.
    """

    # ClientStream
    id = 0
    head: Head | None = None
    flow: Flow | None = None
    reader: ItemReader | None = None
    writer: ItemWriter | None = None
    remote_closed: bool = False
    closed: bool = False
    # Reply
    settled: bool = False
    error: BaseException | None = None
    value: Any = None
    _waiter: tuple[Context, Wakeup] | None = None

    def __init__(self, target: Callee, method: str, deadline: float | None) -> None:
        self.target = target
        self.method = method
        self.deadline = deadline
        self.dispatcher = target.dispatcher

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        """See `ClientStream.response_received`."""
        if self.settled:
            return
        codec = self.target.codec
        try:
            if head.status == _OK:
                # `settle`, inlined: this runs for every call.
                self.value = codec.decode(body)
                self.settled = True
                waiter = self._waiter
                if waiter is not None:
                    self._waiter = None
                    dispatcher = self.dispatcher
                    dispatcher.woken.append(waiter)
                    if not dispatcher.scheduled:
                        dispatcher.schedule()
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

    _observed = False
    message = ""
    """The class of a raw message."""
    sender: object = None
    """The actor whose code sent it."""
    on_failed: Callable[[BaseException], BaseException | None] | None = None
    """Asked about an error before anybody hears of it: gives the one to tell, or None when the
    message is on its way to another actor now."""

    def settle(self, value: Any) -> None:
        """See `Reply.settle`."""
        if self.on_failed is not None:
            self.on_failed = None
        super().settle(value)

    def settle_error(self, error: BaseException) -> None:
        """Somebody who waits gets the error; if nobody does, it is counted and logged."""
        on_failed, self.on_failed = self.on_failed, None
        if on_failed is not None and not self.settled:
            last = on_failed(error)
            if last is None:
                super().settle_error(error)  # for whoever waits, to wait for that one
                return
            error = last
        super().settle_error(error)
        self.dispatcher.loop.call_soon(self._report_unless_observed, error)

    def wait(self) -> Generator[Any, None, Any]:
        """See `Reply.wait`."""
        self._observed = True
        return (yield from super().wait())

    __await__ = wait

    def _report_unless_observed(self, error: BaseException) -> None:
        if not self._observed:
            is_raw = self.method == RAW_METHOD
            lost_tell(
                self.dispatcher,
                error,
                target=f"{self.target.name} at {self.target.address}",
                method=RECEIVE if is_raw else self.method,
                message=self.message,
                sender=self.sender,
            )


class ItemsRequest(Request):
    """A call whose caller iterates over the result."""

    __slots__ = ("source",)

    def __init__(self, target: Callee, method: str, deadline: float | None) -> None:
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
