"""One actor's code never runs twice at once, and blocks no other actor: for remote callers, too."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration import nodes

if TYPE_CHECKING:
    from pulsing.testing import NodeProcess


async def test_a_method_that_blocks_for_a_second_delays_no_other_actor(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        sleeper, echo, other = [await lab.make(k) for k in ("Exclusive", "Echo", "Exclusive")]
        blocked = asyncio.ensure_future(sleeper.blocking(1.0))
        slowest, calls = 0.0, 0
        while not blocked.done():
            began = time.monotonic()
            assert await echo.echo(calls) == calls
            assert await echo.echo_in_thread(calls) == calls
            assert await other.blocking() == "blocked"
            assert [each async for each in echo.count(10)] == [*range(10)]
            slowest = max(slowest, time.monotonic() - began)
            calls += 1
        assert await blocked == "blocked"
        assert calls > 20
        assert slowest < 0.5


async def test_many_blocking_actors_block_side_by_side(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        actors = [await lab.make("Exclusive") for _ in range(20)]
        began = time.monotonic()
        await asyncio.gather(*(each.blocking(0.2) for each in actors))
        assert time.monotonic() - began < 20 * 0.2 / 2


async def test_an_actor_never_runs_two_pieces_of_its_code_at_once(node: NodeProcess) -> None:
    """Four kinds of methods, called by three nodes at once."""
    async with nodes.system() as one, nodes.system() as two, nodes.system() as three:
        actor = await (await nodes.lab(one, node)).make("Exclusive")
        proxies = [await each.refer(str(actor.ref.address)) for each in (one, two, three)]

        async def stream(proxy: object, method: str) -> None:
            assert len([each async for each in getattr(proxy, method)(20)]) == 20

        async with asyncio.timeout(20):
            await asyncio.gather(
                *(each.blocking(0.001) for each in proxies for _ in range(10)),
                *(each.waiting() for each in proxies for _ in range(30)),
                *(stream(each, "stepping") for each in proxies for _ in range(3)),
                *(stream(each, "streaming") for each in proxies for _ in range(3)),
            )
            runs, overlaps = await actor.findings()
        assert runs == 3 * (10 + 30 * 3 + 3 * 20 + 3 * 20)
        assert overlaps == 0


async def test_with_a_concurrency_of_one_messages_are_strictly_sequential(
    node: NodeProcess,
) -> None:
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Watched", max_concurrency=1)
        keys = [str(each) for each in range(10)]
        await asyncio.gather(*(echo.sleep(key, 0.005) for key in keys))
        events = await echo.history()
        for before, after in itertools.pairwise(keys):
            assert events[before]["ended"] <= events[after]["started"]


@pytest.mark.parametrize("number", [50])
async def test_async_methods_interleave(node: NodeProcess, number: int) -> None:
    async with nodes.system() as caller:
        actor = await (await nodes.lab(caller, node)).make("Watched")
        began = time.monotonic()
        await asyncio.gather(*(actor.sleep(str(each), 0.2) for each in range(number)))
        assert time.monotonic() - began < number * 0.2 / 4
