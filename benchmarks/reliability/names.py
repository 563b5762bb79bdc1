"""Row: how soon a name that is registered, or dropped, is seen everywhere."""

from __future__ import annotations

import asyncio

from benchmarks.reliability.figures import Figure, Limit, Outcome
from benchmarks.reliability.rows import Row, row
from benchmarks.reliability.world import World, now, say

WITHIN_S = 30.0


async def names(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    limits = (Limit("p99", 1.0),)
    shown = ("median", "max")
    appeared = Figure("registered, seen by each node", "s", limits, shown)
    vanished = Figure("unregistered, gone for each node", "s", limits, shown)
    for turn in range(world.scale.names):
        say(f"{row.name}: name {turn + 1}")
        owner = cluster[turn % len(cluster)]
        name = f"name-{turn}"
        for figure, instances in ((appeared, 1), (vanished, 0)):
            seen = [
                asyncio.ensure_future(each.expect(name, instances, within_s=WITHIN_S))
                for each in cluster.running
            ]
            at = now()
            if instances:
                await owner.spawn("examples.counter:Counter", 0, name=name)
            else:
                await owner.stop_actor(name)
            figure.values += [max(0.0, each - at) for each in await asyncio.gather(*seen)]
    ghosts = [
        f"{node.name} still lists {each['name']}"
        for node in cluster.running
        for each in await node.names()
        if "/name-" in each["name"]
    ]
    return Outcome([appeared, vanished], ghosts)


for nodes in (5, 50):
    row(f"names-{nodes}", f"a name comes and goes, N = {nodes}", nodes, short=nodes == 5)(names)
