"""Token streams: how many items a second, and how soon the first one comes."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.processes import cpu_seconds
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice, seconds_array

if TYPE_CHECKING:
    from benchmarks.env import Env

TOKENS_PER_PROBE = 8


async def streams(env: Env, concurrent: int) -> Slice:
    """Read `concurrent` streams at once to their end; latencies are times to the first token."""
    proxy = await env.proxy("bench/tokens")
    pids = await env.pids()
    each = max(1, env.scale.tokens // concurrent)
    first = seconds_array()

    async def read() -> int:
        begin = perf_counter()
        count = 0
        async for _ in proxy.stream(each):
            if not count:
                first.append(perf_counter() - begin)
            count += 1
        return count

    cpu_before = cpu_seconds(pids)
    begin = perf_counter()
    counts = await asyncio.gather(*(read() for _ in range(concurrent)))
    elapsed = perf_counter() - begin
    cpu_after = cpu_seconds(pids)
    if set(counts) != {each}:
        raise AssertionError(f"streams of {each} items gave {sorted(set(counts))}")
    cpu_s = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    return Slice(count=sum(counts), seconds=elapsed, latencies_s=first, cpu_s=cpu_s)


async def first_token(env: Env) -> Slice:
    """Time to the first token of short streams, one after the other."""
    proxy = await env.proxy("bench/tokens")
    first = seconds_array()
    started = perf_counter()
    stop = started + env.scale.seconds / 2
    while (begin := perf_counter()) < stop:
        waiting = True
        async for _ in proxy.stream(TOKENS_PER_PROBE):
            if waiting:
                first.append(perf_counter() - begin)
                waiting = False
    return Slice(count=len(first), seconds=perf_counter() - started, latencies_s=first)


register(
    Benchmark(
        name="first_token",
        title="time to first token, one stream at a time",
        block="asks_1",
        run=first_token,
        figures=("p50_us", "p99_us", "rate"),
        unit="streams/s",
        against="ask_async_1",
        targets=(
            Target(
                label="first token over an ask's p50", figure="p50_us", at_most=3, of="ask_async_1"
            ),
        ),
        slices=8,
    )
)
register(
    Benchmark(
        name="stream_1",
        title="one token stream",
        block="streams",
        run=partial(streams, concurrent=1),
        figures=("rate", "cpu_us"),
        unit="items/s",
        targets=(Target(label="one token stream, items/s", figure="rate", at_least=250_000),),
    )
)
register(
    Benchmark(
        name="streams_64",
        title="64 token streams at once (p50, p99: first token)",
        block="streams",
        run=partial(streams, concurrent=64),
        figures=("rate", "p50_us", "p99_us", "cpu_us"),
        unit="items/s",
        against="stream_1",
        targets=(Target(label="64 streams over one", figure="rate", at_least=0.5, of="stream_1"),),
    )
)
