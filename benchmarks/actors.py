"""The actors that are called, one class per kind of method, so that no kind disturbs another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulsing as pul
from benchmarks.env import RAW_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pul.remote
class AsyncCounter:
    """An async method that never suspends."""

    def __init__(self) -> None:
        self.value = 0

    async def incr(self, n: int = 1) -> int:
        """Add `n` and return the sum."""
        self.value += n
        return self.value


@pul.remote(executor="loop")
class InlineCounter:
    """A tiny def method, run on the loop."""

    def __init__(self) -> None:
        self.value = 0

    def incr(self, n: int = 1) -> int:
        """Add `n` and return the sum."""
        self.value += n
        return self.value


@pul.remote
class ThreadedCounter:
    """A def method, run in a worker thread (the default)."""

    def __init__(self) -> None:
        self.value = 0

    def incr(self, n: int = 1) -> int:
        """Add `n` and return the sum."""
        self.value += n
        return self.value


class RawCounter(pul.Actor):
    """A raw `receive`, strictly one message at a time."""

    def __init__(self) -> None:
        self.value = 0

    async def receive(self, msg: Any) -> int:
        """Add the number and return the sum."""
        self.value += msg
        return self.value


@pul.remote
class Tokens:
    """A stream of short strings, as a language model gives them."""

    async def stream(self, count: int) -> AsyncIterator[str]:
        """Yield `count` tokens without a pause."""
        for _ in range(count):
            yield " token"


@pul.remote
class Echo:
    """Gives back what it got."""

    async def echo(self, value: Any) -> Any:
        """Return `value`."""
        return value


NAMED: dict[str, Any] = {
    "bench/async": AsyncCounter,
    "bench/inline": InlineCounter,
    "bench/threaded": ThreadedCounter,
    "bench/tokens": Tokens,
    "bench/echo": Echo,
}


async def spawn_all(system: pul.ActorSystem) -> None:
    """Spawn one actor of each kind under its name on `system`."""
    for name, cls in NAMED.items():
        await system.spawn(cls, name=name)
    await system.spawn(RawCounter(), name=RAW_NAME, public=True)
