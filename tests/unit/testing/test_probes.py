"""Probes: the test plays an actor, in real time and in virtual time alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

import pulsing as pul
from pulsing.errors import ActorStopped, DeadlineExceeded, NameTaken
from pulsing.testing.probes import ActorProbe, Received
from pulsing.testing.system import pulsing_system
from pulsing.testing.virtual_cluster import VirtualCluster
from pulsing.testing.virtual_run import virtual_time


@dataclass
class Order:
    number: int


@pul.remote
class Store:
    """What the probe stands in for."""

    async def load(self, key: str) -> str:
        return f"real {key}"

    def count(self) -> int:
        return 7

    async def names(self) -> AsyncIterator[str]:
        yield "real"


@pul.remote
class Client:
    """The code under test: it uses a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def shout(self, key: str) -> str:
        return (await self.store.load(key)).upper()

    async def all_names(self) -> list[str]:
        return [name async for name in self.store.names()]


async def test_it_receives_messages_and_answers_them() -> None:
    async with pulsing_system() as system, ActorProbe(system) as probe:
        asking = asyncio.create_task(asyncio.wait_for(probe.ref.ask("ping"), 5))
        received = await probe.expect_message("ping")
        assert not received.is_answered
        received.reply("pong")
        assert await asking == "pong"


async def test_messages_are_expected_by_type_predicate_or_value_in_order() -> None:
    async with pulsing_system() as system, ActorProbe(system) as probe:
        for message in (Order(1), 5, "text"):
            probe.ref.tell(message)
        assert (await probe.expect_message(Order)).message == Order(1)
        assert (await probe.expect_message(lambda number: number > 4)).message == 5
        assert (await probe.expect_message("text")).message == "text"


async def test_another_message_than_the_expected_one_is_an_error_that_shows_it() -> None:
    async with pulsing_system() as system, ActorProbe(system) as probe:
        probe.ref.tell("apple")
        with pytest.raises(AssertionError, match=r"expected a message of type Order.*'apple'"):
            await probe.expect_message(Order)


async def test_no_message_in_time_is_an_error_that_shows_what_came_before() -> None:
    async with pulsing_system() as system, ActorProbe(system) as probe:
        probe.ref.tell("apple")
        await probe.expect_message("apple")
        with pytest.raises(AssertionError, match=r"'pear' within 0.05 s.*so far: .*'apple'"):
            await probe.expect_message("pear", within_s=0.05)


async def test_fishing_skips_other_messages() -> None:
    async with pulsing_system() as system, ActorProbe(system) as probe:
        for number in range(10):
            probe.ref.tell(number)
        assert (await probe.fish(lambda number: number == 7)).message == 7
        assert (await probe.expect()).message == 8


@virtual_time()
async def test_expecting_nothing_fails_for_what_comes_and_for_what_is_there() -> None:
    async with (
        VirtualCluster(1, converge=False) as cluster,
        ActorProbe(cluster[0].system) as probe,
    ):
        await probe.expect_none(for_s=100)
        asyncio.get_running_loop().call_later(50, probe.ref.tell, "late")
        await probe.expect_none(for_s=49)
        with pytest.raises(AssertionError, match=r"nothing for 2 s, and .*'late'> came"):
            await probe.expect_none(for_s=2)
        probe.ref.tell("there")
        await asyncio.sleep(1)
        with pytest.raises(AssertionError, match="'there'> came"):
            await probe.expect_none(for_s=0)


async def test_it_stands_in_for_an_actor_of_a_class() -> None:
    async with pulsing_system() as system, ActorProbe(system, like=Store) as store:
        client = await system.spawn(Client, store.proxy)
        shouting = asyncio.create_task(asyncio.wait_for(client.shout("b"), 5))
        (await store.expect_call("load", "b")).reply("from the probe")
        assert await shouting == "FROM THE PROBE"
        counting = asyncio.create_task(asyncio.wait_for(store.proxy.count(), 5))
        (await store.expect_call("count")).reply(0)
        assert await counting == 0
        with pytest.raises(AttributeError):
            store.proxy.no_such_method  # noqa: B018


