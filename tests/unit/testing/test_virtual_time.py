"""The virtual loop: time jumps, chance is seeded, and waiting for ever is an error."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from contextlib import suppress

import pytest

from pulsing import chance, clock
from pulsing.ids import new_node_id
from pulsing.testing.virtual_loop import (
    HOME,
    Deadlock,
    VirtualLoop,
    current_virtual_loop,
)
from pulsing.testing.virtual_run import run_virtual, virtual_time


def test_an_hour_of_sleeping_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return current_virtual_loop().time()

    started = time.perf_counter()
    assert run_virtual(main) == 3600.0
    assert time.perf_counter() - started < 5  # of 3600


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def main() -> list[float]:
        fired: list[float] = []
        loop = current_virtual_loop()
        delays = [random.Random(1).uniform(0, 100) for _ in range(50)]
        for delay in delays:
            loop.call_later(delay, lambda: fired.append(loop.time()))
        await asyncio.sleep(101)
        assert len(fired) == len(delays)
        return fired

    fired = run_virtual(main)
    assert fired == sorted(fired)


def test_the_seed_decides_the_order_of_timers_of_one_time() -> None:
    async def main() -> list[int]:
        fired: list[int] = []
        for number in range(20):
            asyncio.get_running_loop().call_at(1.0, fired.append, number)
        await asyncio.sleep(2)
        return fired

    orders = [run_virtual(main, seed=seed) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == list(range(20)) for order in orders)


def test_callbacks_keep_the_order_that_asyncio_promises() -> None:
    async def main() -> list[int]:
        ran: list[int] = []
        for number in range(100):
            asyncio.get_running_loop().call_soon(ran.append, number)
        await asyncio.sleep(0)
        return ran

    assert run_virtual(main) == list(range(100))


def test_a_cancelled_timer_does_not_fire_and_does_not_move_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(1000):
            loop.call_later(50, pytest.fail, "a cancelled timer fired").cancel()
        await asyncio.sleep(1)
        return loop.time()

    assert run_virtual(main) == 1.0


def test_code_that_never_waits_sees_its_timeout_come() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):
            while True:
                await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        run_virtual(main)


def test_code_that_looks_at_the_clock_until_it_is_late_ends() -> None:
    async def main() -> None:
        until = clock.monotonic() + 0.01
        while clock.monotonic() < until:
            pass

    run_virtual(main)


def test_pulsings_clock_is_the_loops() -> None:
    async def main() -> tuple[float, float]:
        await asyncio.sleep(77)
        return clock.monotonic(), asyncio.get_running_loop().time()

    assert run_virtual(main) == (77.0, 77.0)
    assert clock.monotonic is time.monotonic


def test_identities_and_dice_come_from_the_seed() -> None:
    async def main() -> tuple[str, float]:
        return new_node_id(), chance.dice().random()

    runs = [run_virtual(main, seed=seed) for seed in (5, 5, 6)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert new_node_id() != new_node_id()
    assert new_node_id() != runs[0][0]


def test_waiting_for_what_never_comes_is_an_error_that_names_who_waits_and_where() -> None:
    async def innermost() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(innermost(), name="the stuck one")

    with pytest.raises(Deadlock) as caught:
        run_virtual(main)
    text = str(caught.value)
    assert "the stuck one: waits for <Future pending" in text
    assert "in test_waiting_for_what_never_comes" in text
    assert "innermost" in text
    assert len(caught.value.waiting) == 2


def test_two_tasks_that_wait_for_each_other_are_both_named() -> None:
    async def main() -> None:
        one, two = asyncio.Lock(), asyncio.Lock()

        async def take(first: asyncio.Lock, second: asyncio.Lock) -> None:
            async with first:
                await asyncio.sleep(1)
                async with second:
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(take(one, two), name="left")
            group.create_task(take(two, one), name="right")

    with pytest.raises(Deadlock) as caught:
        run_virtual(main)
    assert "left: waits for" in str(caught.value)
    assert "right: waits for" in str(caught.value)


def test_a_deadlock_still_runs_the_finally_blocks() -> None:
    left: list[str] = []

    async def main() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(5)
            left.append("main")

    with pytest.raises(Deadlock):
        run_virtual(main)
    assert left == ["main"]


def test_a_run_that_takes_too_long_is_given_up() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(10)

    with pytest.raises(Deadlock, match="not done after 100 virtual seconds"):
        run_virtual(main, limit_s=100)


def test_every_error_names_the_seed() -> None:
    async def main() -> None:
        await asyncio.sleep(2.5)
        raise ValueError("found something")

    with pytest.raises(ValueError, match="found something") as caught:
        run_virtual(main, seed=4711)
    assert caught.value.__notes__ == ["virtual run with seed=4711, at 2.500000 virtual seconds"]


def test_a_run_that_failed_leaves_nothing_for_the_next() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("background")

    async def main() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(1)
        assert not task.done()
        raise ValueError

    for _ in range(3):
        with suppress(ValueError):
            run_virtual(main)
    assert ended == ["background"] * 3
    assert clock.monotonic is time.monotonic


def test_an_error_nobody_took_is_told_in_one_line_when_it_is_found_after_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[asyncio.Task[None]] = []

    async def fail() -> None:
        raise ValueError("nobody took it")

    async def main() -> None:
        kept.append(asyncio.create_task(fail()))
        await asyncio.sleep(1)

    run_virtual(main)
    assert not caplog.records
    kept.clear()
    gc.collect()
    assert [record.exc_info for record in caplog.records] == [None]
    assert "ValueError('nobody took it')" in caplog.text


def test_executors_run_on_the_loop_and_pass_errors_on() -> None:
    def fails() -> None:
        raise LookupError("in the executor")

    async def main() -> int:
        with pytest.raises(LookupError):
            await asyncio.to_thread(fails)
        return await asyncio.to_thread(threading.get_ident)

    assert run_virtual(main) == threading.get_ident()


def test_other_threads_are_refused_because_they_cannot_be_repeated() -> None:
    refused: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def other() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RuntimeError as error:
                refused.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    run_virtual(main)
    assert "no other threads" in refused[0]


def test_a_frozen_home_stands_still_and_catches_up_when_thawed() -> None:
    async def main() -> tuple[list[float], list[float]]:
        loop = current_virtual_loop()

        async def tick(times: list[float], home: object) -> None:
            HOME.set(home)
            await asyncio.sleep(0)  # a task of its own context from here on
            while True:
                await asyncio.sleep(1)
                times.append(loop.time())

        frozen: list[float] = []
        free: list[float] = []
        tasks = [
            asyncio.create_task(tick(frozen, "a")),
            asyncio.create_task(tick(free, "b")),
        ]
        await asyncio.sleep(2.5)
        loop.freeze("a")
        await asyncio.sleep(5)
        assert loop.is_frozen("a")
        loop.thaw("a")
        await asyncio.sleep(1.2)
        for task in tasks:
            task.cancel()
        return frozen, free

    frozen, free = run_virtual(main)
    assert frozen == [1.0, 2.0, 7.5, 8.5]
    assert free == [float(second) for second in range(1, 9)]


def test_a_real_loop_is_refused_with_advice() -> None:
    async def main() -> None:
        current_virtual_loop()

    with pytest.raises(RuntimeError, match="run_virtual"):
        asyncio.run(main())


@pytest.fixture
def number() -> int:
    return 41


@virtual_time(seed=3)
async def test_a_decorated_test_is_an_ordinary_one_with_fixtures(number: int) -> None:
    await asyncio.sleep(1000)
    assert number == 41
    assert current_virtual_loop().seed == 3


def test_running_inside_a_running_loop_is_refused() -> None:
    async def inner() -> None:
        pass

    async def main() -> None:
        run_virtual(inner)

    with pytest.raises(RuntimeError, match="another loop is running"):
        asyncio.run(main())


def test_the_loop_works_under_asyncios_own_runner() -> None:
    async def main() -> float:
        await asyncio.sleep(12)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 12.0
