"""Actors that pass a call on, from node to node: ``--import tests.integration.hops``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pulsing as pul


@pul.remote
class Hop:
    """Calls the next one, and says when its own code began and ended."""

    def __init__(self) -> None:
        self.times: dict[str, dict[str, float]] = {}
        self._began: dict[str, asyncio.Event] = {}

    def _event(self, key: str) -> asyncio.Event:
        return self._began.setdefault(key, asyncio.Event())

    async def go(self, key: str, way: str, rest: list[Any]) -> None:
        """Pass the call on; the last one waits for ever."""
        times = self.times.setdefault(key, {})
        times["began"] = time.monotonic()
        self._event(key).set()
        try:
            if not rest:
                await asyncio.sleep(600)
                return
            await self._call(key, way, rest)
        finally:
            times["ended"] = time.monotonic()

    async def _call(self, key: str, way: str, rest: list[Any]) -> None:
        call = rest[0].go(key, way, rest[1:])
        match way:
            case "await":
                await call
            case "no timeout of its own":
                await call.with_timeout(None)
            case "asyncio.timeout":
                async with asyncio.timeout(300):
                    await call
            case "pul.deadline":
                with pul.deadline(300):
                    await call
            case "gather":
                await asyncio.gather(call, asyncio.sleep(600))
            case "task group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(call)
            case "stream":
                async for _ in rest[0].items(key, rest[1:]):
                    pass
            case _:
                raise ValueError(way)

    async def items(self, key: str, rest: list[Any]) -> AsyncIterator[int]:
        """The same as a stream."""
        yield 0
        await self.go(key, "stream", rest)

    async def began(self, key: str) -> None:
        """Wait until its code has begun."""
        await self._event(key).wait()

    async def ended(self, key: str) -> float | None:
        """When its code ended; None while it runs."""
        return self.times.get(key, {}).get("ended")

    async def keys(self) -> list[str]:
        """All calls whose code has begun."""
        return list(self.times)

    async def busy(self, seconds: float) -> None:
        """Take the actor's time."""
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(seconds)


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """What a node does with this module: it hosts one hop."""
    await Hop.spawn(name="hop", system=system)
