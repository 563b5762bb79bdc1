"""Children stop with their parent, and what `pul.current()` says of relatives and senders."""

import asyncio

import pytest

import pulsing as pul
from tests.unit.actor.watchers import Watcher, Worker, nodes, seen_from, started, until


class Member(pul.Actor):
    """Writes down when it starts and stops; has as many children as it is told."""

    def __init__(self, label, trace, children=(), fails=False):
        self.label, self.trace, self.wanted, self.fails = label, trace, children, fails

    async def on_start(self, actor_id):
        for each in self.wanted:
            await pul.current().spawn(Member(f"{self.label}.{each}", self.trace))
        if self.fails:
            raise ValueError("no start")

    async def on_stop(self):
        await asyncio.sleep(0.001)
        self.trace.append(self.label)

    async def add(self, label, children=()):
        return await pul.current().spawn(Member(label, self.trace, children))

    async def spawn(self, *args, **kwargs):
        return await pul.current().spawn(*args, **kwargs)

    async def family(self):
        return pul.current().parent, pul.current().children

    async def leave(self):
        pul.current().stop()

    async def work(self, seconds):
        await asyncio.sleep(seconds)
        self.trace.append(f"worked {self.label}")


async def test_children_stop_before_their_parent_the_youngest_first():
    async with nodes() as system:
        trace = []
        root = await system.spawn(Member("a", trace, "123"))
        await root.add("x", "45")
        await system.stop(root)
        assert trace == ["x.5", "x.4", "x", "a.3", "a.2", "a.1", "a"]
        assert system.actor_count == 0


async def test_a_shutdown_stops_families_in_the_same_order():
    trace = []
    async with nodes() as system:
        await system.spawn(Member("a", trace, "12"))
    assert trace == ["a.2", "a.1", "a"]


async def test_relatives_know_each_other_until_one_is_gone():
    async with nodes() as system:
        root = await system.spawn(Member("a", []))
        first, second = await root.add("1"), await root.add("2")
        assert await root.family() == (None, [first, second])
        assert await first.family() == (root, [])
        await first.leave()
        await until(lambda: len(system.numbered(root.actor_id.local).children) == 1)
        assert await root.family() == (None, [second])
        assert (await system.watch(first)).reason is pul.ExitReason.NOT_FOUND


async def test_any_kind_of_actor_can_be_a_child():
    async with nodes() as system:
        root = await system.spawn(Member("a", []))
        typed = await root.spawn(Worker, name="child")
        assert await typed.ping() == "pong"
        assert await (await system.resolve("child")).ping() == "pong"
        counter = await root.spawn(pul.stateful(0, lambda state, msg, ctx: None))
        assert isinstance(counter, pul.TypedRef)
        assert len((await root.family())[1]) == 2
        with pytest.raises(TypeError, match="children live on the node of their parent"):
            await root.spawn(Worker, placement="remote")
        await system.stop(root)
        assert system.actor_count == 0


async def test_an_actor_that_fails_to_start_leaves_no_children():
    async with nodes() as system:
        trace = []
        with pytest.raises(ValueError, match="no start"):
            await system.spawn(Member("a", trace, "12", fails=True))
        assert trace == ["a.2", "a.1"]
        assert system.actor_count == 0


async def test_children_share_the_grace_of_their_parent():
    async with nodes() as system:
        trace = []
        root = await system.spawn(Member("a", trace))
        child = await root.add("1")
        child.work.tell(0.05)
        await asyncio.sleep(0)
        await system.stop(root, grace_s=10)
        assert trace == ["worked 1", "1", "a"]


async def test_a_stopping_actor_gets_no_more_children():
    class Late(pul.Actor):
        async def on_stop(self):
            try:
                await pul.current().spawn(Worker())
            except pul.ActorStopped as error:
                self.error = error

    async with nodes() as system:
        late = Late()
        await system.stop(await system.spawn(late))
        assert "is stopping" in str(late.error)
        assert system.actor_count == 0


async def test_actors_spawned_otherwise_are_nobodys_children():
    class Founder(pul.Actor):
        async def found(self):
            return await pul.spawn(Worker())

    async with nodes() as system:
        founder = await system.spawn(Founder())
        founded = await founder.found()
        await system.stop(founder)
        assert await founded.ping() == "pong"


# --- who sent a message ---------------------------------------------------------------------------


async def test_a_method_knows_the_actor_that_called_it_on_every_node():
    async with nodes(2) as (one, two):
        _, caller = await started(one)
        _, near = await started(one)
        _, far = await started(two)
        assert await caller.ask_sender_of(near) == caller
        seen = await seen_from(one, far)
        sender = await caller.ask_sender_of(seen)
        assert sender == caller
        assert await near.sender() is None
        assert await seen.sender() is None


async def test_receive_knows_the_sender_of_a_tell_and_can_answer_it():
    class Echo(pul.Actor):
        async def receive(self, msg):
            pul.current().sender.note.tell(msg)

    class Caller(Watcher):
        async def send(self, whom):
            whom.tell("hello")

    async with nodes(2) as (one, two):
        caller = Caller()
        ref = await one.spawn(caller)
        await ref.send(await seen_from(one, await two.spawn(Echo())))
        await until(lambda: caller.trace == ["hello"])


async def test_a_sender_that_cannot_be_reached_is_none():
    async with nodes() as two:
        one = await pul.ActorSystem.create()
        try:
            _, caller = await started(one)
            _, far = await started(two)
            assert await caller.ask_sender_of(await seen_from(one, far)) is None
        finally:
            await one.shutdown()


def test_outside_of_actors_there_is_no_context():
    with pytest.raises(pul.PulsingRuntimeError, match="inside an actor"):
        pul.current()
