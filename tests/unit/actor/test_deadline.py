import asyncio
import math
import time

import pytest

from pulsing.actor.deadline import SCOPE, Deadlines, call_deadline, check_timeout, deadline
from pulsing.actor.invocation import Stage
from pulsing.errors import DeadlineExceeded, Delivery


def test_blocks_nest_and_the_earliest_deadline_counts():
    assert call_deadline(None) is None
    with deadline(100) as outer:
        assert call_deadline(None) == outer.deadline
        with deadline(1000) as inner:
            assert inner.deadline == outer.deadline
        with deadline(1) as inner:
            assert inner.deadline < outer.deadline
            assert call_deadline(50) == inner.deadline
            assert 0.9 < inner.remaining <= 1
        assert call_deadline(None) == outer.deadline
    assert SCOPE.get() is None


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, "x"])
def test_a_timeout_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match=r"timeout|convert"):
        check_timeout(seconds)


def test_an_infinite_timeout_is_off():
    assert check_timeout(math.inf) is None
    assert check_timeout(None) is None
    assert check_timeout(0) == 0


class Waiting:
    def __init__(self, when):
        self.deadline = when
        self.watched = False
        self.expired = asyncio.get_running_loop().create_future()

    def expire(self):
        self.expired.set_result(time.monotonic())


async def test_each_expires_at_its_own_deadline_with_one_timer():
    deadlines = Deadlines(asyncio.get_running_loop())
    now = time.monotonic()
    far = Waiting(now + 30)
    soon = [Waiting(now + delay) for delay in (0.06, 0.02, 0.04)]
    never = Waiting(None)
    for each in (far, never, *soon):
        deadlines.watch(each)
    gone = Waiting(now + 0.01)
    deadlines.watch(gone)
    deadlines.unwatch(gone)
    for each in soon:
        late = await each.expired - each.deadline
        assert 0 <= late < 0.045
    assert not far.expired.done()
    assert not gone.expired.done()
    assert len(deadlines) == 1
    deadlines.close()


class Sleeper:
    def __init__(self):
        self.log = []

    async def sleep(self, seconds=30):
        self.log.append("begun")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise

    def block(self, seconds):
        time.sleep(seconds)

    async def items(self):
        try:
            for number in range(1000):
                yield number
                await asyncio.sleep(0.01)
        finally:
            self.log.append("closed")


async def test_a_passed_deadline_cancels_the_code_and_says_that_it_ran(runtime, until):
    async with runtime() as r:
        sleeper = Sleeper()
        actor = await r.spawn(sleeper)
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"thing\.sleep.*deadline") as caught:
            await actor.sleep().with_timeout(0.05)
        assert 0.045 < time.monotonic() - started < 0.1
        assert caught.value.delivered is Delivery.UNKNOWN
        await until(lambda: sleeper.log == ["begun", "cancelled"], 0.05)
        assert r.dispatcher.counters.expired == 1


async def test_expired_work_is_not_started(runtime):
    async with runtime() as r:
        sleeper = Sleeper()
        actor = await r.spawn(sleeper, max_concurrency=1)
        first = asyncio.create_task(actor.sleep())
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded, match="before it was started") as caught:
            await actor.sleep().with_timeout(0.02)
        assert caught.value.delivered is Delivery.NO
        with pytest.raises(DeadlineExceeded):
            await actor.sleep().with_timeout(0)
        assert sleeper.log == ["begun"]
        first.cancel()


async def test_the_default_timeout_of_the_system_counts_and_can_be_off(runtime):
    async with runtime(default_timeout_s=0.02) as r:
        actor = await r.spawn(Sleeper())
        with pytest.raises(TimeoutError):
            await actor.sleep()
        await actor.sleep(0.05).with_timeout(None)


async def test_a_deadline_is_inherited_by_the_calls_a_method_makes(runtime, until):
    class Caller:
        async def forward(self, other):
            await other.sleep().with_timeout(None)

    async with runtime() as r:
        sleeper = Sleeper()
        other = await r.spawn(sleeper)
        actor = await r.spawn(Caller())
        with pytest.raises(DeadlineExceeded):
            await actor.forward(other).with_timeout(0.02)
        await until(lambda: sleeper.log == ["begun", "cancelled"])
        with pytest.raises(DeadlineExceeded), deadline(0.02):
            await other.sleep()
        async with deadline(5):
            await other.sleep(0)


async def test_a_thread_that_overstays_does_not_hold_the_caller(runtime):
    async with runtime() as r:
        actor = await r.spawn(Sleeper())
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await actor.block(0.3).with_timeout(0.03)
        assert time.monotonic() - started < 0.15


async def collect(items, into):
    async for item in items:
        into.append(item)  # what came before a failure counts


async def test_a_stream_ends_at_its_deadline_and_its_finally_runs(runtime, until):
    async with runtime(default_timeout_s=0.001) as r:
        sleeper = Sleeper()
        actor = await r.spawn(sleeper)
        got = []
        with pytest.raises(DeadlineExceeded):
            await collect(actor.items().with_timeout(0.05), got)
        assert got[:2] == [0, 1]
        assert len(got) < 8
        await until(lambda: sleeper.log == ["closed"])


async def test_what_was_watched_is_forgotten_when_it_ends(runtime):
    async with runtime() as r:
        actor = await r.spawn(Sleeper())
        await asyncio.gather(*(actor.sleep(0.001) for _ in range(20)))
        await asyncio.gather(*(actor.block(0) for _ in range(20)))
        assert len(r.dispatcher.deadlines) == 0
        assert Stage.FINISHED.value == "finished"
