"""Rows: one node joins, and all join at once."""

from __future__ import annotations

from benchmarks.reliability.figures import Figure, Limit, Outcome
from benchmarks.reliability.rows import Row, row
from benchmarks.reliability.world import World, say
from pulsing.testing import ProcessCluster
from pulsing.testing.processes import ProcessNode


def listens(node: ProcessNode) -> float:
    """When it began to listen: when it first saw itself."""
    return next(each.at for each in node.sightings if each.node_id == node.node_id)


def all_seen(cluster: ProcessCluster) -> list[float]:
    """When each running node first saw each other one alive."""
    return [
        next(
            each.at
            for each in observer.sightings
            if each.node_id == other.node_id and each.status == "Alive"
        )
        for observer in cluster.running
        for other in cluster.running
    ]


@row("join-5", "one node joins 5", 5, short=True, spoils=True)
async def join_one(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    figure = Figure("seen by all, and sees all", "s", (Limit("median", 0.4),), ("max",))
    for turn in range(world.scale.repetitions):
        say(f"{row.name}: join {turn + 1}")
        (added,) = await cluster.add()
        await cluster.converged()
        pairs = [
            each.at
            for observer in cluster.running
            for each in observer.sightings
            if (observer is added or each.node_id == added.node_id) and each.status == "Alive"
        ]
        figure.values.append(max(pairs) - listens(added))
        cluster.kill(added.index)
        await cluster.converged()
    return Outcome([figure], said=["seconds since it listens"])


async def join_all(world: World, row: Row) -> Outcome:
    figure = Figure("all see all", "s", (Limit("max", 2.5),), ("median",))
    for turn in range(world.scale.few):
        say(f"{row.name}: start {turn + 1}")
        cluster = await world.cluster(row, converge=False)
        await cluster.converged(within_s=120)
        last = max(map(listens, cluster))
        figure.values.append(max(0.0, max(all_seen(cluster)) - last))
    return Outcome([figure], said=["seconds since the last listens"])


for nodes in (5, 50):
    row(f"start-{nodes}", f"{nodes} nodes start at once", nodes, short=nodes == 5, fresh=True)(
        join_all
    )
