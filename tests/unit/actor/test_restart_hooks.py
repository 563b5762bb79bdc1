"""The hooks of a restart, starts that fail or hang, and options that make no sense."""

import asyncio
import logging
import time

import pytest

import pulsing as pul
from pulsing.actor.exits import ExitReason
from pulsing.actor.lifecycle import CellState
from pulsing.errors import (
    ActorStopped,
    DeadlineExceeded,
)
from pulsing.testing import pulsing_system
from tests.unit.actor.crashing import AT_ONCE, Counter, Crashed, cell_of


@pul.remote(**AT_ONCE)
class Remembering:
    def __init__(self, log):
        self.log = log
        self.notes = []

    def snapshot(self):
        if "spoilt" in self.notes:
            raise Crashed("the snapshot")
        return list(self.notes)

    async def restore(self, state):
        self.notes = list(state)
        self.log.append(("restore", list(state)))

    def on_restart(self, error, attempt):
        self.log.append(("restart", attempt))

    async def on_start(self, actor_id):
        self.log.append("start")

    async def note(self, text):
        self.notes.append(text)
        return self.notes

    async def fail(self):
        raise Crashed


async def test_a_snapshot_of_the_old_instance_is_restored_in_the_new_one():
    async with pulsing_system():
        log = []
        actor = await Remembering.spawn(log)
        await actor.note("a")
        with pytest.raises(Crashed):
            await actor.fail()
        assert await actor.note("b") == ["a", "b"]
        assert log == ["start", ("restore", ["a"]), ("restart", 1), "start"]


async def test_when_a_snapshot_fails_the_last_one_is_kept(caplog):
    async with pulsing_system():
        actor = await Remembering.spawn([])
        await actor.note("a")
        with pytest.raises(Crashed):
            await actor.fail()
        await actor.note("spoilt")
        with pytest.raises(Crashed):
            await actor.fail()
        assert await actor.note("c") == ["a", "c"]
        assert "snapshot failed" in caplog.text


async def test_one_of_snapshot_and_restore_alone_is_a_method():
    class Camera:
        async def snapshot(self):
            return "click"

    async with pulsing_system():
        assert await (await pul.spawn(Camera())).as_any().snapshot() == "click"
        remembering = await Remembering.spawn([])
        assert not hasattr(remembering, "snapshot")
        assert not hasattr(remembering, "on_restart")


class Flaky:
    """Fails in one place, at the starts that the test says."""

    starts = 0
    fails: dict[int, str] = {}  # noqa: RUF012

    def __init__(self):
        Flaky.starts += 1
        self._check("__init__")

    async def on_start(self, actor_id):
        self._check("on_start")
        if Flaky.fails.get(Flaky.starts) == "hang":
            await asyncio.sleep(3600)

    async def on_restart(self, error, attempt):
        self._check("on_restart")

    def _check(self, place):
        if Flaky.fails.get(Flaky.starts) == place:
            raise Crashed(f"{place} {Flaky.starts}")

    async def fail(self):
        raise Crashed

    async def lives(self):
        return Flaky.starts


@pytest.fixture
def flaky():
    Flaky.starts = 0
    Flaky.fails = {}
    return Flaky


@pytest.mark.parametrize("place", ["__init__", "on_start", "on_restart"])
async def test_a_start_that_fails_at_a_restart_counts_as_a_failure(flaky, place):
    flaky.fails = {2: place, 3: place}
    async with pulsing_system() as system:
        actor = await pul.remote(**AT_ONCE)(flaky).spawn()
        with pytest.raises(Crashed):
            await actor.fail()
        assert await actor.lives() == 4
        assert system.dispatcher.counters.restarts == 3


async def test_starts_that_fail_until_the_budget_is_used_up_stop_the_actor(flaky):
    flaky.fails = dict.fromkeys(range(2, 99), "on_start")
    async with pulsing_system() as system:
        actor = await pul.remote(**AT_ONCE)(flaky).options(name="it").spawn()
        event = pul.watch(actor)
        with pytest.raises(Crashed):
            await actor.fail()
        waiting = asyncio.ensure_future(actor.lives())
        ended = await event
        assert (ended.reason, ended.error) == (ExitReason.ERROR, "Crashed: on_start 4")
        with pytest.raises(ActorStopped):
            await waiting
        assert system.named("actors/it") is None


async def test_the_first_start_that_fails_fails_the_spawn_and_is_not_repeated(flaky):
    flaky.fails = {1: "on_start"}
    async with pulsing_system() as system:
        with pytest.raises(Crashed, match="on_start 1"):
            await pul.remote(**AT_ONCE)(flaky).options(name="it").spawn()
        assert (flaky.starts, system.named("actors/it")) == (1, None)


