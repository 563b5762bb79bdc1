"""Behaviours: the stash, the receive timeout, restarts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

import pulsing as pul
from pulsing.actor.stash import Stash
from tests.integration import nodes
from tests.unit.actor.behaving import (
    KINDS,
    Count,
    Stop,
    sent,
    spawn,
    system,
)

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


@KINDS
async def test_messages_from_other_nodes_are_stashed_alike(kind: str, until: Any) -> None:
    async with nodes.system("127.0.0.1:0") as host, nodes.system() as caller:
        await spawn(host, kind, Door(), closed, name="door")
        door = pul.TypedRef[str](await caller.resolve(f"actor://{host.addr}/door"))
        asked = await sent(door, *"abc")
        assert await door.ask("count") == 3
        with pytest.raises(pul.DeadlineExceeded):
            await door.ask("late").with_timeout(0.05)
        asked[1].cancel()
        await asyncio.wait([asked[1]])
        dropped = host.dispatcher.deadlines
        await until(lambda: len(dropped) == 2)
        assert await door.ask("open") >= 2
        assert [await asked[0], await asked[2]] == [["a"], ["a", "c"]]
        assert await door.ask("d") == ["a", "c", "d"]


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
