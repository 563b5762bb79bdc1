"""A process that spawns N actors, does nothing with them, and prints what they weigh."""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter

import pulsing as pul
from benchmarks.actors import AsyncCounter
from benchmarks.processes import settle_memory

BATCH = 1000


async def main(count: int) -> dict[str, float]:
    """Spawn `count` actors on a node without a port; returns bytes per actor and the time."""
    async with pul.running() as system:
        for _ in range(BATCH):
            await system.spawn(AsyncCounter)
        before = settle_memory() or 0
        begin = perf_counter()
        for number in range(count):
            await system.spawn(AsyncCounter)
            if number % BATCH == 0:
                await asyncio.sleep(0)
        seconds = perf_counter() - begin
        after = settle_memory() or 0
        return {"bytes_per_actor": (after - before) / count, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(pul.run(main(int(sys.argv[1])))))
