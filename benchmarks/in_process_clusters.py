"""How long a test waits for a cluster in its own process: started, converged, torn down.

``python -m benchmarks.in_process_clusters`` prints the median and the slowest of some rounds, for
the loop of asyncio and for uvloop.
"""

from __future__ import annotations

import argparse
import statistics
from time import perf_counter

from benchmarks.loops import LOOPS, run_on
from pulsing.testing import pulsing_cluster

TARGET_S = 0.150


async def rounds_of(nodes: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds until the nodes know each other, and seconds in all, of each round."""
    ready: list[float] = []
    whole: list[float] = []
    for _ in range(rounds + 1):
        began = perf_counter()
        async with pulsing_cluster(nodes):
            ready.append(perf_counter() - began)
        whole.append(perf_counter() - began)
    return ready[1:], whole[1:]  # the first one imports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    missed = False
    for loop in LOOPS:
        ready, whole = run_on(loop, rounds_of(options.nodes, options.rounds))
        median = statistics.median(whole)
        missed |= options.nodes == 3 and median > TARGET_S
        print(
            f"{loop:8} {options.nodes} nodes: converged after {statistics.median(ready) * 1e3:.0f} "
            f"ms, torn down after {median * 1e3:.0f} ms in all (slowest of {options.rounds}: "
            f"{max(whole) * 1e3:.0f} ms)",
            flush=True,
        )
    print(f"target for 3 nodes: {TARGET_S * 1e3:.0f} ms{', missed' if missed else ''}")


if __name__ == "__main__":
    main()
