"""How long a process takes to be useful: the import, and a node from exec to ready."""

from __future__ import annotations

import asyncio
import statistics
import sys
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT, child_environment, run_child, status_bytes
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice

if TYPE_CHECKING:
    from benchmarks.env import Env

NODE = ("-m", "pulsing", "node", "--addr", "127.0.0.1:0")
IMPORT = "import pulsing"
USE = "import pulsing; pulsing.remote, pulsing.init, pulsing.Actor"  # names are loaded when used
IDLE_S = 0.5  # what a node does right after it is ready is not idling
MB = 1e6


async def wall_seconds(code: str) -> float:
    """Wall time of a Python process that runs `code`."""
    begin = perf_counter()
    await run_child("-c", code)
    return perf_counter() - begin


async def import_time(env: Env) -> Slice:
    """Processes that import or use pulsing and processes that do not, taken alternately."""
    taken: dict[str, list[float]] = {code: [] for code in ("pass", IMPORT, USE)}
    for _ in range(env.scale.processes):
        for code, times in taken.items():
            times.append(await wall_seconds(code))
    bare, imported, used = (statistics.median(times) * 1e3 for times in taken.values())
    return Slice(
        extra={"import_ms": imported - bare, "use_ms": used - bare, "bare_python_ms": bare}
    )


async def node_ready(env: Env) -> Slice:
    """From exec of ``python -m pulsing node`` to its ready line, and its size when idle."""
    begin = perf_counter()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *NODE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=child_environment(),
    )
    assert child.stdout is not None
    try:
        line = await child.stdout.readline()
        ready_s = perf_counter() - begin
        if not line:
            raise RuntimeError(f"the node ended with {await child.wait()} before it was ready")
        await asyncio.sleep(min(IDLE_S, env.scale.seconds * 4))
        extra = {"ready_ms": ready_s * 1e3}
        if (size := status_bytes("VmRSS", child.pid)) is not None:
            extra["rss_mb"] = size / MB
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()
    return Slice(extra=extra)


register(
    Benchmark(
        name="import",
        title="import pulsing, over bare Python",
        block="start",
        run=import_time,
        figures=("import_ms", "use_ms", "bare_python_ms"),
        targets=(Target(label="import pulsing, ms", figure="import_ms", at_most=90),),
        slices=1,
    )
)
register(
    Benchmark(
        name="node_ready",
        title="a node, from exec to its ready line",
        block="start",
        run=node_ready,
        figures=("ready_ms", "rss_mb"),
        targets=(
            Target(label="node ready from exec, ms", figure="ready_ms", at_most=350),
            Target(label="RSS of an idle node, MB", figure="rss_mb", at_most=45),
        ),
    )
)