async def test_a_streaming_method_is_answered_with_its_items() -> None:
    async with pulsing_system() as system, ActorProbe(system, like=Store) as store:
        client = await system.spawn(Client, store.proxy)
        listing = asyncio.create_task(asyncio.wait_for(client.all_names(), 5))
        (await store.expect_call("names")).reply(["x", "y"])
        assert await listing == ["x", "y"]


async def test_another_call_than_the_expected_one_is_an_error() -> None:
    async with pulsing_system() as system, ActorProbe(system, like=Store) as store:
        store.proxy.load.tell("key")
        store.proxy.load.tell("key")
        with pytest.raises(AssertionError, match=r"expected <call load\('other'\)>.*load\('key'\)"):
            await store.expect_call("load", "other")
        with pytest.raises(AssertionError, match="expected <call count"):
            await store.expect_call("count")


async def test_an_error_as_answer_is_raised_for_the_caller() -> None:
    async with pulsing_system() as system, ActorProbe(system, like=Store) as store:
        client = await system.spawn(Client, store.proxy)
        shouting = asyncio.create_task(asyncio.wait_for(client.shout("b"), 5))
        (await store.expect()).fail(KeyError("no b"))
        with pytest.raises(KeyError, match="no b"):
            await shouting


async def test_what_came_can_be_forwarded_to_a_real_actor() -> None:
    async with pulsing_system() as system, ActorProbe(system, like=Store) as store:
        real = await system.spawn(Store)
        client = await system.spawn(Client, store.proxy)
        shouting = asyncio.create_task(asyncio.wait_for(client.shout("b"), 5))
        received = await store.expect_call("load")
        assert await received.forward(real) == "real b"
        assert await shouting == "REAL B"


async def test_everything_can_be_answered_at_once() -> None:
    def answer(received: Received) -> str:
        return f"{received.method} {received.message}"

    async with (
        pulsing_system() as system,
        ActorProbe(system, like=Store, answer=answer) as store,
    ):
        assert await store.proxy.load("k") == "load k"
        assert await store.ref.ask(1) == "receive 1"
        assert [received.method for received in store.received] == ["load", "receive"]


async def test_a_message_is_answered_once() -> None:
    async with pulsing_system() as system, ActorProbe(system) as probe:
        asking = asyncio.create_task(asyncio.wait_for(probe.ref.ask(1), 5))
        received = await probe.expect()
        received.reply(1)
        with pytest.raises(RuntimeError, match="answered already"):
            received.reply(2)
        assert await asking == 1


@virtual_time()
async def test_who_gets_no_answer_runs_out_of_time() -> None:
    async with (
        VirtualCluster(1, converge=False) as cluster,
        ActorProbe(cluster[0].system) as probe,
    ):
        with pytest.raises(DeadlineExceeded):
            await probe.ref.ask("anyone?").with_timeout(20)
        assert (await probe.expect()).is_answered


async def test_who_waits_when_the_probe_stops_is_told() -> None:
    async with pulsing_system() as system:
        async with ActorProbe(system) as probe:
            asking = asyncio.create_task(asyncio.wait_for(probe.ref.ask(1), 5))
            await probe.expect()
        with pytest.raises(ActorStopped):
            await asking


async def test_its_name_is_found_and_free_again_afterwards() -> None:
    async with pulsing_system() as system:
        for _ in range(2):
            async with ActorProbe(system, name="the-probe"):
                await system.resolve("the-probe")
                with pytest.raises(NameTaken):
                    await ActorProbe(system, name="the-probe").start()


@virtual_time()
async def test_it_is_an_actor_for_other_nodes_too() -> None:
    async with (
        VirtualCluster(2) as cluster,
        ActorProbe(cluster[0].system, name="probe", like=Store) as probe,
    ):
        store = await cluster[1].system.resolve("probe", cls=Store, timeout=10)
        loading = asyncio.create_task(asyncio.wait_for(store.load("far"), 60))
        (await probe.expect_call("load", "far")).reply("came through")
        assert await loading == "came through"
