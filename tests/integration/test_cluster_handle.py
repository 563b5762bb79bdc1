"""The handle of a test cluster on one loop: what it promises to those who test with it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.testing import LocalCluster, assert_no_leaks, pulsing_cluster, reports
from pulsing.testing.handle import NodeState
from tests.integration import hosted

if TYPE_CHECKING:
    from pulsing.testing.handle import ClusterNode


def statuses(observer: ClusterNode, node_id: str) -> list[str]:
    return [each.status for each in observer.sightings if each.node_id == node_id]


async def call(cluster: LocalCluster, index: int, name: str) -> Any:
    actor = await cluster[index].system.resolve(name, timeout=5)
    return await actor.echo(index)


async def test_a_cluster_has_converged_when_the_block_begins_and_leaves_nothing() -> None:
    async with assert_no_leaks(), pulsing_cluster(3) as cluster:
        assert len(cluster) == 3
        for node in cluster:
            assert node.present == {each.node_id: "Alive" for each in cluster}
            members = await node.system.members()
            assert {each["status"] for each in members} == {"Alive"}
            assert {each["name"] for each in members} == {"node-0", "node-1", "node-2"}


async def test_an_actor_of_one_node_is_called_from_all() -> None:
    async with pulsing_cluster(3) as cluster:
        await cluster[1].system.spawn(hosted.Echo, name="echo")
        assert await asyncio.gather(*(call(cluster, each, "echo") for each in range(3))) == [
            0,
            1,
            2,
        ]


async def test_a_node_that_is_added_knows_all_and_is_known_to_all() -> None:
    async with pulsing_cluster(2) as cluster:
        (added,) = await cluster.add()
        await cluster.converged()
        assert added is cluster[2]
        assert len(cluster[0].present) == 3


async def test_a_killed_node_is_dead_to_all_and_calls_to_it_end() -> None:
    async with pulsing_cluster(3) as cluster:
        lab = await cluster[2].system.spawn(hosted.Lab, name="lab")
        watched = await lab.make("Watched")
        here = await cluster[0].system.refer(str(watched.actor_id))
        asked = asyncio.ensure_future(here.sleep("for ever"))
        await watched.when("for ever", "started")
        gone = cluster[2].node_id
        cluster.kill(2)
        assert cluster[2].state is NodeState.ENDED
        with pytest.raises(pul.ConnectionLost):
            await asked
        await cluster.converged()
        assert statuses(cluster[0], gone)[-1] == "Dead"
        assert statuses(cluster[1], gone)[-1] == "Dead"
        with pytest.raises(AssertionError, match="has ended"):
            _ = cluster[2].system


async def test_a_stopped_node_has_left() -> None:
    async with pulsing_cluster(3) as cluster:
        gone = cluster[1].node_id
        await cluster.stop(1)
        await cluster.converged()
        for observer in cluster.running:
            assert statuses(observer, gone) == ["Alive", "Left"]


async def test_a_restarted_node_is_another_at_the_same_address() -> None:
    async with pulsing_cluster(3) as cluster:
        old, addr = cluster[1].node_id, cluster[1].addr
        cluster.kill(1)
        await cluster.restart(1)
        await cluster.converged()
        assert cluster[1].addr == addr
        assert cluster[1].node_id != old
        assert cluster[0].believes(old) == "Dead"


async def test_sides_of_a_partition_lose_each_other_and_meet_again() -> None:
    async with pulsing_cluster(4) as cluster:
        await cluster[0].system.spawn(hosted.Echo, name="echo")
        cluster.partition([0, 1], [2, 3])
        await cluster.converged([0, 1], [2, 3])
        assert await call(cluster, 1, "echo") == 1
        with pytest.raises(pul.ActorNotFound):
            await cluster[2].system.resolve("echo")
        cluster.heal()
        await cluster.converged()
        assert await call(cluster, 2, "echo") == 2


async def test_who_is_in_no_group_is_alone() -> None:
    async with pulsing_cluster(3) as cluster:
        await cluster[2].system.spawn(hosted.Echo, name="echo")
        echo = await cluster[0].system.resolve("echo", timeout=5)
        cluster.partition([0, 1])
        with pytest.raises(pul.DeadlineExceeded):
            await echo.echo(1).with_timeout(0.2)
        await cluster.converged([0, 1])
        cluster.heal()
        await cluster.converged()


async def test_a_frozen_node_is_dead_to_the_others_and_back_when_it_thaws() -> None:
    async with pulsing_cluster(3) as cluster:
        cluster.freeze(2)
        frozen = cluster[2].node_id
        seen = len(cluster[2].sightings)
        await cluster.converged([0, 1])
        assert statuses(cluster[0], frozen)[-1] == "Dead"
        assert len(cluster[2].sightings) == seen, "it does nothing meanwhile"
        cluster.thaw(2)
        await cluster.converged()
        for observer in (cluster[0], cluster[1]):
            assert all(each.status != "Dead" for each in cluster[2].sightings), cluster.report()
            assert observer.believes(frozen) == "Alive"


async def test_a_moment_of_standing_still_harms_nobody() -> None:
    async with pulsing_cluster(3) as cluster:
        for node in cluster:
            cluster.freeze(node.index)
        await asyncio.sleep(0.3)
        for node in cluster:
            cluster.thaw(node.index)
        await cluster.converged()
        deaths = [each for node in cluster for each in node.sightings if each.status == "Dead"]
        assert deaths == []


async def test_a_delay_between_two_nodes_is_felt_by_their_calls_only() -> None:
    async with pulsing_cluster(3) as cluster:
        await cluster[0].system.spawn(hosted.Echo, name="echo")
        await asyncio.gather(*(call(cluster, each, "echo") for each in range(3)))
        cluster.delay(0, 1, 40)
        began = time.monotonic()
        await call(cluster, 1, "echo")
        assert time.monotonic() - began >= 0.075  # timers of uvloop fire up to 1 ms early
        cluster.heal()
        await call(cluster, 1, "echo")


async def test_what_is_dropped_comes_late_and_what_is_cut_not_at_all() -> None:
    async with pulsing_cluster(2, seed=1, config=pul.SystemConfig()) as cluster:
        await cluster[0].system.spawn(hosted.Echo, name="echo")
        echo = await cluster[1].system.resolve("echo", timeout=5)
        cluster.drop(0, 1, 0.1)
        slowest = 0.0
        for number in range(40):
            began = time.monotonic()
            assert await echo.echo(number) == number
            slowest = max(slowest, time.monotonic() - began)
        assert slowest >= 0.2
        cluster.heal()
        cluster.drop(0, 1, 1)
        with pytest.raises(pul.DeadlineExceeded):
            await echo.echo(2).with_timeout(0.3)
        cluster.heal()
        await cluster.converged()


async def test_waiting_for_what_never_happens_tells_how_the_cluster_is() -> None:
    async with pulsing_cluster(2) as cluster:
        with pytest.raises(AssertionError, match=r"not within 0\.05 s(.|\n)*node-1 Alive"):
            await cluster.eventually(lambda: False, within_s=0.05)

        async def soon() -> bool:
            return time.monotonic() > began + 0.02

        began = time.monotonic()
        await cluster.eventually(soon)


async def test_a_block_that_fails_leaves_a_report_for_the_test_run() -> None:
    reports.FAILED.clear()
    with pytest.raises(LookupError):
        async with pulsing_cluster(2, seed=99):
            raise LookupError
    (report,) = reports.FAILED
    reports.FAILED.clear()
    assert "seed 99" in report
    assert "believes: node-0 Alive, node-1 Alive" in report


async def test_a_task_that_the_block_forgot_is_told() -> None:
    with pytest.raises(AssertionError, match="forgotten"):
        async with pulsing_cluster(1):
            task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_verbs_refuse_nodes_they_make_no_sense_for() -> None:
    async with pulsing_cluster(2) as cluster:
        with pytest.raises(AssertionError, match="has not ended"):
            await cluster.restart(1)
        with pytest.raises(AssertionError, match="is not frozen"):
            cluster.thaw(1)
        cluster.kill(1)
        with pytest.raises(AssertionError, match="has ended"):
            cluster.kill(1)
        with pytest.raises(AssertionError, match="does not run"):
            cluster.freeze(1)
