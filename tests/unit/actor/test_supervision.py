"""Restarts as users see them: one actor that fails, and what becomes of everything around it."""

import asyncio
import threading
import time

import pytest

import pulsing as pul
from pulsing.actor.exits import ExitReason
from pulsing.actor.lifecycle import CellState
from pulsing.errors import (
    ActorNotFound,
    ActorStopped,
    DeadlineExceeded,
    Delivery,
    PulsingBusinessError,
    PulsingSystemError,
    PulsingTimeoutError,
    PulsingUnsupportedError,
)
from pulsing.testing import pulsing_system
from tests.unit.actor.crashing import AT_ONCE, Counter, Crashed, cell_of, settled


async def test_an_actor_that_failed_starts_again_with_the_same_arguments_and_identity():
    async with pulsing_system():
        log = []
        counter = await Counter.spawn(10, log, name="counter")
        before = counter.actor_id
        assert await counter.incr() == 11
        with pytest.raises(Crashed, match="broken"):
            await counter.fail()
        assert await counter.incr() == 11, "a new instance, made with the same arguments"
        assert counter.actor_id == before
        again = await Counter.resolve("counter")
        assert again.actor_id == before
        assert log == ["made", "start", "stop", "made", ("restart", "broken", 1), "start"]


@pytest.mark.parametrize("method", ["fail", "fail_in_thread"])
async def test_the_caller_gets_the_error_that_was_raised(method):
    async with pulsing_system():
        counter = await Counter.spawn()
        with pytest.raises(Crashed) as caught:
            await getattr(counter, method)()
        assert isinstance(caught.value, PulsingSystemError)
        assert await counter.incr() == 1


async def test_a_stream_that_fails_restarts_too_and_what_came_before_arrives():
    async with pulsing_system():
        counter = await Counter.spawn()
        await counter.incr()
        stream = aiter(counter.items(3))
        assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(Crashed, match="in a stream"):
            await anext(stream)
        assert await counter.incr() == 1


