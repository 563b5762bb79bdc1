"""The stall guard: what it calls a stall, what it says, whom it tells, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pulsing.cluster import guard as guard_module
from pulsing.cluster.guard import StallGuard

if TYPE_CHECKING:
    from types import FrameType

THRESHOLD_S = 0.15
PEERS = tuple(f"10.0.0.{n}:1" for n in range(8))


class Peers:
    """Stands for the network of the guard: remembers what was told to whom."""

    def __init__(self, silent: frozenset[str] = frozenset()) -> None:
        self.told: list[tuple[str, int]] = []
        self.tried: list[str] = []
        self.silent = silent
        self.on_thread: set[str] = set()

    def tell(self, addr: str, body: bytes, timeout_s: float) -> bool:
        assert timeout_s > 0
        self.on_thread.add(threading.current_thread().name)
        self.tried.append(addr)
        if addr in self.silent:
            return False
        self.told.append((addr, int(body)))
        return True


@asynccontextmanager
async def guarding(**options: Any) -> AsyncIterator[StallGuard]:
    options = {
        "threshold_s": THRESHOLD_S,
        "lease_s": 0.5,
        "peers": lambda: PEERS,
        "claim": lambda incarnation: str(incarnation).encode(),
        "rng": random.Random(7),
    } | options
    guard = StallGuard(asyncio.get_running_loop(), **options)
    guard.start()
    await asyncio.sleep(0)
    try:
        yield guard
    finally:
        await guard.close()


def sleeping(until: Callable[[], object]) -> None:
    """Hold the loop, but not the interpreter, until the guard has done something."""
    give_up_at = time.monotonic() + 10
    while not until():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def computing(until: Callable[[], object]) -> None:
    """Hold the loop and compute."""
    give_up_at = time.monotonic() + 10
    while not until():
        assert time.monotonic() < give_up_at


def stalled(guard: StallGuard, times: int = 1) -> None:
    """Hold the loop until the guard has noticed that many stalls by now, and told it."""
    sleeping(lambda: guard.stalls == times)
    time.sleep(0.1)


async def ended(guard: StallGuard) -> None:
    async with asyncio.timeout(5):
        while guard.last_stall is None or guard.last_stall.duration_s is None:
            await asyncio.sleep(0.01)


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [sleeping, computing])
async def test_a_held_loop_is_told_with_its_culprit_and_its_stack(
    hold: Callable[[Callable[[], object]], None], caplog: pytest.LogCaptureFixture
) -> None:
    def culprit(frame: FrameType) -> str:
        frames = []
        each: FrameType | None = frame
        while each is not None:
            frames.append(each.f_code)
            each = each.f_back
        assert hold.__code__ in frames
        return "actors/greedy.hold"

    with caplog.at_level(logging.WARNING, "pulsing.cluster.guard"):
        async with guarding(culprit=culprit) as guard:
            hold(lambda: caplog.records)
            stall = guard.last_stall
            assert stall is not None
            assert stall.duration_s is None
            assert stall.culprit == "actors/greedy.hold"
            assert f"in {hold.__name__}" in stall.stack
            assert time.time() - 2 < stall.began < time.time()
            await ended(guard)
            assert guard.last_stall is not None
            assert THRESHOLD_S < (guard.last_stall.duration_s or 0) < 10
            assert guard.last_stall.as_dict()["culprit"] == "actors/greedy.hold"
            assert guard.stalls == 1
    begin, end = (record.getMessage() for record in caplog.records)
    assert "held" in begin
    assert "actors/greedy.hold" in begin
    assert f"in {hold.__name__}" in begin
    assert "turns again" in end
    assert "actors/greedy.hold" in end


async def test_code_of_no_actor_is_blamed_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async with guarding(culprit=lambda _: None) as guard:
        stalled(guard)
        await ended(guard)
    assert all("belongs to no actor" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 2


async def test_a_culprit_that_cannot_be_found_does_not_end_the_guard() -> None:
    def culprit(_: FrameType) -> str:
        raise KeyError("changed while it was read")

    async with guarding(culprit=culprit) as guard:
        stalled(guard)
        await ended(guard)
        assert "KeyError" in str(guard.last_stall.culprit)  # type: ignore[union-attr]
        stalled(guard, 2)


async def test_a_culprit_that_holds_the_loop_again_and_again_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "_LOG_INTERVAL_S", 60.0)
    async with guarding(culprit=lambda _: "actors/greedy.hold") as guard:
        for times in (1, 2, 3):
            stalled(guard, times)
            await ended(guard)
    assert len(caplog.records) == 2


# --- who is told ----------------------------------------------------------------------------------


async def test_peers_hear_that_the_node_is_busy_for_as_long_as_it_is() -> None:
    peers, heard = Peers(), list[tuple[int, int]]()
    loop_thread = threading.get_ident()

    def on_stall_ended(incarnation: int) -> None:
        heard.append((incarnation, threading.get_ident()))

    async with guarding(wire=peers, incarnation=lambda: 41, on_stall_ended=on_stall_ended) as guard:
        sleeping(lambda: len({incarnation for _, incarnation in peers.told}) >= 3)
        await ended(guard)
        told = list(peers.told)
        await asyncio.sleep(0.5)
        assert peers.told == told, "the stall is over"
    rounds = sorted({incarnation for _, incarnation in told})
    assert rounds[0] == 42, "more than was ever claimed"
    assert rounds == list(range(42, 42 + len(rounds)))
    assert len(rounds) >= 3, "renewed before the lease of 0.5 s runs out"
    for each in rounds:
        addresses = [addr for addr, incarnation in told if incarnation == each]
        assert len(set(addresses)) == len(addresses) <= 3
    assert heard == [(rounds[-1], loop_thread)]
    assert peers.on_thread == {"pulsing-guard"}


async def test_in_place_of_silent_peers_others_are_told() -> None:
    peers = Peers(silent=frozenset(PEERS[:5]))
    async with guarding(wire=peers, lease_s=60.0) as guard:
        sleeping(lambda: peers.told)
        await ended(guard)
    assert len(peers.tried) <= 6
    assert {addr for addr, _ in peers.told} <= set(PEERS[5:])
    assert peers.told


async def test_a_hushed_guard_claims_nothing_that_would_contradict_a_goodbye() -> None:
    peers, ended_with = Peers(), list[int]()
    async with guarding(wire=peers, on_stall_ended=ended_with.append) as guard:
        sleeping(lambda: len(peers.told) >= 3)
        assert guard.hush() == 1, "the goodbye has to be above it"
        told = len(peers.told)
        renewed_at = time.monotonic() + 0.5
        sleeping(lambda: time.monotonic() > renewed_at)
        assert len(peers.told) == told
        await ended(guard)
        stalled(guard, 2)
        await ended(guard)
    assert len(peers.told) == told
    assert ended_with == []


async def test_a_node_alone_tells_nobody() -> None:
    peers, heard = Peers(), list[int]()
    async with guarding(wire=peers, peers=tuple, on_stall_ended=heard.append) as guard:
        stalled(guard)
        await ended(guard)
    assert not peers.tried
    assert not heard, "nothing was claimed"


async def test_a_claim_that_cannot_be_made_does_not_end_the_guard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def claim(_: int) -> bytes:
        raise RuntimeError("dictionary changed size during iteration")

    async with guarding(wire=Peers(), claim=claim) as guard:
        stalled(guard)
        await ended(guard)
        stalled(guard, 2)
    assert any("cannot tell the peers" in record.getMessage() for record in caplog.records)


# --- what is no stall -----------------------------------------------------------------------------


async def test_a_loop_that_turns_is_not_blamed() -> None:
    async with guarding(threshold_s=0.6) as guard:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            time.sleep(0.05)  # noqa: ASYNC251 - what code may do
            await asyncio.sleep(0)
        assert guard.stalls == 0


STOPPED = """
import asyncio, json, signal, sys, time
from pulsing.cluster.guard import StallGuard

