"""Several actors addressed together."""

import asyncio

import pytest

import pulsing as pul
from pulsing.errors import ActorNotFound, ActorStopped, DeadlineExceeded
from tests.integration import nodes
from tests.unit.actor.clusters import systems


class Worker:
    """Remembers what it is told."""

    def __init__(self, number=0):
        self.number = number
        self.seen = []
        self.gate = asyncio.Event()
        self.cancelled = 0

    async def add(self, value, *, twice=False):
        self.seen.append(value)
        return self.number + value * (2 if twice else 1)

    async def put(self, key, value):
        self.seen.append((key, value))
        return self.number

    async def picky(self, value):
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")
        return value

    async def wait(self):
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.seen.append("through")

    async def fast_or_slow(self):
        if self.number != 2:
            await self.wait()
        return self.number

    async def meet(self, others):
        return len((await pul.group(others).barrier()).errors)

    async def receive(self, message):
        self.seen.append(message)
        return message


async def workers(system, number=5):
    made = [Worker(each) for each in range(number)]
    refs = [await system.spawn(each, name=f"w{each.number}") for each in made]
    return made, refs, pul.group(refs)


async def test_gather_gives_an_outcome_for_each_member_in_order():
    async with nodes.system() as system:
        _, refs, group = await workers(system)
        results = await group.gather("add", 10, twice=True)
        assert results.values == [20, 21, 22, 23, 24]
        assert [each.member for each in results] == refs
        assert results.raise_if_failed() is results
        assert len(results) == len(group) == 5
        assert list(group) == group.members


async def test_partial_failure_is_told_for_each_member():
    async with nodes.system() as system:
        _, refs, group = await workers(system)
        await system.stop(refs[4])
        results = await group.gather("picky", 1)
        assert results.values == [1, 1]
        assert [each.member for each in results.errors] == [refs[1], refs[3], refs[4]]
        assert isinstance(results[1].error, ValueError)
        assert isinstance(results[4].error, ActorStopped)
        assert results[0].error is None
        with pytest.raises(pul.GroupFailed, match=r"3 of 5 members failed: .*w1") as caught:
            results.raise_if_failed()
        assert caught.value.results is results
        assert repr(results) == "<Results 2 ok, 3 failed>"


async def test_broadcast_reaches_all_and_says_who_did_not_get_it():
    async with nodes.system() as system:
        made, refs, group = await workers(system)
        await system.stop(refs[2])
        results = await group.broadcast("add", 7)
        assert [each.member for each in results.errors] == [refs[2]]
        group.broadcast(lambda member: member.tell("raw"))
        await group.barrier()
        assert [each.seen for each in made] == [[7, "raw"]] * 2 + [[]] + [[7, "raw"]] * 2
        assert system.dispatcher.dead_letters.count == 1


async def test_first_gives_the_first_answer_and_cancels_the_rest():
    async with nodes.system() as system:
        made, refs, group = await workers(system)
        await system.stop(refs[0])
        assert await group.first("fast_or_slow") == 2
        cells = [system.named(f"actors/w{number}") for number in range(1, 5)]
        async with asyncio.timeout(5):
            while any(cell.active for cell in cells):
                await asyncio.sleep(0.001)
        assert made[1].cancelled == 1
        assert not any(each.seen for each in made)
        with pytest.raises(pul.GroupFailed, match="2 of 2"):
            await pul.group([refs[1], refs[3]]).first("picky", 1)
        with pytest.raises(ActorNotFound):
            await pul.group([]).first("picky", 1)


async def test_cancelling_gather_cancels_all_calls():
    async with nodes.system() as system:
        made, _, group = await workers(system)
        call = asyncio.ensure_future(group.gather("wait"))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            while [each.cancelled for each in made] != [1] * 5:
                await asyncio.sleep(0.001)


async def test_a_timeout_is_that_of_each_call():
    async with nodes.system() as system:
        made, _, group = await workers(system)
        made[0].gate.set()
        results = await group.with_timeout(0.05).gather("wait")
        assert [type(each.error) for each in results.errors] == [DeadlineExceeded] * 4
        with pytest.raises(ValueError, match="timeout"):
            group.with_timeout(-1)


async def test_scatter_gives_each_key_to_its_member():
    async with nodes.system() as system:
        made, refs, group = await workers(system)
        items = {f"key {number}": number for number in range(200)}
        results = (await group.scatter("put", items)).raise_if_failed()
        assert {each.key for each in results} == set(items)
        assert sorted(pair for each in made for pair in each.seen) == sorted(items.items())
        assert min(len(each.seen) for each in made) > 15
        again = await group.scatter(lambda member, key, value: member.put(key, value), items)
        assert {each.key: each.value for each in again} == {
            each.key: each.value for each in results
        }
        fewer = {key: member for member, keys in pul.group(refs[1:]).share(items) for key in keys}
        before = {key: member for member, keys in group.share(items) for key in keys}
        moved = [key for key in items if before[key] != fewer[key]]
        assert {before[key] for key in moved} == {group.members[0]}
        with pytest.raises(ActorNotFound):
            await pul.group([]).scatter("put", items)
        assert len(await pul.group([]).scatter("put", {})) == 0


async def test_a_barrier_waits_for_what_was_sent_before():
    async with nodes.system() as system:
        made, _, group = await workers(system)
        group.broadcast("wait")
        barrier = asyncio.ensure_future(group.barrier())
        for worker in made[:-1]:
            worker.gate.set()
        await asyncio.sleep(0.02)
        assert not barrier.done()
        made[-1].gate.set()
        (await barrier).raise_if_failed()
        assert [each.seen for each in made] == [["through"]] * 5


async def test_a_member_can_wait_for_a_barrier_of_its_own_group():
    async with nodes.system() as system:
        _, refs, __ = await workers(system)
        async with asyncio.timeout(5):
            assert await refs[0].meet(refs) == 0


async def test_a_group_by_name_follows_the_actors_of_that_name():
    async with systems({}, {}, {}) as three:
        group = pul.group("workers", system=three[0])
        assert group.members == []
        assert repr(group) == "<Group actors/workers>"
        for number, system in enumerate(three):
            await system.spawn(Worker(number), name="workers", public=True)
        async with asyncio.timeout(10):
            while len(group) < 3:
                await asyncio.sleep(0.01)
        assert sorted((await group.gather("add", 0)).values) == [0, 1, 2]
        ref = await three[0].resolve("workers")
        keys = [f"k{number}" for number in range(20)]
        shared = {key: member for member, mine in group.share(keys) for key in mine}
        for key in keys:
            owner = await ref.with_key(key).number
            assert await shared[key].number == owner
        await three[1].stop("workers@" + three[1].node_id)
        async with asyncio.timeout(10):
            while len(group) > 2:
                await asyncio.sleep(0.01)
        assert sorted((await group.gather("add", 0)).values) == [0, 2]


async def test_a_group_by_name_on_a_standalone_node():
    async with nodes.system() as system:
        group = pul.group("w0", system=system, cls=Worker)
        assert len(group) == 0
        await workers(system, 1)
        assert (await group.gather("add", 1)).values == [1]
        with pytest.raises(AttributeError, match="No method"):
            await group.gather("nothing")


async def test_a_group_by_a_name_that_is_none_is_refused():
    async with nodes.system() as system:
        with pytest.raises(ValueError, match="not an actor name"):
            pul.group("no name", system=system)
