"""What actors schedule: many timers at a time, set and gone off."""

from __future__ import annotations

import asyncio
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import pulsing as pul
from benchmarks.env import LOCAL
from benchmarks.registry import Benchmark, register
from benchmarks.slices import Slice

if TYPE_CHECKING:
    from benchmarks.env import Env

TIMERS = 100_000
QUICK = 1_000


@pul.remote(mailbox_size=TIMERS)
class Alarms:
    """Sets many timers for one moment, and counts those that come."""

    def __init__(self) -> None:
        self._left = 0
        self._last = asyncio.Event()

    async def set(self, number: int, delay_s: float) -> float:
        """Schedule them; how long that took, in seconds."""
        self._left = number
        self._last.clear()
        schedule, ring = pul.current().schedule_once, self.ring
        began = perf_counter()
        for _ in range(number):
            schedule(delay_s, ring)
        return perf_counter() - began

    async def ring(self) -> None:
        """One has come."""
        self._left -= 1
        if not self._left:
            self._last.set()

    async def wait(self) -> None:
        """Until the last one has come."""
        await self._last.wait()


async def timers(env: Env) -> Slice:
    """Set all, let all come."""
    number = TIMERS if env.scale.seconds >= 0.1 else QUICK
    system = await env.system(LOCAL)
    actor = await system.spawn(Alarms)
    set_s = await actor.set(number, 0.0)
    began, cpu = perf_counter(), process_time()
    await actor.wait()
    elapsed = perf_counter() - began
    await system.stop(actor)
    return Slice(
        count=number,
        seconds=elapsed,
        extra={"set_us": set_s / number * 1e6, "due_us": (process_time() - cpu) / number * 1e6},
    )


register(
    Benchmark(
        name="timers",
        title=f"{TIMERS} timers of one actor, set and come",
        block="local",
        run=timers,
        figures=("set_us", "due_us", "rate"),
        unit="timers/s",
    )
)
