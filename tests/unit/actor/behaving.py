"""Behaviours for tests: a counter, and ways to spawn handlers of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import pulsing as pul

Same, Stop, Unhandled = (
    pul.BehaviorAction.Same,
    pul.BehaviorAction.Stop,
    pul.BehaviorAction.Unhandled,
)


@dataclass
class Increment:
    by: int = 1


@dataclass
class Reset:
    pass


@dataclass
class Get:
    pass


CounterMsg = Increment | Reset | Get


@dataclass
class Count:
    value: int = 0


def counting(
    count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]
) -> pul.BehaviorAction | None:
    match msg:
        case Increment(by):
            count.value += by
            return Same
        case Reset():
            return pul.Become(pul.stateful(Count(), counting))
        case Get():
            ctx.reply(count.value)
            return None


async def counting_async(
    count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]
) -> pul.BehaviorAction | None:
    return counting(count, msg, ctx)


def counting_by_lambda(state: Count) -> Any:
    return pul.stateful(state, lambda *given: counting_async(*given))  # noqa: PLW0108 - the case


@asynccontextmanager
async def system() -> AsyncIterator[pul.ActorSystem]:
    made = await pul.ActorSystem.create()
    try:
        yield made
    finally:
        await made.shutdown()


KINDS = pytest.mark.parametrize("kind", ["thread", "loop", "async"])
"""Where a handler runs: a ``def`` in a thread or on the loop, an ``async def``."""


def of_kind(kind: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The ``def`` handler, or the same as ``async def``."""
    if kind != "async":
        return handler

    async def wrapped(state: Any, msg: Any, ctx: Any) -> Any:
        return handler(state, msg, ctx)

    wrapped.__annotations__ = handler.__annotations__
    wrapped.__name__ = handler.__name__
    return wrapped


async def spawn(s: pul.ActorSystem, kind: str, state: Any, handler: Any, **options: Any) -> Any:
    if kind == "loop":
        options["executor"] = "loop"
    return await s.spawn(pul.stateful(state, of_kind(kind, handler)), **options)


async def sent(ref: Any, *messages: Any) -> list[asyncio.Future[Any]]:
    """Asks that are on their way, in order."""
    asked = [asyncio.ensure_future(ref.ask(each)) for each in messages]
    await asyncio.sleep(0)
    return asked
