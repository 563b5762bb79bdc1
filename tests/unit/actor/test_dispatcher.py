import asyncio
import contextvars
import gc
import random
import threading
import time
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsing.actor.call import Call
from pulsing.actor.context import current
from pulsing.actor.methods import Executor
from pulsing.errors import PulsingError, PulsingRuntimeError, PulsingSystemError


class Witness:
    """Notices when two pieces of its code run at once."""

    def __init__(self):
        self.inside = None
        self.overlaps = 0
        self.running = 0
        self.most = 0

    def piece(self, seconds=0.0):
        me = object()
        if self.inside is not None:
            self.overlaps += 1
        self.inside = me
        if seconds:
            time.sleep(seconds)
        if self.inside is not me:
            self.overlaps += 1
        self.inside = None

    async def hop(self, hops, seconds=0.0):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(hops):
                self.piece(seconds)
                await asyncio.sleep(0)
            self.piece(seconds)
        finally:
            self.running -= 1
        return hops

    def work(self, seconds=0.0):
        self.piece(seconds)
        return "worked"

    async def stream(self, n):
        for number in range(n):
            self.piece()
            if number % 3 == 0:
                await asyncio.sleep(0)
            yield number

    def steps(self, n, seconds=0.0):
        for number in range(n):
            self.piece(seconds)
            yield number


calls = st.one_of(
    st.tuples(st.just("hop"), st.integers(0, 5)),
    st.tuples(st.just("work"), st.sampled_from([0.0, 0.0, 0.0005])),
    st.tuples(st.just("stream"), st.integers(0, 9)),
    st.tuples(st.just("steps"), st.integers(0, 9)),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    mix=st.lists(calls, min_size=1, max_size=40),
    max_concurrency=st.sampled_from([1, 2, 1000]),
    executor=st.sampled_from(Executor),
    cancelled=st.sets(st.integers(0, 39), max_size=5),
)
def test_an_actor_never_runs_two_pieces_of_its_code_at_once(
    with_runtime, mix, max_concurrency, executor, cancelled
):
    @with_runtime
    async def _(r):
        witness = Witness()
        actor = await r.spawn(witness, max_concurrency=max_concurrency, executor=executor)
        tasks = [asyncio.create_task(Call(actor.target, *_named(each))) for each in mix]
        await asyncio.sleep(0)
        for number in cancelled & set(range(len(tasks))):
            tasks[number].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for (name, value), answer in zip(mix, answers, strict=True):
            if not isinstance(answer, asyncio.CancelledError):
                expected = {"hop": value, "work": "worked"}
                assert answer == expected.get(name, list(range(int(value))))
        assert witness.overlaps == 0
        assert witness.most <= max_concurrency
        async with asyncio.timeout(5):
            while not actor.cell.is_idle():
                await asyncio.sleep(0)


def _named(call):
    name, value = call
    return name, (value,), None


async def test_one_message_at_a_time_when_told_so(runtime):
    async with runtime() as r:
        witness = Witness()
        actor = await r.spawn(witness, max_concurrency=1)
        await asyncio.gather(*(actor.hop(3) for _ in range(50)))
        assert witness.most == 1


async def test_async_methods_interleave_up_to_the_bound(runtime):
    async with runtime() as r:
        witness = Witness()
        actor = await r.spawn(witness, max_concurrency=7)
        await asyncio.gather(*(actor.hop(3) for _ in range(50)))
        assert witness.most == 7


async def test_a_def_method_that_blocks_delays_no_other_actor(runtime):
    async with runtime() as r:
        blocked = await r.spawn(Witness(), name="blocked")
        free = await r.spawn(Witness(), name="free")
        slow = asyncio.create_task(blocked.work(0.5))
        await asyncio.sleep(0.02)
        started = time.monotonic()
        await free.hop(3)
        assert await free.work() == "worked"
        assert time.monotonic() - started < 0.25
        waiting = asyncio.create_task(blocked.hop(0))
        await asyncio.sleep(0.02)
        assert not waiting.done()  # the actor itself is exclusive
        await slow
        await waiting


async def test_async_methods_get_their_turn_between_def_messages(runtime):
    async with runtime() as r:
        witness = Witness()
        actor = await r.spawn(witness)
        hop = asyncio.create_task(actor.hop(3))
        await asyncio.sleep(0)
        works = [asyncio.create_task(actor.work(0.02)) for _ in range(20)]
        await hop
        assert sum(each.done() for each in works) < 15
        await asyncio.gather(*works)
        assert witness.overlaps == 0


async def test_two_streams_and_def_messages_share_an_actor(runtime):
    async with runtime() as r:
        witness = Witness()
        actor = await r.spawn(witness)
        streams = [asyncio.create_task(actor.steps(20, 0.002)) for _ in range(2)]
        await asyncio.sleep(0.005)
        assert await actor.work() == "worked"
        assert not any(each.done() for each in streams)
        for each in streams:
            assert await each == list(range(20))
        assert witness.overlaps == 0


# --- what user code may rely on


class Probe:
    var = contextvars.ContextVar("var", default="unset")

    async def task(self):
        first = asyncio.current_task()
        await asyncio.sleep(0)
        return first is not None and first is asyncio.current_task()

    async def timeout(self):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(30)

    async def caught_timeout(self):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(30)
        except TimeoutError:
            return asyncio.current_task().cancelling()

    async def group(self):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
        return [each.result() for each in tasks]

    async def failing_group(self):
        async def fail():
            raise KeyError("inner")

        caught = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(30))
                group.create_task(fail())
        except* KeyError:
            caught = "caught"
        return caught

    async def set_var(self, value):
        before = self.var.get()
        self.var.set(value)
        await asyncio.sleep(0)
        assert self.var.get() == value
        return before

    def set_var_in_thread(self, value):
        before = self.var.get()
        self.var.set(value)
        return before, threading.current_thread() is threading.main_thread()

    async def who(self):
        await asyncio.sleep(0)
        return current()

    def who_in_thread(self):
        return current()

    async def who_streams(self):
        yield current()
        await asyncio.sleep(0)
        yield current()

    def who_steps(self):
        yield current()
        yield current()

    async def ask(self, other):
        return await other.sender()

    async def sender(self):
        return current().sender


async def test_user_code_has_a_task_of_its_own(runtime):
    async with runtime() as r:
        actor = await r.spawn(Probe())
        assert await actor.task()
        assert await actor.group() == [0, 1, 2]
        assert await actor.failing_group() == "caught"
        assert await actor.caught_timeout() == 0
        with pytest.raises(TimeoutError):
            await actor.timeout()
        assert await asyncio.gather(*(actor.task() for _ in range(100))) == [True] * 100


async def test_each_message_has_its_own_context(runtime):
    async with runtime() as r:
        Probe.var.set("spawned")
        actor = await r.spawn(Probe())
        Probe.var.set("caller")
        answers = await asyncio.gather(*(actor.set_var(n) for n in range(10)))
        assert answers == ["spawned"] * 10
        assert await actor.set_var_in_thread(1) == ("spawned", False)
        assert await actor.set_var_in_thread(2) == ("spawned", False)
        assert Probe.var.get() == "caller"


async def test_what_on_start_sets_is_seen_by_all_messages(runtime):
    class Setting(Probe):
        async def on_start(self, actor_id):
            self.var.set(("started", actor_id.local))

    async with runtime() as r:
        actor = await r.spawn(Setting())
        assert await actor.set_var(1) == ("started", 1)
        assert await actor.set_var(1) == ("started", 1)


