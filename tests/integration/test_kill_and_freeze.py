"""Nodes that are killed, frozen, restarted and stopped while others call them.

How fast a kill is noticed is measured by ``python -m benchmarks.kill_recovery``; 200 kills with the
bound of 20 ms are a test of the folder ``chaos``.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import pulsing as pul
from pulsing.testing import assert_no_leaks
from tests.integration import nodes
from tests.integration.listening import run_program
from tests.integration.test_tls_nodes import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Awaitable

PENDING = 100


async def outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except pul.PulsingError as error:
        return error


async def pending(caller: pul.ActorSystem, addr: str) -> list[asyncio.Task[Any]]:
    """A hundred asks and streams under way, half of each kind."""
    lab = await caller.resolve(f"actor://{addr}/lab")
    actor = await lab.make("Watched", max_concurrency=2000)
    asks = [actor.sleep(f"ask {number}") for number in range(PENDING // 2)]
    streams = [nodes.drained(actor.ticks(f"stream {n}", 0.005)) for n in range(PENDING // 4)]
    stalled = [nodes.drained(actor.sleep_first(f"late {n}")) for n in range(PENDING // 4)]
    tasks = [asyncio.ensure_future(outcome(each)) for each in (*asks, *streams, *stalled)]
    await asyncio.gather(
        *(actor.when(f"ask {number}", "started") for number in range(PENDING // 2)),
        *(actor.when(f"late {number}", "started") for number in range(PENDING // 4)),
    )
    return tasks


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_all_that_is_pending_fails_when_the_node_is_killed(secure: bool) -> None:
    secret = {"passphrase": PASSPHRASE} if secure else {}
    addr = "127.0.0.1:0"
    async with assert_no_leaks(), nodes.system(**secret) as caller:
        for _ in range(3):
            with nodes.start(addr, **secret) as node:
                addr = node.addr
                tasks = await pending(caller, addr)
                node.kill()
                async with asyncio.timeout(5):
                    for error in await asyncio.gather(*tasks):
                        assert type(error) is pul.ConnectionLost
                        assert error.delivered is pul.Delivery.UNKNOWN
                        assert "not known" in str(error)
                        assert addr in str(error)
        with pytest.raises(pul.NodeUnreachable, match=r"refused"):
            await caller.resolve(f"actor://{addr}/echo")


async def test_after_a_restart_on_the_same_port_the_next_ask_works() -> None:
    async with nodes.system() as caller:
        with nodes.start() as node:
            addr = node.addr
            echo = await caller.resolve(f"actor://{addr}/echo")
            exact = await caller.refer(str(echo.address))
            assert await echo.echo(1) == 1
            node.kill()
        with pytest.raises(pul.PulsingRuntimeError):
            await echo.echo(2)
        with nodes.start(addr):
            assert await echo.echo(3) == 3, "at the first attempt, by name"
            with pytest.raises(pul.ActorNotFound):
                await exact.echo(4)  # that very actor is gone


async def test_a_node_that_comes_back_unnoticed_is_called_at_once() -> None:
    """Nobody called between the kill and the restart: there is no backoff to wait for."""
    async with nodes.system() as caller:
        with nodes.start() as node:
            echo = await caller.resolve(f"actor://{node.addr}/echo")
            node.kill()
        with await asyncio.to_thread(nodes.start, node.addr):  # meanwhile the loop hears of it
            assert await echo.echo(1) == 1


# --- frozen -------------------------------------------------------------------------------------


async def test_calls_to_a_frozen_node_end_at_their_deadline() -> None:
    with nodes.start() as node:
        async with nodes.system(default_timeout_s=0.6) as caller:
            lab = await nodes.lab(caller, node)
            echo = await lab.make("Echo")
            node.pause()
            began = time.monotonic()
            works = {
                0.2: [outcome(echo.echo(n).with_timeout(0.2)) for n in range(20)],
                0.4: [outcome(nodes.drained(echo.count(5).with_timeout(0.4))) for _ in range(20)],
                0.6: [outcome(echo.echo(n)) for n in range(20)] + [outcome(echo.add.tell())],
            }

            async def timed(seconds: float, work: Awaitable[Any]) -> None:
                error = await work
                assert type(error) is pul.DeadlineExceeded
                assert seconds - 0.01 <= time.monotonic() - began < seconds + 1

            async with asyncio.timeout(5):
                await asyncio.gather(*(timed(s, each) for s in works for each in works[s]))
            node.resume()
            assert await echo.echo("again") == "again"


async def test_a_frozen_node_that_was_never_reached_ends_calls_too() -> None:
    with nodes.start() as node:
        node.pause()
        async with nodes.system(connect_timeout_s=0.4) as caller:
            async with asyncio.timeout(5):
                with pytest.raises(pul.NodeUnreachable, match=r"no answer within"):
                    await caller.resolve(f"actor://{node.addr}/echo")
            node.resume()
            echo = await caller.resolve(f"actor://{node.addr}/echo", timeout=5)
            assert await echo.echo(1) == 1


async def test_keepalive_ends_the_streams_and_the_calls_without_deadline_of_a_frozen_node() -> None:
    with nodes.start() as node:
        async with nodes.system(keepalive_interval_s=0.3, default_timeout_s=None) as caller:
            tasks = await pending(caller, node.addr)
            node.pause()
            began = time.monotonic()
            async with asyncio.timeout(10):
                for error in await asyncio.gather(*tasks):
                    assert type(error) is pul.ConnectionLost
                    assert "silent" in str(error)
                    assert error.delivered is pul.Delivery.UNKNOWN
            assert time.monotonic() - began < 0.3 * 4 + 1
            node.resume()
            echo = await caller.resolve(f"actor://{node.addr}/echo", timeout=5)
            assert await echo.echo("again") == "again"


async def test_without_keepalive_only_deadlines_count() -> None:
    with nodes.start() as node:
        async with nodes.system(keepalive_interval_s=None) as caller:
            echo = await caller.resolve(f"actor://{node.addr}/echo")
            node.pause()
            with pytest.raises(pul.DeadlineExceeded):
                await echo.echo(1).with_timeout(0.3)
            node.resume()
            assert await echo.echo(2) == 2


async def test_a_node_frozen_for_a_moment_loses_nothing() -> None:
    with nodes.start() as node:
        async with nodes.system() as caller:
            echo = await caller.resolve(f"actor://{node.addr}/echo")
            items = aiter(echo.count(20_000))
            assert await anext(items) == 0
            node.pause()
            asks = [asyncio.ensure_future(echo.echo(n)) for n in range(100)]
            await asyncio.sleep(0.2)
            assert not any(each.done() for each in asks)
            node.resume()
            assert await asyncio.gather(*asks) == [*range(100)]
            assert [each async for each in items] == [*range(1, 20_000)]


async def test_a_frozen_caller_costs_the_node_nothing_but_its_own_calls() -> None:
    """Whoever asks and does not read the answers holds up nobody else."""
    with nodes.start() as node, nodes.start() as asking:
        async with nodes.system() as caller:
            lab = await nodes.lab(caller, node)
            producer = await lab.make("Producer")
            relay = await (await nodes.lab(caller, asking)).make("Relay")
            reading = asyncio.ensure_future(outcome(relay.read(producer, 10_000)))
            async with asyncio.timeout(10):
                while await producer.made() < 100:
                    await asyncio.sleep(0.005)
            asking.pause()
            made = await nodes.settled(producer.made)
            assert made < 1_000_000
            echo = await lab.make("Echo")
            assert await asyncio.gather(*(echo.echo(n) for n in range(500))) == [*range(500)]
            asking.kill()
            assert type(await reading) is pul.ConnectionLost
            async with asyncio.timeout(10):
                while await lab.open_calls() > 1:
                    await asyncio.sleep(0.005)


# --- stopped ------------------------------------------------------------------------------------


async def test_sigterm_lets_calls_and_streams_under_way_finish() -> None:
    with nodes.start() as node:
        async with nodes.system() as caller:
            lab = await nodes.lab(caller, node)
            actor, echo = await lab.make("Watched"), await lab.make("Echo")
            nap = asyncio.ensure_future(actor.sleep("nap", 0.4))
            items = aiter(echo.count(3000))
            assert await anext(items) == 0
            await actor.when("nap", "started")
            node.send_signal(signal.SIGTERM)
            refused: Any = None
            async with asyncio.timeout(5):
                while not isinstance(refused, pul.PulsingError):
                    refused = await outcome(echo.echo(1))
            assert isinstance(refused, pul.NodeUnreachable | pul.ConnectionLost)
            assert refused.delivered is pul.Delivery.NO
            assert [each async for each in items] == [*range(1, 3000)]
            assert await nap == "slept"
        assert await asyncio.to_thread(node.wait) == 0


# --- foreign clients ----------------------------------------------------------------------------


@pytest.mark.one_loop
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_foreign_clients_get_the_health_of_a_node_at_the_port_peers_use(secure: bool) -> None:
    secret = {"passphrase": PASSPHRASE} if secure else {}
    scheme = "https" if secure else "http"
    with nodes.start(**secret) as node:
        async with nodes.system(**secret) as caller:
            echo = await (await nodes.lab(caller, node)).make("Watched")
            asked = asyncio.ensure_future(echo.sleep("meanwhile", 60))
            url = f"{scheme}://{node.addr}/health"
            prior = "--http2" if secure else "--http2-prior-knowledge"
            programs = [("curl", "-sSk", "--http1.1", url), ("curl", "-sSk", prior, url)]
            if shutil.which("nghttp"):
                programs.append(("nghttp", "--no-verify-peer", url))
            for program in programs:
                if shutil.which(program[0]):
                    code, out, error = await run_program(*program)
                    assert code == 0, error
                    assert json.loads(out)["node_id"].startswith(node.name)
            for version in ({"http1": True}, {"http1": False, "http2": True}):
                async with httpx.AsyncClient(verify=False, trust_env=False, **version) as client:
                    answer = await client.get(url)
                    assert answer.status_code == 200
                    assert answer.json()["node_id"].startswith(node.name)
            assert not asked.done()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
