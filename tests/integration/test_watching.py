"""Watches and links into other processes, which are killed, stopped, frozen and asked."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pulsing as pul
from pulsing.testing import NodeProcess
from tests.integration.watched import Sentry

pytestmark = pytest.mark.one_loop

DOWN = pul.ExitReason.NODE_DOWN


@asynccontextmanager
async def beside_a_node() -> AsyncIterator[tuple[pul.ActorSystem, NodeProcess, pul.ActorRef]]:
    """A member of this process, a node of another, and a reference to exactly its sentry."""
    config = pul.SystemConfig(addr="127.0.0.1:0", network="local")
    system = await pul.ActorSystem.create(config)
    try:
        arguments = ("--network", "local", "--seeds", str(system.addr))
        with NodeProcess(
            addr="127.0.0.1:0", imports=["tests.integration.watched"], arguments=arguments
        ) as node:
            await system.resolve("sentry", timeout=20)
            sentry = await system.whereis("sentry")
            assert sentry is not None
            yield system, node, sentry
            node.kill()
    finally:
        await system.shutdown()


class Guard(pul.Actor):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[pul.Terminated] = []

    async def on_terminated(self, event: pul.Terminated) -> None:
        self.heard.append(event)

    async def watch(self, whom: pul.ActorRef) -> None:
        await pul.current().watch(whom)

    async def link(self, whom: pul.ActorRef) -> None:
        await pul.current().link(whom)


async def guarding(system: pul.ActorSystem, whom: pul.ActorRef) -> Guard:
    guard = Guard()
    ref = await system.spawn(guard)
    await ref.watch(whom)
    return guard


async def until(condition: Callable[[], Any], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_watchers_of_a_killed_process_hear_once_that_the_node_is_down() -> None:
    async with beside_a_node() as (system, node, sentry):
        guards = [await guarding(system, sentry) for _ in range(20)]
        linked = await system.spawn(Guard())
        await linked.link(sentry)
        ended = system.watch(linked)
        began = asyncio.get_running_loop().time()
        node.send_signal(signal.SIGKILL)
        await until(lambda: all(each.heard for each in guards), 5)
        assert asyncio.get_running_loop().time() - began < 2  # benchmarks.watching has the figure
        assert await ended == pul.Terminated(linked, DOWN)
        await until(lambda: len(system.watching) == 0)
        for each in guards:
            assert each.heard == [pul.Terminated(sentry, DOWN)]
        assert (await system.watch(sentry)).reason is DOWN


async def test_a_process_that_is_asked_to_stop_does_not_wait_for_its_watchers() -> None:
    async with beside_a_node() as (system, node, sentry):
        guard = await guarding(system, sentry)
        node.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(node.wait, 8) == 0
        await until(lambda: guard.heard, 5)
        assert len(guard.heard) == 1
        assert guard.heard[0].reason in (DOWN, pul.ExitReason.NORMAL)


async def test_a_frozen_process_is_down_when_the_cluster_says_so_and_not_before() -> None:
    async with beside_a_node() as (system, node, sentry):
        guard = await guarding(system, sentry)
        node.pause()
        await asyncio.sleep(0.5)
        node.resume()
        assert await sentry.ping().with_timeout(10) == "pong"
        assert guard.heard == []
        deaths: list[Any] = []
        system.on_member_change(
            lambda event: deaths.append(list(guard.heard)) if not event.member.is_present else None
        )
        node.pause()
        await until(lambda: guard.heard, 40)
        assert guard.heard == [pul.Terminated(sentry, DOWN)]
        assert len(deaths) == 1


async def test_another_process_watches_and_is_linked_to_actors_that_pass_themselves_along() -> None:
    async with beside_a_node() as (system, _, ref):
        sentry = ref.as_type(Sentry)
        first, second, third = [await system.spawn(Guard()) for _ in range(3)]
        for each in (first, second):
            await sentry.watch(each)
        await system.stop(first)
        await system.kill(second)
        async with asyncio.timeout(10):
            while len(heard := await sentry.events()) < 2:
                await asyncio.sleep(0.005)
        assert [(each.ref, each.reason) for each in heard] == [
            (first, pul.ExitReason.NORMAL),
            (second, pul.ExitReason.KILLED),
        ]
        ended = system.watch(ref)
        await sentry.link(third)
        await system.kill(third)
        assert await ended == pul.Terminated(ref, pul.ExitReason.KILLED)
