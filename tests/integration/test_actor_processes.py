"""``executor="process"``: the same actor, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from tests.integration import nodes
from tests.integration.processed import (
    Caller,
    Echo,
    Keeper,
    Listed,
    Odd,
    Strict,
    Unstartable,
    Worker,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.one_loop


@asynccontextmanager
async def lone(addr: str | None = None, **settings: Any) -> AsyncIterator[pul.ActorSystem]:
    """A node that leaves no process behind."""
    async with nodes.system(addr, **settings) as system:
        yield system
    assert not system.processes


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for a condition that nothing announces."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def lines(log: Path) -> list[str]:
    """What an actor wrote so far."""
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


# --- the same actor


async def test_calls_tells_attributes_and_streams_are_those_of_any_actor() -> None:
    async with lone() as system:
        worker = await Worker.spawn(5, name="w", system=system)
        assert await worker.pid() != os.getpid()
        assert await worker.add(2) == 7
        worker.add.tell(1)
        assert await worker.value == 8
        assert [each async for each in worker.count(5)] == [0, 1, 2, 3, 4]
        assert await worker.count_slowly(3) == [0, 1, 2]

        async def numbers() -> AsyncIterator[int]:
            for each in range(2000):
                yield each

        assert await worker.total(numbers()) == sum(range(2000))
        assert await asyncio.gather(*(worker.add() for _ in range(300))) == list(range(9, 309))
        described = await system.resolve("w")
        assert await described.add(1) == 309
        assert [each async for each in described.count(2)] == [0, 1]
        with pytest.raises(pul.PulsingActorError, match="Not found"):
            await described.nothing()
        with pytest.raises(TypeError):
            await worker.add(1, 2, 3)
        [said] = [each for each in system.actors() if each["name"] == "actors/w"]
        assert said["class"] == "tests.integration.processed.Worker"
        assert said["metadata"] == {"kind": "worker"}


async def test_a_stream_of_thousands_arrives_whole() -> None:
    async with lone() as system:
        worker = await Worker.spawn(system=system)
        assert [each async for each in worker.count_slowly(5000)] == list(range(5000))


async def test_raw_messages_go_to_receive() -> None:
    async with lone() as system:
        await Echo.spawn(name="echo", system=system)
        echo = await system.resolve("echo")
        pid, message = await echo.ask({"a": 1})
        assert pid != os.getpid()
        assert message == {"a": 1}


async def test_large_values_and_pickles_travel() -> None:
    async with lone() as system:
        worker = await Worker.spawn(system=system)
        octets = os.urandom(4 << 20)
        assert await worker.double(octets) == octets + octets
        assert (await worker.odd(Odd(1))).value == 2


async def test_an_exception_is_what_it_was_and_names_the_actor_once() -> None:
    async with lone() as system:
        worker = await Worker.spawn(name="w", system=system)
        with pytest.raises(LookupError) as caught:
            await worker.fail()
        assert caught.value.args == ("nothing", 7)
        assert isinstance(caught.value, pul.PulsingSystemError)
        notes = caught.value.__notes__
        assert notes == [f"raised by actor actors/w on node {system.node_id} in method fail"]
        assert "raise LookupError" in str(caught.value.__cause__)
        assert await worker.add() == 1


async def test_one_message_at_a_time_means_that() -> None:
    async with lone() as system:
        strict = await Strict.spawn(system=system)
        assert await asyncio.gather(*(strict.go() for _ in range(20))) == [1] * 20


async def test_the_mailbox_is_that_of_the_node_with_its_bounds() -> None:
    async with lone() as system:
        spawner = Worker.options(mailbox_size=2, on_full="reject", max_concurrency=1, system=system)
        worker = await spawner.spawn()
        waiting = [asyncio.create_task(worker.wait())]
        await until(lambda: sum(each["running"] for each in system.actors()) == 1)
        waiting += [asyncio.create_task(worker.wait()) for _ in range(2)]
        await until(lambda: sum(each["queued"] for each in system.actors()) == 2)
        with pytest.raises(pul.MailboxFull):
            await worker.add()
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


# --- cancellation and deadlines


async def test_cancellation_reaches_the_code_in_the_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with lone() as system:
        worker = await Worker.spawn(log=str(log), system=system)
        call = asyncio.create_task(worker.wait())
        await until(lambda: "wait" in lines(log))
        call.cancel()
        await until(lambda: "cancelled" in lines(log))
        with pytest.raises(pul.DeadlineExceeded):
            await worker.wait().with_timeout(0.2)
        await until(lambda: lines(log).count("cancelled") == 2)
        async for _ in worker.count(1_000_000):
            break
        await until(lambda: "counted" in lines(log))


async def test_a_process_that_holds_its_interpreter_stalls_nobody_else() -> None:
    async with lone() as system:
        worker = await Worker.spawn(system=system)
        other = await Caller.spawn(system=system)
        holding = asyncio.create_task(worker.hold(1))
        ticks = 0
        while not holding.done():
            assert await other.echo(ticks) == ticks
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 10
        await holding
        assert await worker.add() == 1


# --- environment and start


async def test_its_environment_is_set_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSING_TEST_GONE", "here")
    async with lone() as system:
        env = {"CUDA_VISIBLE_DEVICES": "3", "PULSING_TEST_GONE": None}
        worker = await Worker.options(env=env, system=system).spawn()
        assert await worker.environment("CUDA_VISIBLE_DEVICES") == "3"
        assert await worker.environment("PULSING_TEST_GONE") is None


async def test_what_fails_at_the_start_is_raised_by_spawn_and_leaves_no_process() -> None:
    async with lone() as system:
        with pytest.raises(ValueError, match="too little") as caught:
            await Worker.spawn(-1, name="w", system=system)
        assert caught.value.args == ("too little", -1)
        assert caught.value.__notes__[-1].endswith("in method __init__")
        with pytest.raises(OSError, match="no device") as raised:
            await Unstartable.spawn(name="w", system=system)
        assert raised.value.__notes__[-1].endswith("in method on_start")
        await until(lambda: not system.processes)
        with pytest.raises(pul.ActorNotFound):
            await system.resolve("w")


# --- its end


async def test_a_process_that_dies_is_an_actor_that_failed() -> None:
    async with lone() as system:
        worker = await Worker.spawn(name="w", system=system)
        watch = system.watch(worker.ref)
        pending = asyncio.create_task(worker.wait())
        dying = asyncio.create_task(worker.exit(3))
        for each in (pending, dying):
            with pytest.raises(
                pul.ConnectionLost, match=r"actors/w .* ended with status 3"
            ) as lost:
                await each
            assert lost.value.delivered is pul.Delivery.UNKNOWN
        end = await watch
        assert end.reason is pul.ExitReason.ERROR
        assert "ended with status 3" in str(end.error)
        with pytest.raises(pul.ActorStopped):
            await worker.add()


async def test_after_a_crash_it_runs_again_in_another_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with lone() as system:
        spawner = Worker.options(
            restart_policy="on_failure", min_backoff=0, max_concurrency=1, system=system
        )
        worker = await spawner.spawn(10, log=str(log))
        first = await worker.pid()
        held = asyncio.create_task(worker.wait())
        behind = asyncio.create_task(worker.add())
        await until(lambda: "wait" in lines(log))
        os.kill(first, signal.SIGKILL)
        with pytest.raises(pul.ConnectionLost, match="was killed by SIGKILL"):
            await held
        assert await behind == 11
        assert await worker.pid() != first
        assert any(each.startswith("restart 1 ") for each in lines(log))


async def test_its_state_is_kept_when_its_code_failed_and_it_had_time_to_save_it() -> None:
    async with lone() as system:
        options = Keeper.options(restart_policy="on_failure", min_backoff=0, system=system)
        keeper = await options.spawn()
        assert await keeper.add() == 1
        with pytest.raises(RuntimeError, match="a defect"):
            await keeper.fail()
        assert await keeper.add() == 2


async def test_stopping_it_runs_on_stop_and_ends_the_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with lone() as system:
        worker = await Worker.spawn(log=str(log), system=system)
        pid = await worker.pid()
        await system.stop(worker)
        assert lines(log)[-1] == "stop"
        assert not is_alive(pid)


async def test_killing_it_waits_for_no_code(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with lone() as system:
        worker = await Worker.spawn(log=str(log), system=system)
        pid = await worker.pid()
        call = asyncio.create_task(worker.hold(60))
        await until(lambda: "hold" in lines(log))
        began = time.monotonic()
        await system.kill(worker)
        await until(lambda: not is_alive(pid))
        assert time.monotonic() - began < 5
        with pytest.raises(pul.ActorStopped):
            await call
        assert "stop" not in lines(log)


async def test_it_can_end_itself_and_say_that_it_is_for_good() -> None:
    async with lone() as system:
        worker = await Worker.spawn(system=system)
        watch = system.watch(worker.ref)
        worker.quit.tell()
        assert (await watch).reason is pul.ExitReason.NORMAL
        options = Worker.options(restart_policy="on_failure", min_backoff=0, system=system)
        worker = await options.spawn()
        watch = system.watch(worker.ref)
        with pytest.raises(pul.PulsingSystemError, match="for good"):
            await worker.give_up()
        assert (await watch).reason is pul.ExitReason.ERROR


async def test_without_process_descriptors_its_end_is_noticed_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    async with lone() as system:
        worker = await Worker.spawn(system=system)
        with pytest.raises(pul.ConnectionLost, match="ended with status 4"):
            await worker.exit(4)


# --- others


async def test_references_and_names_work_inside_and_senders_are_known() -> None:
    async with lone() as system:
        worker = await Worker.spawn(name="w", system=system)
        listed = await Listed.spawn(name="listed", system=system)
        assert await worker.ask(listed) == worker
        assert await worker.ask_named("listed") == worker
        assert await listed.pass_on(worker) == listed
        assert await worker.myself() == worker
        assert await (await worker.myself()).add() == 1
        assert await worker.nodes() == 1
        with pytest.raises(pul.ActorNotFound):
            await worker.ask_named("nobody")


async def test_an_actor_spawned_inside_lives_in_the_process_and_can_be_called() -> None:
    async with lone() as system:
        worker = await Worker.spawn(system=system)
        inner = await worker.spawn_inside()
        assert await inner.where() == await worker.pid()
        assert await worker.ask(inner) == worker
        assert await inner.who_calls() is None


async def test_code_inside_hears_of_the_end_of_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with lone() as system:
        worker = await Worker.spawn(log=str(log), system=system)
        listed = await Listed.spawn(system=system)
        await worker.watch(listed)
        await system.stop(listed)
        await until(lambda: "terminated normal" in lines(log))


async def test_a_call_that_comes_back_to_it_is_refused_and_names_the_chain() -> None:
    async with lone() as system:
        strict = await Strict.spawn(name="strict", system=system)
        caller = await Caller.spawn(name="caller", system=system)
        with pytest.raises(pul.Deadlock, match="actors/strict -> actors/caller -> actors/strict"):
            await strict.around(caller).with_timeout(5)


async def test_it_is_part_of_its_cluster() -> None:
    async with (
        lone("127.0.0.1:0", passphrase="of a test") as one,
        nodes.system("127.0.0.1:0", passphrase="of a test", seeds=(str(one.addr),)) as two,
    ):
        worker = await Worker.spawn(name="w", system=one)
        listed = await Listed.spawn(name="listed", system=two)
        found = await two.resolve("w", cls=Worker, timeout=10)
        assert await found.add(3) == 3
        assert await found.ask(listed) == worker
        await one.resolve("listed", timeout=10)
        assert await found.ask_named("listed") == worker
        assert await listed.pass_on(await two.refer(worker.actor_id)) == listed
        assert await found.nodes() == 2
