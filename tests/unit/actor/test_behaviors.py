"""Behaviours: states, actions, answers, the stash, the receive timeout."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

import pulsing as pul
from pulsing.actor.behaviors import Stateful
from pulsing.actor.stash import Stash

Same, Stop, Unhandled = (
    pul.BehaviorAction.Same,
    pul.BehaviorAction.Stop,
    pul.BehaviorAction.Unhandled,
)


@dataclass
class Increment:
    by: int = 1


@dataclass
class Reset:
    pass


@dataclass
class Get:
    pass


CounterMsg = Increment | Reset | Get


@dataclass
class Count:
    value: int = 0


def counting(
    count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]
) -> pul.BehaviorAction | None:
    match msg:
        case Increment(by):
            count.value += by
            return Same
        case Reset():
            return pul.Become(pul.stateful(Count(), counting))
        case Get():
            ctx.reply(count.value)
            return None


async def counting_async(
    count: Count, msg: CounterMsg, ctx: pul.BehaviorContext[CounterMsg]
) -> pul.BehaviorAction | None:
    return counting(count, msg, ctx)


def counting_by_lambda(state: Count) -> Any:
    return pul.stateful(state, lambda *given: counting_async(*given))  # noqa: PLW0108 - the case


@asynccontextmanager
async def system() -> AsyncIterator[pul.ActorSystem]:
    made = await pul.ActorSystem.create()
    try:
        yield made
    finally:
        await made.shutdown()


KINDS = pytest.mark.parametrize("kind", ["thread", "loop", "async"])
"""Where a handler runs: a ``def`` in a thread or on the loop, an ``async def``."""


def of_kind(kind: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The ``def`` handler, or the same as ``async def``."""
    if kind != "async":
        return handler

    async def wrapped(state: Any, msg: Any, ctx: Any) -> Any:
        return handler(state, msg, ctx)

    wrapped.__annotations__ = handler.__annotations__
    wrapped.__name__ = handler.__name__
    return wrapped


async def spawn(s: pul.ActorSystem, kind: str, state: Any, handler: Any, **options: Any) -> Any:
    if kind == "loop":
        options["executor"] = "loop"
    return await s.spawn(pul.stateful(state, of_kind(kind, handler)), **options)


async def sent(ref: Any, *messages: Any) -> list[asyncio.Future[Any]]:
    """Asks that are on their way, in order."""
    asked = [asyncio.ensure_future(ref.ask(each)) for each in messages]
    await asyncio.sleep(0)
    return asked


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


# --- the stash ------------------------------------------------------------------------------------


@dataclass
class Door:
    """Opens with ``open``; what comes before waits."""

    log: list[str] = field(default_factory=list)


