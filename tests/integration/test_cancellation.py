"""The caller gives up: the callee's code hears of it, on the other node, soon.

Times are taken in the callee, on the one monotonic clock of the machine. They are 50 ms by design;
the assertions leave room for a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.testing import assert_no_leaks
from tests.integration import nodes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.testing import NodeProcess

SOON_S = 0.5
"""The promise is 0.05."""
LONG_S = 60.0

GENERATORS = pytest.mark.parametrize("method", ["ticks", "flood", "flood_in_thread"])


async def watched(caller: pul.ActorSystem, node: NodeProcess) -> Any:
    return await (await nodes.lab(caller, node)).make("Watched")


# --- asks ---------------------------------------------------------------------------------------


async def test_cancelling_an_ask_cancels_the_code_of_the_callee(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        late: list[float] = []
        for number in range(20):
            key = str(number)
            ask = asyncio.ensure_future(actor.sleep(key))
            await actor.when(key, "started")
            cancelled_at = time.monotonic()
            ask.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ask
            late.append(await actor.when(key, "cancelled") - cancelled_at)
            await actor.when(key, "ended")
        assert sorted(late)[len(late) // 2] < 0.05, "as promised, as a rule"
        assert max(late) < SOON_S


async def test_with_timeout_ends_the_call_on_both_sides(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        began = time.monotonic()
        with pytest.raises(
            pul.DeadlineExceeded, match=r"sleep.*the deadline of the call passed"
        ) as caught:
            await actor.sleep("a").with_timeout(0.2)
        assert 0.2 <= time.monotonic() - began < 0.2 + SOON_S
        assert caught.value.delivered is pul.Delivery.UNKNOWN
        assert isinstance(caught.value, TimeoutError)
        assert 0.19 <= await actor.when("a", "cancelled") - began < 0.2 + SOON_S


async def test_a_deadline_block_bounds_all_calls_in_it(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        began = time.monotonic()
        with pul.deadline(0.2):
            assert await actor.sleep("short", 0.01) == "slept"
            with pytest.raises(pul.DeadlineExceeded):
                await actor.sleep("a").with_timeout(LONG_S)
            with pytest.raises(pul.DeadlineExceeded):
                await actor.sleep("b")
            with pytest.raises(pul.DeadlineExceeded):
                async for _ in actor.ticks("c"):
                    pass
        assert time.monotonic() - began < 0.2 + SOON_S
        assert await actor.when("a", "cancelled") - began < 0.2 + SOON_S
        assert await actor.seen("b") == [], "expired work is not started"


async def test_asyncio_timeout_works_as_for_any_awaitable(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await actor.sleep("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(actor.sleep("b"), 0.1)
        for key in "ab":
            assert await actor.when(key, "cancelled") - began < 0.3 + SOON_S


async def test_a_deadline_travels_through_a_chain_of_calls(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        first, second = await watched(caller, node), await watched(caller, node)
        began = time.monotonic()
        with pytest.raises(pul.DeadlineExceeded):
            await first.call_other("first", second, "second").with_timeout(0.2)
        assert await second.when("second", "cancelled") - began < 0.2 + SOON_S
        assert await first.when("first", "ended") - began < 0.2 + SOON_S


async def test_cancellation_travels_through_a_chain_over_two_nodes(node: NodeProcess) -> None:
    async with nodes.system("127.0.0.1:0") as caller:
        there = await watched(caller, node)
        here = await caller.spawn(type_of(there))
        ask = asyncio.ensure_future(there.call_other("a", here, "b"))
        await here.when("b", "started")
        cancelled_at = time.monotonic()
        ask.cancel()
        assert await here.when("b", "cancelled") - cancelled_at < 2 * SOON_S
        with pytest.raises(asyncio.CancelledError):
            await ask


def type_of(proxy: Any) -> Any:
    from tests.integration.hosted import Watched

    assert "Watched" in repr(proxy)
    return Watched


async def test_the_remaining_time_is_known_to_the_callee(node: NodeProcess) -> None:
    async with nodes.system(default_timeout_s=20.0) as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        assert 4 < await echo.seconds_left().with_timeout(5) <= 5
        assert 19 < await echo.seconds_left() <= 20
        assert await echo.seconds_left().with_timeout(None) is None
    async with nodes.system(default_timeout_s=None) as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        assert await echo.seconds_left() is None


async def test_a_call_that_was_not_sent_yet_is_not_delivered() -> None:
    """Nobody answers at the address: the call ends at its deadline while it waits to be sent."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with assert_no_leaks(), nodes.system() as caller:
            target = caller.remote_target(f"127.0.0.1:{silent.getsockname()[1]}", "actors/x")
            call = pul.Call(target, "anything", (), None).with_timeout(0.1)
            with pytest.raises(pul.DeadlineExceeded, match=r"before there was a connection") as got:
                await call
            assert got.value.delivered is pul.Delivery.NO