async def test_a_raw_receive_that_fails_restarts_too():
    class Echo(pul.Actor):
        made = 0

        def __init__(self):
            Echo.made += 1

        async def receive(self, msg):
            if msg == "die":
                raise Crashed(msg)
            return msg

    async with pulsing_system() as system:
        ref = await pul.spawn(Echo(), factory=Echo, **AT_ONCE)
        with pytest.raises(Crashed):
            await ref.ask("die")
        assert await ref.ask("x") == "x"
        assert Echo.made == 2
        assert system.dispatcher.counters.restarts == 1


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        TypeError("bad"),
        TimeoutError("late"),
        PulsingBusinessError(404, "none"),
        PulsingTimeoutError("waiting", 5),
        PulsingUnsupportedError("flying"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_the_callers_business_restarts_nothing(error):
    async with pulsing_system() as system:
        counter = await Counter.spawn()
        await counter.incr()
        with pytest.raises(type(error)):
            await counter.fail_with(error)
        assert await counter.incr() == 2
        assert system.dispatcher.counters.restarts == 0


async def test_a_call_that_never_reached_the_code_restarts_nothing():
    async with pulsing_system() as system:
        counter = await Counter.spawn()
        await counter.incr()
        ref = await pul.refer(counter.actor_id)
        with pytest.raises(pul.PulsingActorError, match="Not found"):
            await ref.ask("there is no receive")
        with pytest.raises(TypeError):
            await ref.as_any().incr(1, 2, 3)
        with pytest.raises(DeadlineExceeded):
            await counter.incr().with_timeout(0.0)
        assert await counter.incr() == 2
        assert system.dispatcher.counters.restarts == 0


async def test_a_cancelled_call_restarts_nothing():
    async with pulsing_system() as system:
        counter = await Counter.spawn()
        await counter.incr()
        with pytest.raises(DeadlineExceeded):
            await counter.nap(60).with_timeout(0.01)
        assert await counter.incr() == 2
        assert system.dispatcher.counters.restarts == 0


async def test_without_a_policy_an_actor_goes_on_with_its_state():
    async with pulsing_system() as system:
        counter = await Counter.options(restart_policy="never").spawn()
        await counter.incr()
        with pytest.raises(Crashed):
            await counter.fail()
        assert await counter.incr() == 2
        assert system.dispatcher.counters.restarts == 0


@pytest.mark.parametrize("policy", ["never", "on_failure", "always"])
async def test_an_unrecoverable_error_stops_the_actor_whatever_its_policy(policy, until):
    async with pulsing_system() as system:
        counter = await Counter.options(restart_policy=policy, name="it").spawn()
        event = pul.watch(counter)
        with pytest.raises(PulsingSystemError, match="disk"):
            await counter.fail_with(PulsingSystemError("disk is gone", recoverable=False))
        ended = await event
        assert ended.reason is ExitReason.ERROR
        assert "disk is gone" in ended.error
        assert system.named("actors/it") is None


async def test_what_another_actor_said_of_itself_is_not_fatal_to_who_asked():
    @pul.remote
    class Asking:
        async def ask(self, other):
            await other.fail_with(PulsingSystemError("gone", recoverable=False))

        async def lives(self):
            return True

    async with pulsing_system():
        asking = await Asking.spawn()
        with pytest.raises(PulsingSystemError, match="gone"):
            await asking.ask(await Counter.spawn())
        assert await asking.lives()


async def test_always_restarts_after_an_end_that_nobody_asked_for_and_not_otherwise(until):
    async with pulsing_system() as system:
        log = []
        counter = await Counter.options(restart_policy="always", name="it").spawn(0, log)
        napping = asyncio.ensure_future(counter.nap(60))
        await counter.end()
        with pytest.raises(ActorStopped):
            await napping
        assert await counter.incr() == 1
        assert log == ["made", "start", "stop", "made", ("restart", "None", 1), "start"]
        await system.stop("it")
        assert log[-1] == "stop"
        with pytest.raises(ActorStopped):
            await counter.incr()


async def test_on_failure_does_not_restart_after_a_normal_end():
    async with pulsing_system():
        counter = await Counter.spawn()
        event = pul.watch(counter)
        await counter.end()
        assert (await event).reason is ExitReason.NORMAL


async def test_a_budget_used_up_stops_the_actor_and_frees_its_name():
    async with pulsing_system() as system:
        counter = await Counter.options(max_restarts=2, name="frail").spawn()
        event = pul.watch(counter)
        for _ in range(3):
            with pytest.raises(Crashed):
                await counter.fail()
        ended = await event
        assert (ended.reason, ended.error) == (ExitReason.ERROR, "Crashed: broken")
        assert system.dispatcher.counters.restarts == 2
        with pytest.raises(ActorNotFound):
            await Counter.resolve("frail")
        await Counter.spawn(name="frail")


async def test_failures_that_are_long_ago_are_forgiven():
    async with pulsing_system() as system:
        counter = await Counter.options(max_restarts=1, restart_window=0.05).spawn()
        for _ in range(3):
            with pytest.raises(Crashed):
                await counter.fail()
            await asyncio.sleep(0.06)
        assert await counter.incr() == 1
        assert system.dispatcher.counters.restarts == 3


# --- what is under way when an actor fails --------------------------------------------------------


async def test_messages_wait_while_an_actor_restarts_and_keep_their_order():
    async with pulsing_system():
        counter = await Counter.options(min_backoff=0.05, max_backoff=0.05).spawn()
        failing = asyncio.ensure_future(counter.fail())
        calls = [asyncio.ensure_future(counter.incr()) for _ in range(100)]
        with pytest.raises(Crashed):
            await failing
        assert await asyncio.gather(*calls) == list(range(1, 101))


async def test_messages_behind_one_that_fails_in_a_thread_are_for_the_next_instance():
    async with pulsing_system():
        counter = await Counter.spawn()
        calls = [
            asyncio.ensure_future(call())
            for call in (
                counter.incr_in_thread, counter.incr_in_thread, counter.fail_in_thread,
                counter.incr_in_thread, counter.fail_in_thread, counter.incr_in_thread,
            )
        ]  # fmt: skip
        got = await asyncio.gather(*calls, return_exceptions=True)
        assert [each if isinstance(each, int) else type(each).__name__ for each in got] == [
            1, 2, "Crashed", 1, "Crashed", 1,
        ]  # fmt: skip


async def test_deadlines_pass_while_an_actor_restarts():
    async with pulsing_system():
        counter = await Counter.options(min_backoff=30.0, max_backoff=30.0).spawn()
        with pytest.raises(Crashed):
            await counter.fail()
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            await counter.incr().with_timeout(0.05)
        assert caught.value.delivered is Delivery.NO
        assert time.monotonic() - started < 1.0


async def test_what_runs_when_an_actor_fails_is_cancelled_and_its_caller_is_told(until):
    async with pulsing_system() as system:
        counter = await Counter.spawn()
        cell = cell_of(system, counter)
        napping = asyncio.ensure_future(counter.nap(60))
        await until(lambda: cell.active == 1)
        with pytest.raises(Crashed):
            await counter.fail()
        with pytest.raises(ActorStopped, match="restarted while the call ran") as caught:
            await napping
        assert caught.value.delivered is Delivery.UNKNOWN
        assert await counter.incr() == 1


async def test_what_an_actor_itself_waits_for_is_cancelled(until):
    class Slow:
        cancelled = False

        async def wait(self):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                Slow.cancelled = True
                raise

    @pul.remote(**AT_ONCE)
    class Asking:
        async def ask(self, other):
            await other.as_any().wait()

        async def fail(self):
            raise Crashed

    async with pulsing_system() as system:
        slow = await pul.spawn(Slow())
        asking = await Asking.spawn()
        call = asyncio.ensure_future(asking.ask(slow))
        await until(lambda: cell_of(system, slow).active == 1)
        with pytest.raises(Crashed):
            await asking.fail()
        with pytest.raises(ActorStopped):
            await call
        await until(lambda: Slow.cancelled)


async def test_timers_of_the_old_instance_are_cancelled(until):
    @pul.remote(**AT_ONCE)
    class Ticking:
        ticks = 0

        async def tick_every(self, seconds):
            pul.current().schedule_every(seconds, self.tick)

        async def tick(self):
            Ticking.ticks += 1

        async def fail(self):
            raise Crashed

    async with pulsing_system() as system:
        ticking = await Ticking.spawn()
        await ticking.tick_every(0.005)
        await until(lambda: Ticking.ticks > 1)
        with pytest.raises(Crashed):
            await ticking.fail()
        await settled(system, ticking, until)
        before = Ticking.ticks
        await asyncio.sleep(0.05)
        assert Ticking.ticks == before


async def test_who_watches_an_actor_hears_nothing_of_a_restart():
    async with pulsing_system() as system:
        counter = await Counter.spawn()
        event = pul.watch(counter)
        with pytest.raises(Crashed):
            await counter.fail()
        assert await counter.incr() == 1
        assert not event.done()
        await system.stop(counter)
        assert (await event).reason is ExitReason.NORMAL


async def test_code_that_ignores_its_cancellation_is_left_behind(monkeypatch, caplog, until):
    monkeypatch.setattr("pulsing.actor.lifecycle.LEAVE_S", 0.05)
    release = asyncio.Event()

    @pul.remote(**AT_ONCE)
    class Stubborn:
        async def stay(self):
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            raise Crashed("of the old instance")

        async def fail(self):
            raise Crashed

        async def lives(self):
            return True

    async with pulsing_system() as system:
        stubborn = await Stubborn.spawn()
        cell = cell_of(system, stubborn)
        staying = asyncio.ensure_future(stubborn.stay())
        await until(lambda: cell.active == 1)
        with pytest.raises(Crashed):
            await stubborn.fail()
        assert await stubborn.lives()
        assert "ignored their cancellation" in caplog.text
        release.set()
        with pytest.raises(ActorStopped):
            await staying
        assert await stubborn.lives()
        assert (cell.active, system.dispatcher.counters.restarts) == (0, 1)


async def test_a_def_that_runs_when_a_sibling_fails_finishes_before_the_restart(until):
    entered, release = threading.Event(), threading.Event()

    @pul.remote
    class Working:
        def work(self):
            entered.set()
            release.wait(5)
            return "done"

        async def fail(self):
            raise Crashed

    @pul.remote(supervisor=pul.supervisor("one_for_all"))
    class Parent:
        async def children(self):
            spawn = pul.current().spawn
            return [await spawn(Working, name="w"), await spawn(Counter, name="c")]

    async with pulsing_system() as system:
        working, counter = await (await Parent.spawn()).children()
        call = asyncio.ensure_future(working.work())
        await until(entered.is_set)
        behind = asyncio.ensure_future(working.work())
        with pytest.raises(Crashed):
            await counter.fail()
        await until(lambda: cell_of(system, working).state is CellState.RESTARTING)
        release.set()
        assert await call == "done"
        assert await behind == "done"
