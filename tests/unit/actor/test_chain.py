"""Calls that would wait for themselves are refused; all others go on."""

import asyncio
import gc

import pytest

import pulsing as pul
from pulsing.actor.local import LocalAsk
from pulsing.errors import Deadlock, Delivery
from tests.integration import nodes


@pul.remote(max_concurrency=1)
class Strict:
    """One message at a time."""

    def __init__(self, others=()):
        self.others = list(others)
        self.seen = 0
        self.tasks = []
        self.started = asyncio.Event()

    async def give(self, *others):
        self.others = list(others)

    async def value(self):
        self.seen += 1
        return self.seen

    async def go(self, path):
        """Follow a path of actors; the last one is asked for its value."""
        if not path:
            return await self.value()
        return await path[0].go(path[1:])

    async def me(self):
        return pul.current().self_ref

    async def ask_self(self):
        return await pul.current().self_ref.value()

    async def stream_self(self):
        return [each async for each in pul.current().self_ref.count(3)]

    async def count(self, number):
        for each in range(number):
            yield each

    async def count_of(self, other, number):
        return [each async for each in other.relay(pul.current().self_ref, number)]

    async def relay(self, back, number):
        for _ in range(number):
            yield await back.value()

    async def in_group(self, other):
        back = pul.current().self_ref
        return await asyncio.gather(*(other.go([back]) for _ in range(3)), return_exceptions=True)

    async def tell_self(self):
        pul.current().self_ref.value.tell()
        return self.seen

    async def later(self, other):
        """A task of the actor calls, when this message is over."""
        back = pul.current().self_ref

        async def background():
            await asyncio.sleep(0.01)
            return await other.go([back])

        self.tasks.append(asyncio.create_task(background()))

    async def background_result(self):
        return await asyncio.shield(self.tasks[0]) if self.tasks[0].done() else None


@pul.remote(max_concurrency=1000)
class Loose(Strict):
    """The same, with many messages at a time."""


@pul.remote
class Threaded:
    """Methods in worker threads."""

    def go(self, other, back):
        return other.sync.go([back])

    def go_on(self, other):
        return other.sync.value()

    async def value(self):
        return "free"

    def stream(self, other, back):
        yield 1
        yield other.sync.go([back])


async def test_a_loop_of_two_strict_actors_is_refused_and_names_the_chain():
    async with nodes.system() as system:
        one = await Strict.spawn(name="one", system=system)
        two = await Strict.spawn(name="two", system=system)
        with pytest.raises(Deadlock, match="actors/one -> actors/two -> actors/one") as caught:
            await one.go([two, one])
        assert caught.value.chain == ("actors/one", "actors/two", "actors/one")
        assert caught.value.delivered is Delivery.NO
        assert await one.value() == 1
        assert await two.value() == 1


async def test_a_long_loop_is_refused_where_it_closes():
    async with nodes.system() as system:
        ring = [await Strict.spawn(name=f"n{number}", system=system) for number in range(30)]
        with pytest.raises(Deadlock) as caught:
            await ring[0].go([*ring[1:], ring[7]])
        assert caught.value.chain == tuple(f"actors/n{n}" for n in [*range(7, 30), 7])
        assert [await each.value() for each in ring] == [1] * 30


async def test_asking_itself_is_refused_at_once_with_calls_and_with_streams():
    async with nodes.system() as system:
        one = await Strict.spawn(name="one", system=system)
        for call in (one.ask_self, one.stream_self):
            with pytest.raises(Deadlock, match="actors/one -> actors/one"):
                await call()
        assert await one.tell_self() == 0
        assert await one.value() == 2


async def test_a_stream_waits_for_its_producer_too():
    async with nodes.system() as system:
        one = await Strict.spawn(name="one", system=system)
        two = await Strict.spawn(name="two", system=system)
        with pytest.raises(Deadlock, match="actors/one -> actors/two -> actors/one"):
            await one.count_of(two, 3)


async def test_calls_made_in_tasks_of_the_method_belong_to_the_chain():
    async with nodes.system() as system:
        one = await Strict.spawn(name="one", system=system)
        two = await Loose.spawn(name="two", system=system)
        got = await one.in_group(two)
        assert [type(each) for each in got] == [Deadlock] * 3


async def test_with_a_concurrency_above_one_re_entry_proceeds():
    async with nodes.system() as system:
        one = await Loose.spawn(name="one", system=system)
        two = await Strict.spawn(name="two", system=system)
        assert await one.go([two, one]) == 1
        assert await one.ask_self() == 2
        assert await one.count_of(two, 2) == [3, 4]


async def test_what_a_background_task_calls_when_the_message_is_over_is_no_re_entry():
    async with nodes.system() as system:
        one = await Strict.spawn(name="one", system=system)
        two = await Strict.spawn(name="two", system=system)
        await one.later(two)
        async with asyncio.timeout(5):
            while (got := await one.background_result()) is None:
                await asyncio.sleep(0.001)
        assert got == 1


async def test_a_def_that_waits_for_a_call_back_is_refused():
    async with nodes.system() as system:
        one = await Threaded.spawn(name="one", system=system)
        two = await Loose.spawn(name="two", system=system)
        with pytest.raises(Deadlock, match="actors/one -> actors/two -> actors/one"):
            await one.go(two, one)
        items = one.stream(two, one)
        with pytest.raises(Deadlock, match="actors/one -> actors/two -> actors/one"):
            await items
        assert await one.go_on(two) == 1


async def test_others_wait_their_turn_while_an_actor_is_occupied():
    async with nodes.system() as system:
        one = await Strict.spawn(name="one", system=system)
        two = await Strict.spawn(name="two", system=system)
        asks = [one.go([two]) for _ in range(50)] + [two.value() for _ in range(50)]
        assert sorted(await asyncio.gather(*asks)) == list(range(1, 101))


class AsksItself:
    async def on_start(self, actor_id):
        await pul.current().self_ref.value()

    async def value(self):
        return 1


async def test_on_start_cannot_wait_for_its_own_actor():
    async with nodes.system() as system:
        with pytest.raises(Deadlock):
            await system.spawn(AsksItself(), name="one")


class Rolling:
    """Each message starts a task that asks again."""

    def __init__(self, rounds):
        self.left = rounds
        self.done = asyncio.Event()

    async def roll(self):
        self.left -= 1
        if self.left:
            self.task = asyncio.ensure_future(pul.current().self_ref.roll())
        else:
            self.done.set()


async def test_a_chain_that_never_ends_keeps_nothing():
    async with nodes.system() as system:
        rolling = Rolling(300)
        ref = await system.spawn(rolling, name="rolling")
        before = _asks()  # of whatever ran here earlier
        await ref.roll()
        async with asyncio.timeout(5):
            await rolling.done.wait()
        assert _asks() <= before + 3


def _asks():
    gc.collect()
    return sum(type(each) is LocalAsk for each in gc.get_objects())
