"""A minute of kills, pauses, restarts, joins and goodbyes at random: all are one cluster again."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from pulsing.testing import LocalCluster, ProcessCluster, assert_no_leaks
from pulsing.testing.handle import ClusterHandle, NodeState
from tests.integration import hosted, nodes

LASTS_S = 60.0


class Chaos:
    """Hurts a cluster at random, and knows what it has done.

    Args:
        cluster: at least half of its nodes run at any time.
        rng: decides.
    """

    def __init__(self, cluster: ClusterHandle[Any], rng: random.Random) -> None:
        self.cluster = cluster
        self.rng = rng
        self.deeds: list[str] = []

    async def go_on(self, seconds: float) -> None:
        """Do one thing after another for some seconds, then put everything right."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.step()
            await asyncio.sleep(self.rng.uniform(0.05, 1.5))
        self.cluster.heal()
        for node in self.cluster:
            if node.state is NodeState.FROZEN:
                self.cluster.thaw(node.index)
            elif node.state is NodeState.ENDED:
                await self.cluster.restart(node.index)

    async def step(self) -> None:
        """One thing."""
        cluster, rng = self.cluster, self.rng
        by_state = {
            state: [each.index for each in cluster if each.state is state] for state in NodeState
        }
        running = by_state[NodeState.RUNNING]
        verbs = []
        if len(running) > len(cluster) // 2 + 1:
            verbs += ["kill", "freeze", "stop", "freeze"]
        if by_state[NodeState.FROZEN]:
            verbs += ["thaw", "thaw"]
        if by_state[NodeState.ENDED]:
            verbs += ["restart", "restart"]
        verbs += self.more()
        verb = rng.choice(verbs or ["nothing"])
        self.deeds.append(verb)
        match verb:
            case "kill":
                cluster.kill(rng.choice(running))
            case "freeze":
                cluster.freeze(rng.choice(running))
            case "stop":
                await cluster.stop(rng.choice(running))
            case "thaw":
                cluster.thaw(rng.choice(by_state[NodeState.FROZEN]))
            case "restart":
                await cluster.restart(rng.choice(by_state[NodeState.ENDED]))
            case "partition":
                shuffled = rng.sample(range(len(cluster)), len(cluster))
                middle = rng.randrange(1, len(cluster))
                cluster.partition(shuffled[:middle], shuffled[middle:])
            case "heal":
                cluster.heal()
            case "delay":
                cluster.delay(*rng.sample(range(len(cluster)), 2), 100, 100)

    def more(self) -> list[str]:
        """What else may be done."""
        return []


class NetworkChaos(Chaos):
    def more(self) -> list[str]:
        return ["partition", "heal", "heal", "delay"]


def dice() -> random.Random:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    return random.Random(seed)


@pytest.mark.one_loop
@pytest.mark.timeout(300)
async def test_processes_that_were_hurt_for_a_minute_are_one_cluster_with_nothing_leaked() -> None:
    rng = dice()
    async with assert_no_leaks(), ProcessCluster(6, imports=[nodes.HOSTED]) as cluster:
        chaos = Chaos(cluster, rng)
        await chaos.go_on(LASTS_S)
        await cluster.converged(within_s=60)
        assert len(chaos.deeds) > 20, chaos.deeds
        for node in cluster:
            await node.expect("echo", len(cluster), within_s=30)
            assert await node.call("echo", "echo", node.index) == node.index
        await nothing_leaked(cluster)


async def nothing_leaked(cluster: ProcessCluster) -> None:
    """Nodes of one age have about as many tasks, threads and open files as links need."""
    usages = [await node.usage() for node in cluster]
    for usage in usages:
        assert usage["tasks"] <= 12, usages
        assert usage["threads"] <= 8, usages
        assert usage["open_files"] <= 24 + 4 * len(cluster), usages


@pytest.mark.timeout(300)
async def test_systems_that_were_hurt_and_parted_for_a_while_are_one_cluster_again() -> None:
    rng = dice()
    async with LocalCluster(6, seed=rng.randrange(1 << 32)) as cluster:
        for node in cluster:
            await hosted.pulsing_setup(node.system)
        chaos = NetworkChaos(cluster, rng)
        await chaos.go_on(LASTS_S / 2)
        await cluster.converged(within_s=60)
        (asked, *_) = cluster.running
        await asked.system.spawn(hosted.Echo, name="after")
        for node in cluster:
            echo = await node.system.resolve("after", timeout=30)
            assert await echo.echo(node.index) == node.index
