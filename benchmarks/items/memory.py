"""Bytes per idle actor and spawn rate, in a process of their own."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.processes import run_child
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice

if TYPE_CHECKING:
    from benchmarks.env import Env


async def idle_actors(env: Env, step: int) -> Slice:
    """Spawn many actors that nobody calls; the growth of the resident memory is theirs."""
    count = env.scale.idle_actors[step]
    found = json.loads(await run_child("-m", "benchmarks.idle_actors", str(count)))
    extra = {"bytes_per_actor": float(found["bytes_per_actor"])}
    return Slice(count=count, seconds=found["seconds"], extra=extra)


for position, size in enumerate(("100k", "1m")):
    register(
        Benchmark(
            name=f"idle_actors_{size}",
            title=f"{size.upper()} idle actors",
            block="memory",
            run=partial(idle_actors, step=position),
            figures=("bytes_per_actor", "rate"),
            unit="spawns/s",
            targets=(
                Target(
                    label=f"bytes per idle actor at {size.upper()}",
                    figure="bytes_per_actor",
                    at_most=2560,
                ),
            ),
            slices=1,
            once=position == 1,
            warm=False,
        )
    )
