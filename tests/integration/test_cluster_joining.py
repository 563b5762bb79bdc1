"""Node processes that find each other, sooner or later, and what can be wrong with their seeds."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pulsing.testing import NodeProcess, ProcessCluster
from tests.integration import nodes

pytestmark = [pytest.mark.one_loop, pytest.mark.timeout(120)]


def unused_addr() -> str:
    """An address at which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


async def test_nodes_that_start_at_once_all_find_each_other() -> None:
    async with ProcessCluster(5, converge=False) as cluster:
        await cluster.converged()
        await cluster.add()
        await cluster.converged()
        for node in cluster:
            deaths = [each for each in node.sightings if each.status == "Dead"]
            assert deaths == [], cluster.report()


async def test_a_name_comes_and_goes_everywhere() -> None:
    async with ProcessCluster(5) as cluster:
        for number, owner in enumerate(cluster):
            name = f"name-{number}"
            await owner.spawn("examples.counter:Counter", number, name=name)
            await asyncio.gather(*(each.expect(name, 1) for each in cluster))
            assert await cluster[number - 1].call(name, "incr", 1) == number + 1
            await owner.stop_actor(name)
            await asyncio.gather(*(each.expect(name, 0) for each in cluster))


async def test_many_instances_of_one_name_are_all_listed_and_all_called() -> None:
    async with ProcessCluster(3, imports=[nodes.HOSTED]) as cluster:
        await asyncio.gather(*(each.expect("echo", 3) for each in cluster))
        cluster.kill(1)
        await asyncio.gather(*(each.expect("echo", 2) for each in cluster.running))
        assert [await cluster[2].call("echo", "echo", n) for n in range(6)] == [*range(6)]


async def test_a_node_whose_seed_is_silent_serves_at_once_and_joins_when_it_comes() -> None:
    seed = unused_addr()
    first = NodeProcess(seeds=[seed], imports=[nodes.HOSTED])
    with first:
        async with nodes.system() as caller:
            echo = await caller.resolve(f"actor://{first.addr}/echo")
            assert await echo.echo("alone") == "alone"
        with NodeProcess(addr=seed, imports=[nodes.HOSTED]):
            async with nodes.system("127.0.0.1:0", seeds=[seed]) as me:
                async with asyncio.timeout(30):
                    while sum(m["status"] == "Alive" for m in await me.members()) < 3:
                        await asyncio.sleep(0.02)


async def test_a_node_that_is_its_own_seed_is_no_riddle() -> None:
    addr = unused_addr()
    with NodeProcess(addr=addr, seeds=[addr]) as node:
        async with nodes.system("127.0.0.1:0", seeds=[node.addr, node.addr]) as me:
            async with asyncio.timeout(30):
                while len(await me.members()) < 2:
                    await asyncio.sleep(0.02)
            assert all(each["status"] == "Alive" for each in await me.members())


async def test_a_seed_of_another_cluster_lets_nobody_in_and_says_so_once() -> None:
    with NodeProcess() as other:
        environ = {"PULSING_CLUSTER_NAME": "elsewhere"}
        with NodeProcess(seeds=[other.addr], environ=environ) as node:
            async with asyncio.timeout(30):
                while "cluster" not in node.errors:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(2.5)  # several rounds of trying
            lines = [line for line in node.errors.splitlines() if other.addr in line]
            assert 1 <= len(lines) <= 3, node.errors
            assert "Traceback" not in node.errors + other.errors


async def test_of_two_nodes_with_one_name_the_second_is_told() -> None:
    with (
        NodeProcess(name="twin") as first,
        NodeProcess(name="twin", seeds=[first.addr]) as second,
    ):
        async with asyncio.timeout(30):
            while "twin" not in second.errors:
                await asyncio.sleep(0.02)
        assert first.exit_code is None


async def test_a_frozen_seed_keeps_nobody_from_starting() -> None:
    async with ProcessCluster(3) as cluster:
        cluster.freeze(0)
        await cluster.converged([1, 2])
        (added,) = await cluster.add()
        await cluster.converged([1, 2, added.index])
        cluster.thaw(0)
        await cluster.converged()