async def main():
    guard = StallGuard(asyncio.get_running_loop(), threshold_s=0.7)
    guard.start()
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await asyncio.sleep(0.8)
    seen = guard.stalls
    give_up_at = time.monotonic() + 10
    while not guard.stalls and time.monotonic() < give_up_at:
        time.sleep(0.01)
    await guard.close()
    print(json.dumps([seen, guard.stalls]), flush=True)

asyncio.run(main())
"""


def test_a_process_that_was_stopped_as_a_whole_has_not_stalled() -> None:
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(child.pid, signal.SIGCONT)
        assert json.loads(child.stdout.readline()) == [0, 1]
        assert child.wait(5) == 0


# --- the end --------------------------------------------------------------------------------------


async def test_closing_right_after_a_stall_ends_the_thread_and_tells_nothing() -> None:
    heard: list[int] = []
    async with guarding(wire=Peers(), on_stall_ended=heard.append) as guard:
        stalled(guard)
        started = time.monotonic()
        await guard.close()
        assert time.monotonic() - started < 1
        time.sleep(0.4)  # noqa: ASYNC251 - nobody watches any more
        await asyncio.sleep(0.3)
        assert not heard
        assert guard.stalls == 1


async def test_closing_does_not_wait_for_the_next_look() -> None:
    async with guarding(threshold_s=30.0) as guard:
        started = time.monotonic()
        await guard.close()
        assert time.monotonic() - started < 0.3


async def test_a_guard_that_was_never_started_can_be_closed() -> None:
    await StallGuard(asyncio.get_running_loop()).close()


def test_the_thread_ends_with_a_loop_that_was_closed_without_it() -> None:
    loop = asyncio.new_event_loop()
    guards: list[StallGuard] = []

    async def start() -> None:
        guard = StallGuard(loop, threshold_s=0.1)
        guard.start()
        guards.append(guard)

    loop.run_until_complete(start())
    time.sleep(0.4)
    assert guards[0].stalls == 0, "a loop that does not run is held by nobody"
    loop.close()
    deadline = time.monotonic() + 5
    while any(each.name == "pulsing-guard" for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    gc.collect()