async def test_a_start_that_hangs_at_a_restart_can_be_stopped_and_holds_up_nobody(flaky, until):
    flaky.fails = {2: "hang"}
    async with pulsing_system() as system:
        actor = await pul.remote(**AT_ONCE)(flaky).options(name="it").spawn()
        counter = await Counter.spawn()
        with pytest.raises(Crashed):
            await actor.fail()
        await until(lambda: flaky.starts == 2)
        with pytest.raises(DeadlineExceeded):
            await actor.lives().with_timeout(0.02)
        assert await counter.incr() == 1
        async with asyncio.timeout(2):
            await system.stop("it")


@pytest.mark.parametrize("state", ["waiting", "leaving"])
async def test_a_restart_under_way_ends_when_the_actor_is_stopped(state, until):
    async with pulsing_system() as system:
        log = []
        counter = await Counter.options(min_backoff=30.0, max_backoff=30.0, name="it").spawn(0, log)
        cell = cell_of(system, counter)
        with pytest.raises(Crashed):
            await counter.fail()
        if state == "waiting":
            await until(lambda: log[-1] == "stop")
        waiting = asyncio.ensure_future(counter.incr())
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await system.stop("it")
        with pytest.raises(ActorStopped):
            await waiting
        assert log == ["made", "start", "stop"]
        assert cell.state is CellState.STOPPED


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_an_on_stop_that_raises_or_hangs_is_logged_and_holds_up_nothing(
    how, monkeypatch, caplog
):
    monkeypatch.setattr("pulsing.actor.lifecycle.LEAVE_S", 0.05)

    @pul.remote(**AT_ONCE)
    class Ending:
        async def on_stop(self):
            if how == "raises":
                raise Crashed("on_stop")
            await asyncio.sleep(3600)

        async def fail(self):
            raise Crashed

        async def lives(self):
            return True

    async with pulsing_system() as system:
        ending = await Ending.spawn(name="it")
        with pytest.raises(Crashed):
            await ending.fail()
        assert await ending.lives()
        async with asyncio.timeout(2):
            await system.stop("it")
    lines = [each for each in caplog.messages if "on_stop" in each]
    assert len(lines) == 2


async def test_a_crash_loop_waits_longer_and_longer_and_takes_no_time(flaky):
    flaky.fails = dict.fromkeys(range(2, 99), "on_start")
    options = {"restart_policy": "on_failure", "min_backoff": 0.02, "max_backoff": 0.2}
    async with pulsing_system() as system:
        actor = await pul.remote(max_restarts=6, **options)(flaky).spawn()
        event = pul.watch(actor)
        began, cpu = time.monotonic(), time.process_time()
        with pytest.raises(Crashed):
            await actor.fail()
        assert (await event).reason is ExitReason.ERROR
        took = time.monotonic() - began
        assert took >= 0.02 + 0.04 + 0.08 + 3 * 0.1
        assert time.process_time() - cpu <= max(0.05 * took, 0.05)
        assert system.dispatcher.counters.restarts == 6


# --- bad use --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"restart_policy": "sometimes"}, "'never' or 'on_failure' or 'always'"),
        ({"max_restarts": -1}, "at least 0"),
        ({"min_backoff": -0.1}, "0 or more"),
        ({"max_backoff": float("inf")}, "not for ever"),
        ({"min_backoff": 5.0, "max_backoff": 1.0}, "no more than the second"),
        ({"restart_window": 0}, "more than 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, hint):
    for made in (pul.remote, Counter.options):
        with pytest.raises(ValueError, match=hint):
            made(**options)


def test_options_of_the_wrong_type_are_refused():
    for options in ({"supervisor": "one_for_one"}, {"max_restarts": 1.5}, {"min_backoff": "1"}):
        with pytest.raises(TypeError):
            pul.remote(**options)
    for bad in ("all_for_one", None):
        with pytest.raises(ValueError, match="it can be"):
            pul.supervisor(bad)


async def test_a_ready_object_needs_a_factory_to_be_restarted():
    async with pulsing_system():
        with pytest.raises(ValueError, match="factory="):
            await pul.spawn(Counter())
        with pytest.raises(ValueError, match="factory="):
            pul.mount(Counter(), name="m")
        await pul.spawn(Counter(), restart_policy="never")
        ref = pul.mount(Counter(), name="m", factory=lambda: Counter(7))
        counter = ref.as_type(Counter)
        with pytest.raises(Crashed):
            await counter.fail()
        assert await counter.incr() == 8


async def test_failures_are_logged(caplog):
    caplog.set_level(logging.WARNING)
    async with pulsing_system():
        counter = await Counter.options(max_restarts=0, name="logged").spawn()
        event = pul.watch(counter)
        with pytest.raises(Crashed):
            await counter.fail()
        await event
    assert "actor actors/logged failed with Crashed: broken" in caplog.text
    assert "more than 0 times within 60 s and is stopped" in caplog.text
