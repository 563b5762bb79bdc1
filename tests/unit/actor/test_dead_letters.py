import asyncio
import logging

import pytest

import pulsing as pul
from pulsing.actor.dead_letters import LetterReason, reason_of
from pulsing.actor.exits import ExitReason
from pulsing.actor.mailbox import OnFull
from pulsing.errors import (
    ActorNotFound,
    ActorStopped,
    ConnectionLost,
    DeadlineExceeded,
    Delivery,
    MailboxFull,
    NodeUnreachable,
    PulsingRuntimeError,
    WireError,
)
from tests.integration import nodes

NO = {"delivered": Delivery.NO}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ActorNotFound(), LetterReason.NOT_FOUND),
        (ActorStopped(**NO), LetterReason.STOPPED),
        (ActorStopped(), LetterReason.INTERRUPTED),
        (MailboxFull(), LetterReason.FULL),
        (DeadlineExceeded(**NO), LetterReason.EXPIRED),
        (DeadlineExceeded(), LetterReason.INTERRUPTED),
        (NodeUnreachable(), LetterReason.UNREACHABLE),
        (ConnectionLost(), LetterReason.LOST),
        (ConnectionLost(**NO), LetterReason.LOST),
        (WireError(), LetterReason.REFUSED),
        (PulsingRuntimeError(), LetterReason.REFUSED),
    ],
)
def test_the_error_says_why(error, reason):
    assert reason_of(error) is reason


class Gate:
    """Takes one message at a time, and each when the gate is open."""

    def __init__(self):
        self.open = asyncio.Event()
        self.seen = []

    async def take(self, number):
        await self.open.wait()
        self.seen.append(number)
        return number

    async def receive(self, message):
        await self.open.wait()
        self.seen.append(message)

    async def forward(self, other, number):
        other.take.tell(number)


async def gate_with(r, until, on_full, size=2, **options):
    gate = Gate()
    actor = await r.spawn(gate, max_concurrency=1, mailbox_size=size, on_full=on_full, **options)
    actor.take.tell("first")
    await until(lambda: actor.cell.active == 1)
    return gate, actor


def letters_of(r):
    letters = []
    r.dispatcher.dead_letters.subscribe(letters.append)
    return letters


# --- dropping


async def test_the_oldest_makes_room_and_its_caller_is_told(runtime, until):
    async with runtime() as r:
        letters = letters_of(r)
        gate, actor = await gate_with(r, until, OnFull.DROP_OLDEST)
        oldest = asyncio.create_task(actor.take(0))
        await until(lambda: actor.cell.queued == 1)
        for number in (1, 2, 3):
            await actor.take.tell(number)
        with pytest.raises(MailboxFull, match="2 messages") as caught:
            await oldest
        assert caught.value.delivered is Delivery.NO
        await actor.take.tell(4)
        assert [(each.method, each.reason) for each in letters] == [
            ("take", LetterReason.DROPPED)
        ] * 2
        gate.open.set()
        await until(lambda: gate.seen == ["first", 3, 4])
        assert r.dispatcher.counters.lost_tells == 2


async def test_the_newest_is_dropped_and_only_askers_are_told(runtime, until):
    async with runtime() as r:
        letters = letters_of(r)
        gate, actor = await gate_with(r, until, OnFull.DROP_NEWEST)
        await actor.take.tell(1)
        await actor.take.tell(2)
        await actor.take.tell(3)  # lost, and nobody complains
        with pytest.raises(MailboxFull):
            await actor.take(4)
        assert [each.reason for each in letters] == [LetterReason.DROPPED]
        gate.open.set()
        await until(lambda: gate.seen == ["first", 1, 2])


async def test_dropping_goes_on_while_a_flood_lasts(runtime, until):
    async with runtime() as r:
        gate, actor = await gate_with(r, until, OnFull.DROP_OLDEST, size=10)
        for number in range(5000):
            actor.take.tell(number)
        assert actor.cell.queued == 10
        assert r.dispatcher.dead_letters.by_reason == {LetterReason.DROPPED: 4990}
        gate.open.set()
        await until(lambda: gate.seen == ["first", *range(4990, 5000)])


