import asyncio
import contextlib
import gc
import time

import pytest

from pulsing.actor.methods import Executor


class Source:
    def __init__(self):
        self.log = []
        self.made = 0

    async def count(self, n=10**6):
        try:
            for number in range(n):
                self.made += 1
                yield number
        finally:
            self.log.append("closed")

    def steps(self, n=10**6):
        try:
            for number in range(n):
                self.made += 1
                yield number
        finally:
            self.log.append("closed")

    async def slow(self, n=10**6, seconds=0.002):
        try:
            for number in range(n):
                await asyncio.sleep(seconds)
                self.made += 1
                yield number
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        finally:
            self.log.append("closed")

    async def one_then_hang(self):
        yield "first"
        await asyncio.sleep(30)

    async def busy(self, n):
        for number in range(n):
            time.sleep(0.003)  # noqa: ASYNC251  # the code of a careless user
            self.made += 1
            yield number

    async def fail_after(self, n):
        for number in range(n):
            yield number
        raise ValueError("enough")

    async def cleans_up_slowly(self):
        try:
            yield 1
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.005)
            self.log.append("cleaned")

    async def ping(self):
        return "pong"


NAMES = ["count", "steps"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("executor", Executor)
@pytest.mark.parametrize("n", [0, 1, 2, 255, 256, 257, 1000])
def test_all_items_arrive_in_order(with_runtime, name, executor, n):
    @with_runtime
    async def _(r):
        source = Source()
        actor = await r.spawn(source, executor=executor)
        assert [each async for each in getattr(actor, name)(n)] == list(range(n))
        await actor.ping()
        assert source.log == ["closed"]
        assert actor.cell.active == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("buffer", [1, 2, 10, 100])
def test_the_producer_is_at_most_a_buffer_ahead(with_runtime, name, buffer):
    @with_runtime
    async def _(r):
        source = Source()
        actor = await r.spawn(source)
        items = aiter(getattr(actor, name)().with_buffer(buffer))
        for taken in range(1, 3 * buffer):
            assert await anext(items) == taken - 1
            for _ in range(5):
                await asyncio.sleep(0)
            assert source.made <= taken + buffer
        await asyncio.sleep(0.02)
        assert source.made <= taken + buffer
        assert await actor.ping() == "pong"
        await items.aclose()


async def test_the_buffer_of_the_actor_counts_unless_the_caller_says_otherwise(runtime):
    async with runtime() as r:
        source = Source()
        actor = await r.spawn(source, stream_buffer=3)
        items = aiter(actor.count())
        await anext(items)
        await asyncio.sleep(0.01)
        assert source.made <= 1 + 3
        del items


async def leave_by_break(call):
    async for _ in call:
        break


async def leave_by_exception(call):
    with contextlib.suppress(KeyError):
        async for _ in call:
            raise KeyError


async def leave_by_return(call):
    async for _ in call:
        return


async def leave_by_aclosing(call):
    async with contextlib.aclosing(call) as items:
        async for _ in items:
            break


async def leave_by_aclose(call):
    items = aiter(call)
    await anext(items)
    await call.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def leave_by_context(call):
    async with aiter(call) as items:
        await anext(items)


async def leave_by_cancellation(call):
    got = asyncio.Event()

    async def consume():
        async for _ in call:
            got.set()
            await asyncio.sleep(30)

    task = asyncio.create_task(consume())
    await got.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


LEAVING = [
    leave_by_break,
    leave_by_exception,
    leave_by_return,
    leave_by_aclosing,
    leave_by_aclose,
    leave_by_context,
    leave_by_cancellation,
]


@pytest.mark.parametrize("leave", LEAVING, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", ["count", "steps", "slow"])
def test_leaving_cancels_the_callee_at_once_and_runs_its_finally(with_runtime, leave, name):
    @with_runtime
    async def _(r):
        source = Source()
        actor = await r.spawn(source)
        call = getattr(actor, name)()  # the call object stays alive: leaving is enough
        gc.disable()
        try:
            await leave(call)
            async with asyncio.timeout(0.05):
                while source.log[-1:] != ["closed"]:
                    await asyncio.sleep(0)
        finally:
            gc.enable()
        assert source.log in (["closed"], ["cancelled", "closed"])
        assert await actor.ping() == "pong"


async def test_a_finally_may_await(runtime, until):
    async with runtime() as r:
        source = Source()
        actor = await r.spawn(source)
        for _ in range(2):
            async for _ in actor.cleans_up_slowly():
                break
        await until(lambda: source.log == ["cleaned", "cleaned"])
        assert actor.cell.active == 0


async def test_the_first_item_arrives_at_once(runtime):
    async with runtime() as r:
        actor = await r.spawn(Source())
        started = time.monotonic()
        async for each in actor.one_then_hang():
            assert each == "first"
            break
        assert time.monotonic() - started < 0.05


async def test_items_of_a_busy_generator_leave_before_it_ends(runtime):
    async with runtime() as r:
        source = Source()
        actor = await r.spawn(source)
        made = [source.made async for _ in actor.busy(10)]
        # Each took longer than the time after which items leave: none waited for the next.
        assert made == list(range(1, 11))


async def collect(items, into):
    async for item in items:
        into.append(item)  # what came before a failure counts


async def test_items_before_a_failure_arrive(runtime):
    async with runtime() as r:
        actor = await r.spawn(Source())
        got = []
        with pytest.raises(ValueError, match="enough"):
            await collect(actor.fail_after(100), got)
        assert got == list(range(100))


async def test_a_stream_does_not_hold_up_others(runtime):
    async with runtime() as r:
        actor = await r.spawn(Source())
        stream = asyncio.create_task(actor.count(20_000))
        for _ in range(20):
            assert await actor.ping() == "pong"
        assert not stream.done()
        assert len(await stream) == 20_000


async def test_a_stream_has_one_reader(runtime):
    async with runtime() as r:
        actor = await r.spawn(Source())
        items = aiter(actor.one_then_hang())
        await anext(items)
        waiting = asyncio.create_task(anext(items))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await anext(items)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_tell_to_a_stream_produces_nothing(runtime):
    async with runtime() as r:
        source = Source()
        actor = await r.spawn(source)
        await actor.count.tell()
        await actor.steps.tell()
        assert await actor.ping() == "pong"
        assert source.made == 0


async def test_many_streams_at_once(runtime):
    async with runtime() as r:
        actor = await r.spawn(Source())
        streams = [actor.count(500) for _ in range(64)] + [actor.steps(100) for _ in range(8)]
        for each in await asyncio.gather(*streams):
            assert each == list(range(len(each)))


async def test_memory_stays_flat_while_a_slow_consumer_reads(runtime):
    async with runtime() as r:
        source = Source()
        actor = await r.spawn(source)
        seen = 0
        async for each in actor.count(50_000):
            assert source.made <= each + 1 + 256
            seen += 1
        assert seen == 50_000
