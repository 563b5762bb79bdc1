"""Real nodes in virtual time: every verb of the handle, and the same history for the same seed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest

import pulsing as pul
from pulsing.config import SystemConfig
from pulsing.errors import (
    ActorNotFound,
    ConnectionLost,
    DeadlineExceeded,
    NodeUnreachable,
    PulsingError,
)
from pulsing.testing.handle import NodeState
from pulsing.testing.virtual_cluster import VirtualCluster, run_virtual_cluster
from pulsing.testing.virtual_run import virtual_time

PATIENT = SystemConfig(network="wan")  # type: ignore[arg-type]  # takes text, too
"""Finds nobody dead within ten seconds or so."""


@pul.remote
class Worker:
    """What the nodes of these tests run."""

    def __init__(self) -> None:
        self.count = 0
        self.ticks: list[float] = []

    async def incr(self, by: int = 1) -> int:
        self.count += by
        return self.count

    def blocking(self, value: int) -> int:
        return value * 2

    async def slow(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    async def numbers(self, upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.ticks.append(asyncio.get_running_loop().time())

    async def ticked(self) -> list[float]:
        return self.ticks


async def worker_at(cluster: VirtualCluster, caller: int, callee: int) -> Any:
    """A proxy of the worker of one node, for the code of another; it is started at need."""
    there = cluster[callee].system
    try:
        await there.resolve(f"actor://{cluster[callee].addr}/worker")
    except ActorNotFound:
        await there.spawn(Worker, name="worker")
    return await cluster[caller].system.resolve(
        f"actor://{cluster[callee].addr}/worker", cls=Worker
    )


@virtual_time()
async def test_nodes_call_and_stream_to_each_other() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        worker = await worker_at(cluster, 0, 1)
        assert [await worker.incr() for _ in range(5)] == [1, 2, 3, 4, 5]
        assert [number async for number in worker.numbers(1000)] == list(range(1000))
        assert len(await worker.blocking(b"x" * 3_000_000)) == 6_000_000


@virtual_time()
async def test_blocking_methods_run_one_after_another_without_threads() -> None:
    async with VirtualCluster(1, converge=False) as cluster:
        worker = await cluster[0].system.spawn(Worker)
        assert await asyncio.gather(*(worker.blocking(each) for each in range(200))) == [
            2 * each for each in range(200)
        ]
        assert cluster[0].system.dispatcher.threads.count == 0


@virtual_time()
async def test_a_long_wait_takes_virtual_time_only() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        worker = await worker_at(cluster, 0, 1)
        began = cluster.now
        assert await worker.slow(3000).with_timeout(None) == "done"
        assert cluster.now - began == pytest.approx(3000, abs=0.01)


@virtual_time()
async def test_deadlines_follow_the_virtual_clock() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        for callee in (0, 1):
            worker = await worker_at(cluster, 0, callee)
            began = cluster.now
            with pytest.raises(DeadlineExceeded):
                await worker.slow(3000).with_timeout(7)
            assert cluster.now - began == pytest.approx(7, abs=0.05)


@virtual_time()
async def test_a_killed_node_fails_calls_at_once_and_refuses_new_ones() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        worker = await worker_at(cluster, 0, 1)
        call = asyncio.create_task(worker.slow(1000).with_timeout(None))
        await asyncio.sleep(5)
        at = cluster.kill(1)
        with pytest.raises(ConnectionLost):
            await call
        assert cluster.now - at < 0.01
        with pytest.raises(NodeUnreachable, match="refused"):
            await worker.incr()
        assert cluster[1].state is NodeState.ENDED


@virtual_time()
async def test_the_code_of_a_killed_node_never_runs_again() -> None:
    seen: list[str] = []

    @pul.remote
    class Witness:
        async def watch(self) -> None:
            try:
                await asyncio.sleep(10)
                seen.append("slept")
            except asyncio.CancelledError:
                seen.append(f"cancelled while {state}")
                raise

    async with VirtualCluster(1, converge=False) as cluster:
        state = "the test runs"
        witness = await cluster[0].system.spawn(Witness)
        call = asyncio.create_task(witness.watch())
        await asyncio.sleep(5)
        cluster.kill(0)
        await asyncio.sleep(1000)
        assert seen == []
        assert not call.done()
        state = "the cluster is taken down"
    with pytest.raises(PulsingError):
        await call
    assert seen == ["cancelled while the cluster is taken down"]


@virtual_time()
async def test_the_cluster_agent_of_a_killed_node_does_not_go_on_either() -> None:
    async with VirtualCluster(3) as cluster:
        await asyncio.sleep(5)
        await cluster[1].system.spawn(Worker, name="worker")  # by code that is of no node
        killed, dead = cluster[1].system, cluster[1].node_id
        cluster.kill(1)
        await asyncio.sleep(60)
        assert [each["status"] for each in await killed.members()] == ["Alive"] * 3
        await cluster.restart(1)
        await cluster.converged()
        assert not [each for each in cluster[1].sightings if each.status == "Suspect"]
        assert cluster[0].believes(dead) == "Dead"


@virtual_time()
async def test_a_node_restarted_at_the_same_address_is_another_one() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        worker = await worker_at(cluster, 0, 1)
        assert await worker.incr(41) == 41
        before, addr = cluster[1].node_id, cluster[1].addr
        with pytest.raises(ValueError, match="kill or stop it first"):
            await cluster.restart(1)
        cluster.kill(1)
        await asyncio.sleep(1)  # the reset is on its way
        await cluster.restart(1)
        assert cluster[1].node_id != before
        assert cluster[1].addr == addr
        await cluster[1].system.spawn(Worker, name="worker")
        assert await worker.incr() == 1


@virtual_time()
async def test_a_stopped_node_ends_in_order_and_its_address_can_be_used_again() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        worker = await worker_at(cluster, 0, 1)
        await worker.incr()
        await cluster.stop(1)
        await asyncio.sleep(1)  # the goodbye is on its way
        with pytest.raises(NodeUnreachable):
            await worker.incr()
        await cluster.restart(1)
        assert cluster[1].state is NodeState.RUNNING


@virtual_time()
async def test_a_frozen_node_does_nothing_and_catches_up_when_it_is_thawed() -> None:
    async with VirtualCluster(2, config=PATIENT) as cluster:
        worker = await worker_at(cluster, 0, 1)
        ticking = asyncio.create_task(worker.tick().with_timeout(None))
        await asyncio.sleep(5.5)
        frozen_at = cluster.freeze(1)
        late = asyncio.create_task(worker.incr(3).with_timeout(60))
        with pytest.raises(DeadlineExceeded):
            await worker.incr(0).with_timeout(3)
        await asyncio.sleep(3)
        assert not late.done()
        thawed_at = cluster.thaw(1)
        assert await late == 3
        ticks = await worker.ticked()
        assert ticks
        assert not [each for each in ticks if frozen_at < each < thawed_at]
        ticking.cancel()
        await asyncio.wait((ticking,))


@virtual_time()
async def test_a_partition_holds_calls_until_it_is_healed() -> None:
    async with VirtualCluster(3, config=PATIENT) as cluster:
        near, far = await worker_at(cluster, 0, 1), await worker_at(cluster, 0, 2)
        cluster.partition([0, 1], [2])
        assert await near.incr() == 1
        waiting = asyncio.create_task(far.incr(7).with_timeout(60))
        with pytest.raises(DeadlineExceeded):
            await far.incr(0).with_timeout(3)
        cluster.heal()
        assert await waiting == 7


@virtual_time()
async def test_nodes_in_no_group_of_a_partition_are_alone() -> None:
    async with VirtualCluster(3) as cluster:
        worker = await worker_at(cluster, 0, 2)
        cluster.partition([0, 1])
        with pytest.raises((DeadlineExceeded, NodeUnreachable, ConnectionLost)):
            await worker.incr().with_timeout(3)


@virtual_time()
async def test_delay_and_drop_make_calls_slow_and_heal_undoes_both() -> None:
    async with VirtualCluster(2, config=PATIENT) as cluster:
        worker = await worker_at(cluster, 0, 1)

        async def taken() -> float:
            began = cluster.now
            await worker.incr()
            return cluster.now - began

        assert await taken() < 0.01
        cluster.delay(0, 1, 150)
        assert await taken() == pytest.approx(0.3, abs=0.01)
        cluster.delay(0, 1, 0)
        cluster.drop(0, 1, 0.5)
        assert max([await taken() for _ in range(20)]) >= 0.2
        cluster.heal()
        assert max([await taken() for _ in range(20)]) < 0.01


@virtual_time()
async def test_eventually_waits_in_virtual_time_and_says_what_it_waited_for() -> None:
    async with VirtualCluster(1, converge=False) as cluster:
        began = cluster.now
        await cluster.eventually(lambda: cluster.now - began > 10, within_s=100)
        with pytest.raises(AssertionError, match="node-0"):
            await cluster.eventually(lambda: False, within_s=10)
        assert cluster.now - began == pytest.approx(20, abs=0.1)


@virtual_time()
async def test_counters_say_what_happened_in_a_node() -> None:
    async with VirtualCluster(2, converge=False) as cluster:
        worker = await worker_at(cluster, 0, 1)
        with pytest.raises(TypeError):
            await worker.incr("text")
        assert cluster[1].counters["raised"] == 1
        assert cluster[1].counters["octets_sent"] > 0


@virtual_time()
async def test_nodes_know_each_other_when_the_block_begins() -> None:
    async with VirtualCluster(5) as cluster:
        assert cluster.has_converged()
        for node in cluster:
            members = await node.system.members()
            assert {each["name"]: each["status"] for each in members} == {
                f"node-{number}": "Alive" for number in range(5)
            }


@virtual_time()
async def test_a_name_is_found_from_every_node_and_gone_with_its_node() -> None:
    async with VirtualCluster(3) as cluster:
        await cluster[1].system.spawn(Worker, name="worker")
        worker = await cluster[0].system.resolve("worker", cls=Worker, timeout=5)
        assert await worker.incr() == 1
        cluster.kill(1)
        await cluster.converged(within_s=10)
        with pytest.raises(ActorNotFound):
            await cluster[2].system.resolve("worker")


@virtual_time()
async def test_a_killed_node_is_known_dead_to_all_within_two_seconds() -> None:
    async with VirtualCluster(5) as cluster:
        await asyncio.sleep(10)
        dead = cluster[3].node_id
        at = cluster.kill(3)
        await cluster.converged(within_s=30)
        assert cluster.now - at < 2
        for node in cluster.running:
            assert node.believes(dead) == "Dead"
        await cluster.restart(3)
        await cluster.converged(within_s=30)


@virtual_time()
async def test_a_node_frozen_for_long_is_dead_and_comes_back_when_it_is_thawed() -> None:
    async with VirtualCluster(4) as cluster:
        await asyncio.sleep(10)
        cluster.freeze(2)
        await cluster.converged(within_s=30)
        await asyncio.sleep(60)
        cluster.thaw(2)
        await cluster.converged(within_s=30)
        assert {cluster[0].node_id, cluster[2].node_id} <= set(cluster[2].present)


@virtual_time()
async def test_a_whole_cluster_that_stood_still_for_minutes_loses_nobody() -> None:
    async with VirtualCluster(4) as cluster:
        await asyncio.sleep(10)
        for node in cluster:
            cluster.freeze(node.index)
        await asyncio.sleep(300)
        for node in cluster:
            cluster.thaw(node.index)
        await asyncio.sleep(60)
        await cluster.converged(within_s=30)
        assert not [
            each for node in cluster for each in node.sightings if each.status in ("Dead", "Left")
        ]


@virtual_time()
async def test_a_partition_makes_two_clusters_and_healing_makes_one() -> None:
    async with VirtualCluster(5) as cluster:
        cluster.partition([0, 1], [2, 3, 4])
        await cluster.converged([0, 1], [2, 3, 4], within_s=60)
        at = cluster.heal()
        await cluster.converged(within_s=60)
        assert cluster.now - at < 5


@virtual_time()
async def test_a_stopped_node_has_left() -> None:
    async with VirtualCluster(3) as cluster:
        left = cluster[1].node_id
        await cluster.stop(1)
        await cluster.converged(within_s=5)
        assert [node.believes(left) for node in cluster.running] == ["Left", "Left"]


@virtual_time()
async def test_nodes_that_are_added_join() -> None:
    async with VirtualCluster(1) as cluster:
        fresh = await cluster.add(3)
        assert [node.index for node in fresh] == [1, 2, 3]
        await cluster.converged(within_s=10)


def test_an_hour_of_cluster_life_passes_in_seconds() -> None:
    async def scenario(cluster: VirtualCluster) -> int:
        await asyncio.sleep(3600)
        assert cluster.has_converged()
        return sum(len(node.sightings) for node in cluster)

    run = run_virtual_cluster(3, scenario)
    assert run.virtual_s == pytest.approx(3600, abs=1)
    assert run.result == 9  # everybody saw everybody come, and nothing else


def test_a_failed_scenario_reports_the_cluster_and_the_seed() -> None:
    async def scenario(cluster: VirtualCluster) -> None:
        await cluster[1].system.spawn(Worker, name="the-worker")
        raise LookupError("what the test is about")

    with pytest.raises(LookupError) as caught:
        run_virtual_cluster(2, scenario, seed=99, converge=False)
    report = "\n".join(caught.value.__notes__)
    assert "seed=99" in report
    assert "node-1" in report
    assert "the-worker" in report
    assert "starts at 127.0.0.2:7000" in report


async def stormy(cluster: VirtualCluster) -> list[Any]:
    """A bit of everything; what came of it."""
    outcomes: list[Any] = []

    async def call(caller: int, callee: int) -> None:
        try:
            worker = await worker_at(cluster, caller, callee)
            for _ in range(10):
                outcomes.append((caller, callee, await worker.incr().with_timeout(2)))
                await asyncio.sleep(0.1)
        except PulsingError as error:
            outcomes.append((caller, callee, type(error).__name__))

    async with asyncio.TaskGroup() as group:
        for number in range(9):  # none from node 1: who is dead waits for ever
            group.create_task(call(number % 2 * 2, (number * 2 + 1) % 3))
        cluster.drop(0, 1, 0.2)
        await asyncio.sleep(0.3)
        cluster.partition([0], [1, 2])
        await asyncio.sleep(1)
        cluster.heal()
        cluster.freeze(2)
        await asyncio.sleep(1)
        cluster.thaw(2)
        cluster.kill(1)
        await cluster.restart(1)
    return outcomes


def test_the_same_seed_gives_the_same_history_octet_by_octet() -> None:
    first = run_virtual_cluster(3, stormy, seed=5)
    again = run_virtual_cluster(3, stormy, seed=5)
    other = run_virtual_cluster(3, stormy, seed=6)
    assert first == again
    assert first.octets > 1000
    assert first.digest != other.digest


@pytest.mark.slow
def test_the_history_is_the_same_in_other_processes_with_other_hash_seeds() -> None:
    program = f"""
        import importlib.util, logging, sys
        logging.disable()
        spec = importlib.util.spec_from_file_location("storm", {__file__!r})
        storm = importlib.util.module_from_spec(spec)
        sys.modules["storm"] = storm
        spec.loader.exec_module(storm)
        run = storm.run_virtual_cluster(3, storm.stormy, seed=5, converge=False)
        print(run.digest, run.octets)
    """
    printed = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2", "random")
    }
    assert len(printed) == 1, printed
    assert len(printed.pop().split()[0]) == 32
