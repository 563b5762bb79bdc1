"""Calls within one process: no bytes, no socket."""

from __future__ import annotations

import os
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice, closed_loop

if TYPE_CHECKING:
    from benchmarks.env import Env

TELLS = 5_000


async def local_ask(env: Env, in_flight: int) -> Slice:
    """An async method, called locally."""
    proxy = await env.local()
    return await closed_loop(lambda: proxy.incr(1), in_flight, env.scale.seconds, (os.getpid(),))


async def local_tell(env: Env) -> Slice:
    """Tells one after the other, and the ask that shows that the last one was handled."""
    proxy = await env.local()
    before = await proxy.incr(0)
    count = 0
    begin = perf_counter()
    stop = begin + env.scale.seconds
    while perf_counter() < stop:
        for _ in range(TELLS):
            await proxy.incr.tell(1)
        count += TELLS
        if await proxy.incr(0) != before + count:
            raise AssertionError("a tell was lost")
    elapsed = perf_counter() - begin
    return Slice(count=count, seconds=elapsed, extra={"tell_us": elapsed / count * 1e6})


for concurrency in (1, 64):
    register(
        Benchmark(
            name=f"local_ask_{concurrency}",
            title=f"local ask, async method, {concurrency} in flight",
            block="local",
            run=partial(local_ask, in_flight=concurrency),
            figures=("rate", "p50_us", "p99_us", "cpu_us"),
            targets=(
                Target(
                    label=f"local ask, {concurrency} in flight, calls/s",
                    figure="rate",
                    at_least=150_000,
                ),
            ),
        )
    )
register(
    Benchmark(
        name="local_tell",
        title="local tell, handled",
        block="local",
        run=local_tell,
        figures=("tell_us", "rate"),
        unit="tells/s",
        targets=(Target(label="local tell, us", figure="tell_us", at_most=5),),
    )
)
