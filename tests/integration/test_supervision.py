"""Restarts seen from another node: references stay good, and names are free everywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pulsing as pul
from pulsing.testing import pulsing_cluster


class Crashed(Exception):
    """What the actor fails with."""


@pul.remote(restart_policy="on_failure", min_backoff=0.0, max_restarts=2)
class Frail:
    def __init__(self, start: int) -> None:
        self.value = start

    async def incr(self) -> int:
        self.value += 1
        return self.value

    async def fail(self) -> None:
        raise Crashed("broken")

    async def nap(self) -> None:
        await asyncio.sleep(60)

    async def items(self) -> Any:
        yield 1
        raise Crashed("in a stream")


async def test_a_reference_of_another_node_outlives_restarts() -> None:
    async with pulsing_cluster(2) as cluster:
        here, there = (each.system for each in cluster)
        await Frail.options(name="frail", system=there).spawn(10)
        frail = await Frail.resolve("frail", timeout=10, system=here)
        assert await frail.incr() == 11
        with pytest.raises(Crashed):
            await frail.fail()
        assert await frail.incr() == 11
        stream = aiter(frail.items())
        assert await anext(stream) == 1
        with pytest.raises(Crashed):
            await anext(stream)
        assert await frail.incr() == 11


async def test_callers_of_another_node_are_told_of_a_restart_while_their_call_ran() -> None:
    async with pulsing_cluster(2) as cluster:
        here, there = (each.system for each in cluster)
        made = await Frail.options(name="frail", system=there).spawn(10)
        frail = await Frail.resolve("frail", timeout=10, system=here)
        cell = there.numbered(made.actor_id.local)
        assert cell is not None
        napping = asyncio.ensure_future(frail.nap())
        async with asyncio.timeout(5):
            while not cell.active:
                await asyncio.sleep(0.001)
        with pytest.raises(Crashed):
            await frail.fail()
        with pytest.raises(pul.ActorStopped) as caught:
            await napping
        assert caught.value.delivered is pul.Delivery.UNKNOWN


async def test_a_budget_used_up_frees_the_name_everywhere() -> None:
    async with pulsing_cluster(2) as cluster:
        here, there = (each.system for each in cluster)
        await Frail.options(name="frail", system=there).spawn(10)
        frail = await Frail.resolve("frail", timeout=10, system=here)
        ref = await here.whereis("frail")
        assert ref is not None
        event = here.watch(ref)
        for _ in range(3):
            with pytest.raises(Crashed):
                await frail.fail()
        ended = await asyncio.wait_for(event, 5)
        assert (ended.reason, ended.error) == (pul.ExitReason.ERROR, "Crashed: broken")
        async with asyncio.timeout(5):
            while await here.whereis("frail") is not None:
                await asyncio.sleep(0.01)
        with pytest.raises(pul.ActorNotFound):
            await Frail.resolve("frail", system=here)
        await Frail.options(name="frail", system=here).spawn(1)


async def test_options_of_a_restart_travel_to_another_node() -> None:
    async with pulsing_cluster(2) as cluster:
        here, there = (each.system for each in cluster)
        frail = await Frail.options(
            placement=there.node_id,
            system=here,
            max_restarts=0,
            supervisor=pul.supervisor("rest_for_one", max_restarts=9, within=5.0),
        ).spawn(1)
        cell = there.numbered(frail.actor_id.local)
        assert cell is not None
        assert cell.options.supervisor == pul.supervisor("rest_for_one", max_restarts=9, within=5.0)
        with pytest.raises(Crashed):
            await frail.fail()
        with pytest.raises((pul.ActorStopped, pul.ActorNotFound)):
            await frail.incr()
