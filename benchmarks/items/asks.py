"""Ask and tell between two processes, 1 to 4096 calls in flight, beside the raw ceiling."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.env import CLEAR, RAW_NAME, TLS, Env
from benchmarks.registry import Benchmark, Target, register
from benchmarks.slices import Slice, closed_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LEVELS = (1, 64, 512, 4096)
FIGURES = ("rate", "p50_us", "p99_us", "cpu_us")
KINDS = {
    "async": "async method",
    "inline": 'def method, executor="loop"',
    "threaded": "def method in a thread",
}
LONE_SLICES = 8  # 1 in flight jumps between two modes: many short slices, taken alternately
SLICES = 3
STRETCH = {1: 0.5, 4096: 2.0}  # the start of 4096 tasks takes a noticeable part of a short slice


async def drive(
    env: Env, call: Callable[[], Awaitable[object]], in_flight: int, kind: str = CLEAR
) -> Slice:
    """Run `call` at that concurrency for one slice."""
    seconds = env.scale.seconds * STRETCH.get(in_flight, 1.0)
    return await closed_loop(call, in_flight, seconds, await env.pids(kind))


async def raw_ask(env: Env, in_flight: int) -> Slice:
    """The ceiling."""
    client = await env.raw()
    return await drive(env, partial(client.call, "incr", 1), in_flight)


async def ask(env: Env, in_flight: int, name: str, kind: str = CLEAR) -> Slice:
    """A method call through a typed proxy."""
    proxy = await env.proxy(name, kind)
    return await drive(env, lambda: proxy.incr(1), in_flight, kind)


async def ask_receive(env: Env, in_flight: int) -> Slice:
    """`ref.ask(msg)` to a raw receive."""
    ref = await env.proxy(RAW_NAME)
    return await drive(env, lambda: ref.ask(1), in_flight)


async def tell(env: Env, in_flight: int) -> Slice:
    """A tell, awaited until the mailbox of the actor has it."""
    proxy = await env.proxy("bench/async")
    return await drive(env, lambda: proxy.incr.tell(1), in_flight)


def targets_async(level: int) -> tuple[Target, ...]:
    """What the issue asks of an async method at that concurrency."""
    raw = f"raw_ask_{level}"
    if level == 1:
        return (
            Target(label="ask, 1 in flight, p50 over raw", figure="p50_us", at_most=1.5, of=raw),
            Target(label="ask, 1 in flight, CPU over raw", figure="cpu_us", at_most=1.8, of=raw),
        )
    if level == 4096:
        of = "ask_async_512"
        return (Target(label="ask, 4096 in flight, over 512", figure="rate", at_least=0.75, of=of),)
    share = 0.55 if level == 64 else 0.5
    label = f"ask, {level} in flight, over raw"
    return (Target(label=label, figure="rate", at_least=share, of=raw),)


def register_level(level: int) -> None:
    """Register the items of one concurrency; they are one block."""
    block, raw = f"asks_{level}", f"raw_ask_{level}"

    def add(
        name: str,
        title: str,
        run: Callable[[Env], Awaitable[Slice]],
        targets: tuple[Target, ...] = (),
        against: str | None = raw,
    ) -> None:
        register(
            Benchmark(
                name=f"{name}_{level}",
                title=f"{title}, {level} in flight",
                block=block,
                run=run,
                figures=FIGURES,
                against=against,
                targets=targets,
                slices=LONE_SLICES if level == 1 else SLICES,
            )
        )

    add("raw_ask", "raw ceiling", partial(raw_ask, in_flight=level), against=None)
    for kind, title in KINDS.items():
        targets = targets_async(level) if kind == "async" else ()
        if kind == "threaded" and level == 64:
            label = "ask to a threaded def method, 64 in flight, over raw"
            targets = (Target(label=label, figure="rate", at_least=0.3, of=raw),)
        run = partial(ask, in_flight=level, name=f"bench/{kind}")
        add(f"ask_{kind}", f"ask, {title}", run, targets)
    add("ask_receive", "ask, raw receive", partial(ask_receive, in_flight=level))
    if level in (1, 64):
        add("tell", "tell", partial(tell, in_flight=level))
    if level == 64:
        of = "ask_async_64"
        label = "ask under TLS, 64 in flight, over cleartext"
        over_clear = Target(label=label, figure="rate", at_least=0.6, of=of)
        run = partial(ask, in_flight=level, name="bench/async", kind=TLS)
        add("tls_ask", "ask under TLS, async method", run, (over_clear,), against=of)


for in_flight in LEVELS:
    register_level(in_flight)