async def test_current_works_in_every_kind_of_method(runtime):
    async with runtime() as r:
        actor = await r.spawn(Probe(), name="probe")
        contexts = [await actor.who(), await actor.who_in_thread()]
        contexts += await actor.who_streams()
        contexts += await actor.who_steps()
        assert len(contexts) == 6
        for each in contexts:
            assert each.name == "probe"
            assert each.actor_id == actor.cell.actor_id
            assert each.self_ref == ("reference", actor.cell)
            assert each.sender is None
        other = await r.spawn(Probe(), name="other")
        assert await actor.ask(other) == ("reference", actor.cell)
        with pytest.raises(PulsingRuntimeError, match="inside an actor"):
            current()


# --- what user code may raise


class Failing:
    def __init__(self):
        self.calls = 0

    async def fail(self, error):
        raise error

    async def fail_later(self, error):
        await asyncio.sleep(0)
        raise error

    def fail_in_thread(self, error):
        raise error

    async def fail_streaming(self, error):
        yield 1
        raise error

    def fail_stepping(self, error):
        yield 1
        raise error

    async def cancel_itself(self):
        asyncio.current_task().cancel()
        await asyncio.sleep(30)

    async def cancel_and_return(self):
        asyncio.current_task().cancel()
        return "returned"

    async def answer(self):
        self.calls = number = self.calls + 1
        await asyncio.sleep(0)
        return number


