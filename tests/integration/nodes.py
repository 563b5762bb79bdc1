"""Nodes and callers for the tests of this folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pulsing as pul
from pulsing.testing import NodeProcess
from tests.integration import hosted

HOSTED = "tests.integration.hosted"
SHORT_KEEPALIVE = {"PULSING_KEEPALIVE_INTERVAL_S": "0.3"}


def start(addr: str = "127.0.0.1:0", *arguments: str, **environ: str) -> NodeProcess:
    """A node process that hosts a lab and an echo; ``environ`` without the prefix."""
    variables = {f"PULSING_{key.upper()}": value for key, value in environ.items()}
    return NodeProcess(addr=addr, imports=[HOSTED], arguments=arguments, environ=variables)


@asynccontextmanager
async def system(addr: str | None = None, **settings: Any) -> AsyncIterator[pul.ActorSystem]:
    """A system of this process, shut down at the end."""
    made = await pul.ActorSystem.create(pul.SystemConfig(addr=addr, **settings))
    try:
        yield made
    finally:
        await made.shutdown()


@asynccontextmanager
async def pair(**settings: Any) -> AsyncIterator[tuple[pul.ActorSystem, pul.ActorSystem]]:
    """A system that hosts a lab and an echo, and one that calls them; both listen."""
    async with system("127.0.0.1:0", **settings) as host:
        await hosted.pulsing_setup(host)
        async with system("127.0.0.1:0", **settings) as caller:
            yield host, caller


async def lab(caller: pul.ActorSystem, node: NodeProcess | pul.ActorSystem) -> Any:
    """The lab of a node, for calls from ``caller``."""
    return await caller.resolve(f"actor://{node.addr}/lab", cls=hosted.Lab)


async def settled(read: Callable[[], Any], rounds: int = 15, pause_s: float = 0.004) -> Any:
    """What ``await read()`` gives once it has stopped changing."""
    value, same = await read(), 0
    give_up_at = time.monotonic() + 10
    while same < rounds:
        await asyncio.sleep(pause_s)
        before, value = value, await read()
        same = same + 1 if value == before else 0
        assert time.monotonic() < give_up_at, f"still changing: {value}"
    return value


async def drained(items: AsyncIterator[Any], into: list[Any] | None = None) -> None:
    """Take all there is, perhaps into a list."""
    async for each in items:
        if into is not None:
            into.append(each)


async def numbers(until: int) -> AsyncIterator[int]:
    """A stream to give away."""
    for each in range(until):
        yield each