async def test_a_thousand_cancelled_asks_leave_nothing(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        asks = [asyncio.ensure_future(actor.sleep("many")) for _ in range(900)]
        await actor.when("many", "started")
        for ask in asks:
            ask.cancel()
        assert all(
            isinstance(each, asyncio.CancelledError)
            for each in await asyncio.gather(*asks, return_exceptions=True)
        )
        assert await actor.sleep("after", 0.0) == "slept", "there is room again"
        lab = await nodes.lab(caller, node)
        assert await nodes.settled(lab.open_calls) <= 1, "the one that asks"


# --- streams ------------------------------------------------------------------------------------


@GENERATORS
@pytest.mark.parametrize("way", ["break", "aclose", "call.aclose", "cancel", "raise", "drop"])
async def test_leaving_a_stream_ends_its_generator(
    node: NodeProcess, method: str, way: str
) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        call = getattr(actor, method)("a")
        left_at = 0.0
        match way:
            case "break":
                async for item in call:
                    if item == 5:
                        left_at = time.monotonic()
                        break
            case "aclose" | "drop":
                items = aiter(call)
                for expected in range(5):
                    assert await anext(items) == expected
                left_at = time.monotonic()
                if way == "aclose":
                    await items.aclose()
                    with pytest.raises(StopAsyncIteration):
                        await anext(items)
                else:
                    del items
            case "call.aclose":
                items = aiter(call)
                await anext(items)
                left_at = time.monotonic()
                await call.aclose()
                with pytest.raises(StopAsyncIteration):
                    await anext(items)
            case "cancel":
                started = asyncio.Event()

                async def consume() -> None:
                    async for _ in call:
                        started.set()
                        await asyncio.sleep(0)

                task = asyncio.ensure_future(consume())
                await started.wait()
                left_at = time.monotonic()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            case "raise":
                with contextlib.suppress(LookupError):
                    async for _ in call:
                        left_at = time.monotonic()
                        raise LookupError
        assert await actor.when_ended("a") - left_at < SOON_S


@GENERATORS
async def test_a_stream_ends_at_its_deadline(node: NodeProcess, method: str) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        began = time.monotonic()
        with pytest.raises(pul.DeadlineExceeded):
            async for _ in getattr(actor, method)("a").with_timeout(0.2):
                pass
        assert time.monotonic() - began < 0.2 + SOON_S
        assert await actor.when_ended("a") - began < 0.2 + SOON_S


async def test_a_stalled_stream_ends_at_its_deadline_too(node: NodeProcess) -> None:
    """Nobody reads, so the producer waits for credit when its time is up."""
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        began = time.monotonic()
        items = aiter(actor.flood("a").with_timeout(0.3))
        assert await anext(items) == 0
        assert 0.25 < await actor.when_ended("a") - began < 0.3 + SOON_S
        with pytest.raises(pul.DeadlineExceeded):
            await nodes.drained(items)


async def test_a_stream_has_no_deadline_of_its_own(node: NodeProcess) -> None:
    async with nodes.system(default_timeout_s=0.1) as caller:
        actor = await watched(caller, node)
        began = time.monotonic()
        async for _ in actor.ticks("a"):
            if time.monotonic() - began > 0.3:
                break


async def test_cancelling_a_collected_stream_ends_its_generator(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        actor = await watched(caller, node)
        collecting = asyncio.ensure_future(actor.ticks("a"))
        await asyncio.sleep(0.02)
        collecting.cancel()
        left_at = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await collecting
        assert await actor.when_ended("a") - left_at < SOON_S


async def test_cancelling_a_call_closes_the_stream_it_was_given(node: NodeProcess) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async with nodes.system() as caller, asyncio.timeout(10):
        actor = await watched(caller, node)
        pull = asyncio.ensure_future(actor.pull("a", endless()))
        await actor.when("a", "item")
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull
        await closed.wait()
        await actor.when("a", "ended")


# --- the end of a system ------------------------------------------------------------------------


async def test_a_caller_that_shuts_down_cancels_what_it_has_asked_for(node: NodeProcess) -> None:
    async with nodes.system() as observer:
        actor = await watched(observer, node)
        async with nodes.system() as caller:
            again = await caller.refer(str(actor.ref.address))
            ask = asyncio.ensure_future(again.sleep("a"))
            items = aiter(again.ticks("b"))
            await anext(items)
            await actor.when("a", "started")
            left_at = time.monotonic()
        with pytest.raises(pul.ConnectionLost):
            await ask
        with pytest.raises(pul.ConnectionLost):
            await nodes.drained(items)
        assert await actor.when("a", "cancelled") - left_at < SOON_S
        assert await actor.when_ended("b") - left_at < SOON_S


async def test_a_callee_that_stops_ends_calls_and_streams(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        actor = await lab.make("Watched")
        ask = asyncio.ensure_future(actor.sleep("a"))
        items = aiter(actor.ticks("b"))
        await anext(items)
        await actor.when("a", "started")
        await lab.stop(actor)
        with pytest.raises(pul.ActorStopped):
            await ask
        with pytest.raises(pul.ActorStopped):
            await nodes.drained(items)
        with pytest.raises(pul.ActorNotFound):
            await actor.sleep("c")
