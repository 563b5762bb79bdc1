"""Behaviours: states, actions, answers, bad use."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import pulsing as pul
from pulsing.actor.behaviors import Stateful
from tests.unit.actor.behaving import (
    KINDS,
    Count,
    CounterMsg,
    Get,
    Increment,
    Reset,
    Same,
    Stop,
    Unhandled,
    counting,
    counting_by_lambda,
    of_kind,
    sent,
    spawn,
    system,
)

# --- state and actions ----------------------------------------------------------------------------


@KINDS
async def test_the_counter_counts(kind: str) -> None:
    async with system() as s:
        counter = await spawn(s, kind, Count(), counting, name="counter")
        assert isinstance(counter, pul.TypedRef)
        for number in range(100):
            counter.tell(Increment(number))
        assert await counter.ask(Get()) == sum(range(100))
        assert await counter.ask(Increment()) is None, "handled without a reply"
        await counter.tell(Reset())
        assert await counter.ask(Get()) == 0
        assert counter.name == "actors/counter"


async def test_a_def_handler_may_return_a_coroutine() -> None:
    async with system() as s:
        counter = await s.spawn(counting_by_lambda(Count(5)))
        counter.tell(Increment(2))
        assert await counter.ask(Get()) == 7
        counter.tell(Reset())
        assert await counter.ask(Get()) == 0


async def test_each_actor_starts_with_its_own_copy_of_the_state() -> None:
    behavior = pul.stateful(Count(), counting)
    async with system() as s:
        one, two = await s.spawn(behavior), await s.spawn(behavior)
        one.tell(Increment(1))
        two.tell(Increment(10))
        assert [await one.ask(Get()), await two.ask(Get())] == [1, 10]


async def test_a_state_that_cannot_be_copied_is_refused_with_the_way_out() -> None:
    lock = threading.Lock()

    def handler(state: Any, msg: str, ctx: Any) -> None:
        ctx.reply(state is lock)

    async with system() as s:
        with pytest.raises(TypeError, match=r"cannot be copied.*pul\.setup\(lambda ctx: stateful"):
            await s.spawn(pul.stateful(lock, handler), name="locked")
        ref = await s.spawn(pul.setup(lambda ctx: pul.stateful(lock, handler)), name="locked")
        assert await ref.ask("?") is True


@pytest.mark.parametrize("kind", ["def", "async"])
async def test_setup_makes_the_behaviour_at_the_start_with_the_context(kind: str) -> None:
    seen: list[Any] = []

    def make(ctx: pul.BehaviorContext[CounterMsg]) -> pul.Behavior[CounterMsg]:
        seen.append(ctx.name)
        return pul.stateful(Count(100), counting)

    async def make_async(ctx: pul.BehaviorContext[CounterMsg]) -> pul.Behavior[CounterMsg]:
        return pul.setup(make)

    async with system() as s:
        ref = await s.spawn(pul.setup(make if kind == "def" else make_async), name="made")
        assert await ref.ask(Get()) == 100
        assert seen == ["actors/made"]
        with pytest.raises(TypeError, match=r"takes Increment \| Reset \| Get, not str"):
            ref.tell("x")  # type: ignore[arg-type]


async def test_setup_that_makes_no_behaviour_fails_the_spawn() -> None:
    def endless(ctx: Any) -> Any:
        return pul.setup(endless)

    async with system() as s:
        with pytest.raises(TypeError, match=r"is to make a behaviour, and made 5"):
            await s.spawn(pul.setup(lambda ctx: 5), name="a")  # type: ignore[arg-type, return-value]
        with pytest.raises(TypeError, match="without end"):
            await s.spawn(pul.setup(endless), name="a")
        with pytest.raises(KeyError):
            await s.spawn(pul.setup(lambda ctx: {}["x"]), name="a")


@KINDS
async def test_messages_are_handled_one_after_another(kind: str) -> None:
    inside = [0, 0]

    def handler(state: Any, msg: int, ctx: Any) -> None:
        inside[0] += 1
        inside[1] = max(inside)
        state.append(msg)
        time.sleep(0.0001)
        inside[0] -= 1
        ctx.reply(list(state))

    async with system() as s:
        ref = await spawn(s, kind, [], handler)
        answers = await asyncio.gather(*(ref.ask(number) for number in range(50)))
        assert answers[-1] == list(range(50))
        assert inside == [0, 1]


async def test_an_async_handler_has_the_actor_to_itself_while_it_waits() -> None:
    async def handler(state: list[int], msg: int, ctx: Any) -> None:
        before = len(state)
        await asyncio.sleep(0.001)
        assert len(state) == before
        state.append(msg)
        ctx.reply(list(state))

    async with system() as s:
        ref = await s.spawn(pul.stateful([], handler))
        answers = await asyncio.gather(*(ref.ask(number) for number in range(10)))
        assert answers[-1] == list(range(10))


async def test_a_def_handler_may_block_without_holding_the_loop() -> None:
    def handler(state: None, msg: float, ctx: Any) -> None:
        time.sleep(msg)
        ctx.reply(threading.current_thread() is threading.main_thread())

    async with system() as s:
        ref = await s.spawn(pul.stateful(None, handler))
        (asked,) = await sent(ref, 0.2)
        began = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 0.15
        assert await asked is False
        on_loop = await s.spawn(pul.stateful(None, handler), executor="loop")
        assert await on_loop.ask(0) is True


@KINDS
async def test_become_counts_from_the_next_message_on(kind: str) -> None:
    def first(seen: list[str], msg: str, ctx: Any) -> Any:
        seen.append(f"first {msg}")
        return pul.Become(pul.stateful(seen, of_kind(kind, second)))

    def second(seen: list[str], msg: str, ctx: Any) -> Any:
        seen.append(f"second {msg}")
        ctx.reply(list(seen))
        return pul.Become(pul.stateful(seen, of_kind(kind, first)))

    async with system() as s:
        ref = await spawn(s, kind, [], first)
        for each in "abc":
            ref.tell(each)
        assert await ref.ask("d") == ["first a", "second b", "first c", "second d"]


async def test_become_changes_between_def_and_async_handlers() -> None:
    seen: list[Any] = []

    def blocking(state: int, msg: int, ctx: Any) -> Any:
        seen.append(("blocking", msg, threading.current_thread() is threading.main_thread()))
        return pul.Become(pul.stateful(state, waiting))

    async def waiting(state: int, msg: int, ctx: Any) -> Any:
        await asyncio.sleep(0)
        seen.append(("waiting", msg, threading.current_thread() is threading.main_thread()))
        return pul.Become(pul.stateful(state, blocking))

    async with system() as s:
        for first in (blocking, waiting):
            seen.clear()
            ref = await s.spawn(pul.stateful(0, first))
            for number in range(5):
                ref.tell(number)
            await ref.ask(5)
            names = ["blocking", "waiting"] if first is blocking else ["waiting", "blocking"]
            assert [each[:2] for each in seen] == [(names[n % 2], n) for n in range(6)]
            assert all(on_main is (name == "waiting") for name, _, on_main in seen)


async def test_become_can_make_the_behaviour_with_setup() -> None:
    def handler(state: int, msg: str, ctx: Any) -> Any:
        ctx.reply(state)
        return pul.Become(pul.setup(lambda ctx: pul.stateful(state + 1, handler)))

    async with system() as s:
        ref = await s.spawn(pul.stateful(0, handler))
        assert [await ref.ask("?") for _ in range(3)] == [0, 1, 2]


@KINDS
async def test_stop_stops_after_the_message_in_hand_and_refuses_the_rest(kind: str) -> None:
    handled: list[str] = []

    def handler(state: None, msg: str, ctx: Any) -> Any:
        handled.append(msg)
        ctx.reply(f"{msg} done")
        return Stop if msg == "stop" else Same

    async with system() as s:
        ref = await spawn(s, kind, None, handler, name="mortal")
        asked = await sent(ref, "a", "stop", "b", "c")
        await asyncio.wait(asked)
        assert [asked[0].result(), asked[1].result()] == ["a done", "stop done"]
        for each in asked[2:]:
            with pytest.raises(pul.ActorStopped) as caught:
                each.result()
            assert caught.value.delivered is pul.Delivery.NO
        assert handled == ["a", "stop"]
        again = await spawn(s, kind, None, handler, name="mortal")
        assert await again.ask("x") == "x done"


@KINDS
async def test_an_unhandled_message_is_an_error_for_whoever_asked_and_a_lost_tell(
    kind: str, until: Any
) -> None:
    def handler(state: None, msg: str, ctx: Any) -> Any:
        return Unhandled if msg == "what?" else ctx.reply(msg)

    async with system() as s:
        ref = await spawn(s, kind, None, handler, name="picky")
        with pytest.raises(
            pul.PulsingUnsupportedError,
            match=r"actors/picky has no use for str 'what\?' as handler",
        ):
            await ref.ask("what?")
        ref.tell("what?")
        await until(lambda: s.dispatcher.counters.lost_tells == 1)
        assert await ref.ask("fine") == "fine"


@KINDS
async def test_a_message_of_another_type_never_reaches_the_handler(kind: str) -> None:
    async with system() as s:
        ref = await spawn(s, kind, Count(), counting, name="counter")
        untyped = await s.resolve("counter")
        with pytest.raises(pul.PulsingUnsupportedError, match=r"which takes Increment \| Reset"):
            await untyped.ask("hello")
        assert await ref.ask(Get()) == 0


@KINDS
async def test_what_a_handler_raises_goes_to_whoever_asked(kind: str) -> None:
    def handler(state: Count, msg: str, ctx: Any) -> None:
        state.value += 1
        ctx.reply("too early")
        if msg == "fail":
            raise KeyError("no such thing")

    async with system() as s:
        ref = await spawn(s, kind, Count(), handler)
        with pytest.raises(KeyError, match="no such thing"):
            await ref.ask("fail")
        assert await ref.ask("x") == "too early"


# --- bad use --------------------------------------------------------------------------------------


def test_become_takes_only_behaviours() -> None:
    for wrong in (counting, None, Count(), Same):
        with pytest.raises(TypeError, match="an actor cannot become"):
            pul.BehaviorAction.Become(wrong)  # type: ignore[arg-type]
    assert pul.BehaviorAction.Become is pul.Become
    assert repr(Same) == "BehaviorAction.Same"
    assert "counting" in repr(pul.Become(pul.stateful(0, counting)))


def test_stateful_and_setup_take_only_what_can_be_called() -> None:
    with pytest.raises(TypeError, match="needs something callable, not 5"):
        pul.stateful(0, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs something callable, not None"):
        pul.setup(None)  # type: ignore[arg-type]


@KINDS
async def test_a_handler_that_returns_something_else_is_told_how_to_answer(kind: str) -> None:
    def handler(state: None, msg: str, ctx: Any) -> Any:
        return 5 if msg == "5" else pul.stateful(None, handler)

    async with system() as s:
        ref = await spawn(s, kind, None, handler)
        with pytest.raises(
            TypeError, match=r"returned 5, which is no BehaviorAction; .*ctx\.reply"
        ):
            await ref.ask("5")
        with pytest.raises(TypeError, match=r"did you mean Become\(\.\.\.\)"):
            await ref.ask("other")


async def test_what_spawn_refuses() -> None:
    behavior = pul.stateful(Count(), counting)
    async with system() as s:
        with pytest.raises(TypeError, match="takes no arguments"):
            await s.spawn(behavior, 1)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="one message at a time"):
            await s.spawn(behavior, max_concurrency=2)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="stays on this node"):
            await s.spawn(behavior, placement="remote")  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="stay in this process"):
            await s.spawn(behavior, executor="process")
        with pytest.raises(ValueError, match="executor"):
            await s.spawn(behavior, executor="moon")
        await s.spawn(behavior, name="counter")
        with pytest.raises(pul.NameTaken):
            await s.spawn(behavior, name="counter")
    with pytest.raises(pul.PulsingRuntimeError, match="shut down"):
        await s.spawn(behavior)


async def test_a_context_ends_with_its_handler() -> None:
    kept: list[pul.BehaviorContext[str]] = []

    def handler(state: None, msg: str, ctx: pul.BehaviorContext[str]) -> None:
        kept.append(ctx)
        ctx.reply(1)
        if msg == "twice":
            ctx.reply(2)
        if msg == "stash":
            ctx.stash(msg)
        if msg == "other":
            ctx.stash("another")

    async with system() as s:
        ref = await s.spawn(pul.stateful(None, handler), executor="loop")
        assert await ref.ask("x") == 1
        for use in (lambda: kept[0].reply(2), lambda: kept[0].stash("x"), kept[0].unstash_all):
            with pytest.raises(pul.PulsingRuntimeError, match="handler has returned"):
                use()
        with pytest.raises(pul.PulsingRuntimeError, match="has been answered"):
            await ref.ask("twice")
        with pytest.raises(pul.PulsingRuntimeError, match="has been answered"):
            await ref.ask("stash")
        with pytest.raises(ValueError, match="not the message in hand"):
            await ref.ask("other")


@KINDS
async def test_the_context_knows_the_actor(kind: str) -> None:
    def handler(state: None, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
        ctx.reply(ctx.self_ref)
        return ctx.schedule_once(0, lambda: None) and None

    async with system() as s:
        ref = await spawn(s, kind, None, handler, name="me")
        answer = await ref.ask("who")
        assert isinstance(answer, pul.TypedRef)
        assert answer == ref
        assert repr(answer) == "<TypedRef[str] actors/me>"


# --- callers --------------------------------------------------------------------------------------


async def test_what_a_def_handler_decided_counts_though_its_caller_gave_up() -> None:
    entered, leave = threading.Event(), threading.Event()

    def first(state: Any, msg: str, ctx: Any) -> Any:
        if msg == "wait":
            entered.set()
            leave.wait(10)
        return pul.Become(pul.stateful("second", second))

    def second(state: str, msg: str, ctx: Any) -> Any:
        ctx.reply(state)

    async def idle(state: None, msg: str, ctx: Any) -> Any:
        return pul.Become(pul.stateful(None, first))

    async with system() as s:
        for start in (first, idle):  # in batches, and one by one
            entered.clear()
            leave.clear()
            ref = await s.spawn(pul.stateful(None, start))
            if start is idle:
                await ref.ask("go")
            (asked,) = await sent(ref, "wait")
            await asyncio.to_thread(entered.wait, 10)
            asked.cancel()
            leave.set()
            assert await ref.ask("?") == "second"
            assert asked.cancelled()


async def test_cancelling_the_caller_cancels_an_async_handler(until: Any) -> None:
    log: list[str] = []

    async def handler(state: None, msg: str, ctx: Any) -> None:
        log.append(msg)
        try:
            await asyncio.sleep(30 if msg == "long" else 0)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async with system() as s:
        ref = await s.spawn(pul.stateful(None, handler))
        (asked,) = await sent(ref, "long")
        await until(lambda: log == ["long"])
        asked.cancel()
        await ref.ask("next")
        assert log == ["long", "cancelled", "next"]


async def test_the_shortcut_spawns_behaviours_too() -> None:
    async with pul.running():
        ref = await pul.spawn(pul.stateful(Count(3), counting), name="counter")
        assert await ref.ask(Get()) == 3
        unnamed = await pul.spawn(pul.stateful(Count(4), counting))
        assert str(unnamed.name).startswith("actors/counting_")
        assert isinstance(pul.stateful(Count(), counting), Stateful)


async def test_spawn_from_a_thread_gives_a_typed_reference_too() -> None:
    def use() -> Any:
        ref = pul.sync.spawn(pul.stateful(Count(3), counting), name="counter")
        assert isinstance(ref, pul.TypedRef)
        return ref

    async with pul.running():
        ref = await asyncio.to_thread(use)
        assert await ref.ask(Get()) == 3
