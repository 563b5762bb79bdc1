"""Row: what a cluster costs in which nothing happens."""

from __future__ import annotations

import asyncio

from benchmarks.processes import cpu_seconds, status_bytes
from benchmarks.reliability.figures import Figure, Limit, Outcome
from benchmarks.reliability.rows import Place, Row, row
from benchmarks.reliability.world import World, now, say


async def idle(world: World, row: Row) -> Outcome:
    cluster = await world.cluster(row)
    network = world.network
    assert network is not None
    say(f"{row.name}: settling")
    await asyncio.sleep(world.scale.settle_s)
    pids = [each.pid for each in cluster]
    before, cpu_before, began = network.loopback_traffic(0), [cpu_seconds([p]) for p in pids], now()
    say(f"{row.name}: measuring for {world.scale.idle_s:g} s")
    await asyncio.sleep(world.scale.idle_s)
    after, cpu_after, passed = network.loopback_traffic(0), [cpu_seconds([p]) for p in pids], now()
    passed -= began
    sent = (after.sent_bytes - before.sent_bytes) / passed / len(pids)
    packets = (after.sent_packets - before.sent_packets) / passed / len(pids)
    traffic = Figure("sent by each node, headers included", "B/s", (Limit("mean", 1000.0),))
    traffic.values.append(sent)
    cpu = Figure("of a core", "%", (Limit("median", 0.5),), ("max",))
    for one, other in zip(cpu_before, cpu_after, strict=True):
        if one is not None and other is not None:
            cpu.values.append((other - one) / passed * 100)
    memory = Figure("resident", "MB", (Limit("max", 45.0),), ("median",))
    memory.values += [(status_bytes("VmRSS", pid) or 0) / 1e6 for pid in pids]
    return Outcome([traffic, cpu, memory], said=[f"{packets:.1f} packets/s"])


for nodes in (5, 16, 50):
    title = f"nothing happens, N = {nodes}"
    row(f"idle-{nodes}", title, nodes, place=Place.QUIET, short=nodes == 5, fresh=True)(idle)
