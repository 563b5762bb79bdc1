"""What actors schedule: once, again and again, and calls of their own methods."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from typing import Any

import pytest

import pulsing as pul
from pulsing.actor.deadline import SCOPE
from pulsing.actor.scheduling import Every, next_on_grid
from pulsing.actor.timers import Timer


class Diary(pul.Actor):
    """Notes what happens and when. ``do`` runs a function inside the actor."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.times: list[float] = []
        self.release = asyncio.Event()
        self.inside = 0
        self.overlaps = 0

    async def do(self, function: Any) -> Any:
        return function(pul.current(), self)

    def do_in_thread(self, function: Any) -> Any:
        return function(pul.current(), self)

    async def note(self, text: Any = "noted") -> None:
        self.times.append(time.monotonic())
        self.notes.append(text)

    def note_in_thread(self) -> None:
        self.notes.append(threading.current_thread().name.split("-")[1])

    async def receive(self, msg: Any) -> None:
        await self.note(msg)

    async def slow(self, seconds: float) -> None:
        self.inside += 1
        self.overlaps += self.inside > 1
        await self.note("slow")
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside -= 1

    async def hold(self) -> None:
        await self.release.wait()

    async def fail(self) -> None:
        await self.note("failing")
        raise ValueError("as asked")

    async def items(self) -> Any:
        yield 1

    async def _private(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def diary(runtime: Any) -> Any:
    class Opened:
        async def __aenter__(self) -> tuple[Any, Diary, Any]:
            self.running = runtime()
            r = await self.running.__aenter__()
            self.instance = Diary()
            return await r.spawn(self.instance, **self.options), self.instance, r

        async def __aexit__(self, *exc: object) -> None:
            await self.running.__aexit__(*exc)

        def __init__(self, **options: Any) -> None:
            self.options = options

    return Opened


async def test_a_message_comes_once_and_not_before_its_time(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, r):
        began = time.monotonic()
        timer = await actor.do(lambda ctx, _: ctx.schedule_once(0.03, "hello"))
        assert timer.active
        await until(lambda: book.notes == ["hello"])
        assert 0.03 <= book.times[0] - began < 0.2
        assert not timer.active
        assert not timer.cancel()
        assert len(r.dispatcher.timers) == 0


async def test_timers_come_in_the_order_of_their_times_and_equal_ones_as_scheduled(
    diary: Any, until: Any
) -> None:
    async with diary() as (actor, book, _):

        def plan(ctx: Any, _: Diary) -> None:
            for delay in (0.03, 0.01, 0.02):
                ctx.schedule_once(delay, delay)
            for number in range(5):
                ctx.schedule_once(0, number)

        await actor.do(plan)
        await until(lambda: len(book.notes) == 8)
        assert book.notes == [0, 1, 2, 3, 4, 0.01, 0.02, 0.03]


@pytest.mark.parametrize("kind", ["async method", "def method", "lambda", "partial", "coroutine"])
async def test_anything_callable_runs_inside_the_actor(diary: Any, until: Any, kind: str) -> None:
    seen: list[Any] = []
    async with diary() as (actor, book, _):

        def note() -> None:
            scope = SCOPE.get()
            assert scope is not None
            seen.append(scope.cell is not None and scope.cell.instance is book)

        async def note_async(value: bool) -> None:
            note()
            seen[-1] = seen[-1] and value

        def plan(ctx: Any, book: Diary) -> Timer:
            match kind:
                case "async method":
                    return ctx.schedule_once(0, book.note, True)
                case "def method":
                    return ctx.schedule_once(0, book.note_in_thread)
                case "lambda":
                    return ctx.schedule_once(0, lambda: note())  # noqa: PLW0108 - the case
                case "partial":
                    return ctx.schedule_once(0, functools.partial(note_async, True))
                case _:
                    return ctx.schedule_once(0, lambda: note_async(True))

        await actor.do(plan)
        await until(lambda: seen or book.notes)
        assert (seen or book.notes) == (["worker"] if kind == "def method" else [True])


async def test_what_is_scheduled_waits_its_turn(diary: Any, until: Any) -> None:
    async with diary(max_concurrency=1) as (actor, book, r):
        await actor.do(lambda ctx, _: ctx.schedule_once(0.01, "late"))
        holding = asyncio.ensure_future(actor.hold())
        await until(lambda: len(r.dispatcher.timers) == 0)
        await asyncio.sleep(0)
        assert book.notes == []
        book.release.set()
        await holding
        await until(lambda: book.notes == ["late"])


async def test_a_cancelled_timer_never_comes_even_from_the_mailbox(diary: Any, until: Any) -> None:
    async with diary(max_concurrency=1) as (actor, book, r):
        early = await actor.do(lambda ctx, _: ctx.schedule_once(30, "early"))
        queued = await actor.do(lambda ctx, _: ctx.schedule_once(0.01, "queued"))
        assert early.cancel()
        holding = asyncio.ensure_future(actor.hold())
        await until(lambda: len(r.dispatcher.timers) == 0)
        assert queued.cancel()
        assert not queued.cancel()
        book.release.set()
        await holding
        await actor.note("end")
        assert book.notes == ["end"]


async def test_it_works_from_worker_threads(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, r):
        timer = await actor.do_in_thread(lambda ctx, _: ctx.schedule_once(0.01, "from a thread"))
        await until(lambda: book.notes == ["from a thread"])
        assert not timer.active
        timer = await actor.do_in_thread(lambda ctx, _: ctx.schedule_once(30, "never"))
        assert await actor.do_in_thread(lambda _ctx, _: timer.cancel())
        await until(lambda: len(r.dispatcher.timers) == 0)
        await actor.do_in_thread(lambda _, book: book.delayed(0).note("delayed"))
        await until(lambda: book.notes[-1] == "delayed")


async def test_every_comes_again_on_a_grid_until_it_is_cancelled(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, _):
        began = time.monotonic()
        timer = await actor.do(lambda ctx, _: ctx.schedule_every(0.02, "tick", first_s=0.01))
        await until(lambda: len(book.notes) >= 4)
        assert timer.cancel()
        count = len(book.notes)
        for number, when in enumerate(book.times):
            assert when - began >= 0.01 + number * 0.02
        await actor.note("end")
        assert book.notes == ["tick"] * count + ["end"]


async def test_every_never_overlaps_and_leaves_out_what_was_missed(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, _):
        await actor.do(lambda ctx, book: ctx.schedule_every(0.01, book.slow, 0.025))
        await until(lambda: len(book.notes) >= 4)
        assert book.overlaps == 0
        gaps = [after - before for before, after in zip(book.times, book.times[1:], strict=False)]
        assert min(gaps) >= 0.025


async def test_no_burst_follows_a_stall(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, _):
        await actor.do(lambda ctx, _: ctx.schedule_every(0.01, "tick"))
        await until(lambda: book.notes)
        before = len(book.notes)
        time.sleep(0.2)  # noqa: ASYNC251 - the loop stands still
        stalled_until = time.monotonic()
        await until(lambda: len(book.notes) >= before + 4)
        after = [when for when in book.times if when >= stalled_until - 0.001]
        assert after[3] - after[1] >= 0.015, "only one that was missed is made up for"


async def test_every_goes_on_after_a_failure_which_is_counted(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, r):
        await actor.do(lambda ctx, book: ctx.schedule_every(0.01, book.fail))
        await until(lambda: len(book.notes) >= 3)
        assert r.dispatcher.counters.lost_tells >= 2


async def test_all_timers_end_with_the_actor(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, r):

        def plan(ctx: Any, book: Diary) -> list[Timer]:
            return [
                ctx.schedule_every(0.01, "tick"),
                ctx.schedule_once(0.02, "once"),
                book.delayed(0.02).note("delayed"),
            ]

        timers = await actor.do(plan)
        await actor.cell.stop()
        count = len(book.notes)
        assert not any(timer.active for timer in timers)
        assert len(r.dispatcher.timers) == 0
        await asyncio.sleep(0.04)
        assert len(book.notes) == count
        assert r.dispatcher.counters.lost_tells == 0
        r.dispatcher.timers.add(late := Every(actor.cell, 0.0, timers[0]._work, 1))
        assert not late.active


async def test_the_timers_of_an_actor_can_be_cancelled_at_once(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, r):
        await actor.do(lambda ctx, _: [ctx.schedule_once(0.01, n) for n in range(100)])
        assert len(r.dispatcher.timers) == 100
        r.dispatcher.timers.cancel_all(actor.cell)
        assert len(r.dispatcher.timers) == 0
        await actor.do(lambda ctx, _: ctx.schedule_once(0.02, "after"))
        await until(lambda: book.notes == ["after"])


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, "x"])
async def test_a_delay_that_is_none_is_refused(diary: Any, seconds: Any) -> None:
    async with diary() as (actor, _, __):
        for plan in (
            lambda ctx, _: ctx.schedule_once(seconds, "x"),
            lambda ctx, _: ctx.schedule_every(seconds, "x"),
            lambda ctx, _: ctx.schedule_every(1, "x", first_s=seconds),
            lambda ctx, _: ctx.delayed(seconds),
            lambda _, book: book.delayed(seconds).note(),
        ):
            with pytest.raises(ValueError, match=r"delay|interval|convert"):
                await actor.do(plan)
        with pytest.raises(ValueError, match="more than 0"):
            await actor.do(lambda ctx, _: ctx.schedule_every(0, "x"))


