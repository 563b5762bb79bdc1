"""A bounded queue of events with one reader: the newest are never missed."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, Self, TypeVar

E = TypeVar("E")

MAX_EVENTS: Final = 1024
"""Events that wait for the reader of a `Feed`; the oldest are dropped first."""


class Feed(Generic[E]):
    """Events, one after another, from when this was made: ``async for event in ...``.

    A reader that is slower than the events misses the oldest, never the newest; ``dropped`` says
    how many. It ends when the node is shut down, or with `aclose`.

    Attributes:
        dropped: events that were missed.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._events: deque[E] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("another task waits for the next of these events already")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._events.popleft()

    def put(self, event: E) -> None:
        """Something happened."""
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._wake()

    def end(self) -> None:
        """No more will come; what has come can still be read."""
        self._ended = True
        self._wake()

    async def aclose(self) -> None:
        """Take no more."""
        self._events.clear()
        self.end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
