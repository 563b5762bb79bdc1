import asyncio
import threading
import time

import pytest

from pulsing.actor.threads import WorkerThreads


class Blocking:
    def __init__(self):
        self.seen = []
        self.threads = set()
        self.go = threading.Event()

    def work(self, n=0, seconds=0.0):
        if seconds:
            time.sleep(seconds)
        self.seen.append(n)
        self.threads.add(threading.get_ident())
        return n

    def wait(self):
        return self.go.wait(5)

    async def on_loop(self, n):
        self.seen.append(n)
        return threading.get_ident()

    def closes(self):
        try:
            while True:
                yield threading.get_ident()
        finally:
            self.closed_in = threading.get_ident()


async def test_def_messages_run_in_order_and_off_the_loop(runtime):
    async with runtime() as r:
        blocking = Blocking()
        actor = await r.spawn(blocking)
        answers = await asyncio.gather(*(actor.work(n) for n in range(500)))
        assert answers == list(range(500)) == blocking.seen
        assert threading.get_ident() not in blocking.threads


async def test_mailbox_order_holds_between_both_kinds(runtime):
    async with runtime() as r:
        blocking = Blocking()
        actor = await r.spawn(blocking)
        calls = [actor.work(n) if n % 3 else actor.on_loop(n) for n in range(100)]
        await asyncio.gather(*calls)
        assert blocking.seen == list(range(100))


async def test_the_first_results_of_a_batch_do_not_wait_for_the_last(runtime):
    async with runtime() as r:
        actor = await r.spawn(Blocking())
        quick = asyncio.create_task(actor.work(1))
        slow = asyncio.create_task(actor.work(2, 0.3))
        started = time.monotonic()
        assert await quick == 1
        assert time.monotonic() - started < 0.2
        assert await slow == 2


async def test_a_message_cancelled_behind_a_slow_one_never_runs(runtime):
    async with runtime() as r:
        blocking = Blocking()
        actor = await r.spawn(blocking)
        tasks = [asyncio.create_task(actor.work(n, 0.02)) for n in range(4)]
        await asyncio.sleep(0.005)
        tasks[2].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[2], asyncio.CancelledError)
        assert blocking.seen == [0, 1, 3]


async def test_threads_come_when_all_are_busy_up_to_the_bound(runtime):
    async with runtime(max_threads=5) as r:
        actors = [await r.spawn(Blocking()) for _ in range(12)]
        tasks = [asyncio.create_task(each.wait()) for each in actors]
        await asyncio.sleep(0.02)
        assert r.dispatcher.threads.count == 5
        for each in actors:
            each.cell.instance.go.set()
        assert await asyncio.gather(*tasks) == [True] * 12


async def test_one_actor_after_another_needs_one_thread(runtime):
    async with runtime() as r:
        actors = [await r.spawn(Blocking()) for _ in range(10)]
        for _ in range(3):
            for each in actors:
                await each.work()
        assert r.dispatcher.threads.count == 1


async def test_idle_threads_end(runtime, until):
    async with runtime() as r:
        r.dispatcher.threads = WorkerThreads(r.dispatcher, idle_s=0.01)
        actors = [await r.spawn(Blocking()) for _ in range(4)]
        tasks = [asyncio.create_task(each.wait()) for each in actors]
        await asyncio.sleep(0.02)
        assert r.dispatcher.threads.count == 4
        for each in actors:
            each.cell.instance.go.set()
        await asyncio.gather(*tasks)
        await until(lambda: r.dispatcher.threads.count == 0)
        assert await actors[0].work(3) == 3  # and come back


async def test_a_generator_steps_and_closes_in_a_thread(runtime, until):
    async with runtime() as r:
        blocking = Blocking()
        actor = await r.spawn(blocking)
        async for ident in actor.closes():
            assert ident != threading.get_ident()
            break
        await until(lambda: hasattr(blocking, "closed_in"))
        assert blocking.closed_in != threading.get_ident()


async def test_closing_waits_for_threads_but_not_forever(runtime):
    async with runtime() as r:
        blocking = Blocking()
        actor = await r.spawn(blocking)
        task = asyncio.create_task(actor.wait())
        await asyncio.sleep(0.01)
        assert not await r.dispatcher.threads.close(timeout_s=0.01)
        blocking.go.set()
        assert await task
        assert await r.dispatcher.threads.close()


@pytest.mark.one_loop
def test_results_for_a_closed_loop_are_dropped_silently():
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.threads import Job

    posted = threading.Event()

    class Late(Job):
        def run(self, threads):
            go.wait(5)
            threads.post(self, None, None, None, wake=True)
            posted.set()

        def ended(self):
            pytest.fail("the loop is gone")

    go = threading.Event()

    async def main():
        dispatcher = Dispatcher(asyncio.get_running_loop())
        dispatcher.threads.submit(Late(None))
        return dispatcher.threads

    threads = asyncio.run(main())
    go.set()
    assert posted.wait(5)
    assert asyncio.run(threads.close())
    assert threads.count == 0
