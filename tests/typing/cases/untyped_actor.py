"""What pyright knows of a plain class with ``@pul.remote``; mypy ignores class decorators."""

from __future__ import annotations

from typing import Any, assert_type

import pulsing as pul


@pul.remote
class Counter:
    def __init__(self, init: int = 0) -> None:
        self.value = init

    def incr(self, n: int = 1) -> int:
        self.value += n
        return self.value


class Child(Counter):
    pass


@pul.remote(max_concurrency=1)
class Strict:
    def __init__(self, path: str) -> None:
        self.path = path


async def using(hinted: Counter) -> None:
    c = await Counter.spawn(10, name="c")
    assert_type(await c.incr(1), Any)
    assert_type(c.ref, pul.ActorRef)
    await Counter.options(name="c", placement="remote").spawn(10)
    placed = await Counter.spawn(10, placement="label:gpu")
    assert_type(placed.ref, pul.ActorRef)
    found = await Counter.resolve("c", node_id="n", policy="random")
    assert_type(found.with_key("k").ref, pul.ActorRef)
    await Counter.options(name="c").spawn("ten")  # E:
    await Strict.options(name="c").spawn("path")
    await Strict.options(name="c").spawn(10)  # E:
    local = Counter(3)
    assert_type(local.incr(), int)
    Counter("three")  # E:
    isinstance(local, Counter)
    hinted.incr(1)


@pul.remote(
    restart_policy="on_failure",
    max_restarts=3,
    restart_window=60.0,
    min_backoff=0.1,
    max_backoff=30.0,
    supervisor=pul.supervisor("one_for_all", max_restarts=3, within=60.0),
)
class Kept:
    def __init__(self, path: str) -> None:
        self.path = path


async def keeping() -> None:
    await Kept.options(restart_policy="always").spawn("a")
    await pul.spawn(object(), factory=object, restart_policy="on_failure", max_restarts=1)
    Kept.options(max_restarts="many")  # E:
    Kept.options(restarts=1)  # E:
    pul.supervisor("one_for_all", max_restarts="many")  # E:
