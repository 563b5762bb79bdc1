"""Rows: loss, partitions, busy machines and pauses must kill nobody who is well."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from functools import partial

from benchmarks.reliability.figures import Figure, Limit, Outcome
from benchmarks.reliability.rows import Place, Row, row
from benchmarks.reliability.world import World, deaths, now, say
from pulsing.testing import ProcessCluster

PAUSED_S = 20.0
BUSY_PROCESSES = 8


async def nothing_happens(row: Row, cluster: ProcessCluster, seconds: float) -> Outcome:
    """Wait; nobody may be declared dead."""
    everybody = {each.node_id for each in cluster}
    began = now()
    while (passed := now() - began) < seconds:
        say(f"{row.name}: {passed:.0f} of {seconds:.0f} s")
        await asyncio.sleep(min(1.0, seconds - passed))
    outcome = Outcome(problems=deaths(cluster.running, everybody, began))
    suspected = {
        (observer.index, each.node_id, each.incarnation)
        for observer in cluster.running
        for each in observer.sightings
        if each.status == "Suspect" and each.at >= began
    }
    about = {(node_id, incarnation) for _, node_id, incarnation in suspected}
    outcome.said.append(
        f"{len(outcome.problems)} false deaths in {seconds / 60:.3g} min, "
        f"{len(about)} suspicions refuted"
    )
    return outcome


async def loss(world: World, row: Row, share: float) -> Outcome:
    cluster = await world.cluster(row)
    assert world.network is not None
    world.network.lose(share)
    try:
        return await nothing_happens(row, cluster, world.scale.long_s)
    finally:
        world.network.lose(0)


async def split(world: World, row: Row, most_s: float) -> Outcome:
    cluster = await world.cluster(row)
    figure = Figure("one membership again after", "s", (Limit("max", most_s),), ("median",))
    outcome = Outcome([figure])
    half = len(cluster) // 2
    sides = list(range(half)), list(range(half, len(cluster)))
    for turn in range(world.scale.few):
        say(f"{row.name}: partition {turn + 1}")
        began = cluster.partition(*sides)
        await asyncio.sleep(world.scale.split_s)
        for side in sides:
            within = {cluster[index].node_id for index in side}
            nodes = [cluster[index] for index in side]
            outcome.problems += deaths(nodes, within, began)
        parted = cluster.has_converged(*sides)
        outcome.said.append("" if parted else "the sides had not noticed")
        healed = cluster.heal()
        await cluster.converged(within_s=120)
        changes = [each.at for node in cluster for each in node.sightings if each.at >= healed]
        figure.values.append(max(changes, default=healed) - healed)
    outcome.said = [f"{world.scale.split_s:g} s long", *filter(None, outcome.said)]
    return outcome


@row("busy-50", f"{BUSY_PROCESSES} busy processes beside, N = 50", 50)
async def busy(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    with ExitStack() as stack:
        for _ in range(BUSY_PROCESSES):
            command = [sys.executable, "-c", "while True: pass"]
            process = stack.enter_context(subprocess.Popen(command))  # noqa: ASYNC220 - at once
            stack.callback(process.kill)
        return await nothing_happens(row, cluster, world.scale.long_s)


async def pauses(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    count = len(cluster) // 4
    paused_s = min(PAUSED_S, world.scale.long_s)
    outcome = Outcome()
    began, turn = now(), 0
    while turn == 0 or now() - began < world.scale.long_s:
        say(f"{row.name}: pause {turn + 1}, {now() - began:.0f} s")
        victims = [cluster[(turn * count + index) % len(cluster)] for index in range(count)]
        at = now()
        for victim in victims:
            cluster.freeze(victim.index)
        healthy = {each.node_id for each in cluster.running}
        await asyncio.sleep(paused_s)
        for victim in victims:
            cluster.thaw(victim.index)
        await cluster.converged(within_s=60)
        outcome.problems += deaths(list(cluster), healthy, at)
        turn += 1
    outcome.said.append(
        f"{len(outcome.problems)} false deaths in {turn} pauses of {paused_s:g} s of {count} nodes"
    )
    return outcome


add = partial(row, place=Place.NETWORK)
add("loss-5", "10 % of the packets lost, N = 5", 5, short=True)(partial(loss, share=0.1))
add("split-5", "partition 2 : 3", 5, short=True)(partial(split, most_s=3.0))
add("loss-16", "30 % of the packets lost, N = 16", 16)(partial(loss, share=0.3))
add("split-16", "partition 8 : 8", 16)(partial(split, most_s=3.0))
add("loss-50", "10 % of the packets lost, N = 50", 50)(partial(loss, share=0.1))
add("split-50", "partition 25 : 25", 50)(partial(split, most_s=5.0))
row("paused-16", "4 of 16 paused", 16)(pauses)
