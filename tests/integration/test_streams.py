"""Streams between nodes: how far a producer gets ahead, and what a slow consumer costs others."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from tests.integration import nodes
from tests.integration.hosted import Echo, Producer, resident_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.testing import NodeProcess

WINDOW = 1 << 20
BOTH = pytest.mark.parametrize("method", ["items", "items_in_thread"])


async def take(items: AsyncIterator[Any], number: int) -> list[Any]:
    return [await anext(items) for _ in range(number)]


# --- how far ahead ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("taken", [1, 100, 1000])
async def test_a_producer_is_at_most_256_items_ahead_of_a_consumer_that_stops(
    node: NodeProcess, method: str, taken: int
) -> None:
    async with nodes.system() as caller:
        producer = await (await nodes.lab(caller, node)).make("Producer")
        items = aiter(getattr(producer, method)(None))
        await take(items, taken)
        made = await nodes.settled(producer.made)
        assert taken <= made <= taken + 256
        await take(items, 5000)
        assert await nodes.settled(producer.made) <= taken + 5000 + 256
        await items.aclose()


@BOTH
@pytest.mark.parametrize("buffer", [1, 2, 7, 1000])
async def test_the_buffer_can_be_set_for_a_call(
    node: NodeProcess, method: str, buffer: int
) -> None:
    async with nodes.system() as caller:
        producer = await (await nodes.lab(caller, node)).make("Producer")
        items = aiter(getattr(producer, method)(None).with_buffer(buffer))
        for taken in (1, 2, 30):
            await take(items, taken)
        made = await nodes.settled(producer.made)
        assert 33 <= made <= 33 + buffer
        await items.aclose()


@pytest.mark.parametrize("buffer", [1, 5])
async def test_the_buffer_can_be_an_option_of_the_actor(node: NodeProcess, buffer: int) -> None:
    async with nodes.system() as caller:
        producer = await (await nodes.lab(caller, node)).make("Producer", stream_buffer=buffer)
        items = aiter(producer.items(None))
        await take(items, 10)
        assert await nodes.settled(producer.made) <= 10 + buffer
        longer = aiter(producer.items(None).with_buffer(50))
        await take(longer, 1)
        assert await nodes.settled(producer.made) <= 10 + buffer + 1 + 50, "the call wins"
        await items.aclose()
        await longer.aclose()


async def test_the_buffer_can_be_an_option_of_the_method(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        producer = await (await nodes.lab(caller, node)).make("Producer", stream_buffer=100)
        items = aiter(producer.five_ahead())
        assert await take(items, 3) == [1, 2, 3]
        assert await nodes.settled(producer.made) <= 3 + 5
        await items.aclose()


@BOTH
@pytest.mark.parametrize("size", [20_000, 300_000, 3 << 20])
async def test_a_producer_of_large_items_is_at_most_a_window_ahead(
    node: NodeProcess, method: str, size: int
) -> None:
    async with nodes.system() as caller:
        producer = await (await nodes.lab(caller, node)).make("Producer")
        items = aiter(getattr(producer, method)(None, size))
        for taken in (1, 9):
            await take(items, taken)
        made = await nodes.settled(producer.made)
        assert made <= 10 + WINDOW // size + 1, "an item that does not fit may be under way"
        await items.aclose()


async def test_with_a_buffer_of_one_nothing_is_lost(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        for method in (echo.count, echo.count_in_thread):
            assert [each async for each in method(2000).with_buffer(1)] == [*range(2000)]


async def test_large_items_arrive_whole_and_in_order(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        producer = await (await nodes.lab(caller, node)).make("Producer")
        for size in (100_000, 5 << 20):
            first = await producer.made() + 1
            items = aiter(producer.chunks(size))
            for number in range(first, first + 8):
                item = await anext(items)
                assert len(item) == size
                assert item[:4] == item[-4:] == number.to_bytes(4, "big")
            await items.aclose()


async def test_the_caller_of_a_streamed_argument_is_not_far_ahead_either(node: NodeProcess) -> None:
    given = 0

    async def numbers() -> AsyncIterator[int]:
        nonlocal given
        while True:
            given += 1
            yield given

    async def so_far() -> int:
        return given

    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        doubled = aiter(echo.doubled(numbers()).with_buffer(1))
        await take(doubled, 3)
        assert await nodes.settled(so_far) <= 3 + 1 + 256 + 1
        await doubled.aclose()


async def test_a_stream_message_has_the_same_bounds(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        mail = (await (await nodes.lab(caller, node)).make("Mail")).ref
        answer = await mail.ask(pul.Message("stream", 3000))
        chunks = answer.stream_reader()
        assert await take(chunks, 10) == [*range(10)]
        assert [each async for each in chunks] == [*range(10, 3000)]


# --- memory -------------------------------------------------------------------------------------


async def consume_slowly(node: NodeProcess, number: int) -> tuple[int, int]:
    """Read a stream of 1 KiB items in fits and starts.

    Returns:
        By how much the memory of both processes grew between a tenth of the stream and its end.
    """
    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        producer, echo = await lab.make("Producer"), await lab.make("Echo")
        before = (0, 0)
        got = 0
        async for item in producer.items(number, 1024):
            assert len(item) == 1024
            got += 1
            if got % 1000 == 0:
                await asyncio.sleep(0.002)  # the producer runs into its bound
            if got == number // 10:
                gc.collect()
                before = resident_bytes(), await echo.rss()
        gc.collect()
        assert got == number
        return resident_bytes() - before[0], await echo.rss() - before[1]


@pytest.mark.one_loop
async def test_memory_stays_flat_over_a_long_stream(node: NodeProcess) -> None:
    """Unbounded, 100 MB would pile up on either side; the chaos tests read a million items."""
    here, there = await consume_slowly(node, 100_000)
    assert here < 8 << 20
    assert there < 8 << 20


# --- beside each other --------------------------------------------------------------------------


async def test_a_stalled_stream_does_not_slow_another_on_the_same_link(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        producer, echo = await lab.make("Producer"), await lab.make("Echo")

        async def read() -> float:
            began = time.perf_counter()
            assert len([each async for each in echo.count(5000)]) == 5000
            return time.perf_counter() - began

        await read()
        alone = min([await read() for _ in range(4)])
        stalled = [aiter(producer.items(None, size)) for size in (8, 8, 2000, 2000, 100_000) * 4]
        for each in stalled:
            await anext(each)
        await nodes.settled(producer.made)
        beside = min([await read() for _ in range(4)])
        assert beside < 2.5 * alone + 0.02, f"{beside:.3f} s, {alone:.3f} s alone"
        for each in stalled:
            assert await anext(each), "the stalled ones go on"
            await each.aclose()


async def test_many_streams_share_a_link(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")

        async def read(number: int) -> int:
            return len([each async for each in echo.count(number)])

        lengths = [*range(0, 640, 10)]
        assert await asyncio.gather(*map(read, lengths)) == lengths


@pytest.mark.parametrize("number", [0, 1, 255, 256, 257, 10_000])
async def test_streams_of_any_length_end(node: NodeProcess, number: int) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        for method in (echo.count, echo.count_in_thread):
            assert [each async for each in method(number)] == [*range(number)]
            assert await method(number) == [*range(number)], "awaited, it is a list"


async def test_a_stream_that_fails_gives_its_items_first(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        for number in (0, 1, 300):
            got: list[int] = []
            with pytest.raises(ValueError, match=r"not a number"):
                await nodes.drained(echo.fail_after(number, "value"), got)
            assert got == [*range(number)]


async def test_iterating_over_what_does_not_stream_says_so(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        with pytest.raises(pul.PulsingActorError, match=r"one result, not a stream; await it"):
            async for _ in echo.echo(1):
                pass


async def test_a_typed_stream_method_is_a_producer(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        made = await (await nodes.lab(caller, node)).make("Producer")
        typed = made.ref.as_type(Producer)
        assert len([each async for each in typed.items(10, 3)]) == 10


async def test_items_of_any_mix_of_sizes_arrive(node: NodeProcess) -> None:
    sizes = [400_000, 900_000, 10, 1_048_572, 1_048_573, 0, 700_000, 3 << 20, 600_000, 5] * 3
    async with nodes.system() as caller, asyncio.timeout(20):
        producer = await (await nodes.lab(caller, node)).make("Producer")
        assert [len(each) async for each in producer.of_sizes(sizes)] == sizes
        assert [len(each) for each in await producer.of_sizes(sizes)] == sizes


async def test_a_stream_has_one_consumer_at_a_time(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await (await nodes.lab(caller, node)).make("Watched")
        items = aiter(actor.sleep_first("a"))
        first = asyncio.ensure_future(anext(items))
        await actor.when("a", "started")
        with pytest.raises(RuntimeError, match=r"another task waits"):
            await anext(items)
        assert not first.done()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
