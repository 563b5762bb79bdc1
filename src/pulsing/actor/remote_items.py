"""Streams between nodes: values on top of the transport's records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pulsing.actor.reply import Signal
from pulsing.errors import PulsingRuntimeError
from pulsing.wire.failures import decode_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.invocation import ItemSink
    from pulsing.transport.items import ItemReader, ItemWriter
    from pulsing.transport.streams import Body
    from pulsing.wire import Codec


class RemoteSink:
    """The producing end, in values: an `ItemSink` over the transport's writer.

    Args:
        encode_raised: makes the failure record of an exception of the producer's code.
    """

    __slots__ = ("_encode", "_encode_raised", "_writer", "credit", "flush", "on_writable")

    def __init__(
        self, writer: ItemWriter, codec: Codec, encode_raised: Callable[[BaseException], Body]
    ) -> None:
        self._writer = writer
        self._encode = codec.encode
        self._encode_raised = encode_raised
        self.credit = writer.credit
        self.flush = writer.flush
        self.on_writable: Callable[[], None] | None = None
        writer.on_writable = self._writable

    def _writable(self) -> None:
        if self.on_writable is not None:
            self.on_writable()

    @property
    def closed(self) -> bool:
        """See `ItemSink`."""
        return self._writer.closed is not None

    def write(self, value: Any) -> None:
        """See `ItemSink.write`."""
        self._writer.write(self._encode(value))

    def finish(self) -> None:
        """See `ItemSink.finish`."""
        self._writer.finish()

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `ItemSink.fail`."""
        self._writer.fail(self._encode_raised(error))

    def raised(self, error: BaseException) -> None:
        """See `ItemSink.raised`."""
        self._writer.fail(self._encode_raised(error))


class _InUse(RuntimeError):
    """Two consumers at once."""


class Source:
    """What an iterator over items of another node takes them from.

    Attributes:
        reader: of the items, once they have begun.
        error: why there will be none, or no more.
        changed: fired when something came; None while nobody waits.
        decode: of the codec.
        left: the consumer takes no more.
    """

    __slots__ = ("_codec", "_dispatcher", "changed", "decode", "error", "left", "reader")

    def __init__(self, dispatcher: Dispatcher, codec: Codec) -> None:
        self._dispatcher = dispatcher
        self._codec = codec
        self.decode = codec.decode
        self.reader: ItemReader | None = None
        self.error: BaseException | None = None
        self.changed: Signal | None = None
        self.left = False

    def begin(self, reader: ItemReader) -> None:
        """The items begin."""
        self.reader = reader
        reader.on_items = self.wake
        self.wake()

    def end(self, error: BaseException) -> None:
        """There will be no more."""
        if self.error is None:
            self.error = error
        self.wake()

    def wake(self) -> None:
        """Let the consumer look again."""
        changed = self.changed
        if changed is not None:
            self.changed = None
            changed.fire()

    async def next(self) -> Any:
        """The next item. Raises StopAsyncIteration at the end, or why there is none."""
        while True:
            reader = self.reader
            if reader is not None:
                if reader.items:
                    return self.decode(reader.pop())
                if reader.failure is not None:
                    raise decode_failure(self._codec, reader.failure)
            if self.left:
                raise StopAsyncIteration
            if self.error is not None:
                raise self.error
            if reader is not None and reader.ended:
                if reader.error is not None:
                    raise reader.error
                raise StopAsyncIteration
            if self.changed is not None:
                raise _InUse("another task waits for the next item of this stream already")
            self.changed = Signal(self._dispatcher)
            await self.changed

    def leave(self) -> None:
        """Take no more: the producer is cancelled unless it has ended."""
        self.left = True
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.on_items = None
            if not reader.ended:
                reader.cancel()
        self.wake()

    def ignore(self) -> None:
        """Take no more of a request's items: it is answered all the same.

        HTTP/2 cannot end one direction from its receiving end, so the caller's iterator waits for
        window until the answer ends the stream (RFC 9113 8.1).
        """
        self.left = True
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.on_items = None
            reader.items.clear()
        self.wake()


class RemoteItems:
    """The consumer's iterator. Dropping it, or `aclose`, cancels the producer.

    Args:
        source: where the items come from.
        leave: takes the request back; called once, on the loop's thread, when the consumer leaves
            before the end.
    """

    __slots__ = ("__weakref__", "_leave", "_loop", "_source")

    def __init__(self, dispatcher: Dispatcher, source: Source, leave: Callable[[], None]) -> None:
        self._loop = dispatcher.loop
        self._source = source
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        source = self._source
        reader = source.reader
        try:
            if reader is not None and reader.items:
                return source.decode(reader.pop())
            return await source.next()
        except _InUse:
            raise
        except BaseException:
            # The end, an error, or a cancelled consumer: in each case nobody comes back.
            self._close()
            raise

    async def aclose(self) -> None:
        """Take no more items."""
        self._close()

    def disown(self) -> None:
        """Nobody will consume from here: let go without cancelling the producer."""
        self._leave = None

    def _close(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def __del__(self) -> None:
        leave = self._leave
        if leave is not None:
            with suppress(RuntimeError):  # the loop is closed: there is nobody to tell
                self._loop.call_soon_threadsafe(leave)


async def send_items(sink: ItemSink, items: AsyncIterator[Any], dispatcher: Dispatcher) -> None:
    """Write what an async iterator gives to a sink, as fast as it takes it.

    The iterator is closed in any case. Its exception ends the stream as a failure.
    """
    try:
        async for item in items:
            sink.write(item)
            sink.flush()
            while sink.credit() <= 0 and not sink.closed:
                writable = Signal(dispatcher)
                sink.on_writable = writable.fire
                await writable
                sink.on_writable = None
            if sink.closed:
                return
        sink.finish()
    except Exception as error:  # noqa: BLE001 - it belongs to whoever consumes the items
        sink.raised(error)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
