"""What type checkers know of behaviours and of references to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import pulsing as pul


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
) -> pul.BehaviorAction:
    match msg:
        case Increment(by):
            count.value += by
            return pul.BehaviorAction.Same
        case Reset():
            return pul.BehaviorAction.Become(pul.stateful(Count(), counting_async))
        case Get():
            ctx.reply(count.value)
            ctx.stash("x")  # E:
            ctx.stash(msg)
            ctx.set_receive_timeout(1.5)
            assert_type(ctx.self_ref, pul.TypedRef[CounterMsg])
            assert_type(ctx.unstash_all(), int)
            assert_type(ctx.schedule_once(1, Reset()), pul.Timer)
            return pul.BehaviorAction.Unhandled


async def counting_async(
    count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]
) -> pul.BehaviorAction | None:
    return counting(count, msg, ctx)


def making(ctx: pul.BehaviorContext[CounterMsg]) -> pul.Behavior[CounterMsg]:
    return pul.stateful(Count(), counting)


def wrong(count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]) -> int:
    return 5


def reading(readable: pul.TypedRef[Get]) -> None:
    readable.tell(Get())
    readable.tell(Reset())  # E:


async def using(system: pul.ActorSystem) -> None:
    behavior = pul.stateful(Count(), counting)
    assert_type(behavior, pul.Behavior[CounterMsg])
    counter = await system.spawn(behavior, name="counter")
    assert_type(counter, pul.TypedRef[CounterMsg])
    await counter.tell(Increment(5))
    assert_type(counter.ask(Get()), pul.Call[Any])
    counter.tell("hello")  # E:
    await counter.ask(Increment)  # E:
    reading(counter)
    wider: pul.TypedRef[CounterMsg | str] = counter  # E:
    assert wider
    pul.stateful(Count(), wrong)  # E:
    pul.stateful("no count", counting)  # E:
    pul.BehaviorAction.Become(counting)  # E:
    assert_type(await pul.spawn(pul.setup(making)), pul.TypedRef[CounterMsg])
    assert_type(await pul.spawn(pul.stateful(Count(), counting_async)), pul.TypedRef[CounterMsg])
    typed = pul.TypedRef[Increment | Get](await pul.resolve("counter"))
    typed.tell(Reset())  # E:
    typed.tell(Increment())
    assert_type(typed.untyped, pul.ActorRef)


class Alarm(pul.Actor):
    async def ring(self) -> None: ...

    async def set(self, seconds: float) -> None:
        assert_type(self.delayed(seconds).ring(), pul.Timer)
        timer = pul.current().schedule_every(seconds, self.ring)
        assert_type(timer.cancel(), bool)
        pul.current().schedule_every("x", self.ring)  # E:
        self.delayed("x")  # E:
