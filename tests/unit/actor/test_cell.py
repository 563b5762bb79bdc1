import asyncio
import itertools
import sys
import threading
import time

import pytest

from pulsing.actor import lifecycle
from pulsing.actor.call import Call
from pulsing.actor.cell import Cell, CellOptions
from pulsing.actor.context import current
from pulsing.actor.lifecycle import CellEvent, CellState, next_state
from pulsing.actor.local import LocalTarget
from pulsing.errors import ActorStopped, Delivery

ALLOWED = {
    (CellState.STARTING, CellEvent.STARTED): CellState.RUNNING,
    (CellState.STARTING, CellEvent.START_FAILED): CellState.STOPPED,
    (CellState.STARTING, CellEvent.STOP_ASKED): CellState.STOPPING,
    (CellState.RUNNING, CellEvent.STOP_ASKED): CellState.STOPPING,
    (CellState.RUNNING, CellEvent.FAILED): CellState.RESTARTING,
    (CellState.RESTARTING, CellEvent.STARTED): CellState.RUNNING,
    (CellState.RESTARTING, CellEvent.STOP_ASKED): CellState.STOPPING,
    (CellState.STOPPING, CellEvent.START_FAILED): CellState.STOPPING,
    (CellState.STOPPING, CellEvent.ENDED): CellState.STOPPED,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(CellState, CellEvent)))
def test_every_transition_is_in_the_table_or_an_error(state, event):
    if (state, event) in ALLOWED:
        assert next_state(state, event) is ALLOWED[state, event]
    else:
        with pytest.raises(RuntimeError, match=state.value):
            next_state(state, event)


@pytest.mark.parametrize("name", ["max_concurrency", "mailbox_size", "stream_buffer"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_options_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        CellOptions(**{name: value})


class Worker:
    def __init__(self):
        self.log = []
        self.release = threading.Event()
        self.entered = threading.Event()

    async def on_start(self, actor_id):
        self.log.append(("start", actor_id.local, current().name))

    async def on_stop(self):
        await asyncio.sleep(0)
        self.log.append("stop")

    async def nap(self, seconds):
        try:
            await asyncio.sleep(seconds)
            self.log.append("slept")
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise

    async def stubborn(self):
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.log.append("ignored")

    def block(self, seconds):
        self.entered.set()
        self.release.wait(seconds)
        self.log.append("blocked")

    async def items(self):
        try:
            for number in range(10**6):
                yield number
                await asyncio.sleep(0)
        finally:
            self.log.append("closed")

    async def stop_yourself(self):
        current().stop()
        await asyncio.sleep(30)


async def test_hooks_run_once_around_everything(runtime):
    async with runtime() as r:
        worker = Worker()
        actor = await r.spawn(worker, name="w")
        assert actor.cell.state is CellState.RUNNING
        await actor.nap(0)
        await actor.cell.stop()
        assert actor.cell.state is CellState.STOPPED
        await actor.cell.stop()
        assert worker.log == [("start", 1, "w"), "slept", "stop"]


async def test_def_hooks_run_in_a_thread(runtime):
    class Sync:
        def on_start(self, actor_id):
            self.started_in = threading.current_thread()
            self.name = current().name

        def on_stop(self):
            self.stopped_in = threading.current_thread()

    async with runtime() as r:
        sync = Sync()
        actor = await r.spawn(sync)
        await actor.cell.stop()
        main = threading.current_thread()
        assert sync.started_in is not main
        assert sync.stopped_in is not main
        assert sync.name == "thing"


async def test_messages_wait_while_the_actor_starts(runtime):
    class Slow(Worker):
        async def on_start(self, actor_id):
            await asyncio.sleep(0.01)
            self.log.append("started")

    async with runtime() as r:
        slow = Slow()
        cell = r.cell(slow)
        ask = asyncio.create_task(Call(LocalTarget(cell), "nap", (0,), None))
        await asyncio.sleep(0)
        await lifecycle.start(cell)
        await ask
        assert slow.log == ["started", "slept"]


@pytest.mark.parametrize("kind", ["async", "def"])
def test_a_failing_on_start_stops_the_cell_and_refuses_what_waited(with_runtime, kind):
    @with_runtime
    async def _(r):
        class Async:
            async def on_start(self, actor_id):
                await asyncio.sleep(0)
                raise OSError("no disk")

            async def nap(self):
                pass

        class Def(Async):
            def on_start(self, actor_id):
                raise OSError("no disk")

        cell = r.cell(Async() if kind == "async" else Def())
        ask = asyncio.create_task(Call(LocalTarget(cell), "nap", (), None))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="no disk"):
            await lifecycle.start(cell)
        with pytest.raises(ActorStopped) as caught:
            await ask
        assert caught.value.delivered is Delivery.NO
        assert cell.state is CellState.STOPPED


async def test_a_stop_refuses_what_waits_and_cancels_what_runs(runtime):
    async with runtime() as r:
        worker = Worker()
        actor = await r.spawn(worker, max_concurrency=1)
        running = asyncio.create_task(actor.nap(30))
        await asyncio.sleep(0.01)
        queued = asyncio.create_task(actor.nap(0))
        await asyncio.sleep(0.01)
        await actor.cell.stop()
        with pytest.raises(ActorStopped, match="while the call ran") as caught:
            await running
        assert caught.value.delivered is Delivery.UNKNOWN
        with pytest.raises(ActorStopped, match="not started") as caught:
            await queued
        assert caught.value.delivered is Delivery.NO
        with pytest.raises(ActorStopped, match="not started"):
            await actor.nap(0)
        with pytest.raises(ActorStopped):
            await actor.nap.tell(0)
        with pytest.raises(ActorStopped):
            await anext(aiter(actor.items()))
        assert worker.log[1:] == ["cancelled", "stop"]


async def test_a_graceful_stop_finishes_the_mailbox(runtime):
    async with runtime() as r:
        worker = Worker()
        actor = await r.spawn(worker, max_concurrency=1)
        asks = [asyncio.create_task(actor.nap(0.001)) for _ in range(5)]
        asks.append(asyncio.create_task(actor.block(0)))
        await asyncio.sleep(0)
        stopped = actor.cell.stop(grace_s=5)
        with pytest.raises(ActorStopped):
            await actor.nap(0)
        await stopped
        await asyncio.gather(*asks)
        assert worker.log[1:] == ["slept"] * 5 + ["blocked", "stop"]


async def test_grace_has_an_end_and_can_be_cut_short(runtime):
    async with runtime() as r:
        actor = await r.spawn(Worker())
        ask = asyncio.create_task(actor.nap(30))
        await asyncio.sleep(0.01)
        started = time.monotonic()
        await actor.cell.stop(grace_s=0.03)
        assert 0.02 < time.monotonic() - started < 1
        with pytest.raises(ActorStopped):
            await ask
        actor = await r.spawn(Worker())
        ask = asyncio.create_task(actor.nap(30))
        await asyncio.sleep(0.01)
        first = actor.cell.stop(grace_s=30)
        await asyncio.sleep(0.01)
        assert not first.done()
        await actor.cell.stop()
        assert first.done()
        with pytest.raises(ActorStopped):
            await ask


async def test_a_stop_waits_for_the_thread_and_ends_streams(runtime, until):
    async with runtime() as r:
        worker = Worker()
        actor = await r.spawn(worker)
        stream = aiter(actor.items())
        await anext(stream)
        block = asyncio.create_task(actor.block(5))
        later = asyncio.create_task(actor.block(5))
        await until(worker.entered.is_set)
        stopped = actor.cell.stop()
        with pytest.raises(ActorStopped):
            await block
        with pytest.raises(ActorStopped):
            await later
        assert not stopped.done()
        worker.release.set()
        await stopped
        assert worker.log[1:] in (["blocked", "closed", "stop"], ["closed", "blocked", "stop"])
        with pytest.raises(ActorStopped):
            async for _ in stream:
                pass


async def test_code_that_ignores_its_cancellation_does_not_hold_the_stop(
    runtime, monkeypatch, caplog
):
    monkeypatch.setattr(lifecycle, "LEAVE_S", 0.02)
    async with runtime() as r:
        worker = Worker()
        actor = await r.spawn(worker)
        ask = asyncio.create_task(actor.stubborn())
        await asyncio.sleep(0.01)
        await actor.cell.stop()
        assert actor.cell.state is CellState.STOPPED
        assert "left behind" in caplog.text
        with pytest.raises(ActorStopped):
            await ask
        worker.stubborn = None
        running = next(iter(actor.cell.running))
        running.runner.task.get_coro().close()


async def test_an_actor_may_stop_itself(runtime, until):
    async with runtime() as r:
        worker = Worker()
        actor = await r.spawn(worker)
        with pytest.raises(ActorStopped):
            await actor.stop_yourself()
        await until(lambda: actor.cell.state is CellState.STOPPED)
        assert worker.log[-1] == "stop"


async def test_a_stop_during_the_start_ends_both(runtime):
    class Slow(Worker):
        async def on_start(self, actor_id):
            await asyncio.sleep(0.01)

    async with runtime() as r:
        slow = Slow()
        cell = r.cell(slow)
        start = asyncio.create_task(lifecycle.start(cell))
        await asyncio.sleep(0)
        await cell.stop()
        with pytest.raises(ActorStopped):
            await start
        assert cell.state is CellState.STOPPED
        assert slow.log == []


async def test_a_failing_on_stop_is_logged_and_stops_nothing(runtime, caplog):
    class Bad:
        async def on_stop(self):
            raise RuntimeError("cannot clean up")

    async with runtime() as r:
        actor = await r.spawn(Bad())
        await actor.cell.stop()
        assert actor.cell.state is CellState.STOPPED
        assert "cannot clean up" in caplog.text


async def test_an_idle_cell_is_small_and_has_no_mailbox(runtime):
    class Empty:
        async def nothing(self):
            pass

    async with runtime() as r:
        actor = await r.spawn(Empty())
        await actor.nothing()
        cell = actor.cell
        assert cell.mailbox is None
        assert not hasattr(cell, "__dict__")
        own = (cell, cell.context, cell.actor_id)
        assert sum(map(sys.getsizeof, own)) < 600
        assert repr(cell) == "<Cell thing Empty running queued=0>"
        assert isinstance(cell, Cell)
