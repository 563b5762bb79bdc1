import asyncio

import pytest

from pulsing.actor import lifecycle
from pulsing.actor.exits import ExitReason, error_text


class Quiet:
    def __init__(self, fails=None):
        self.fails = fails

    async def on_start(self, actor_id):
        if self.fails is not None:
            raise self.fails

    async def on_stop(self):
        await asyncio.sleep(0)


def listener_of(heard):
    return lambda cell, reason, error: heard.append((cell.label, reason, error))


async def test_a_stopped_actor_tells_its_listeners_once_when_it_is_gone(runtime):
    async with runtime() as running:
        actor = await running.spawn(Quiet())
        heard = []
        actor.cell.on_exit(listener_of(heard))
        ended = actor.cell.stop()
        assert heard == []
        assert actor.cell.exit_reason is ExitReason.NORMAL
        await ended
        await actor.cell.stop()
        assert heard == [("thing", ExitReason.NORMAL, None)]


async def test_the_first_reason_counts(runtime):
    async with runtime() as running:
        actor = await running.spawn(Quiet())
        heard = []
        actor.cell.on_exit(listener_of(heard))
        error = ValueError("broken")
        actor.cell.stop(reason=ExitReason.ERROR, error=error)
        await actor.cell.stop(reason=ExitReason.KILLED)
        assert heard == [("thing", ExitReason.ERROR, error)]


async def test_a_listener_of_an_actor_that_is_gone_is_called_soon(runtime):
    async with runtime() as running:
        actor = await running.spawn(Quiet())
        await actor.cell.stop(reason=ExitReason.KILLED)
        heard = asyncio.get_running_loop().create_future()
        actor.cell.on_exit(lambda cell, reason, error: heard.set_result(reason))
        assert not heard.done()
        assert await heard is ExitReason.KILLED


async def test_an_actor_that_fails_to_start_ends_with_its_error(runtime):
    async with runtime() as running:
        error = ValueError("no")
        cell = running.cell(Quiet(error))
        heard = []
        cell.on_exit(listener_of(heard))
        with pytest.raises(ValueError, match="no"):
            await lifecycle.start(cell)
        assert heard == [("thing", ExitReason.ERROR, error)]


async def test_listeners_are_called_in_order_once_each_unless_taken_back(runtime, caplog):
    async with runtime() as running:
        actor = await running.spawn(Quiet())
        heard = []

        def first(*_):
            heard.append(1)

        def second(*_):
            raise RuntimeError("a listener that fails")

        def third(*_):
            heard.append(3)

        for each in (first, second, third, first):
            actor.cell.on_exit(each)
        forgotten = listener_of(heard)
        actor.cell.on_exit(forgotten)
        actor.cell.off_exit(forgotten)
        actor.cell.off_exit(forgotten)
        await actor.cell.stop()
        assert heard == [1, 3]
        assert "a listener of its end failed" in caplog.text


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, None),
        (ValueError("broken"), "ValueError: broken"),
        (KeyError(), "KeyError"),
        (Unspeakable(), "Unspeakable: <no message: its __str__ failed>"),
    ],
)
def test_an_error_is_told_in_one_line(error, text):
    assert error_text(error) == text
