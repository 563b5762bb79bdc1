"""``python -m benchmarks.reliability``: measure, print a line for each row, write JSON and SVG."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.loops import LOOPS, run_on
from benchmarks.reliability import failures, joins, load, losses, names, plot
from benchmarks.reliability.figures import Outcome
from benchmarks.reliability.rows import ROWS, Row
from benchmarks.reliability.world import Scale, World, say
from pulsing.testing import NamespaceNetwork

__all__ = ["failures", "joins", "load", "losses", "main", "names"]  # imported to fill ROWS

SHOWN_PROBLEMS = 5


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability",
        description="Hurts clusters of node processes and measures what they make of it.",
    )
    parser.add_argument("--short", action="store_true", help="small and quick, for CI")
    parser.add_argument("--only", metavar="ROWS", help="comma-separated names or patterns")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the rows in which nothing may happen"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plot")
    parser.add_argument(
        "--merge", action="store_true", help="keep rows of the JSON file that are not measured now"
    )
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0], help="event loop of this end")
    parser.add_argument("--list", action="store_true", help="name the rows and exit")
    return parser.parse_args(arguments)


def chosen(only: str | None, *, short: bool) -> list[Row]:
    """The rows to measure, those that share a cluster one after another.

    Raises:
        SystemExit: a pattern matches nothing.
    """
    found = [row for row in ROWS.values() if row.short or not short]
    if only is not None:
        found = []
        for pattern in only.split(","):
            matching = [row for name, row in ROWS.items() if fnmatch(name, pattern.strip())]
            if not matching:
                raise SystemExit(f"no row is called {pattern!r}; --list names them")
            found += [row for row in matching if row not in found]
    return sorted(found, key=lambda row: (row.place.name, row.nodes, not row.fresh, row.spoils))


async def measure(world: World, row: Row) -> Outcome:
    """Measure one row; that it failed is its outcome, and the next gets a new cluster."""
    try:
        outcome = await row.run(world, row)
    except Exception as error:  # noqa: BLE001 - the other rows go on
        print(file=sys.stderr)
        traceback.print_exc()
        await world.close()
        return Outcome(problems=[f"{type(error).__name__}: {str(error).splitlines()[0]}"])
    if row.spoils:
        await world.close()
    return outcome


async def run(options: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    """Measure all rows; gives what goes into the JSON file."""
    missing = NamespaceNetwork.missing()
    scale = Scale.short() if options.short else Scale.full(options.minutes)
    world = World(scale, missing)
    found: dict[str, Any] = {}
    try:
        for row in rows:
            if missing and row.place.needs_namespaces:
                print(f"{row.name:<10} {row.title:<36} left out: {missing}")
                continue
            began = time.monotonic()
            outcome = await measure(world, row)
            say("")
            verdict = "ok" if outcome.met else "MISSED"
            took = time.monotonic() - began
            print(f"{row.name:<10} {verdict:<6} {row.title}: {outcome.text()} [{took:.0f} s]")
            for problem in outcome.problems[:SHOWN_PROBLEMS]:
                print(f"{'':<10} - {problem}")
            if (more := len(outcome.problems) - SHOWN_PROBLEMS) > 0:
                print(f"{'':<10} - and {more} more")
            sys.stdout.flush()
            found[row.name] = {"title": row.title, **outcome.as_json()}
            save(options, found)
    finally:
        await world.close()
    return found


def save(options: argparse.Namespace, found: dict[str, Any]) -> None:
    """Write the files, after every row: a run that is interrupted keeps what it has."""
    about = {
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?",
        "kernel": platform.release(),
        "short": options.short,
    }
    results = {"about": about, "rows": found}
    if options.json:
        if options.merge and options.json.exists():
            before = json.loads(options.json.read_text(encoding="utf-8"))["rows"]
            results["rows"] = {**before, **found}
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.svg:
        options.svg.write_text(plot.svg(results), encoding="utf-8")


def main() -> int:
    """Run the command.

    Returns:
        0, or 1 when a row was missed.
    """
    options = parse()
    if options.list:
        for row in ROWS.values():
            print(f"{row.name:<10} {row.title}, {row.place.value}")
        return 0
    rows = chosen(options.only, short=options.short)
    found = run_on(options.loop, run(options, rows))
    return 0 if all(each["met"] for each in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
