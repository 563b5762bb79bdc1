"""What type checkers know of children, watches, links and names."""

from __future__ import annotations

import asyncio
from typing import assert_type

import pulsing as pul


@pul.remote
class Worker:
    def __init__(self, size: int = 1) -> None:
        self.size = size

    async def ping(self) -> str:
        return "pong"


class Child(pul.Actor):
    async def ping(self) -> str:
        return "pong"


class Parent(pul.Actor):
    async def on_terminated(self, event: pul.Terminated) -> None:
        assert_type(event.ref, pul.ActorRef)
        assert_type(event.reason, pul.ExitReason)
        assert_type(event.error, str | None)

    async def family(self) -> None:
        context = pul.current()
        child = await context.spawn(Child, name="child")
        assert_type(child, Child)
        assert_type(await child.ping(), str)
        await context.spawn(Worker, 3)
        assert_type(await context.spawn(Child()), pul.ActorRef)
        assert_type(context.children, list[pul.ActorRef])
        assert_type(context.parent, pul.ActorRef | None)
        assert_type(context.self_ref, pul.ActorRef)
        assert_type(context.sender, pul.ActorRef | None)
        ref = await pul.whereis("child")
        assert_type(ref, pul.ActorRef | None)
        context.watch(ref)  # E:
        if ref is not None:
            await context.watch(ref)
            context.unwatch(ref)
            context.link(ref)
            context.unlink(ref)
        context.trap_exits()


async def outside(ref: pul.ActorRef) -> None:
    assert_type(pul.watch(ref), asyncio.Future[pul.Terminated])
    assert_type(await pul.watch(ref), pul.Terminated)
    await pul.register(ref, "name")
    await pul.register("name", "other")  # E:
    await pul.unregister("name")
    pul.watch("name")  # E:
