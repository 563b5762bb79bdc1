"""Large bodies there and back, beside the same bytes over a raw asyncio connection.

The rate counts the payload once per round trip. Peak extra memory is how far the resident peak
rises during one or two echoes, in payloads; freed memory is given back before. It includes the
result, which the caller has to hold, but not the payload that was there already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks.env import CLEAR, TLS, Env
from benchmarks.processes import settle_memory, status_bytes
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice, closed_loop

KIB, MIB = 1024, 1024 * 1024
SIZES = {"64k": 64 * KIB, "1m": MIB, "32m": 32 * MIB, "256m": 256 * MIB}
FIGURES = ("rate", "p50_us", "peak_client_x", "peak_server_x")
Call = Callable[[Any], Awaitable[Any]]


async def measure(env: Env, call: Call, payload: Any, size: int, kind: str = CLEAR) -> Slice:
    """Echo the payload again and again for the time of a slice, then once more for the memory."""

    async def checked() -> None:
        reply = await call(payload)
        if memoryview(reply).nbytes != size:
            raise AssertionError(f"{memoryview(reply).nbytes} bytes came back, not {size}")

    result = await closed_loop(checked, 1, env.scale.seconds, await env.pids(kind))
    result.count *= size / 1e6
    if size >= MIB:
        result.extra = await peaks(env, checked, size, kind)
    return result


async def peaks(
    env: Env, call: Callable[[], Awaitable[None]], size: int, kind: str
) -> dict[str, float]:
    """Peak extra memory of both processes during echoes, in payloads."""
    server = await env.server(kind)
    before_server, before_client = await server.ask("settle"), settle_memory()
    for _ in range(1 if size > 32 * MIB else 2):
        await call()
    peak_server, peak_client = await server.ask("peak"), status_bytes("VmHWM")
    found = {}
    if before_client is not None and peak_client is not None:
        found["peak_client_x"] = (peak_client - before_client) / size
    if before_server is not None and peak_server is not None:
        found["peak_server_x"] = (peak_server - before_server) / size
    return found


async def raw_streams(env: Env, size: int) -> Slice:
    """asyncio streams."""
    return await measure(env, (await env.raw_streams()).echo, bytes(size), size)


async def raw_buffered(env: Env, size: int) -> Slice:
    """BufferedProtocol."""
    return await measure(env, (await env.raw_buffered()).echo, bytes(size), size)


async def echo(env: Env, size: int, kind: str = CLEAR) -> Slice:
    """Bytes as the argument and the result of an async method."""
    proxy = await env.proxy("bench/echo", kind)
    return await measure(env, proxy.echo, bytes(size), size, kind)


async def echo_array(env: Env, size: int) -> Slice:
    """A numpy array of 64-bit floats."""
    import numpy as np

    proxy = await env.proxy("bench/echo")
    return await measure(env, proxy.echo, np.zeros(size // 8), size)


def targets_32m(raw: str) -> tuple[Target, ...]:
    """What the issue asks of 32 MiB."""
    return (
        Target(label="echo of 32 MiB over raw streams", figure="rate", at_least=0.6, of=raw),
        Target(label="echo of 32 MiB, peak client / payload", figure="peak_client_x", at_most=3),
        Target(label="echo of 32 MiB, peak server / payload", figure="peak_server_x", at_most=3),
    )


def register_size(label: str, size: int) -> None:
    """Register the items of one size; they are one block."""
    raw = f"raw_echo_{label}"
    heavy = size > 32 * MIB

    def add(
        name: str,
        title: str,
        run: Callable[[Env], Awaitable[Slice]],
        targets: tuple[Target, ...] = (),
        against: str | None = raw,
    ) -> None:
        register(
            Benchmark(
                name=f"{name}_{label}",
                title=f"{title}, {label.upper()}iB",
                block=f"echo_{label}",
                run=run,
                figures=FIGURES if size >= MIB else FIGURES[:2],
                unit="MB/s",
                against=against,
                targets=targets,
                slices=1 if heavy else 2,
                heavy=heavy,
            )
        )

    add("raw_echo", "raw echo, streams", partial(raw_streams, size=size), against=None)
    add("raw_buffered", "raw echo, BufferedProtocol", partial(raw_buffered, size=size))
    add(
        "echo",
        "echo of bytes",
        partial(echo, size=size),
        targets_32m(raw) if label == "32m" else (),
    )
    if label == "32m":
        add("echo_array", "echo of a numpy array", partial(echo_array, size=size))
        of = "echo_32m"
        text = "echo of 32 MiB under TLS over cleartext"
        over_clear = Target(label=text, figure="rate", at_least=0.4, of=of)
        run = partial(echo, size=size, kind=TLS)
        add("tls_echo", "echo of bytes under TLS", run, (over_clear,), against=of)


for size_label, size_bytes in SIZES.items():
    register_size(size_label, size_bytes)
