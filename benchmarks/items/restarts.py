"""Actors that fail and run again at once: how many a second, and how long their callers wait."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import pulsing as pul
from benchmarks.env import LOCAL
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice, closed_loop, seconds_array

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.env import Env

ACTORS = 64


class Crashed(Exception):
    """What the actors fail with."""


@pul.remote(restart_policy="on_failure", min_backoff=0.0, max_restarts=10**9)
class Crashing:
    """Fails on demand; made again by its constructor, in a worker thread."""

    def __init__(self) -> None:
        self.value = 0

    async def fail(self) -> None:
        """Fail."""
        raise Crashed

    async def incr(self) -> int:
        """What waits behind a failure."""
        self.value += 1
        return self.value


@contextmanager
def quiet() -> Generator[None]:
    """Without the line that each actor writes when it fails."""
    logger = logging.getLogger("pulsing.actor")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


async def restarts(env: Env, policy: str) -> Slice:
    """Many actors, each failing as soon as the one before has been answered."""
    system = await env.system(LOCAL)
    owner = Crashing.options(restart_policy=policy, system=system)
    actors = [await owner.spawn() for _ in range(ACTORS)]
    waiting = list(actors)

    async def fail() -> None:
        actor = waiting.pop()
        with suppress(Crashed):
            await actor.fail()
        waiting.append(actor)

    before = system.dispatcher.counters.restarts
    with quiet():
        done = await closed_loop(fail, ACTORS, env.scale.seconds, (os.getpid(),))
    for actor in actors:
        if await actor.incr() != 1:
            raise AssertionError("state survived a failure")
        await system.stop(actor)
    restarted = system.dispatcher.counters.restarts - before
    if restarted != (0 if policy == "never" else done.count):
        raise AssertionError(f"{done.count} failures, {restarted} restarts")
    return done


async def pending(env: Env) -> Slice:
    """One actor: a call that arrives right behind the one that fails."""
    system = await env.system(LOCAL)
    actor = await system.spawn(Crashing)
    latencies = seconds_array()
    began = perf_counter()
    stop = began + env.scale.seconds
    with quiet():
        while (begin := perf_counter()) < stop:
            failing = asyncio.ensure_future(actor.fail())
            if await actor.incr() != 1:
                raise AssertionError("the call overtook the failure")
            latencies.append(perf_counter() - begin)
            await asyncio.wait((failing,))
            failing.exception()
    elapsed = perf_counter() - began
    await system.stop(actor)
    return Slice(count=len(latencies), seconds=elapsed, latencies_s=latencies)


register(
    Benchmark(
        name="restarts",
        title=f"restarts of {ACTORS} actors without backoff, each fails when answered",
        block="local",
        run=partial(restarts, policy="on_failure"),
        figures=("rate", "p50_us", "p99_us", "cpu_us"),
        unit="restarts/s",
        targets=(Target(label="restarts/s", figure="rate", at_least=10_000),),
    )
)
register(
    Benchmark(
        name="restart_never",
        title=f"the same failures of {ACTORS} actors that are not restarted",
        block="local",
        run=partial(restarts, policy="never"),
        figures=("rate", "p50_us", "p99_us", "cpu_us"),
        unit="failures/s",
    )
)
register(
    Benchmark(
        name="restart_pending",
        title="a call that waits while its actor restarts",
        block="local",
        run=pending,
        figures=("p50_us", "p99_us", "rate"),
        unit="restarts/s",
        targets=(Target(label="a waiting call, p99 us", figure="p99_us", at_most=5_000),),
    )
)
