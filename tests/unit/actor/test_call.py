import asyncio
import collections.abc
import contextlib
import gc
import inspect
import weakref

import pytest

from pulsing.actor.call import Call, StreamCall
from pulsing.errors import PulsingActorError, PulsingRuntimeError


class Counter:
    kind = "counter"

    def __init__(self):
        self.value = 0
        self.log = []

    async def incr(self, n=1):
        self.value += n
        return self.value

    async def slow(self):
        try:
            await asyncio.sleep(30)
        finally:
            self.log.append("slow ended")

    async def echo(self, *args, **kwargs):
        return args, kwargs

    async def stream(self, n):
        for number in range(n):
            yield number

    def steps(self, n):
        yield from range(n)

    @property
    def double(self):
        return self.value * 2

    async def receive(self, msg):
        return ("received", msg)


async def test_a_call_is_a_coroutine_for_asyncio(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        call = actor.incr(2)
        assert isinstance(call, collections.abc.Coroutine)
        assert inspect.isawaitable(call)
        assert asyncio.iscoroutine(call)
        assert await call == 2
        assert await asyncio.create_task(actor.incr()) == 3
        assert await asyncio.ensure_future(actor.incr()) == 4
        assert await asyncio.gather(actor.incr(), actor.incr()) == [5, 6]
        assert await asyncio.wait_for(actor.incr(), 1) == 7
        assert await asyncio.shield(actor.incr()) == 8
        async with asyncio.TaskGroup() as group:
            task = group.create_task(actor.incr())
        assert task.result() == 9
        assert "Task" in repr(asyncio.create_task(actor.incr()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(actor.slow(), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await actor.slow()


async def test_a_call_is_sent_once(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        call = actor.incr()
        await call
        assert repr(call) == "<Call incr sent>"
        with pytest.raises(RuntimeError, match="used already"):
            await call
        stream = actor.stream(1)
        assert [each async for each in stream] == [0]
        with pytest.raises(RuntimeError, match="used already"):
            _ = [each async for each in stream]


async def test_a_call_that_is_never_used_sends_nothing_and_does_not_complain(runtime):
    async with runtime() as r:
        counter = Counter()
        actor = await r.spawn(counter)
        call = actor.incr()
        assert repr(call) == "<Call incr not sent>"
        del call
        closed = actor.incr()
        closed.close()
        with pytest.raises(RuntimeError):
            await closed
        thrown = actor.incr()
        with pytest.raises(ZeroDivisionError):
            thrown.throw(ZeroDivisionError)
        gc.collect()
        assert counter.value == 0


async def test_arguments_arrive_by_reference(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        thing = object()
        args, kwargs = await actor.echo(1, thing, key=thing)
        assert args[1] is thing
        assert kwargs == {"key": thing}
        assert await actor.echo() == ((), {})


async def test_calls_and_tells_of_one_task_arrive_in_order(runtime):
    class Recorder:
        def __init__(self):
            self.seen = []

        async def note(self, n):
            self.seen.append(n)

        def noted(self):
            return self.seen

    async with runtime() as r:
        actor = await r.spawn(Recorder())
        for number in range(0, 300, 3):
            actor.note.tell(number)
            actor.note.tell(number + 1)
            await actor.note(number + 2)
        assert await actor.noted() == list(range(300))


async def test_cancelling_the_caller_cancels_the_callee(runtime, until):
    async with runtime() as r:
        counter = Counter()
        actor = await r.spawn(counter)
        task = asyncio.create_task(actor.slow())
        await until(lambda: actor.cell.active == 1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(0.05):
            await until(lambda: counter.log == ["slow ended"])
        assert await actor.incr() == 1


async def test_a_dropped_coroutine_withdraws_its_call(runtime, until):
    async with runtime() as r:
        counter = Counter()
        actor = await r.spawn(counter)
        call = actor.slow()
        call.send(None)
        await until(lambda: actor.cell.active == 1)
        call.close()
        await until(lambda: counter.log == ["slow ended"])


async def test_awaiting_a_stream_collects_it(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        assert await actor.stream(3000) == list(range(3000))
        assert await actor.steps(300) == list(range(300))


async def test_iterating_what_does_not_stream_is_an_error(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        with pytest.raises(PulsingActorError, match=r"incr\(\) gives one result"):
            await anext(aiter(actor.incr()))


async def test_unknown_and_private_names_are_refused(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        with pytest.raises(PulsingActorError, match=r"Not found.*'nothing'.*incr"):
            await Call(actor.target, "nothing", (), None)
        with pytest.raises(PulsingActorError, match="Not found"):
            await Call(actor.target, "_secret", (), None)
        with pytest.raises(PulsingActorError, match="Not found"):
            Call(actor.target, "nothing", (), None).__aiter__()
        with pytest.raises(PulsingActorError, match="Not found"):
            actor.nothing.tell()


async def test_attributes_can_be_read(runtime):
    async with runtime() as r:
        counter = Counter()
        counter.value = 21
        actor = await r.spawn(counter)
        assert await Call.get(actor.target, "value") == 21
        assert await Call.get(actor.target, "double") == 42
        assert await Call.get(actor.target, "kind") == "counter"
        with pytest.raises(PulsingActorError, match="Not found"):
            await Call.get(actor.target, "absent")
        with pytest.raises(PulsingActorError, match="private"):
            await Call.get(actor.target, "_secret")
        with pytest.raises(PulsingActorError, match="is a method"):
            await Call.get(actor.target, "incr")


async def test_raw_messages_go_to_receive(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        assert await Call.ask(actor.target, 5) == ("received", 5)


async def test_with_timeout_and_with_buffer_check_what_they_get(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())
        with pytest.raises(ValueError, match="timeout of -1"):
            actor.incr().with_timeout(-1)
        with pytest.raises(ValueError, match="buffer of 0"):
            actor.incr().with_buffer(0)
        assert await actor.incr().with_timeout(5) == 1
        assert await StreamCall(actor.target, "stream", (2,), None).with_buffer(1) == [0, 1]


async def test_a_tell_may_be_sent_from_a_worker_thread(runtime, until):
    class Teller:
        def forward(self, other):
            other.incr.tell(5)

    async with runtime() as r:
        counter = Counter()
        other = await r.spawn(counter)
        actor = await r.spawn(Teller())
        await actor.forward(other)
        await until(lambda: counter.value == 5)


async def test_an_actor_of_another_loop_is_refused(runtime):
    async with runtime() as r:
        actor = await r.spawn(Counter())

        def elsewhere():
            async def main():
                await actor.incr()

            with pytest.raises(PulsingRuntimeError, match="another event loop"):
                asyncio.run(main())

        await asyncio.to_thread(elsewhere)


async def test_a_finished_call_keeps_nothing_alive(runtime):
    class Thing:
        pass

    class Keeper:
        async def give(self, thing):
            return 1

        async def fail(self, thing):
            raise KeyError("no")

        async def wait(self, thing):
            await asyncio.sleep(0)

        def work(self, thing):
            return 1

        async def items(self, thing):
            yield 1

    async with runtime() as r:
        actor = await r.spawn(Keeper())
        gc.collect()
        gc.disable()
        try:
            for name in ("give", "fail", "wait", "work", "items"):
                thing = Thing()
                gone = weakref.ref(thing)
                with contextlib.suppress(KeyError):
                    await Call(actor.target, name, (thing,), None)
                del thing
                await actor.give(None)
                assert gone() is None, name
        finally:
            gc.enable()
