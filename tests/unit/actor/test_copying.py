"""``copy_local``: calls within a node copy, so that broken isolation is found on one node."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import pulsing as pul
from pulsing.config import SystemConfig
from pulsing.errors import WireError
from pulsing.testing.system import pulsing_system

COPYING = SystemConfig(copy_local=True)


@dataclass
class Basket:
    fruits: list[str] = field(default_factory=list)


@pul.remote
class Keeper:
    """Keeps what it is given, and gives away what it keeps."""

    def __init__(self) -> None:
        self.basket = Basket()
        self.kept: Any = None

    async def keep(self, thing: Any, *, twice: bool = False) -> None:
        self.kept = [thing, thing] if twice else thing

    async def show(self) -> Any:
        return self.kept

    def give(self) -> Basket:
        return self.basket

    async def each(self) -> AsyncIterator[Basket]:
        for _ in range(2):
            yield self.basket

    async def consume(self, items: Any) -> list[Any]:
        return [item async for item in items]

    async def unsendable(self) -> Any:
        return threading.Lock()

    async def receive(self, msg: Any) -> Any:
        msg.append("received")
        return msg

    async def call_back(self, other: Any) -> Any:
        return await other.show()


@pytest.mark.parametrize("copies", [False, True])
async def test_an_argument_that_is_changed_afterwards_is_changed_for_the_actor_only_without_copies(
    copies: bool,
) -> None:
    async with pulsing_system(config=SystemConfig(copy_local=copies)) as system:
        keeper = await system.spawn(Keeper)
        basket = Basket(["apple"])
        await keeper.keep(basket, twice=True)
        basket.fruits.append("worm")
        assert (await keeper.show())[0].fruits == (["apple"] if copies else ["apple", "worm"])


@pytest.mark.parametrize("copies", [False, True])
async def test_a_result_is_the_actors_own_object_only_without_copies(copies: bool) -> None:
    async with pulsing_system(config=SystemConfig(copy_local=copies)) as system:
        keeper = await system.spawn(Keeper)
        (await keeper.give()).fruits.append("worm")
        assert (await keeper.give()).fruits == ([] if copies else ["worm"])
        (await keeper.basket).fruits.append("another")
        assert len((await keeper.basket).fruits) == (0 if copies else 2)


async def test_items_of_streams_are_copied_iterated_or_awaited() -> None:
    async with pulsing_system(config=COPYING) as system:
        keeper = await system.spawn(Keeper)
        async for basket in keeper.each():
            basket.fruits.append("worm")
        for basket in await keeper.each():
            basket.fruits.append("worm")
        assert (await keeper.give()).fruits == []


async def test_tells_and_raw_messages_are_copied() -> None:
    async with pulsing_system(config=COPYING) as system:
        keeper = await system.spawn(Keeper)
        fruits = ["apple"]
        keeper.keep.tell(fruits)
        fruits.append("worm")
        assert await keeper.show() == ["apple"]
        message = ["sent"]
        assert await keeper.ask(message) == ["sent", "received"]
        assert message == ["sent"]


async def test_what_does_not_travel_is_refused_as_between_nodes() -> None:
    async with pulsing_system(config=COPYING) as system:
        keeper = await system.spawn(Keeper)
        with pytest.raises(WireError, match="lock"):
            await keeper.keep(threading.Lock())
        with pytest.raises(WireError, match="lock"):
            await keeper.unsendable()


async def test_references_work_where_they_land_though_the_node_has_no_address() -> None:
    async with pulsing_system(config=COPYING) as system:
        one, two = await system.spawn(Keeper), await system.spawn(Keeper, name="two")
        await two.keep("deep inside")
        assert await one.call_back(two) == "deep inside"
        await one.keep([await system.resolve("two")])
        (ref,) = await one.show()
        assert await ref.show() == "deep inside"


async def test_a_stream_as_argument_is_passed_on() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async with pulsing_system(config=COPYING) as system:
        keeper = await system.spawn(Keeper)
        assert await keeper.consume(numbers()) == [0, 1, 2]


async def test_large_buffers_are_copied_too() -> None:
    async with pulsing_system(config=COPYING) as system:
        keeper = await system.spawn(Keeper)
        octets = bytearray(3_000_000)
        await keeper.keep(octets)
        octets[0] = 1
        assert (await keeper.show())[0] == 0
