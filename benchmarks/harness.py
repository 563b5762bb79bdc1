"""Runs benchmarks in rounds; within a round those of one block alternate slice by slice.

Before each slice garbage is collected in this process; apart from that the collector runs with
Python's defaults in every process, for the yardsticks as for Pulsing.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.results import Results
from benchmarks.slices import Slice, figures_of

if TYPE_CHECKING:
    from benchmarks.env import Env
    from benchmarks.registry import Benchmark

SLICE_TIMEOUT_S = 300.0  # a million spawned actors take a while


async def measure(env: Env, item: Benchmark, results: Results) -> Slice | None:
    """One slice; a failure is recorded, and the benchmark is not run again."""
    if item.name in results.errors:
        return None
    gc.collect()
    try:
        async with asyncio.timeout(SLICE_TIMEOUT_S):
            return await item.run(env)
    except Exception as error:  # noqa: BLE001 - the other items go on
        results.errors[item.name] = f"{type(error).__name__}: {error}"
        print(f"\n{item.name} failed:", file=sys.stderr)
        traceback.print_exc()
        return None


async def run_block(env: Env, block: list[Benchmark], number: int, results: Results) -> None:
    """One round of one block; who begins changes from slice to slice."""
    taken: dict[str, list[Slice]] = {item.name: [] for item in block}
    for turn in range(max(item.slices for item in block)):
        first = (number + turn) % len(block)
        for item in block[first:] + block[:first]:
            if turn >= (1 if env.scale.single else item.slices):
                continue
            found = await measure(env, item, results)
            if found is not None:
                taken[item.name].append(found)
    for name, slices in taken.items():
        if slices:
            results.rounds.setdefault(name, {})[number] = figures_of(slices)


async def run_rounds(env: Env, items: list[Benchmark], rounds: int) -> Results:
    """Warm everything up, then measure `rounds` times. Progress goes to standard error."""
    results = Results()
    items = sorted(items, key=lambda item: [other.block for other in items].index(item.block))
    blocks = [(name, list(members)) for name, members in groupby(items, lambda item: item.block)]
    for name, members in blocks:
        progress(f"warming up: {name}")
        for item in members:
            if item.warm:
                await measure(env, item, results)
    for number in range(rounds):
        for name, members in blocks:
            due = [item for item in members if number == 0 or not item.once]
            if due:
                progress(f"round {number + 1} of {rounds}: {name}")
                await run_block(env, due, number, results)
    progress("")
    return results


def progress(text: str) -> None:
    """Show where we are, on one line of a terminal; logs get nothing."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\n" if not text else "", file=sys.stderr, flush=True)
