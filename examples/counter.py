"""An actor for other processes to use.

Host it with ``python -m pulsing node --addr 127.0.0.1:8000 --import examples.counter`` and call it
from another terminal with ``python -m examples.call_counter``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pulsing as pul

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pul.remote
class Counter:
    """Counts, one caller at a time."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def incr(self, by: int = 1) -> int:
        """Add to the value and return it. A ``def`` method may block: it runs in a thread."""
        self.value += by
        return self.value

    async def get(self) -> int:
        """The value. An ``async def`` method runs on the event loop."""
        return self.value

    async def count_to(self, limit: int, pause_s: float = 0.0) -> AsyncIterator[int]:
        """Count the value up to the limit, item by item, as fast as the caller reads."""
        while self.value < limit:
            self.value += 1
            yield self.value
            await asyncio.sleep(pause_s)


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """What the node does with this module before it is ready: it hosts one counter."""
    await Counter.spawn(name="counter", system=system)
