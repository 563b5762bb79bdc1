"""``python -m benchmarks``: measure, print the tables, write JSON and SVG."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import benchmarks.items  # fills the registry
from benchmarks import plot, report
from benchmarks.env import Env, Scale
from benchmarks.harness import run_rounds
from benchmarks.loops import LOOPS, pin, run_on
from benchmarks.registry import REGISTRY, Benchmark, needed

if TYPE_CHECKING:
    from benchmarks.results import Results

__all__ = ["benchmarks", "main"]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures Pulsing against a raw socket; see docs/performance.md.",
    )
    parser.add_argument("--rounds", type=int, help="how often all is measured (default 7)")
    parser.add_argument("--only", metavar="NAMES", help="comma-separated names or patterns")
    parser.add_argument("--quick", action="store_true", help="show that all runs; no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plot")
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0], help="event loop on both ends")
    parser.add_argument("--pin", action="store_true", help="client on CPU 0, servers on CPU 1")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and exit")
    return parser.parse_args(arguments)


def chosen(only: str | None, *, quick: bool) -> list[Benchmark]:
    """The benchmarks to run, with the yardsticks they need.

    Raises:
        SystemExit: a pattern matches nothing.
    """
    if only is None:
        return [item for item in REGISTRY.values() if not (quick and item.heavy)]
    names: list[str] = []
    for pattern in only.split(","):
        found = [name for name in REGISTRY if fnmatch(name, pattern.strip())]
        if not found:
            raise SystemExit(f"no benchmark is called {pattern!r}; --list names them")
        names += found
    return [item for item in needed(names) if not (quick and item.heavy)]


def about(options: argparse.Namespace, rounds: int) -> dict[str, object]:
    """What has to be known to compare a run with another one."""
    return {
        "python": platform.python_version(),
        "loop": options.loop,
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "rounds": rounds,
        "pinned": options.pin,
        "quick": options.quick,
    }


async def run(options: argparse.Namespace, items: list[Benchmark], rounds: int) -> Results:
    """Measure `items` and take everything down again."""
    scale = Scale.quick() if options.quick else Scale.full()
    env = Env(scale, loop=options.loop, pinned=options.pin)
    try:
        return await run_rounds(env, items, rounds)
    finally:
        await env.close()


def main() -> int:
    """Run the command.

    Returns:
        0, or 1 when a benchmark failed. A missed target is not a failure: machines differ.
    """
    options = parse()
    if options.list:
        for item in REGISTRY.values():
            print(f"{item.name:<20} {item.title}")
        return 0
    items = chosen(options.only, quick=options.quick)
    rounds = options.rounds or (1 if options.quick else 7)
    context = about(options, rounds)
    if options.pin:
        pin(0)
    results = run_on(options.loop, run(options, items, rounds))
    results.about = context
    print(report.text(results))
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    if options.svg:
        options.svg.write_text(plot.svg(results))
    return 1 if results.errors else 0


if __name__ == "__main__":
    sys.exit(main())
