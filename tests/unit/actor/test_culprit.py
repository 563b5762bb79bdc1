"""Which actor holds the loop, as the stall guard finds it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import pytest

import pulsing as pul
from pulsing.actor.culprit import culprit_of
from pulsing.cluster.guard import StallGuard

guards: list[StallGuard] = []
"""The one that watches the loop of the test."""


def hold() -> None:
    """Hold the loop until the guard has noticed."""
    give_up_at = time.monotonic() + 10
    while (stall := guards[-1].last_stall) is None or "in hold" not in stall.stack:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


@pul.remote
class Greedy:
    """Holds the loop in every way there is."""

    async def at_once(self) -> None:
        """Before it waits for anything."""
        hold()

    async def after_waiting(self) -> None:
        """After it waited for something."""
        await asyncio.sleep(0.01)
        hold()

    async def items(self) -> AsyncIterator[int]:
        """As a stream."""
        yield 1
        hold()


@pul.remote(executor="loop")
class Inline:
    """Runs its methods on the loop."""

    def held(self) -> None:
        """Hold it."""
        hold()


@pul.remote
class SlowStart:
    """Holds the loop before it serves."""

    async def on_start(self, actor_id: object) -> None:
        """Hold it."""
        hold()


WAYS = ["at_once", "after_waiting", "items", "held", "on_start", "outside"]


@pytest.mark.parametrize("way", WAYS)
async def test_the_guard_finds_who_holds_the_loop(way: str) -> None:
    loop = asyncio.get_running_loop()
    guard = StallGuard(loop, threshold_s=0.1, culprit=culprit_of)
    guards[:] = [guard]
    guard.start()
    system = await pul.actor_system()
    try:
        greedy = await system.spawn(Greedy, name="greedy")
        inline = await system.spawn(Inline, name="inline")
        if way == "items":
            async for _ in greedy.items():
                pass
        elif way == "held":
            await inline.held()
        elif way == "on_start":
            await system.spawn(SlowStart, name="slow")
        elif way == "outside":
            hold()
        else:
            await getattr(greedy, way)()
        await asyncio.sleep(0)
    finally:
        await guard.close()
        await system.shutdown()
    expected = {
        "held": "actors/inline.held",
        "on_start": "actors/slow",
        "outside": None,
    }.get(way, f"actors/greedy.{way}")
    assert guard.last_stall is not None
    assert guard.last_stall.culprit == expected
    assert "in hold" in guard.last_stall.stack


def test_a_stack_without_actors_has_no_culprit() -> None:
    assert culprit_of(sys._getframe()) is None
    assert culprit_of(None) is None
