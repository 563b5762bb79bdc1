"""Calls that come back to their caller over another node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pulsing as pul
from tests.integration import nodes


class Relay:
    """Calls others."""

    async def go(self, path: list[Any]) -> int:
        """Follow a path; the last one answers."""
        return await path[0].go(path[1:]) if path else 1

    def go_in_thread(self, path: list[Any]) -> int:
        """The same, blocking a worker thread."""
        return int(path[0].go.sync(path[1:]))

    async def stream(self, path: list[Any]) -> Any:
        """The same as a stream of one item."""
        yield await self.go(path)

    async def read(self, path: list[Any]) -> list[int]:
        """Read the stream of the first of the path."""
        return [each async for each in path[0].stream(path[1:])]


async def relays(
    here: pul.ActorSystem, there: pul.ActorSystem, **options: Any
) -> tuple[pul.ActorRef, pul.ActorRef]:
    """An actor on each of two nodes, referred to from the first."""
    one = await here.spawn(Relay(), name="one", **options)
    two = await there.spawn(Relay(), name="two", **options)
    return one, await here.refer(str(two.address))


async def test_a_loop_over_two_nodes_is_refused_and_names_the_chain() -> None:
    async with nodes.system("127.0.0.1:0") as here, nodes.system("127.0.0.1:0") as there:
        one, two = await relays(here, there, max_concurrency=1)
        async with asyncio.timeout(5):
            for call in (one.go([two, one]), one.read([two, one])):
                with pytest.raises(pul.Deadlock, match="actors/one -> actors/two -> actors/one"):
                    await call
            with pytest.raises(pul.Deadlock) as caught:
                await two.go([one, two])
            assert tuple(caught.value.chain) == ("actors/two", "actors/one", "actors/two")
            assert await one.go([two]) == 1


async def test_a_def_that_waits_for_a_call_back_over_another_node_is_refused() -> None:
    async with nodes.system("127.0.0.1:0") as here, nodes.system("127.0.0.1:0") as there:
        one, two = await relays(here, there)
        async with asyncio.timeout(5):
            with pytest.raises(pul.Deadlock, match="actors/one -> actors/two -> actors/one"):
                await one.go_in_thread([two, one])
            assert await one.go_in_thread([two]) == 1


async def test_with_a_concurrency_above_one_a_loop_over_two_nodes_proceeds() -> None:
    async with nodes.system("127.0.0.1:0") as here, nodes.system("127.0.0.1:0") as there:
        one, two = await relays(here, there)
        async with asyncio.timeout(5):
            assert await one.go([two, one, two, one]) == 1


async def test_a_very_long_way_over_two_nodes_is_gone() -> None:
    async with nodes.system("127.0.0.1:0") as here, nodes.system("127.0.0.1:0") as there:
        one, two = await relays(here, there)
        async with asyncio.timeout(20):
            assert await one.go([two, one] * 200) == 1
