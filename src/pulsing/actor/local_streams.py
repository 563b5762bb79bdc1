"""Streams between an actor and a consumer on the same node: a bounded queue of values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Self

from pulsing.actor.invocation import INVOCATION_SLOTS, Invocation, ItemSink
from pulsing.actor.reply import Signal
from pulsing.errors import PulsingActorError, PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.local import LocalAsk
    from pulsing.actor.methods import Method


class LocalStream(Invocation):
    """A message whose caller iterates; at the same time the producer's sink.

    Attributes:
        items: written and not taken.
        ended: no more will be written.
        error: why it ended, when it did not end well.
        left: the consumer takes no more.
        starved: the producer waits for credit.
        on_writable: see `ItemSink`.
    """

    __slots__ = (
        *INVOCATION_SLOTS,
        "_buffer_items",
        "_waiting",
        "ended",
        "error",
        "items",
        "left",
        "on_writable",
        "starved",
        "write",
    )

    def __init__(
        self,
        cell: Cell,
        method: Method,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None,
        deadline: float | None,
        buffer_items: int | None,
    ) -> None:
        self.prepare_invocation(cell, method, args, kwargs, deadline)
        self.items: deque[Any] = deque()
        self.write: Callable[[Any], None] = self.items.append
        self.ended = False
        self.error: BaseException | None = None
        self.left = False
        self.starved = False
        self.on_writable: Callable[[], None] | None = None
        self._buffer_items = buffer_items
        self._waiting: Signal | None = None

    # --- as a message

    def reply(self, value: Any) -> None:
        """See `Invocation.reply`; a stream was expected."""
        if value is not None or not self.ended:
            name = self.method.name
            self._end(
                PulsingActorError(
                    f"{name}() gives one result, not a stream: await it instead of iterating",
                    self.cell.label,
                )
            )

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `Invocation.fail` and `ItemSink.fail`."""
        self._end(error)

    def raised(self, error: BaseException) -> None:
        """See `Invocation.raised` and `ItemSink.raised`."""
        if not self.ended:
            self._end(self.localized(error))

    def open_items(self, buffer_items: int) -> ItemSink:
        """See `Invocation.open_items`."""
        if self._buffer_items is None:
            self._buffer_items = buffer_items
        return self

    # --- as the producer's sink

    @property
    def closed(self) -> bool:
        """Nobody takes items any more."""
        return self.left or self.ended

    def credit(self) -> int:
        """See `ItemSink.credit`."""
        assert self._buffer_items is not None
        credit = 0 if self.left else self._buffer_items - len(self.items)
        if credit <= 0:
            self.starved = True
        return credit

    def flush(self) -> None:
        """See `ItemSink.flush`."""
        waiting = self._waiting
        if waiting is not None and (self.items or self.ended):
            self._waiting = None
            waiting.fire()

    def finish(self) -> None:
        """See `ItemSink.finish`."""
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if not self.ended:
            self.ended = True
            self.error = error
            self.flush()

    # --- the consumer's half

    def taken(self) -> None:
        """An item was taken while the producer waits: tell it when half of the buffer is free."""
        assert self._buffer_items is not None
        if len(self.items) <= self._buffer_items // 2:
            self.starved = False
            if self.on_writable is not None:
                self.on_writable()

    def leave(self) -> None:
        """Take no more: the producer is cancelled unless it has ended."""
        if not self.left:
            self.left = True
            self.items.clear()
            self.withdraw()
            if self.on_writable is not None:
                self.on_writable()

    async def changed(self) -> None:
        """Wait until an item or the end has come."""
        if self._waiting is not None:
            raise RuntimeError("the stream is being read by another task; it has one reader")
        signal = self._waiting = Signal(self.cell.dispatcher)
        try:
            await signal
        finally:
            self._waiting = None


class LocalItems:
    """The consumer's end. Dropping it, as leaving ``async for`` does, cancels the producer."""

    __slots__ = ("__weakref__", "_items", "_stream", "_thread")

    def __init__(self, stream: LocalStream) -> None:
        self._stream = stream
        self._items = stream.items
        self._thread = get_ident()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        items = self._items
        stream = self._stream
        while not items:
            if stream.ended or stream.left:
                error, stream.error = stream.error, None
                if error is None:
                    raise StopAsyncIteration
                try:
                    raise error
                finally:
                    del error
            await stream.changed()
        item = items.popleft()
        if stream.starved:
            stream.taken()
        return item

    async def aclose(self) -> None:
        """Take no more items: the callee is cancelled unless it has ended."""
        self._stream.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stream.leave()

    def __del__(self) -> None:
        stream = self._stream
        if stream.ended or stream.left:
            return
        loop = stream.cell.dispatcher.loop
        if get_ident() == self._thread:
            stream.leave()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(stream.leave)  # the garbage collector ran in another thread


class Collector:
    """A sink that makes the items of a stream the result of a call that is awaited."""

    __slots__ = ("_ask", "_items", "on_writable")

    _CREDIT: Final = 1024

    def __init__(self, ask: LocalAsk) -> None:
        self._ask = ask
        self._items: list[Any] = []
        self.on_writable: Callable[[], None] | None = None

    @property
    def closed(self) -> bool:
        """Nobody waits for the result any more."""
        return self._ask.settled

    def credit(self) -> int:
        """See `ItemSink.credit`."""
        return 0 if self._ask.settled else self._CREDIT

    def write(self, value: Any, /) -> None:
        """See `ItemSink.write`."""
        self._items.append(value)

    def flush(self) -> None:
        """Nothing leaves before the end."""

    def finish(self) -> None:
        """All items are the result."""
        self._ask.settle(self._items)

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `ItemSink.fail`."""
        self._ask.fail(error)

    def raised(self, error: BaseException) -> None:
        """See `ItemSink.raised`."""
        self._ask.raised(error)
