"""Links: whoever is linked to an actor that ends other than normally ends, too."""

import asyncio
import itertools

import pytest

import pulsing as pul
from pulsing.testing import FaultProxy
from tests.unit.actor.test_watch import Phoenix
from tests.unit.actor.watchers import end, hears, nodes, seen_from, started, until

Reason = pul.ExitReason
both = pytest.mark.parametrize("where", ["here", "there"])


class Two:
    """Two watchers with a link between them, each as the other's system sees it."""

    def __init__(self, one, two):
        self.systems = one, two

    async def linked(self, *, trap_first=False, trap_second=False):
        one, two = self.systems
        self.first, self.first_ref = await started(one, trap=trap_first)
        self.second, self.second_ref = await started(two, trap=trap_second)
        await self.first_ref.do("link", await seen_from(one, self.second_ref))
        await until(self.both_know)
        return self

    def both_know(self):
        """Whether the other half is in place as well."""
        one, two = self.systems
        return one.watching.is_placed(self.second_ref.actor_id) and two.watching.is_placed(
            self.first_ref.actor_id
        )

    def watches(self):
        one, two = self.systems
        return one.watch(self.first_ref), two.watch(self.second_ref)


def sides(where, one, two):
    return Two(one, one if where == "here" else two)


@both
@pytest.mark.parametrize("asked", [True, False], ids=["who asked", "who was asked"])
@pytest.mark.parametrize("reason", [Reason.KILLED, Reason.ERROR])
async def test_an_abnormal_end_of_either_ends_the_other_for_the_same_reason(where, asked, reason):
    async with nodes(2) as (one, two):
        pair = await sides(where, one, two).linked()
        ends = pair.watches()
        error = ValueError("broken") if reason is Reason.ERROR else None
        index = 0 if asked else 1
        refs = pair.first_ref, pair.second_ref
        await end(pair.systems[index], refs[index], reason, error)
        async with asyncio.timeout(10):
            mine, other = await asyncio.gather(ends[index], ends[1 - index])
        assert mine.reason is other.reason is reason
        assert pair.first.stopped
        assert pair.second.stopped
        if error is not None:
            assert "which it is linked to, has ended: ValueError: broken" in other.error
        await until(lambda: not len(one.watching) and not len(two.watching))


@both
async def test_a_normal_end_is_nothing_to_the_other(where):
    async with nodes(2) as (one, two):
        pair = await sides(where, one, two).linked()
        await end(pair.systems[1], pair.second_ref)
        await until(lambda: not len(one.watching))
        await pair.first_ref.note(1)
        assert pair.first.trace == [1]


@both
@pytest.mark.parametrize("reason", [Reason.NORMAL, Reason.KILLED])
async def test_an_actor_that_traps_exits_hears_of_every_end_and_lives(where, reason):
    async with nodes(2) as (one, two):
        pair = await sides(where, one, two).linked(trap_first=True)
        await end(pair.systems[1], pair.second_ref, reason)
        event = await hears(pair.first)
        assert (event.ref.actor_id, event.reason) == (pair.second_ref.actor_id, reason)
        await pair.first_ref.note(1)
        await pair.first_ref.do("trap_exits", False)
        assert not one.numbered(pair.first_ref.actor_id.local).traps_exits


@both
async def test_a_link_to_what_is_gone_ends_who_asked(where):
    async with nodes(2) as (one, two):
        there = one if where == "here" else two
        first, first_ref = await started(one)
        _, second_ref = await started(there)
        seen = await seen_from(one, second_ref)
        await there.stop(second_ref)
        over = one.watch(first_ref)
        first_ref.do.tell("link", seen)
        assert (await over).reason is Reason.NOT_FOUND
        assert first.stopped


@both
@pytest.mark.parametrize("asked", [True, False], ids=["who asked", "who was asked"])
async def test_an_unlinked_actor_lives_on(where, asked):
    async with nodes(2) as (one, two):
        pair = await sides(where, one, two).linked()
        if asked:
            await pair.first_ref.do("unlink", await seen_from(one, pair.second_ref))
        else:
            seen = await seen_from(pair.systems[1], pair.first_ref)
            await pair.second_ref.do("unlink", seen)
        await until(lambda: not len(one.watching) and not len(two.watching))
        await end(pair.systems[1], pair.second_ref, Reason.KILLED)
        await pair.first_ref.note(1)
        assert not pair.first.stopped


async def test_a_chain_of_links_ends_together():
    async with nodes(2) as (one, two):
        made = [await started((one, two)[number % 2]) for number in range(6)]
        for (_, left), (_, right) in itertools.pairwise(made):
            system = one if left.actor_id.node == one.node_id else two
            await left.do("link", await seen_from(system, right))
        refs = [ref for _, ref in made]
        await until(
            lambda: all(
                (two if each.actor_id.node == one.node_id else one).watching.is_placed(
                    each.actor_id
                )
                for each in refs
            )
        )
        end(one, refs[2], Reason.KILLED)
        await until(lambda: all(watcher.stopped for watcher, _ in made))


async def test_the_death_of_a_node_is_the_end_of_those_linked_into_it():
    async with nodes(2) as (one, two):
        with FaultProxy(two.addr) as proxy:
            trapping, trapping_ref = await started(one, trap=True)
            plain, plain_ref = await started(one)
            _, theirs = await started(two)
            seen = await one.resolve(f"actor://{proxy.addr}/{theirs.actor_id}")
            await trapping_ref.do("link", seen)
            await plain_ref.do("link", seen)
            over = one.watch(plain_ref)
            proxy.refuse()
            proxy.reset()
            assert await over == pul.Terminated(plain_ref, Reason.NODE_DOWN)
            assert plain.stopped
            assert (await hears(trapping)).reason is Reason.NODE_DOWN


async def test_linking_twice_is_linking_once():
    async with nodes() as one:
        pair = await Two(one, one).linked(trap_first=True)
        await pair.first_ref.do("link", pair.second_ref)
        await pair.second_ref.do("link", pair.first_ref)
        await end(one, pair.second_ref, Reason.KILLED)
        await hears(pair.first)
        await pair.first_ref.note(1)
        assert len(pair.first.trace) == 2


async def test_a_node_without_an_address_cannot_link_to_others():
    async with nodes() as two:
        one = await pul.ActorSystem.create()
        try:
            _, first = await started(one)
            _, second = await started(two)
            seen = await seen_from(one, second)
            with pytest.raises(pul.PulsingRuntimeError, match="opens no port"):
                await first.do("link", seen)
            assert not len(one.watching)
        finally:
            await one.shutdown()


async def test_a_linked_actor_whose_policy_says_so_is_restarted_instead():
    async with nodes() as system:
        phoenix = await system.spawn(Phoenix)
        _, ref = await started(system)
        await phoenix.link(ref)
        await system.kill(ref)
        async with asyncio.timeout(10):
            while await phoenix.lives() != 1:
                await asyncio.sleep(0.002)
        assert not len(system.watching)
