"""register, whereis, unregister: names for actors that live already."""

import asyncio
import contextlib

import pytest

import pulsing as pul
from tests.unit.actor import clusters
from tests.unit.actor.watchers import Worker, nodes


@contextlib.asynccontextmanager
async def two():
    async with clusters.systems({"node_name": "n1"}, {"node_name": "n2"}) as systems:
        yield systems


async def test_a_registered_actor_is_found_by_name_on_every_node():
    async with two() as (one, other):
        worker = await one.spawn(Worker())
        assert await other.whereis("w") is None
        await one.register(worker, "w")
        await one.register(worker, "w")  # again changes nothing
        for system in (one, other):
            assert await system.whereis("w") == worker
            assert await (await system.resolve("w")).ping() == "pong"
            assert await (await system.whereis("w@n1")).ping() == "pong"
        assert [each["name"] for each in await other.all_named_actors()] == ["actors/w"]


async def test_what_whereis_gives_stays_with_the_actor():
    async with two() as (one, other):
        worker = await one.spawn(Worker(), name="w")
        found = await other.whereis("w")
        await one.stop(worker)
        again = await one.spawn(Worker(), name="w")
        assert found == worker != again
        with pytest.raises((pul.ActorNotFound, pul.ActorStopped)):
            await found.ping()
        assert await other.whereis("w") == again


async def test_an_actor_of_another_node_can_be_registered_and_unregistered():
    async with two() as (one, other):
        worker = await one.spawn(Worker(), name="own")
        seen = await other.whereis("own")
        await other.register(seen, "more")
        assert await one.whereis("more") == worker
        third = await other.refer((await one.spawn(Worker())).address)
        with pytest.raises(pul.NameTaken, match="already exists"):
            await other.register(third, "more")
        await other.unregister("more")
        assert await other.whereis("more") is None
        assert await other.whereis("own") == worker
        await other.unregister("own@n1")
        assert await one.whereis("own") is None
        assert await worker.ping() == "pong"


async def test_an_unregistered_actor_lives_on_and_its_name_is_free():
    async with nodes() as system:
        worker = await system.spawn(Worker(), name="w")
        await system.unregister("w")
        assert await system.whereis("w") is None
        assert await worker.ping() == "pong"
        other = await system.spawn(Worker(), name="w")
        await system.stop(worker)
        assert await system.whereis("w") == other


async def test_all_names_go_with_their_actor():
    async with two() as (one, other):
        worker = await one.spawn(Worker(), name="own")
        for name in ("x", "y"):
            await one.register(worker, name)
        await one.stop(worker)
        for name in ("own", "x", "y"):
            assert await other.whereis(name) is None
            await one.spawn(Worker(), name=name)


async def test_the_name_an_actor_was_spawned_with_can_be_made_public():
    async with two() as (one, other):
        worker = await one.spawn(Worker(), name="shy", public=False)
        assert await other.whereis("shy") is None
        await one.register(worker)
        assert await other.whereis("shy") == worker


async def test_whoever_waits_for_a_name_gets_an_actor_that_is_registered_by_it():
    async with nodes() as system:
        waiting = asyncio.ensure_future(system.resolve("late", timeout=10))
        worker = await system.spawn(Worker())
        await system.register(worker, "late")
        assert await (await waiting).ping() == "pong"


async def test_an_actor_registered_while_it_starts_is_announced_when_it_has_started():
    class Slow(Worker):
        async def on_start(self, actor_id):
            await pul.register(pul.current().self_ref, "slow")
            assert await other.whereis("slow") is None

    async with two() as (one, other):
        worker = await one.spawn(Slow())
        assert await other.whereis("slow") == worker


async def test_bad_use_is_an_error_at_once():
    async with two() as (one, other):
        worker = await one.spawn(Worker(), name="w")
        taken = await one.spawn(Worker())
        with pytest.raises(pul.NameTaken, match="'actors/w' already exists"):
            await one.register(taken, "w")
        for name in ("", "a b", "system/x"):
            with pytest.raises(ValueError, match="name"):
                await one.register(worker, name)
        with pytest.raises(TypeError, match="cannot register 'w'"):
            await one.register("w", "x")
        for name in ("nobody", "nobody@n2"):
            with pytest.raises(pul.ActorNotFound, match="nobody"):
                await one.unregister(name)
        with pytest.raises(ValueError, match="not one of its names"):
            await one.unregister(str(worker.actor_id))
        await one.stop(worker)
        with pytest.raises(pul.ActorNotFound):
            await one.register(worker, "x")
        await other.shutdown()
        with pytest.raises(pul.PulsingRuntimeError, match="shut down"):
            await other.register(await one.spawn(Worker()), "x")


async def test_a_name_of_several_nodes_has_to_say_which():
    async with clusters.systems({}, {"node_name": "n2"}, {"node_name": "n3"}) as (
        one,
        second,
        third,
    ):
        for system in (second, third):
            await system.spawn(Worker(), name="w")
        with pytest.raises(pul.PulsingRuntimeError, match=r"w@n2, .*w@n3|w@n3, .*w@n2"):
            await one.unregister("w")
        await one.unregister("w@n2")
        assert (await one.whereis("w")).actor_id.node == third.node_id