WAYS = ["fail", "fail_later", "fail_in_thread", "fail_streaming", "fail_stepping"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyError("missing"),
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError("by itself"),
        GeneratorExit(),
        StopIteration(5),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_user_code_raises_is_an_answer_and_the_actor_lives(with_runtime, way, error):
    @with_runtime
    async def _(r):
        actor = await r.spawn(Failing())
        with pytest.raises(PulsingError) as caught:
            await Call(actor.target, way, (error,), None)
        if type(error) in (ValueError, KeyError):
            assert isinstance(caught.value, type(error))
        else:
            assert isinstance(caught.value, Exception)
            assert not isinstance(caught.value, StopIteration)
        assert await actor.answer() == 1
        assert await asyncio.gather(*(actor.answer() for _ in range(5))) == [2, 3, 4, 5, 6]


async def test_code_that_cancels_its_own_task_harms_no_other_message(runtime):
    async with runtime() as r:
        actor = await r.spawn(Failing())
        for _ in range(3):
            with pytest.raises(PulsingSystemError):
                await actor.cancel_itself()
            calls = [actor.cancel_and_return(), actor.answer(), actor.cancel_and_return()]
            answers = await asyncio.gather(*calls)
            assert answers[0] == answers[2] == "returned"


async def test_wrong_arguments_are_a_type_error(runtime):
    async with runtime() as r:
        actor = await r.spawn(Failing())
        for way in WAYS:
            with pytest.raises(TypeError, match="argument"):
                await Call(actor.target, way, (1, 2, 3), None)


async def test_a_decorator_may_return_other_awaitables_and_iterators(runtime):
    def passing(function):
        import functools

        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    class Items:
        def __init__(self):
            self.n = 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.n += 1
            if self.n > 3:
                raise StopAsyncIteration
            return self.n

    class Decorated:
        @passing
        async def plain(self):
            await asyncio.sleep(0)
            return "plain"

        @passing
        async def stream(self):
            yield 1
            yield 2

        def gives_a_coroutine(self):
            async def work():
                await asyncio.sleep(0)
                return "worked"

            return work()

        def gives_a_generator(self):
            return (n for n in range(3))

        def gives_an_async_generator(self):
            async def items():
                yield 7

            return items()

    async with runtime() as r:
        actor = await r.spawn(Decorated())
        assert await actor.plain() == "plain"
        assert await actor.stream() == [1, 2]
        for executor in Executor:
            actor = await r.spawn(Decorated(), executor=executor)
            assert await actor.gives_a_coroutine() == "worked"
            assert await actor.gives_a_generator() == [0, 1, 2]
            assert [each async for each in actor.gives_a_generator()] == [0, 1, 2]
            assert await actor.gives_an_async_generator() == [7]
            assert actor.cell.is_idle()


# --- scheduling


async def test_the_loop_gets_its_turn_while_actors_are_busy(runtime):
    async with runtime() as r:
        actor = await r.spawn(Failing())
        done = False

        async def hammer():
            while not done:
                await actor.answer()

        async def tell():
            while not done:
                actor.answer.tell()
                await asyncio.sleep(0)

        hammers = [asyncio.create_task(hammer()) for _ in range(20)] + [asyncio.create_task(tell())]
        late = 0.0
        for _ in range(10):
            started = time.monotonic()
            await asyncio.sleep(0.005)
            late = max(late, time.monotonic() - started - 0.005)
        done = True
        await asyncio.gather(*hammers)
        assert late < 0.1


async def test_an_actor_that_floods_itself_starves_nobody(runtime):
    class Flooding:
        async def go(self, me):
            me.go.tell(me)
            me.go.tell(me)

    async with runtime() as r:
        actor = await r.spawn(Flooding(), mailbox_size=1000)
        other = await r.spawn(Failing())
        actor.go.tell(actor)
        for number in range(50):
            assert await other.answer() == number + 1
        await actor.cell.stop()


async def test_actors_may_call_each_other_and_themselves(runtime):
    class Fib:
        async def fib(self, me, n):
            if n < 2:
                return n
            return sum(await asyncio.gather(me.fib(me, n - 1), me.fib(me, n - 2)))

    async with runtime() as r:
        actor = await r.spawn(Fib())
        assert await actor.fib(actor, 10) == 55


async def test_runners_come_when_needed_and_are_bounded_when_idle(runtime, until):
    async with runtime() as r:
        actor = await r.spawn(Witness(), max_concurrency=5000)
        await asyncio.gather(*(actor.hop(40) for _ in range(1000)))
        await until(lambda: r.dispatcher.runner_count <= 256)
        assert r.dispatcher.runner_count > 1


async def test_ten_thousand_calls_at_once(runtime):
    async with runtime() as r:
        actor = await r.spawn(Witness())
        answers = await asyncio.gather(*(actor.hop(1) for _ in range(10_000)))
        assert answers == [1] * 10_000


async def test_random_cancellations_disturb_nobody(runtime):
    dice = random.Random(7)
    async with runtime() as r:
        witness = Witness()
        actor = await r.spawn(witness, max_concurrency=20)
        for _ in range(10):
            tasks = [
                asyncio.create_task(dice.choice([actor.hop, actor.work, actor.stream])(2 * 0))
                for _ in range(60)
            ]
            for _ in tasks:
                if dice.random() < 0.3:
                    await asyncio.sleep(0)
                if dice.random() < 0.5:
                    dice.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert await actor.hop(1) == 1
        assert witness.overlaps == 0
        assert actor.cell.active == 0


@pytest.mark.one_loop
def test_a_program_that_forgets_to_close_still_ends():
    from pulsing.actor.dispatcher import Dispatcher

    async def main():
        import asyncio as aio

        from pulsing.actor import lifecycle
        from pulsing.actor.cell import Cell, CellOptions
        from pulsing.actor.local import LocalTarget
        from pulsing.actor.methods import MethodTable
        from pulsing.ids import ActorId

        dispatcher = Dispatcher(aio.get_running_loop())
        cell = Cell(
            Witness(),
            MethodTable.of(Witness),
            actor_id=ActorId("0" * 32, 1),
            name=None,
            options=CellOptions(),
            dispatcher=dispatcher,
        )
        await lifecycle.start(cell)
        target = LocalTarget(cell)
        await Call(target, "hop", (2,), None)
        pending = aio.create_task(Call(target, "hop", (10**9,), None))
        await aio.sleep(0.01)
        return weakref.ref(pending)

    asyncio.run(main())
    gc.collect()