async def test_what_makes_no_sense_is_refused_at_once(diary: Any, runtime: Any) -> None:
    async with diary() as (actor, _, __):
        with pytest.raises(TypeError, match="items streams, and nobody would read"):
            await actor.do(lambda ctx, book: ctx.schedule_once(0, book.items))
        with pytest.raises(TypeError, match="items streams"):
            await actor.do(lambda _, book: book.delayed(0).items())
        with pytest.raises(TypeError, match="is a message; arguments go with"):
            await actor.do(lambda ctx, _: ctx.schedule_once(0, "x", 1))

        def numbers() -> Any:
            yield 1

        with pytest.raises(TypeError, match="numbers streams"):
            await actor.do(lambda ctx, _: ctx.schedule_once(0, numbers))

    class Deaf:
        async def plan(self) -> None:
            pul.current().schedule_once(0, "message")

    async with runtime() as r:
        deaf = await r.spawn(Deaf())
        with pytest.raises(TypeError, match="no receive method that takes messages"):
            await deaf.plan()


async def test_delayed_calls_an_own_method_later(diary: Any, until: Any) -> None:
    async with diary() as (actor, book, _):
        began = time.monotonic()
        timer = await actor.do(lambda _, book: book.delayed(0.02).note(text="later"))
        await until(lambda: book.notes == ["later"])
        assert book.times[0] - began >= 0.02
        assert not timer.active
        await actor.do(lambda _, book: book.delayed(0)._private("private"))
        await until(lambda: book.notes[-1] == "private")
        await actor.do(lambda ctx, _: ctx.delayed(0).note_in_thread())
        await until(lambda: book.notes[-1] == "worker")


