"""Two hundred kills, and kills at random moments."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

import pulsing as pul
from benchmarks.kill_recovery import measure, quantile
from pulsing.testing import assert_no_leaks
from tests.integration import nodes


@pytest.mark.timeout(900)
async def test_two_hundred_kills_are_noticed_within_20_ms() -> None:
    async with assert_no_leaks():
        figures = await measure(200)
    assert not figures.wrong
    assert len(figures.noticed) == 200 * 100
    p99 = quantile(figures.noticed, 0.99)
    assert p99 <= 0.020, f"p99 {p99 * 1e3:.1f} ms"


@pytest.mark.timeout(600)
async def test_kills_freezes_and_restarts_at_random_moments_hang_nothing() -> None:
    """Callers go on and on; whatever happens to the node, each call ends, in time."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    rng = random.Random(seed)
    outcomes: dict[str, int] = {}
    slowest = 0.0
    stopping = asyncio.Event()

    async def call(echo: Any, number: int) -> None:
        nonlocal slowest
        while not stopping.is_set():
            began = time.monotonic()
            try:
                match number % 4:
                    case 0:
                        await echo.echo(number)
                    case 1:
                        assert len(await echo.echo(bytes(300_000))) == 300_000
                    case 2:
                        got = [each async for each in echo.count(500).with_timeout(2)]
                        assert got == [*range(500)]
                    case _:
                        assert await echo.total(nodes.numbers(200)) == sum(range(200))
                what = "fine"
            except (pul.ConnectionLost, pul.NodeUnreachable, pul.DeadlineExceeded) as error:
                what = type(error).__name__
                await asyncio.sleep(0.01)
            except pul.ActorNotFound:
                what = "not yet there"
                await asyncio.sleep(0.01)
            outcomes[what] = outcomes.get(what, 0) + 1
            slowest = max(slowest, time.monotonic() - began)

    async with (
        assert_no_leaks(),
        nodes.system(default_timeout_s=2, keepalive_interval_s=0.5) as caller,
    ):
        node = await asyncio.to_thread(nodes.start)
        try:
            echo = await caller.resolve(f"actor://{node.addr}/echo")
            callers = [asyncio.ensure_future(call(echo, number)) for number in range(32)]
            for _ in range(40):
                await asyncio.sleep(rng.uniform(0, 0.3))
                match rng.choice(["kill", "freeze", "stop"]):
                    case "freeze":
                        node.pause()
                        await asyncio.sleep(rng.uniform(0, 1.5))
                        node.resume()
                    case "kill":
                        await asyncio.to_thread(node.kill)
                        node = await asyncio.to_thread(nodes.start, node.addr)
                    case _:
                        await asyncio.to_thread(node.stop)
                        node = await asyncio.to_thread(nodes.start, node.addr)
            assert await _again(echo) == "at last"
            stopping.set()
            async with asyncio.timeout(10):
                await asyncio.gather(*callers)
        finally:
            await asyncio.to_thread(node.kill)
    assert outcomes["fine"] > 1000
    assert slowest < 4, f"a call took {slowest:.1f} s; {outcomes}"


async def _again(echo: Any) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                return str(await echo.echo("at last"))
            except pul.PulsingRuntimeError:
                await asyncio.sleep(0.05)
