"""One measurement (a slice), how slices become figures, and the loop that drives concurrent calls.

The same driver runs the yardstick and Pulsing: N tasks, each awaiting one call after the other.
"""

from __future__ import annotations

import asyncio
import statistics
from array import array
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence


def seconds_array() -> array[float]:
    """An empty, compact list of durations: floats in it are invisible to the garbage collector."""
    return array("d")


@dataclass(slots=True)
class Slice:
    """What one run of a benchmark gave.

    Args:
        count: units of work done (calls, items, megabytes).
        seconds: wall time they took.
        latencies_s: time of each call, where calls are timed.
        cpu_s: processor time of all processes involved; ``None``: not measured.
        extra: figures that are not derived from the above, by name.
    """

    count: float = 0.0
    seconds: float = 0.0
    latencies_s: array[float] = field(default_factory=seconds_array)
    cpu_s: float | None = None
    extra: dict[str, float] = field(default_factory=dict)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the sorted values lie; nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures_of(slices: Iterable[Slice]) -> dict[str, float]:
    """The figures of the slices of one round, pooled.

    ``rate`` is work over time, ``p50_us`` and ``p99_us`` are of all calls, ``cpu_us`` is processor
    time per unit of work; of extra figures the median counts, of ``peak_*`` the largest.
    """
    pooled = list(slices)
    figures: dict[str, float] = {}
    count = sum(one.count for one in pooled)
    seconds = sum(one.seconds for one in pooled)
    if count and seconds:
        figures["rate"] = count / seconds
    latencies = sorted(value for one in pooled for value in one.latencies_s)
    if latencies:
        figures["p50_us"] = percentile(latencies, 0.5) * 1e6
        figures["p99_us"] = percentile(latencies, 0.99) * 1e6
    if count and all(one.cpu_s is not None for one in pooled):
        figures["cpu_us"] = sum(one.cpu_s or 0.0 for one in pooled) / count * 1e6
    for name in {name for one in pooled for name in one.extra}:
        values = [one.extra[name] for one in pooled if name in one.extra]
        figures[name] = max(values) if name.startswith("peak_") else statistics.median(values)
    return figures


async def closed_loop(
    call: Callable[[], Awaitable[object]], in_flight: int, seconds: float, pids: Sequence[int]
) -> Slice:
    """Keep `in_flight` calls going for `seconds`; each task awaits one call after the other.

    Args:
        call: starts one call and gives its awaitable.
        in_flight: number of tasks, hence of calls under way at any time.
        seconds: no call is started after this time; the ones under way are awaited and counted.
        pids: processes whose processor time is charged to the calls.
    """
    latencies = seconds_array()
    record = latencies.append
    clock = perf_counter
    cpu_before = cpu_seconds(pids)
    started = clock()
    stop = started + seconds

    async def caller() -> None:
        end = clock()
        while True:
            begin = end
            await call()
            end = clock()
            record(end - begin)
            if end >= stop:
                return

    if in_flight == 1:
        await caller()
    else:
        await asyncio.gather(*(caller() for _ in range(in_flight)))
    elapsed = clock() - started
    cpu_after = cpu_seconds(pids)
    cpu_s = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    return Slice(count=len(latencies), seconds=elapsed, latencies_s=latencies, cpu_s=cpu_s)
