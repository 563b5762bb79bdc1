"""Clusters of node processes that crash, hang, leave, come back and stall.

How soon that is known is measured by ``python -m benchmarks.reliability``; here it is known at all,
once, and rightly.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.testing import ProcessCluster, pulsing_cluster
from pulsing.testing.sightings import is_one_way, path
from tests.integration import nodes

if TYPE_CHECKING:
    from pulsing.testing.processes import ProcessNode

pytestmark = [pytest.mark.one_loop, pytest.mark.timeout(120)]
WITHIN_S = 30.0


def cluster_of(count: int, **options: Any) -> ProcessCluster:
    return ProcessCluster(count, imports=[nodes.HOSTED], **options)


async def known(cluster: ProcessCluster, gone: str, end: str) -> None:
    """Wait until all who run know of an end; nobody must have wavered."""
    await cluster.eventually(
        lambda: all(each.believes(gone) == end for each in cluster.running), within_s=WITHIN_S
    )


def assert_one_way(cluster: ProcessCluster, gone: str, since: float, end: str) -> None:
    for observer in cluster.running:
        statuses = [each.status for each in path(observer.sightings, gone, since=since)]
        assert is_one_way(statuses, end), f"{observer.name} saw {statuses}\n{cluster.report()}"


def believed_dead(nodes: list[ProcessNode], node_ids: set[str]) -> list[str]:
    return [
        f"{node.name}: {each.name}"
        for node in nodes
        for each in node.sightings
        if each.status == "Dead" and each.node_id in node_ids
    ]


async def outcome(work: Any) -> Any:
    try:
        return await work
    except pul.PulsingError as error:
        return error


async def test_a_crash_is_known_to_all_and_names_of_the_dead_are_gone() -> None:
    async with cluster_of(5) as cluster:
        await cluster[3].spawn("examples.counter:Counter", 7, name="only-here")
        await asyncio.gather(*(each.expect("only-here") for each in cluster))
        gone = cluster[3].node_id
        at = cluster.kill(3)
        await known(cluster, gone, "Dead")
        for observer in cluster.running:
            listed = [each["name"] for each in await observer.names()]
            assert "actors/only-here" not in listed
        await cluster.converged()
        assert_one_way(cluster, gone, at, "Dead")


async def test_a_hang_is_found_and_forgiven() -> None:
    async with cluster_of(5) as cluster:
        await cluster[2].spawn("examples.counter:Counter", 7, name="frozen")
        await asyncio.gather(*(each.expect("frozen") for each in cluster))
        gone = cluster[2].node_id
        at = cluster.freeze(2)
        healthy = {each.node_id for each in cluster.running}
        await known(cluster, gone, "Dead")
        assert_one_way(cluster, gone, at, "Dead")
        cluster.thaw(2)
        await cluster.converged()
        assert believed_dead(list(cluster), healthy) == []
        await asyncio.gather(*(each.expect("frozen") for each in cluster))
        assert await cluster[0].call("frozen", "incr", 1) == 8


async def test_who_leaves_is_known_to_have_left_and_no_call_to_it_is_lost_silently() -> None:
    async with cluster_of(3) as cluster, nodes.system("127.0.0.1:0", seeds=[cluster[0].addr]) as me:
        echo = await me.resolve("echo", timeout=10)
        by_node = await me.resolve(f"echo@{cluster[2].name}", timeout=10)
        assert await by_node.echo(1) == 1
        answers: list[Any] = []
        stopping = asyncio.Event()

        async def keep_asking(target: Any) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                answer = await outcome(target.echo(number))
                assert answer == number or isinstance(answer, pul.PulsingRuntimeError)
                answers.append(answer)
                await asyncio.sleep(0)

        asking = [asyncio.ensure_future(keep_asking(each)) for each in (echo, by_node)]
        gone = cluster[2].node_id
        await cluster.stop(2)
        await cluster.eventually(
            lambda: all(each.believes(gone) == "Left" for each in cluster.running)
        )
        stopping.set()
        await asyncio.gather(*asking)
        errors = [each for each in answers if isinstance(each, pul.PulsingError)]
        assert len(errors) < len(answers)
        assert await echo.echo("others answer") == "others answer"


async def test_a_new_process_at_the_same_address_is_another_node() -> None:
    async with cluster_of(3) as cluster, nodes.system("127.0.0.1:0", seeds=[cluster[0].addr]) as me:
        exact = await me.resolve(f"echo@{cluster[1].name}", timeout=10)
        old = await me.refer(str(exact.actor_id))
        assert await old.echo(1) == 1
        gone, addr = cluster[1].node_id, cluster[1].addr
        cluster.kill(1)
        await cluster.restart(1)
        assert cluster[1].addr == addr
        assert cluster[1].node_id != gone
        await cluster.eventually(
            lambda: all(each.believes(gone) in ("Dead", None) for each in cluster.running)
        )
        error = await outcome(old.echo(2))
        assert isinstance(error, pul.PulsingRuntimeError), "the old one, never the new one"
        again = await me.resolve(f"echo@{cluster[1].node_id}", timeout=10)
        assert await again.echo(3) == 3


async def test_a_node_whose_loop_is_held_is_busy_not_dead_and_others_do_its_work() -> None:
    async with cluster_of(3) as cluster:
        victim = cluster[1]
        holding = asyncio.ensure_future(victim.hold_loop(4.0))
        await cluster.eventually(
            lambda: all(each.believes(victim) == "Busy" for each in cluster if each is not victim),
            within_s=WITHIN_S,
        )
        answers = [await cluster[0].call("echo", "echo", n, timeout_s=2.0) for n in range(10)]
        assert answers == [*range(10)], "by other instances"
        await holding
        await cluster.converged()
        for observer in (cluster[0], cluster[2]):
            seen = {each.status for each in path(observer.sightings, victim.node_id)}
            assert seen == {"Alive", "Busy"}
        assert victim.process is not None
        assert "Holder" in victim.process.errors
        assert "in hold" in victim.process.errors


async def test_the_whole_cluster_standing_still_kills_nobody() -> None:
    async with cluster_of(4) as cluster:
        for node in cluster:
            cluster.freeze(node.index)
        await asyncio.sleep(2)
        for node in cluster:
            cluster.thaw(node.index)
        await asyncio.sleep(2)  # what would be suspected now would be dead by then
        await cluster.converged()
        assert believed_dead(list(cluster), {each.node_id for each in cluster}) == []


async def test_relays_partition_processes_too() -> None:
    async with pulsing_cluster(3, processes=True, imports=[nodes.HOSTED]) as cluster:
        cluster.partition([0, 1], [2])
        await cluster.converged([0, 1])
        cluster.heal()
        await cluster.converged()
        assert await cluster[2].call("echo@node-0", "echo", 5) == 5
