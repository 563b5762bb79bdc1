"""Logs by actor, lost messages, and a loop that is held."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

import pulsing as pul
from pulsing.testing.captures import assert_loop_free, capture_log, dead_letters
from pulsing.testing.system import pulsing_system
from pulsing.testing.virtual_run import virtual_time

logger = logging.getLogger("a.program")


@pul.remote
class Talker:
    async def say(self, text: str) -> None:
        logger.info("says %s", text)

    def shout(self, text: str) -> None:
        logger.warning("shouts %s", text)

    async def whisper(self, text: str) -> None:
        await asyncio.create_task(self.later(text))

    async def later(self, text: str) -> None:
        await asyncio.sleep(0)
        logger.info("whispers %s", text)

    async def fail(self) -> None:
        raise ValueError("nobody waits for this")

    async def hold(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - what is looked for


async def test_lines_are_known_by_the_actor_that_wrote_them() -> None:
    async with pulsing_system() as system:
        one, two = [await system.spawn(Talker, name=name) for name in ("one", "two")]
        with capture_log("a.program") as log:
            await one.say("hello")
            await two.shout("help")
            await one.whisper("secret")
            logger.info("from the test")
        logger.info("after the block")
        assert log.of("one") == ["says hello", "whispers secret"]
        assert log.of(two) == ["shouts help"]
        assert log.texts[-1] == "from the test"
        assert [line.level for line in log.lines if line.actor == "actors/two"] == [logging.WARNING]


async def test_the_level_of_the_logger_comes_back() -> None:
    before = logger.level
    with capture_log("a.program", level=logging.DEBUG) as log:
        logger.debug("fine")
    assert log.texts == ["fine"]
    assert logger.level == before


async def test_tells_that_failed_are_dead_letters() -> None:
    async with pulsing_system() as system:
        talker = await system.spawn(Talker, name="talker")
        with dead_letters(system) as letters:
            assert letters.count == 0
            talker.fail.tell()
            talker.fail.tell()
            await talker.say("in order, so both were handled")
            assert letters.count == 2
            assert "talker.fail" in letters.lines[0]
            assert "nobody waits for this" in letters.lines[0]


async def test_a_loop_that_is_held_is_an_error_with_actor_and_stack() -> None:
    async with pulsing_system() as system:
        talker = await system.spawn(Talker, name="talker")
        with pytest.raises(AssertionError) as caught:
            async with assert_loop_free(threshold_s=0.1):
                await talker.hold(0.6)
        assert "actors/talker.hold" in str(caught.value)
        assert "time.sleep(seconds)" in str(caught.value)


async def test_a_loop_that_turns_is_no_error() -> None:
    async with assert_loop_free(threshold_s=5):
        for _ in range(20):
            await asyncio.sleep(0.005)


@virtual_time()
async def test_virtual_loops_cannot_be_held() -> None:
    with pytest.raises(RuntimeError, match="virtual time"):
        async with assert_loop_free():
            pass
