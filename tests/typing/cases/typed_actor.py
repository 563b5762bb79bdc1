"""What type checkers know of a class with the base ``pul.Actor``. ``E:`` marks wanted errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import pulsing as pul


class Counter(pul.Actor):
    def __init__(self, init: int = 0) -> None:
        self.value = init

    @pul.method
    def incr(self, n: int = 1) -> int:
        self.value += n
        return self.value

    @pul.method
    async def slow(self, text: str) -> str:
        return text

    @pul.method
    async def nothing(self) -> None: ...

    @pul.method
    async def stream(self, n: int) -> AsyncIterator[int]:
        yield n

    @pul.method(executor="loop", stream_buffer=4)
    def words(self, *texts: str) -> Iterator[str]:
        yield from texts


async def spawning() -> None:
    assert_type(await Counter.spawn(10), Counter)
    assert_type(await Counter.spawn(10, name="c"), Counter)
    assert_type(await Counter.spawn(10, name="c", public=False), Counter)
    assert_type(await Counter.options(name="c", max_concurrency=1).spawn(init=3), Counter)
    in_process = Counter.options(executor="process", env={"A": "1", "B": None})
    assert_type(await in_process.spawn(10), Counter)
    Counter.options(env={"A": 1})  # E:
    assert_type(await Counter.spawn(10, placement="remote"), Counter)
    assert_type(await Counter.options(placement="label:gpu").spawn(10), Counter)
    assert_type(await pul.spawn(Counter, 10, placement="remote"), Counter)
    assert_type(await Counter.resolve("c", timeout=1.0), Counter)
    assert_type(await Counter.resolve("c", node_id="n", policy="local_first"), Counter)
    assert_type((await Counter.resolve("c")).with_key("user-7"), Counter)
    assert_type(await pul.resolve("c", cls=Counter, policy=pul.LeastInFlight()), Counter)
    assert_type(pul.sync.resolve("c", cls=Counter, node_id="n"), Counter)
    assert_type(await pul.spawn(Counter, 10), Counter)
    assert_type(await pul.resolve("c", cls=Counter), Counter)
    assert_type(await pul.resolve("c"), pul.ActorRef)
    assert_type((await pul.resolve("c")).as_type(Counter), Counter)
    assert_type(pul.sync.spawn(Counter, 10), Counter)
    assert_type(Counter(1), Counter)
    await Counter.spawn("ten")  # E:
    await Counter.options(name="c").spawn("ten")  # E:
    Counter.options(placement=1)  # E:


async def calling(c: Counter) -> None:
    assert_type(c.incr(1), pul.Call[int])
    assert_type(await c.incr(1), int)
    assert_type(await c.incr(n=2).with_timeout(2.0), int)
    assert_type(await c.slow("x"), str)
    await c.nothing()
    assert_type(c.stream(3), pul.StreamCall[int])
    assert_type(await c.stream(3), list[int])
    async for number in c.stream(3):
        assert_type(number, int)
    async for word in c.words("a", "b"):
        assert_type(word, str)
    c.incr.tell(1)
    await c.incr.tell(1)
    assert_type(c.incr.sync(1), int)
    assert_type(c.stream.sync(3), Iterator[int])
    assert_type(Counter.incr(Counter(), 1), int)
    assert_type(c.actor_id, pul.ActorId)
    c.incr("one")  # E:
    c.incr(1, 2)  # E:
    c.incr.tell("one")  # E:
    c.words(1)  # E:
    c.unknown()  # E:


@pul.remote(executor="loop")
class Decorated(pul.Actor):
    @pul.method
    def get(self) -> int:
        return 1


async def decorated() -> None:
    assert_type(await (await Decorated.spawn()).get(), int)