async def test_a_caller_that_gave_up_is_dropped_before_one_that_waits(runtime, until):
    async with runtime() as r:
        letters = letters_of(r)
        gate, actor = await gate_with(r, until, OnFull.DROP_OLDEST)
        await actor.take.tell(1)
        gone = asyncio.create_task(actor.take(2))
        await until(lambda: actor.cell.queued == 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await actor.take.tell(3)
        assert letters == []
        gate.open.set()
        await until(lambda: gate.seen == ["first", 1, 3])


# --- what becomes a dead letter


async def test_what_a_stopped_mailbox_held_is_told_or_a_dead_letter(runtime, until):
    async with runtime() as r:
        letters = letters_of(r)
        _, actor = await gate_with(r, until, OnFull.WAIT, size=10)
        ask = asyncio.create_task(actor.take(1))
        await until(lambda: actor.cell.queued == 1)
        actor.take.tell(2)
        pul.Tell.message(actor.target, 3.5)
        await actor.cell.stop()
        with pytest.raises(ActorStopped):
            await ask
        assert [(each.method, each.message, each.reason) for each in letters] == [
            ("take", "", LetterReason.STOPPED),
            ("receive", "float", LetterReason.STOPPED),
            ("take", "", LetterReason.INTERRUPTED),
        ]
        assert {each.target for each in letters} == {"thing"}


async def test_a_tell_to_a_stopped_actor_is_a_dead_letter_unless_somebody_awaits_it(runtime, until):
    async with runtime() as r:
        letters = letters_of(r)
        _, actor = await gate_with(r, until, OnFull.WAIT)
        await actor.cell.stop()
        letters.clear()
        with pytest.raises(ActorStopped):
            await actor.take.tell(1)
        await asyncio.sleep(0)
        assert letters == []
        actor.take.tell(2)
        await until(lambda: letters)
        assert letters[0].reason is LetterReason.STOPPED


async def test_a_dead_letter_names_its_sender(runtime, until):
    async with runtime() as r:
        letters = letters_of(r)
        _, actor = await gate_with(r, until, OnFull.WAIT)
        await actor.cell.stop()
        letters.clear()
        other = await r.spawn(Gate(), "other")
        await other.forward(actor, 1)
        await until(lambda: letters)
        assert letters[0].sender == other.cell.actor_id


async def test_a_handler_that_fails_makes_no_dead_letter(runtime, until):
    async with runtime() as r:
        actor = await r.spawn(Gate())
        actor.take.tell()  # an argument is missing
        await until(lambda: r.dispatcher.counters.lost_tells == 1)
        assert r.dispatcher.dead_letters.count == 0


async def test_ten_thousand_dead_letters_are_one_line_of_the_log(runtime, until, caplog):
    async with runtime() as r:
        _, actor = await gate_with(r, until, OnFull.DROP_NEWEST)
        caplog.set_level(logging.WARNING)
        for number in range(10_000):
            actor.take.tell(number)
        assert r.dispatcher.dead_letters.count == 9_998
        assert len([each for each in caplog.records if "thing.take" in each.message]) == 1


async def test_a_listener_that_fails_disturbs_nobody(runtime, until, caplog):
    async with runtime() as r:
        r.dispatcher.dead_letters.subscribe(lambda letter: 1 / 0)
        letters = letters_of(r)
        _, actor = await gate_with(r, until, OnFull.DROP_NEWEST, size=1)
        actor.take.tell(1)
        actor.take.tell(2)
        assert len(letters) == 1
        assert "ZeroDivisionError" in caplog.text


# --- as users see them


async def test_dead_letters_can_be_followed_and_left():
    async with nodes.system() as system:
        seen = []
        end = system.on_dead_letter(seen.append)
        feed = system.dead_letters()
        ref = await system.spawn(Gate(), name="gate")
        await system.stop(ref)
        ref.take.tell(1)
        letter = await anext(feed)
        assert seen == [letter]
        assert (letter.target, letter.reason) == ("actors/gate", pul.LetterReason.STOPPED)
        end()
        end()
        ref.take.tell(2)
        await anext(feed)
        assert len(seen) == 1
    with pytest.raises(StopAsyncIteration):
        await anext(feed)
    with pytest.raises(StopAsyncIteration):
        await anext(system.dead_letters())


async def test_a_reader_of_dead_letters_that_is_slow_misses_the_oldest():
    async with nodes.system() as system:
        feed = system.dead_letters()
        ref = await system.spawn(Gate(), name="gate")
        await system.stop(ref)
        sent = [ref.take.tell(number) for number in range(1500)]
        assert len(sent) == 1500
        while system.dispatcher.dead_letters.count < 1500:
            await asyncio.sleep(0.001)
        assert feed.dropped == 1500 - 1024


# --- kill


class Slow(Gate):
    def __init__(self):
        super().__init__()
        self.ends = []

    async def take(self, number):
        try:
            await asyncio.Event().wait()
        finally:
            self.ends.append("cancelled")

    async def on_stop(self):
        self.ends.append("on_stop")


async def test_kill_cancels_what_runs_refuses_what_waits_and_runs_no_on_stop():
    async with nodes.system() as system:
        slow = Slow()
        reasons = []
        ref = await system.spawn(slow, name="slow", max_concurrency=1)
        cell = system.named("actors/slow")
        cell.on_exit(lambda cell, reason, error: reasons.append(reason))
        asks = [asyncio.ensure_future(ref.take(number)) for number in range(3)]
        while (cell.active, cell.queued) != (1, 2):
            await asyncio.sleep(0.001)
        await system.kill(ref)
        outcomes = await asyncio.gather(*asks, return_exceptions=True)
        assert [type(each) for each in outcomes] == [ActorStopped] * 3
        assert [each.delivered for each in outcomes] == [Delivery.UNKNOWN, Delivery.NO, Delivery.NO]
        assert slow.ends == ["cancelled"]
        assert reasons == [ExitReason.KILLED]
        with pytest.raises(ActorNotFound):
            await system.kill("slow")


async def test_a_graceful_stop_finishes_the_mailbox_within_its_limit():
    async with nodes.system() as system:
        gate = Gate()
        ref = await system.spawn(gate, name="gate", max_concurrency=1)
        for number in range(5):
            ref.take.tell(number)
        gate.open.set()
        await system.stop(ref, grace_s=5)
        assert gate.seen == [0, 1, 2, 3, 4]
        assert system.dispatcher.dead_letters.count == 0
