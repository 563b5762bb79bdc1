"""How soon callers know that a node was killed, and how soon its successor is called.

``python -m benchmarks.kill_recovery --kills 200`` starts a node, has a hundred asks and streams
under way, kills the node with SIGKILL, and takes the time from the signal to the error of each of
them; then it starts a node on the same port and takes the time of the first call.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulsing as pul
from pulsing.testing import NodeProcess

ASKS = 50
STREAMS = 50


@pul.remote(max_concurrency=10_000)
class Busy:
    """Has something under way for ever."""

    def __init__(self) -> None:
        self.waiting = 0

    async def stay(self) -> None:
        self.waiting += 1
        await asyncio.sleep(3600)

    async def stream(self) -> AsyncIterator[int]:
        self.waiting += 1
        number = 0
        while True:
            yield number
            number += 1
            await asyncio.sleep(0.05)

    async def ping(self) -> int:
        return self.waiting


async def pulsing_setup(system: pul.ActorSystem) -> None:
    await Busy.spawn(name="busy", system=system)


@dataclass
class Figures:
    """Seconds."""

    noticed: list[float] = field(default_factory=list)
    """From SIGKILL to the error of one call or stream."""
    last: list[float] = field(default_factory=list)
    """From SIGKILL to the last error."""
    called_again: list[float] = field(default_factory=list)
    """The first call to the successor, dialling included."""
    wrong: list[str] = field(default_factory=list)
    """Whatever did not end with ConnectionLost that leaves the delivery open."""


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def measure(kills: int) -> Figures:
    """Kill a node as many times."""
    figures = Figures()
    addr = "127.0.0.1:0"
    system = await pul.ActorSystem.create(pul.SystemConfig(default_timeout_s=60))
    busy: Any = None
    try:
        for _ in range(kills):
            node = await asyncio.to_thread(
                lambda addr=addr: NodeProcess(addr=addr, imports=["benchmarks.kill_recovery"])
            )
            try:
                addr = node.addr
                if busy is None:
                    busy = await system.resolve(f"actor://{addr}/busy")
                began = time.perf_counter()
                await busy.ping()
                figures.called_again.append(time.perf_counter() - began)
                await _one_kill(node, busy, figures)
            finally:
                await asyncio.to_thread(node.kill)
    finally:
        await system.shutdown()
    return figures


async def _one_kill(node: NodeProcess, busy: Any, figures: Figures) -> None:
    ended: list[float] = []

    async def hear(work: Any) -> None:
        try:
            await work
        except pul.ConnectionLost as error:
            ended.append(time.perf_counter())
            if error.delivered is not pul.Delivery.UNKNOWN:
                figures.wrong.append(repr(error))
        except pul.PulsingError as error:
            figures.wrong.append(repr(error))

    async def read() -> None:
        async for _ in busy.stream():
            pass

    works = [hear(busy.stay()) for _ in range(ASKS)] + [hear(read()) for _ in range(STREAMS)]
    tasks = [asyncio.ensure_future(each) for each in works]
    while await busy.ping() < ASKS + STREAMS:  # noqa: ASYNC110 - the count is another process's
        await asyncio.sleep(0.002)
    killed = time.perf_counter()
    node.send_signal(signal.SIGKILL)
    await asyncio.gather(*tasks)
    figures.noticed += [each - killed for each in ended]
    figures.last.append(max(ended, default=killed) - killed)


def main() -> int:
    """Print the figures; 1 when something did not end as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, metavar="N")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    options = parser.parse_args()
    figures = pul.run(measure(options.kills), uvloop=options.loop == "uvloop")
    print(f"{options.kills} kills, {ASKS} asks and {STREAMS} streams under way at each")
    for name, values in (
        ("error after SIGKILL", figures.noticed),
        ("last error after SIGKILL", figures.last),
        ("first call to the successor", figures.called_again[1:]),
    ):
        if values:
            print(
                f"{name:<28} p50 {statistics.median(values) * 1e3:7.2f} ms"
                f"   p99 {quantile(values, 0.99) * 1e3:7.2f} ms   max {max(values) * 1e3:7.2f} ms"
            )
    for each in figures.wrong[:10]:
        print(f"not as promised: {each}")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
