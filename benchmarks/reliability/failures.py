"""Rows: crash, hang, leave, restart at the same address, a blocked loop."""

from __future__ import annotations

import asyncio
from functools import partial

from benchmarks.reliability.figures import Figure, Limit, Outcome
from benchmarks.reliability.rows import Row, row
from benchmarks.reliability.world import World, deaths, now, say
from pulsing.testing import ProcessCluster
from pulsing.testing.processes import ProcessNode
from pulsing.testing.sightings import is_one_way, path

WITHIN_S = 60.0


async def known_to_all(cluster: ProcessCluster, gone: str, since: float, end: str) -> list[float]:
    """Wait until every running node that knew a node knows its end; seconds, by observer."""
    observers = [each for each in cluster.running if each.believes(gone) is not None]
    await cluster.eventually(
        lambda: all(each.believes(gone) == end for each in observers), within_s=WITHIN_S
    )
    return [
        next(s.at for s in path(each.sightings, gone, since=since) if s.status == end) - since
        for each in observers
    ]


def flaps(cluster: ProcessCluster, gone: str, since: float, end: str) -> list[str]:
    """Which observers saw more than (suspect and) the end; one line each."""
    found = []
    for observer in cluster.running:
        if observer.believes(gone) is None:
            continue  # it came later
        statuses = [each.status for each in path(observer.sightings, gone, since=since)]
        if not is_one_way(statuses, end):
            found.append(f"{observer.name} saw {' -> '.join(statuses)}")
    return found


async def crash(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    figure = Figure("seconds to every observer", "s", (Limit("median", 1.0), Limit("max", 2.0)))
    outcome = Outcome([figure])
    for turn in range(world.scale.repetitions):
        say(f"{row.name}: kill {turn + 1}")
        victim = cluster[1 + turn % (len(cluster) - 1)]
        gone, at = victim.node_id, cluster.kill(victim.index)
        figure.values += await known_to_all(cluster, gone, at, "Dead")
        await cluster.restart(victim.index)
        await cluster.converged(within_s=WITHIN_S)
        outcome.problems += flaps(cluster, gone, at, "Dead")
    outcome.said.append(f"{world.scale.repetitions} kills")
    return outcome


async def hang(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    first = Figure("first observer", "s", (Limit("median", 4.0),), ("max",))
    last = Figure("last observer", "s", (Limit("max", 6.0),), ("median",))
    outcome = Outcome([first, last])
    for turn in range(world.scale.few):
        say(f"{row.name}: freeze {turn + 1}")
        victim = cluster[1 + turn % (len(cluster) - 1)]
        gone, at = victim.node_id, cluster.freeze(victim.index)
        times = await known_to_all(cluster, gone, at, "Dead")
        first.values.append(min(times))
        last.values.append(max(times))
        outcome.problems += flaps(cluster, gone, at, "Dead")
        healthy = {each.node_id for each in cluster.running}
        cluster.thaw(victim.index)
        await cluster.converged(within_s=WITHIN_S)
        outcome.problems += deaths(list(cluster), healthy, at)
    outcome.said.append(f"{world.scale.few} freezes, each thawed and back")
    return outcome


async def leave(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    known = Figure("seconds to every observer", "s", (Limit("max", 0.3),), ("median",))
    ended = Figure("exit after", "s", (Limit("max", 5.0),), ("median",))
    outcome = Outcome([known, ended])
    for turn in range(world.scale.repetitions):
        say(f"{row.name}: leave {turn + 1}")
        victim = cluster[1 + turn % (len(cluster) - 1)]
        gone, at = victim.node_id, now()
        await cluster.stop(victim.index)
        ended.values.append(now() - at)
        known.values += await known_to_all(cluster, gone, at, "Left")
        outcome.problems += flaps(cluster, gone, at, "Left")
        await cluster.restart(victim.index)
        await cluster.converged(within_s=WITHIN_S)
    return outcome


async def restart(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    old_gone = Figure("old id gone for every observer", "s", (Limit("max", 1.0),), ("median",))
    usable = Figure("new one called by every other", "s", (Limit("max", 1.0),), ("median",))
    outcome = Outcome([old_gone, usable], said=["seconds since the new process listens"])
    for turn in range(world.scale.repetitions):
        say(f"{row.name}: restart {turn + 1}")
        victim = cluster[1 + turn % (len(cluster) - 1)]
        gone, addr = victim.node_id, victim.addr
        at = cluster.kill(victim.index)
        await cluster.restart(victim.index)
        if victim.addr != addr or victim.node_id == gone:
            outcome.problems.append(f"{victim.name} did not come back as another at {addr}")
        listens = victim.sightings[0].at
        name = f"after-{turn}"
        waiting = [
            asyncio.ensure_future(_called_at(each, name))
            for each in cluster.running
            if each is not victim
        ]
        await victim.spawn("examples.counter:Counter", turn, name=name)
        usable.values += [max(0.0, each - listens) for each in await asyncio.gather(*waiting)]
        times = await known_to_all(cluster, gone, at, "Dead")
        old_gone.values += [max(0.0, each + at - listens) for each in times]
        await cluster.converged(within_s=WITHIN_S)
        await victim.stop_actor(name)
    return outcome


async def _called_at(caller: ProcessNode, name: str) -> float:
    await caller.call(name, "incr", 1, timeout_s=WITHIN_S)
    return now()


async def held(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    figure = Figure("shown as Busy after", "s", (), ("median", "max"))
    outcome = Outcome([figure])
    victim = cluster[1]
    say(f"{row.name}: {world.scale.held_s:g} s")
    began = now()
    holding = asyncio.ensure_future(victim.hold_loop(world.scale.held_s))
    others = [each for each in cluster.running if each is not victim]
    await cluster.eventually(
        lambda: all(each.believes(victim) == "Busy" for each in others), within_s=WITHIN_S
    )
    figure.values += [
        next(s.at for s in path(each.sightings, victim.node_id, since=began) if s.status == "Busy")
        - began
        for each in others
    ]
    await holding
    await cluster.converged(within_s=WITHIN_S)
    outcome.problems += deaths(list(cluster), {each.node_id for each in cluster}, began)
    for observer in others:
        statuses = {s.status for s in path(observer.sightings, victim.node_id, since=began)}
        if statuses - {"Busy", "Alive"}:
            outcome.problems.append(f"{observer.name} saw {sorted(statuses)}")
    assert victim.process is not None
    if "hold" not in victim.process.errors:
        outcome.problems.append("the log of the held node does not name the culprit")
    outcome.said.append(f"held for {world.scale.held_s:g} s, then Alive again")
    return outcome


for nodes in (5, 16, 50):
    add = partial(row, nodes=nodes, short=nodes == 5)
    add(f"crash-{nodes}", f"kill -9, N = {nodes}")(crash)
    add(f"hang-{nodes}", f"SIGSTOP, N = {nodes}")(hang)
    add(f"leave-{nodes}", f"SIGTERM, N = {nodes}")(leave)
row("restart-5", "same address, new process, N = 5", 5, short=True)(restart)
row("held-5", "an actor holds the loop, N = 5", 5, short=True)(held)