def closed(door: Door, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
    if msg == "open":
        ctx.reply(ctx.unstash_all())
        return pul.Become(pul.stateful(door, closed_or_open))
    if msg == "count":
        ctx.reply(ctx.stashed)
        return None
    ctx.stash(msg)
    return None


def closed_or_open(door: Door, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
    if msg == "close":
        return pul.Become(pul.stateful(door, closed))
    door.log.append(msg)
    ctx.reply(list(door.log))
    return None


@KINDS
async def test_stashed_messages_come_in_order_before_the_mailbox(kind: str) -> None:
    async with system() as s:
        ref = await spawn(s, kind, Door(), closed)
        asked = await sent(ref, *"ab")
        ref.tell("c")
        assert await ref.ask("count") == 3
        (opened,) = await sent(ref, "open")
        later = await sent(ref, *"de")
        assert await opened == 3
        assert await asyncio.gather(*asked) == [["a"], ["a", "b"]]
        assert (await asyncio.gather(*later))[-1] == list("abcde")


@KINDS
async def test_messages_can_be_stashed_again(kind: str) -> None:
    def handler(state: Count, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
        if msg == "again":
            state.value += 1
            ctx.unstash_all()
        elif state.value < 3:
            ctx.stash(msg)
        else:
            ctx.reply(msg)

    async with system() as s:
        ref = await spawn(s, kind, Count(), handler)
        asked = await sent(ref, *"01234")
        for _ in range(3):
            await ref.ask("again")
        assert await asyncio.gather(*asked) == list("01234")


@KINDS
async def test_one_that_is_stashed_while_unstashing_stays(kind: str) -> None:
    def handler(state: Count, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
        state.value += 1
        if msg == "both" and state.value == 1:
            ctx.unstash_all()
            ctx.stash(msg)
        elif msg == "go":
            ctx.unstash_all()
        else:
            ctx.reply(state.value)

    async with system() as s:
        ref = await spawn(s, kind, Count(), handler)
        (both,) = await sent(ref, "both")
        await ref.ask("go")
        assert await both == 3


@KINDS
async def test_a_full_stash_is_an_error(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stash.__init__, "__defaults__", (2,))
    async with system() as s:
        ref = await spawn(s, kind, Door(), closed, name="door")
        asked = await sent(ref, *"ab")
        with pytest.raises(pul.MailboxFull, match=r"the stash of actors/door is full \(2 messages"):
            await ref.ask("c")
        asked[0].cancel()
        await asyncio.wait(asked[:1])
        (third,) = await sent(ref, "d")  # one whose caller is gone takes no room
        await ref.ask("open")
        assert await asked[1] == ["b"]
        assert await third == ["b", "d"]


@KINDS
async def test_the_deadline_of_a_stashed_message_runs(kind: str) -> None:
    async with system() as s:
        ref = await spawn(s, kind, Door(), closed)
        began = time.monotonic()
        with pytest.raises(pul.DeadlineExceeded, match="while the actor had put it aside"):
            await ref.ask("a").with_timeout(0.05)
        assert 0.045 < time.monotonic() - began < 1
        assert s.dispatcher.counters.expired == 1
        await ref.ask("open")
        assert await ref.ask("b") == ["b"], "expired work is not started"
        assert len(s.dispatcher.deadlines) == 0


@KINDS
async def test_a_stashed_message_whose_caller_gave_up_is_forgotten(kind: str) -> None:
    async with system() as s:
        ref = await spawn(s, kind, Door(), closed)
        (asked,) = await sent(ref, "a")
        assert await ref.ask("count") == 1
        asked.cancel()
        await asyncio.wait([asked])
        await ref.ask("open")
        assert await ref.ask("b") == ["b"]


@KINDS
@pytest.mark.parametrize("how", ["stop", "shutdown"])
async def test_stashed_messages_are_refused_when_the_actor_stops(kind: str, how: str) -> None:
    async with system() as s:
        ref = await spawn(s, kind, Door(), closed)
        asked = await sent(ref, *"ab")
        assert await ref.ask("count") == 2
        await (s.stop(ref) if how == "stop" else s.shutdown())
        for each in asked:
            with pytest.raises(pul.ActorStopped) as caught:
                await each
            assert caught.value.delivered is pul.Delivery.NO


@KINDS
async def test_a_message_that_fails_after_it_was_stashed_is_not_kept(kind: str) -> None:
    def handler(state: None, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
        if msg == "count":
            return ctx.reply(ctx.stashed)
        ctx.stash(msg)
        raise ValueError(msg)

    async with system() as s:
        ref = await spawn(s, kind, None, handler)
        with pytest.raises(ValueError, match="x"):
            await ref.ask("x")
        assert await ref.ask("count") == 0


# --- the receive timeout --------------------------------------------------------------------------


def resting(
    log: list[Any], msg: float | Literal["off", "log", "busy"] | pul.ReceiveTimeout, ctx: Any
) -> None:
    match msg:
        case pul.ReceiveTimeout(seconds):
            log.append(seconds)
        case "off":
            ctx.set_receive_timeout(None)
        case "log":
            ctx.reply(list(log))
        case "busy":
            time.sleep(0.1)
        case seconds:
            ctx.set_receive_timeout(seconds)
            log.append("set")


@KINDS
async def test_a_receive_timeout_comes_after_a_silence_and_again(kind: str, until: Any) -> None:
    log: list[Any] = []

    def handler(state: None, msg: float | str | pul.ReceiveTimeout, ctx: Any) -> None:
        resting(log, msg, ctx)  # type: ignore[arg-type]

    async with system() as s:
        ref = await spawn(s, kind, None, handler)
        began = time.monotonic()
        await ref.ask(0.03)
        await until(lambda: len(log) == 2)
        assert time.monotonic() - began >= 0.03
        await until(lambda: len(log) == 4)
        assert log == ["set", 0.03, 0.03, 0.03]
        assert time.monotonic() - began >= 0.09
        await ref.ask("off")
        count = len(log)
        await asyncio.sleep(0.06)
        assert len(log) == count
        assert len(s.dispatcher.timers) == 0


@KINDS
async def test_messages_put_the_receive_timeout_off(kind: str, until: Any) -> None:
    async with system() as s:
        ref = await spawn(s, kind, [], resting)
        await ref.ask(0.3)
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            assert await ref.ask("log") == ["set"]
            await asyncio.sleep(0.01)
        await ref.ask("busy")
        assert await ref.ask("log") == ["set"]


@KINDS
async def test_the_receive_timeout_does_not_run_while_a_message_is_handled(
    kind: str, until: Any
) -> None:
    async with system() as s:
        ref = await spawn(s, kind, [], resting)
        await ref.ask(0.06)
        busy, logged = await sent(ref, "busy", "log")
        await busy
        assert await logged == ["set"]


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
async def test_a_receive_timeout_that_is_none_is_refused(seconds: float) -> None:
    async with system() as s:
        ref = await s.spawn(pul.stateful([], resting))
        with pytest.raises(ValueError, match="more than 0"):
            await ref.ask(seconds)


async def test_the_receive_timeout_ends_with_the_actor() -> None:
    async with system() as s:
        ref = await s.spawn(pul.stateful([], resting))
        await ref.ask(30.0)
        assert len(s.dispatcher.timers) == 1
        await s.stop(ref)
        assert len(s.dispatcher.timers) == 0


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


# --- restarts -------------------------------------------------------------------------------------


def failing(
    state: list[str], msg: str | pul.ReceiveTimeout, ctx: pul.BehaviorContext[str]
) -> pul.BehaviorAction | None:
    state.append("timeout" if isinstance(msg, pul.ReceiveTimeout) else msg)
    match msg:
        case "fail":
            raise OSError("as asked")
        case "stop":
            return Stop
        case "later":
            if "fail" not in state and len(state) == 1:
                state.pop()
                ctx.stash(msg)
                return None
        case "rest":
            ctx.set_receive_timeout(0.05)
            return pul.Become(pul.stateful(state, failing))
    ctx.reply(list(state))
    return None


@KINDS
async def test_a_restart_begins_with_the_first_behaviour_and_a_fresh_state(
    kind: str, until: Any
) -> None:
    async with system() as s:
        options: dict[str, Any] = {"restart_policy": "on_failure", "min_backoff": 0.0}
        ref = await spawn(s, kind, [], failing, name="phoenix", **options)
        await ref.ask("rest")
        assert await ref.ask("a") == ["rest", "a"]
        with pytest.raises(OSError, match="as asked"):
            await ref.ask("fail")
        assert await ref.ask("b") == ["b"]
        await asyncio.sleep(0.1)
        assert await ref.ask("c") == ["b", "c"], "the receive timeout has ended with the first"
        assert len(s.dispatcher.timers) == 0


@KINDS
async def test_stashed_messages_survive_a_restart_and_come_first(kind: str) -> None:
    async with system() as s:
        options: dict[str, Any] = {"restart_policy": "on_failure", "min_backoff": 0.0}
        ref = await spawn(s, kind, Door(), closed_until_it_fails, **options)
        early, failing_, late = await sent(ref, "early", "fail", "late")
        with pytest.raises(OSError, match="as asked"):
            await failing_
        (opened,) = await sent(ref, "open")
        assert await opened == 2
        assert [await early, await late] == [["early"], ["early", "late"]]


def closed_until_it_fails(door: Door, msg: str, ctx: pul.BehaviorContext[str]) -> Any:
    if msg == "fail":
        raise OSError("as asked")
    return closed(door, msg, ctx)


@KINDS
async def test_stop_under_the_policy_always_begins_anew_and_keeps_what_waits(kind: str) -> None:
    async with system() as s:
        options: dict[str, Any] = {"restart_policy": "always", "min_backoff": 0.0}
        ref = await spawn(s, kind, [], failing, **options)
        _, stopped, after = await sent(ref, "a", "stop", "b")
        assert await stopped is None
        assert await after == ["b"]
