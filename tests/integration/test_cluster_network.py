"""Clusters in a network that loses packets and falls apart: only where namespaces are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pulsing.testing import NamespaceNetwork, ProcessCluster

REASON = NamespaceNetwork.missing()
pytestmark = [
    pytest.mark.one_loop,
    pytest.mark.timeout(120),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]


@pytest.fixture
def network() -> Iterator[NamespaceNetwork]:
    with NamespaceNetwork(5) as made:
        yield made


def believed_dead(cluster: ProcessCluster) -> list[str]:
    return [
        f"{node.name}: {each.name}"
        for node in cluster
        for each in node.sightings
        if each.status == "Dead"
    ]


async def test_lost_packets_kill_nobody(network: NamespaceNetwork) -> None:
    async with ProcessCluster(5, network=network) as cluster:
        network.lose(0.1)
        await asyncio.sleep(5)
        await cluster[0].spawn("examples.counter:Counter", 1, name="there")
        await asyncio.gather(*(each.expect("there", within_s=30) for each in cluster))
        network.lose(0)
        await cluster.converged()
        assert believed_dead(cluster) == []


async def test_sides_of_a_partition_go_on_and_become_one_again(network: NamespaceNetwork) -> None:
    async with ProcessCluster(5, network=network) as cluster:
        await cluster[0].spawn("examples.counter:Counter", 1, name="left")
        await cluster[4].spawn("examples.counter:Counter", 5, name="right")
        await asyncio.gather(*(each.expect("left") for each in cluster))
        cluster.partition([0, 1], [2, 3, 4])
        await cluster.converged([0, 1], [2, 3, 4], within_s=60)
        assert await cluster[1].call("left", "incr", 1) == 2
        assert await cluster[2].call("right", "incr", 1) == 6
        await cluster[2].expect("left", 0)
        await cluster[0].expect("right", 0)
        cluster.heal()
        await cluster.converged()
        await asyncio.gather(*(each.expect("left", 1) for each in cluster))
        await asyncio.gather(*(each.expect("right", 1) for each in cluster))
        assert await cluster[4].call("left", "incr", 1) == 3


async def test_two_that_do_not_reach_each_other_but_all_others_stay(
    network: NamespaceNetwork,
) -> None:
    """Not transitive: indirect probes find a way (SWIM 3.1)."""
    async with ProcessCluster(5, network=network) as cluster:
        cluster.drop(0, 1, 1.0)
        await asyncio.sleep(5)
        assert believed_dead(cluster) == []
        cluster.heal()
        await cluster.converged()


async def test_one_way_silence_ends_in_one_view_once_it_heals(network: NamespaceNetwork) -> None:
    async with ProcessCluster(5, network=network) as cluster:
        cluster.cut([2], [0, 1, 3, 4])
        await asyncio.sleep(4)
        cluster.heal()
        await cluster.converged()
