"""A million items, and thousands of streams that are left at random moments."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import nodes
from tests.integration.test_streams import consume_slowly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulsing.testing import NodeProcess


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    """A node that hosts a lab and an echo, for all tests of this file."""
    with nodes.start() as process:
        yield process


@pytest.mark.timeout(300)
async def test_memory_stays_flat_over_a_million_items(node: NodeProcess) -> None:
    here, there = await consume_slowly(node, 1_000_000)
    assert here < 8 << 20
    assert there < 8 << 20


@pytest.mark.timeout(300)
async def test_streams_and_calls_left_at_random_moments_leave_nothing(node: NodeProcess) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    rng = random.Random(seed)

    async def visit(actor: Any, producer: Any, echo: Any) -> None:
        for _ in range(100):
            match rng.randrange(4):
                case 0:
                    stop = rng.randrange(600)
                    async for number in actor.ticks("chaos", 0.0):
                        if number >= stop:
                            break
                case 1:
                    stop, got = rng.randrange(40), 0
                    async for _ in producer.items(None, rng.choice([8, 5000, 200_000])):
                        got += 1
                        if got > stop:
                            break
                case 2:
                    call = asyncio.ensure_future(actor.sleep("chaos"))
                    await asyncio.sleep(rng.uniform(0, 0.01))
                    call.cancel()
                    await asyncio.gather(call, return_exceptions=True)
                case _:
                    taken = await echo.first_of(nodes.numbers(10_000), rng.randrange(1, 600))
                    assert taken == [*range(len(taken))]

    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        actors = [await lab.make(kind) for kind in ("Watched", "Producer", "Echo")]
        await asyncio.gather(*(visit(*actors) for _ in range(30)))
        assert await nodes.settled(lab.open_calls) <= 1
        assert await actors[2].echo("fine") == "fine"
