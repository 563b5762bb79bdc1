"""A counter as a behaviour: a function of a state and a message.

``python -m examples.behavior_counter``
"""

from __future__ import annotations

from dataclasses import dataclass

import pulsing as pul
from pulsing import BehaviorAction


@dataclass
class Increment:
    """Add to the count."""

    by: int = 1


@dataclass
class Reset:
    """Begin again at 0."""


@dataclass
class Get:
    """Ask for the count."""


CounterMsg = Increment | Reset | Get


@dataclass
class Count:
    """The state: each counter has its own."""

    value: int = 0


def counting(count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]) -> BehaviorAction:
    """What a message does to the state."""
    match msg:
        case Increment(by):
            count.value += by
        case Reset():
            count.value = 0
        case Get():
            ctx.reply(count.value)
    return BehaviorAction.Same


def counter(initial: int) -> pul.Behavior[CounterMsg]:
    """A counter that begins with a value."""
    return pul.stateful(Count(initial), counting)


async def main() -> None:
    """Count."""
    async with pul.running() as system:
        ref = await system.spawn(counter(0), name="counter")
        await ref.tell(Increment(5))
        print("counted to", await ref.ask(Get()))
        try:
            await ref.tell("hello")  # type: ignore[arg-type]  # a type checker refuses it, too
        except TypeError as error:
            print("refused:", error)
        await ref.tell(Reset())
        print("reset to", await ref.ask(Get()))


if __name__ == "__main__":
    pul.run(main())
