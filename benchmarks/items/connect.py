"""The first call to a node: dial, handshake, settings, look-up and one ask, without and with TLS.

Each one goes to another loopback address of the same node, so each one is a new connection. The
time under TLS is an upper bound of the handshake; the difference to cleartext is the handshake.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

from benchmarks.env import CLEAR, TLS, Env
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice, seconds_array

FIRST_CALLS = 8


async def first_call(env: Env, kind: str) -> Slice:
    """Time from nothing to the answer of the first ask."""
    await env.proxy("bench/async", kind)
    latencies = seconds_array()
    for _ in range(FIRST_CALLS):
        address = await env.fresh_address(kind)
        begin = perf_counter()
        proxy = await env.resolve("bench/async", kind, address)
        await proxy.incr(1)
        latencies.append(perf_counter() - begin)
    return Slice(count=FIRST_CALLS, seconds=sum(latencies), latencies_s=latencies)


register(
    Benchmark(
        name="first_call_clear",
        title="first call on a new connection, cleartext",
        block="connect",
        run=partial(first_call, kind=CLEAR),
        figures=("p50_us", "p99_us"),
    )
)
register(
    Benchmark(
        name="first_call_tls",
        title="first call on a new connection, TLS",
        block="connect",
        run=partial(first_call, kind=TLS),
        figures=("p50_us", "p99_us"),
        against="first_call_clear",
        targets=(
            Target(label="TLS handshake and first ask, p50, us", figure="p50_us", at_most=15_000),
        ),
    )
)