async def test_delayed_refuses_wrong_calls_at_once(diary: Any) -> None:
    async with diary() as (actor, book, _):
        with pytest.raises(AttributeError, match=r"No method 'nope' on Diary; it has: do"):
            await actor.do(lambda _, book: book.delayed(1).nope())
        with pytest.raises(TypeError, match="too many positional"):
            await actor.do(lambda _, book: book.delayed(1).note(1, 2, 3))
        with pytest.raises(pul.PulsingRuntimeError, match="in the code of that actor"):
            book.delayed(1)
        other = Diary()
        with pytest.raises(pul.PulsingRuntimeError, match="nor in other actors"):
            await actor.do(lambda _ctx, _book: other.delayed(1))


async def test_a_decorated_class_has_delayed_unless_it_has_its_own() -> None:
    @pul.remote
    class Plain:
        def __init__(self) -> None:
            self.rung = asyncio.Event()

        async def ring_in(self, seconds: float) -> None:
            self.delayed(seconds).ring()  # type: ignore[attr-defined]

        async def ring(self) -> None:
            self.rung.set()

        async def wait(self) -> bool:
            return await self.rung.wait()

    @pul.remote
    class Own:
        async def delayed(self, seconds: float) -> float:
            return seconds

    async with pul.running() as system:
        plain = await system.spawn(Plain)
        await plain.ring_in(0.01)
        assert await plain.wait()
        with pytest.raises(AttributeError, match="No method 'delayed'"):
            plain.delayed(1)
        own = await system.spawn(Own)
        assert await own.delayed(7) == 7


def test_the_grid_never_gives_a_time_that_has_passed() -> None:
    assert next_on_grid(10.0, 1.0, 10.0) == 11.0
    assert next_on_grid(10.0, 1.0, 10.5) == 11.0
    assert next_on_grid(10.0, 1.0, 13.0) == 14.0
    assert next_on_grid(10.0, 1.0, 9.0) == 11.0, "a timer that came early does not come twice"
    for steps in range(1, 2000):
        last = 0.1 * steps
        now = last + 0.1 * (steps % 7)
        assert now < next_on_grid(last, 0.1, now) <= now + 0.2


async def test_many_timers_cost_little(runtime: Any, until: Any) -> None:
    """A hundred thousand: scheduled, half of them cancelled, the rest comes."""
    counted = 0

    class Counting:
        async def plan(self, number: int) -> list[Timer]:
            ctx = pul.current()
            return [ctx.schedule_once(0.2, self.count) for _ in range(number)]

        async def count(self) -> None:
            nonlocal counted
            counted += 1

    async with runtime() as r:
        actor = await r.spawn(Counting(), mailbox_size=100_000)
        number = 20_000
        timers = await actor.plan(number)
        for timer in timers[::2]:
            timer.cancel()
        assert len(r.dispatcher.timers) == number // 2
        for timer in timers[1::4]:
            timer.cancel()
        kept = number // 4
        assert len(r.dispatcher.timers._heap) < number // 2, "cancelled ones are cleaned up"
        await until(lambda: counted == kept, 10)
        assert len(r.dispatcher.timers) == 0
