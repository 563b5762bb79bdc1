"""Names of a cluster whose nodes are processes: they are killed, frozen, stopped and restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pulsing as pul
from pulsing.testing import NodeProcess
from tests.integration.sited import Site

pytestmark = pytest.mark.one_loop


def start(name: str, *arguments: str, addr: str = "127.0.0.1:0") -> NodeProcess:
    arguments = ("--name", name, "--network", "local", *arguments)
    return NodeProcess(addr=addr, imports=["tests.integration.sited"], arguments=arguments)


@asynccontextmanager
async def joined(*seeds: NodeProcess, members: int) -> AsyncIterator[pul.ActorSystem]:
    """A node of this process that knows everybody, and the ``site`` of each."""
    config = pul.SystemConfig(
        addr="127.0.0.1:0", seeds=tuple(each.addr for each in seeds), network="local"
    )
    system = await pul.ActorSystem.create(config)
    try:
        async with asyncio.timeout(20):
            while await count(system) < members:
                await asyncio.sleep(0.01)
        yield system
    finally:
        await system.shutdown()


async def count(system: pul.ActorSystem) -> int:
    """How many sites there are."""
    named = await system.all_named_actors()
    return sum(len(each["instances"]) for each in named if each["name"] == "actors/site")


async def pid_of(site: Any) -> int:
    return int(await site.pid())


async def test_of_calls_under_way_to_a_killed_node_none_is_lost_without_an_error() -> None:
    with start("a") as a, start("b", "--seeds", a.addr) as b, start("c", "--seeds", a.addr) as c:
        async with joined(a, b, members=3) as system:
            site = await system.resolve("site")
            assert {await pid_of(site) for _ in range(9)} == {a.pid, b.pid, c.pid}
            outcomes: list[object] = []
            going = True

            async def call() -> None:
                while going:
                    try:
                        outcomes.append(await pid_of(site))
                    except pul.ConnectionLost as error:
                        outcomes.append(error)

            callers = [asyncio.ensure_future(call()) for _ in range(16)]
            await asyncio.sleep(0.2)
            b.kill()
            async with asyncio.timeout(20):
                while await count(system) > 2:
                    await asyncio.sleep(0.01)
            known = len(outcomes)
            await asyncio.sleep(0.3)
            going = False
            await asyncio.gather(*callers)
            assert set(outcomes[known + 16 :]) == {a.pid, c.pid}
            errors = [each for each in outcomes if isinstance(each, pul.ConnectionLost)]
            assert {each.delivered for each in errors} <= {pul.Delivery.UNKNOWN}
            assert len(errors) <= 16  # those that were inside it


async def test_a_node_that_is_stopped_with_sigterm_costs_no_call() -> None:
    with start("a") as a, start("b", "--seeds", a.addr) as b:
        async with joined(a, b, members=2) as system:
            site = await system.resolve("site")
            going = True
            answers: list[int] = []

            async def call() -> None:
                while going:
                    answers.append(await pid_of(site))

            callers = [asyncio.ensure_future(call()) for _ in range(16)]
            await asyncio.sleep(0.2)
            await asyncio.to_thread(b.stop)
            before = len(answers)
            await asyncio.sleep(0.1)
            going = False
            await asyncio.gather(*callers)
            assert set(answers[before + 16 :]) == {a.pid}
            assert set(answers) == {a.pid, b.pid}


async def test_no_message_for_a_process_reaches_the_one_that_takes_its_place() -> None:
    with start("a") as a:
        async with joined(a, members=1) as system:
            exact = await system.resolve("site@a")
            service = await system.resolve("site")
            assert await pid_of(exact) == await pid_of(service) == a.pid
            a.kill()
            with start("a2", "--seeds", str(system.addr), addr=a.addr) as again:
                async with asyncio.timeout(20):
                    while True:
                        try:
                            if await pid_of(service) == again.pid:
                                break
                        except pul.PulsingRuntimeError:
                            await asyncio.sleep(0.02)
                with pytest.raises(pul.ActorNotFound):
                    await pid_of(exact)
                statuses = {each["name"]: each["status"] for each in await system.members()}
                assert statuses["a2"] == "Alive"
                assert statuses.get("a") in (None, "Dead")


async def test_a_busy_node_stays_a_member_and_its_calls_go_to_others() -> None:
    with start("a") as a, start("b", "--seeds", a.addr) as b:
        async with joined(a, b, members=2) as system:
            busy = await system.resolve("site@b")
            site = await system.resolve("site")
            blocked = asyncio.ensure_future(busy.block_loop(4.0))
            changes = system.events()
            async with asyncio.timeout(10):
                async for event in changes:
                    if event.member.info.name == "b" and event.member.busy:
                        break
            assert {await pid_of(site) for _ in range(10)} == {a.pid}
            await blocked
            statuses = {each["name"]: each["status"] for each in await system.members()}
            assert statuses["b"] in ("Alive", "Busy")
            async with asyncio.timeout(10):
                while {await pid_of(site) for _ in range(4)} != {a.pid, b.pid}:
                    await asyncio.sleep(0.05)


async def test_an_actor_is_placed_on_another_process_and_stopped_there() -> None:
    with start("a", "--label", "zone=eu") as a:
        async with joined(a, members=1) as system:
            placed = await Site.spawn(name="placed", placement="label:zone=eu", system=system)
            assert await pid_of(placed) == a.pid
            assert await pid_of(await system.resolve("placed")) == a.pid
            await system.stop("placed")
            with pytest.raises(pul.PulsingRuntimeError):
                await pid_of(placed)
