"""An agent as a machine of three states: Idle -> Thinking -> Answering -> Idle.

While it thinks, other questions are put aside; it gives up a thought that takes too long; and it
falls asleep when nobody asks. ``python -m examples.agent``
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pulsing as pul
from pulsing import Become, BehaviorAction

THOUGHT_S = 0.05
PATIENCE_S = 1.0
SLEEPY_S = 0.3


@dataclass
class Question:
    """Somebody wants an answer: whoever asks gets it as the reply."""

    text: str


@dataclass
class Thought:
    """The agent's own: it has come to a conclusion."""

    text: str


@dataclass
class Tick:
    """The agent's own: time to say the next word."""


AgentMsg = Question | Thought | Tick | pul.ReceiveTimeout
Context = pul.BehaviorContext[AgentMsg]


@dataclass
class Memory:
    """What the agent takes from state to state."""

    said: list[str] = field(default_factory=list[str])


@dataclass
class Thinking:
    """The state of one that thinks."""

    memory: Memory
    question: str


@dataclass
class Answering:
    """The state of one that speaks."""

    memory: Memory
    words: list[str]


async def idle(memory: Memory, msg: AgentMsg, ctx: Context) -> BehaviorAction:
    """Nothing to do: take a question, or fall asleep."""
    match msg:
        case Question(text):
            print(f"idle: hears {text!r}")
            # Stands for work elsewhere, of which the result comes back as a message.
            ctx.schedule_once(THOUGHT_S, Thought(f"{text} is a good question"))
            ctx.set_receive_timeout(PATIENCE_S)
            ctx.reply("let me think")
            return Become(pul.stateful(Thinking(memory, text), thinking))
        case pul.ReceiveTimeout():
            print(f"idle: falls asleep, having said {len(memory.said)} things")
            return BehaviorAction.Stop
        case _:
            return BehaviorAction.Unhandled


async def thinking(state: Thinking, msg: AgentMsg, ctx: Context) -> BehaviorAction:
    """Wait for the thought, and put other questions aside."""
    match msg:
        case Thought(text):
            print(f"thinking: has it, with {ctx.stashed} more to come")
            ctx.schedule_once(0, Tick())
            return Become(pul.stateful(Answering(state.memory, text.split()), answering))
        case Question():
            ctx.stash(msg)
            return BehaviorAction.Same
        case pul.ReceiveTimeout():
            print(f"thinking: gives up on {state.question!r}")
            return back_to_idle(state.memory, ctx)
        case _:
            return BehaviorAction.Unhandled


async def answering(state: Answering, msg: AgentMsg, ctx: Context) -> BehaviorAction:
    """Say one word after another; other questions wait here as well."""
    match msg:
        case Tick() if len(state.words) > 1:
            state.memory.said.append(state.words.pop(0))
            ctx.schedule_once(0, Tick())
            return BehaviorAction.Same
        case Tick():
            state.memory.said.append(state.words.pop())
            print("answering: done:", " ".join(state.memory.said[-5:]))
            return back_to_idle(state.memory, ctx)
        case Question():
            ctx.stash(msg)
            return BehaviorAction.Same
        case _:
            return BehaviorAction.Unhandled


def back_to_idle(memory: Memory, ctx: Context) -> BehaviorAction:
    """The next question, if one was put aside."""
    ctx.set_receive_timeout(SLEEPY_S)
    ctx.unstash_all()
    return Become(pul.stateful(memory, idle))


async def main() -> None:
    """Ask two questions at once, and wait until the agent sleeps."""
    async with pul.running() as system:
        agent = await system.spawn(pul.stateful(Memory(), idle), name="agent")
        asleep = pul.watch(agent)
        first, second = await asyncio.gather(agent.ask(Question("why")), agent.ask(Question("how")))
        print("both were heard:", first == second == "let me think")
        print("the agent sleeps:", (await asleep).reason.value)


if __name__ == "__main__":
    pul.run(main())
