"""Idempotent methods: repeated when they may be, run once whatever arrives twice."""

import asyncio
import contextlib

import pytest

import pulsing as pul
from pulsing.actor import once
from pulsing.actor.once import KEY, Answer, Answers, answers_of
from pulsing.actor.place import place_of
from pulsing.actor.retrying import KeyedCall, may_be_repeated, pause_s
from pulsing.errors import (
    ActorNotFound,
    ActorStopped,
    ConnectionLost,
    DeadlineExceeded,
    Delivery,
    MailboxFull,
    NodeUnreachable,
    WireError,
)
from pulsing.testing import FaultProxy
from tests.integration import nodes


class Account(pul.Actor):
    """Counts what runs."""

    def __init__(self):
        self.runs = 0
        self.list = [0]
        self.gate = asyncio.Event()
        self.cancelled = 0

    @pul.method(idempotent=True)
    async def pay(self, amount):
        self.runs += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.runs * amount

    @pul.method(idempotent=True, retries=1)
    def history(self):
        self.runs += 1
        self.list.append(self.runs)
        return self.list

    @pul.method(idempotent=True)
    async def fail(self, text):
        self.runs += 1
        raise KeyError(text)

    async def once_only(self):
        self.runs += 1
        await self.gate.wait()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionLost(), True),
        (ConnectionLost(delivered=Delivery.NO), True),
        (NodeUnreachable(), True),
        (ActorStopped(), True),
        (ActorStopped(delivered=Delivery.NO), False),
        (ActorNotFound(), False),
        (MailboxFull(), False),
        (DeadlineExceeded(), False),
        (WireError(), False),
    ],
)
def test_what_may_go_well_another_time(error, expected):
    assert may_be_repeated(error) is expected


def test_pauses_grow_and_scatter():
    assert pause_s(0, 0.0) == 0.025
    assert pause_s(0, 1.0) == 0.05
    assert [pause_s(n, 1.0) for n in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert pause_s(10_000, 0.0) == 1.0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retries": 3}, ValueError),
        ({"idempotent": True, "retries": -1}, ValueError),
        ({"idempotent": True, "retries": 101}, ValueError),
        ({"idempotent": True, "retries": True}, ValueError),
    ],
)
def test_wrong_declarations_are_refused(options, error):
    with pytest.raises(error, match="retries"):
        pul.method(**options)


def test_a_stream_cannot_be_idempotent():
    with pytest.raises(TypeError, match="streams"):

        @pul.method(idempotent=True)
        async def stream(self):
            yield 1


# --- what is kept


def key(number):
    return (number.to_bytes(4, "big"), "pay")


def test_answers_are_bounded_in_number_bytes_and_time():
    answers = Answers()
    for number in range(once.MAX_ANSWERS + 5):
        answers.keep(key(number), Answer(None, b"x", 10.0), 0.0)
    assert len(answers) == once.MAX_ANSWERS
    assert answers.find(key(4), 0.0) is None
    assert answers.find(key(5), 0.0).body == b"x"
    answers.keep(key(9999), Answer(None, bytes(once.MAX_BYTES - 2), 10.0), 0.0)
    assert len(answers) == 3
    assert answers.size_bytes == once.MAX_BYTES
    assert answers.find(key(5), 0.0) is not None, "used last"
    answers.keep(key(1), Answer(None, bytes(once.MAX_BYTES + 1), 10.0), 0.0)
    assert (len(answers), answers.size_bytes) == (0, 0)
    answers.keep(key(1), Answer(None, b"x", 10.0), 0.0)
    assert answers.find(key(1), 10.0) is None
    answers.keep(key(2), Answer(None, b"x", 10.0), 0.0)
    answers.keep(key(3), Answer(None, b"x", 20.0), 11.0)
    assert (len(answers), answers.size_bytes) == (1, 1)


# --- over a connection


@contextlib.asynccontextmanager
async def account(**options):
    """An actor, its cell, and a proxy of it on another system, through something that fails."""
    async with nodes.system("127.0.0.1:0") as there:
        actor = Account()
        await there.spawn(actor, name="account", **options)
        cell = there.named("actors/account")
        with FaultProxy(there.addr) as fault:
            async with nodes.system("127.0.0.1:0") as here:
                ref = await here.resolve(f"actor://{fault.addr}/account")
                yield actor, cell, ref, fault


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def repeat(ref, method, *args, octets=b"the key"):
    """Send a call by hand, as one that is repeated."""
    target = place_of(ref).target
    call = KeyedCall(target, pul.Call(target, method, args, None), octets)
    return asyncio.ensure_future(call.with_timeout(5))


@pytest.mark.parametrize("typed", [True, False])
async def test_a_call_survives_connections_that_are_lost_and_runs_once(typed):
    async with account() as (actor, cell, ref, fault):
        proxy = ref.as_type(Account) if typed else ref.as_any()
        call = asyncio.ensure_future(proxy.pay(5))
        for _ in range(3):
            await until(lambda: actor.runs == 1 and cell.active == 1)
            await asyncio.to_thread(fault.reset)
            await asyncio.sleep(0.05)
        actor.gate.set()
        assert await call == 5
        assert (actor.runs, actor.cancelled) == (1, 0)
        assert place_of(ref).system.dispatcher.counters.repeated >= 1
        assert answers_of(cell).running == {}


async def test_a_call_that_is_not_idempotent_is_sent_once():
    async with account() as (actor, cell, ref, fault):
        call = asyncio.ensure_future(ref.as_type(Account).once_only())
        await until(lambda: cell.active == 1)
        await asyncio.to_thread(fault.reset)
        with pytest.raises(ConnectionLost) as caught:
            await call
        assert caught.value.delivered is Delivery.UNKNOWN
        assert actor.runs == 1


async def test_retries_end_and_the_last_error_is_told():
    async with account() as (_, __, ref, fault):
        proxy = ref.as_type(Account)
        await asyncio.to_thread(fault.refuse)
        await asyncio.to_thread(fault.reset)
        with pytest.raises((ConnectionLost, NodeUnreachable)):
            await proxy.history()
        assert place_of(ref).system.dispatcher.counters.repeated == 1


async def test_nothing_is_repeated_after_the_deadline():
    async with account() as (actor, cell, ref, fault):
        call = asyncio.ensure_future(ref.as_type(Account).pay(5).with_timeout(0.3))
        await until(lambda: cell.active == 1)
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(fault.reset)
        with pytest.raises((DeadlineExceeded, ConnectionLost)):
            await call
        assert asyncio.get_running_loop().time() - began < 0.6
        await until(lambda: cell.active == 0)
        assert actor.runs == 1


async def test_duplicates_at_the_same_time_and_afterwards_get_one_answer():
    async with account() as (actor, cell, ref, _):
        calls = [repeat(ref, "pay", 7) for _ in range(20)]
        await until(lambda: actor.runs == 1)
        actor.gate.set()
        assert await asyncio.gather(*calls) == [7] * 20
        assert await repeat(ref, "pay", 7) == 7
        assert actor.runs == 1
        assert await repeat(ref, "pay", 7, octets=b"another") == 14
        assert len(answers_of(cell)) == 2


async def test_the_answer_is_the_one_that_was_given_then():
    async with account() as (actor, _, ref, __):
        assert await repeat(ref, "history") == [0, 1]
        actor.list.append("later")
        assert await repeat(ref, "history") == [0, 1]


async def test_errors_are_answers_too():
    async with account() as (actor, _, ref, __):
        for _ in range(3):
            with pytest.raises(KeyError, match="no money"):
                await repeat(ref, "fail", "no money")
        assert actor.runs == 1
        with pytest.raises(KeyError):
            await ref.as_type(Account).fail("again")
        assert actor.runs == 2


async def test_a_caller_that_takes_the_call_back_cancels_it_unless_others_wait():
    async with account() as (actor, cell, ref, _):
        one, two = repeat(ref, "pay", 1), repeat(ref, "pay", 1)
        await until(lambda: actor.runs == 1)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        await asyncio.sleep(0.02)
        assert actor.cancelled == 0
        two.cancel()
        await until(lambda: actor.cancelled == 1)
        assert answers_of(cell).running == {}


async def test_what_the_framework_ended_runs_again():
    async with account(max_concurrency=1, mailbox_size=1, on_full="reject") as (
        actor, cell, ref, _,
    ):  # fmt: skip
        first = repeat(ref, "pay", 1, octets=b"1")
        await until(lambda: cell.active == 1)
        second = repeat(ref, "pay", 1, octets=b"2")
        await until(lambda: cell.queued == 1)
        with pytest.raises(MailboxFull):
            await repeat(ref, "pay", 1, octets=b"3")
        actor.gate.set()
        assert await asyncio.gather(first, second) == [1, 2]
        assert await repeat(ref, "pay", 1, octets=b"3") == 3


@pytest.mark.parametrize("octets", [b"", b"x" * 65, "text", 7, None, [b"x"]])
async def test_a_key_that_is_none_is_refused(octets):
    async with account() as (_, __, ref, ___):
        target = place_of(ref).target
        call = KeyedCall(target, pul.Call(target, "history", (), None), octets)
        if octets is None:
            assert await call == [0, 1]
        else:
            with pytest.raises(WireError, match="1 to 64 bytes"):
                await call.with_timeout(5)
        assert KEY == "k"


async def test_local_calls_are_repeated_after_a_restart_and_not_after_the_end():
    async with nodes.system() as system:
        actor = Account()
        ref = await system.spawn(actor, name="account")
        call = asyncio.ensure_future(ref.as_type(Account).pay(5))
        await until(lambda: actor.runs == 1)
        await system.stop(ref)
        with pytest.raises(ActorStopped):
            await call
        assert system.dispatcher.counters.repeated == 1
