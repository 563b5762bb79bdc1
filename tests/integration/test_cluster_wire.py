"""Messages of the cluster on the links between nodes: answers, failures, and whom they wait for."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.actor.cluster_wire import MAX_OPEN, cluster_block
from pulsing.cluster.stimuli import Failure
from pulsing.transport.dialling import DialOptions
from pulsing.transport.errand import run_errand
from pulsing.transport.limits import MIB, TransportLimits
from tests.integration import nodes
from tests.integration.links import raw_server, silent, until
from tests.integration.test_tls_nodes import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.actor.cluster_wire import ClusterWire

Outcome = tuple[str, bytes] | tuple[Failure, str]


def echo(peer_id: str, body: bytes, answer: Callable[[bytes], None]) -> None:
    answer(peer_id.encode() + b" said " + body)


def send(
    wire: ClusterWire, addr: str, body: bytes = b"hello", timeout_s: float = 5.0
) -> asyncio.Future[Outcome]:
    """Send a message; the future is what becomes of it."""
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    returned = False

    def settle(*result: Any) -> None:
        assert returned, "the callback came before `request` returned"
        outcome.set_result(result)  # type: ignore[arg-type] # raises when it is the second one

    wire.request(addr, body, timeout_s, settle, settle)
    returned = True
    return outcome


@asynccontextmanager
async def two(
    handler: Any = echo, **settings: Any
) -> AsyncIterator[tuple[pul.ActorSystem, pul.ActorSystem]]:
    """A node whose cluster is ``handler``, and one that sends to it."""
    async with nodes.pair(**settings) as (host, caller):
        host.network().cluster_handler = handler
        yield host, caller


def addr_of(system: pul.ActorSystem) -> str:
    assert system.addr is not None
    return system.addr


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"passphrase": PASSPHRASE}], ids=["cleartext", "tls"])
async def test_a_message_is_answered_and_both_know_from_whom(settings: dict[str, str]) -> None:
    async with two(**settings) as (host, caller):
        outcome = await send(caller.network().cluster_wire(), addr_of(host))
        assert outcome == (host.node_id, caller.node_id.encode() + b" said hello")


async def test_an_answer_may_come_later_or_after_the_link_has_gone() -> None:
    answers: list[Callable[[bytes], None]] = []
    async with two(lambda _, __, answer: answers.append(answer)) as (host, caller):
        wire = caller.network().cluster_wire()
        outcome = send(wire, addr_of(host))
        await until(lambda: answers)
        assert not outcome.done()
        answers[0](b"at last")
        assert (await outcome)[1] == b"at last"
        lost = send(wire, addr_of(host))
        await until(lambda: len(answers) == 2)
        caller.network().close_links(host.node_id, addr_of(host), "for the test")
        assert (await lost)[0] is Failure.LOST
        answers[1](b"nobody listens")
        answers[0](b"twice")


@pytest.mark.parametrize("size", [0, 1000, 20_000, 65_536])
async def test_messages_have_any_size_up_to_the_bound(size: int) -> None:
    async with two(lambda _, body, answer: answer(body)) as (host, caller):
        body = bytes(size)
        outcome = await send(caller.network().cluster_wire(), addr_of(host), body)
        assert outcome == (host.node_id, body)


async def test_a_message_beyond_the_bound_is_refused_before_it_is_taken_in() -> None:
    seen: list[bytes] = []
    async with two(lambda _, body, answer: (seen.append(body), answer(b""))) as (host, caller):
        wire = caller.network().cluster_wire()
        failure, text = await send(wire, addr_of(host), bytes(65_537))
        assert failure is Failure.UNREACHABLE, text
        assert "413" in str(text)
        assert not seen
        host.network().max_cluster_bytes = 70_000
        assert (await send(wire, addr_of(host), bytes(65_537)))[1] == b""


async def test_an_answer_beyond_the_bound_is_refused() -> None:
    async with two(lambda _, __, answer: answer(bytes(MIB))) as (host, caller):
        failure, _ = await send(caller.network().cluster_wire(), addr_of(host))
        assert failure is Failure.UNREACHABLE


async def test_a_message_does_not_wait_for_a_large_call() -> None:
    async with two() as (host, caller):
        lab = await nodes.lab(caller, host)
        actor = await lab.make("Echo")
        call = asyncio.ensure_future(actor.echo(bytes(128 * MIB)))
        await asyncio.sleep(0.005)
        assert (await send(caller.network().cluster_wire(), addr_of(host)))[0] == host.node_id
        assert not call.done()
        assert len(await call) == 128 * MIB


# --- failures -------------------------------------------------------------------------------------


async def test_a_node_without_a_cluster_says_so() -> None:
    async with two(None) as (host, caller):
        failure, text = await send(caller.network().cluster_wire(), addr_of(host))
        assert failure is Failure.FOREIGN
        assert "no cluster" in str(text)


async def test_a_handler_that_fails_does_not_end_the_link() -> None:
    def handler(peer_id: str, body: bytes, answer: Callable[[bytes], None]) -> None:
        if body == b"bad":
            raise KeyError(body)
        answer(b"good")

    async with two(handler) as (host, caller):
        wire = caller.network().cluster_wire()
        assert (await send(wire, addr_of(host), b"bad"))[0] is Failure.UNREACHABLE
        assert (await send(wire, addr_of(host)))[1] == b"good"
        assert host.network().inbound == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_where_nobody_listens_refuses(host: str) -> None:
    async with nodes.system() as caller:
        addr = unused_address().replace("127.0.0.1", host)
        failure, text = await send(caller.network().cluster_wire(), addr)
        assert failure is Failure.REFUSED, text


async def test_a_message_does_not_wait_for_the_pause_after_failed_calls() -> None:
    async with nodes.system() as caller:
        wire, addr = caller.network().cluster_wire(), unused_address()
        target = caller.remote_target(addr, "nobody")  # remembers what failed
        for _ in range(6):  # each doubles the pause, up to a second
            assert (await send(wire, addr))[0] is Failure.REFUSED
        call = asyncio.ensure_future(target.describe())
        await asyncio.sleep(0.05)
        assert not call.done(), "calls do wait"
        started = time.monotonic()
        assert (await send(wire, addr, timeout_s=0.3))[0] is Failure.REFUSED
        assert time.monotonic() - started < 0.2
        with pytest.raises(pul.NodeUnreachable):
            await call


async def test_silence_is_a_timeout_at_its_time() -> None:
    async with nodes.system(cluster_name="c") as caller, raw_server(silent) as frozen:
        wire = caller.network().cluster_wire()
        with socket.create_server(("127.0.0.1", 0)) as mute:
            unaccepted = f"127.0.0.1:{mute.getsockname()[1]}"
            for addr in (frozen, unaccepted):
                started = time.monotonic()
                failure, text = await send(wire, addr, timeout_s=0.2)
                assert failure is Failure.TIMEOUT, text
                assert 0.19 < time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    "settings",
    [{"cluster_name": "another"}, {"passphrase": PASSPHRASE}],
    ids=["cluster", "passphrase"],
)
async def test_a_node_of_another_cluster_is_foreign(settings: dict[str, str]) -> None:
    async with nodes.system("127.0.0.1:0") as host, nodes.system(**settings) as caller:
        host.network().cluster_handler = echo
        failure, text = await send(caller.network().cluster_wire(), addr_of(host))
        assert failure is Failure.FOREIGN, text


@pytest.mark.parametrize("addr", ["no address", "127.0.0.1:0", "no.such.host.invalid:8000"])
async def test_an_impossible_address_cannot_be_reached(addr: str) -> None:
    async with nodes.system() as caller:
        failure, _ = await send(caller.network().cluster_wire(), addr)
        assert failure in (Failure.UNREACHABLE, Failure.REFUSED)


async def test_a_peer_that_dies_meanwhile_is_lost() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with nodes.system(cluster_name="c") as caller, raw_server(talk) as addr:
        assert (await send(caller.network().cluster_wire(), addr))[0] is Failure.LOST


async def test_messages_to_a_silent_address_do_not_pile_up() -> None:
    async with nodes.system(cluster_name="c") as caller, raw_server(silent) as addr:
        wire = caller.network().cluster_wire()
        waiting = [send(wire, addr, timeout_s=0.3) for _ in range(MAX_OPEN)]
        failure, text = await send(wire, addr)
        assert failure is Failure.UNREACHABLE
        assert "under way already" in str(text)
        assert {failure for failure, _ in await asyncio.gather(*waiting)} == {Failure.TIMEOUT}
        assert (await send(wire, addr, timeout_s=0.1))[0] is Failure.TIMEOUT, "there is room again"
        assert not wire.open


async def test_messages_of_a_node_that_was_shut_down_fail() -> None:
    async with two() as (host, caller):
        wire = caller.network().cluster_wire()
        await caller.shutdown()
        assert (await send(wire, addr_of(host)))[0] is Failure.UNREACHABLE


# --- errands: without the loop --------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"passphrase": PASSPHRASE}], ids=["cleartext", "tls"])
async def test_word_gets_out_without_the_loop_and_leaves_the_link_alone(
    settings: dict[str, str],
) -> None:
    heard: list[tuple[str, bytes]] = []

    def handler(peer_id: str, body: bytes, answer: Callable[[bytes], None]) -> None:
        heard.append((peer_id, body))
        answer(b"")

    async with two(handler, **settings) as (host, caller):
        lost: list[str] = []
        host.network().on_link_lost = lost.append
        wire = caller.network().guard_wire()
        await send(caller.network().cluster_wire(), addr_of(host), b"link")
        (link,) = host.network()._inbound
        for size in (4, 40_000):
            assert await asyncio.to_thread(wire.tell, addr_of(host), bytes(size), 2.0)
        assert heard[1:] == [(caller.node_id, bytes(4)), (caller.node_id, bytes(40_000))]
        await until(lambda: host.network().inbound == 1)
        assert not link.core._leaving, "calls on the older link go on"
        await send(caller.network().cluster_wire(), addr_of(host), b"link")
        assert list(host.network()._inbound) == [link]
        assert not lost


async def test_word_that_does_not_get_out_is_known_not_to() -> None:
    async with two(cluster_name="c") as (host, caller), raw_server(silent) as frozen:
        wire = caller.network().guard_wire()
        host.network().cluster_handler = None
        for addr in (addr_of(host), unused_address(), "no address", frozen):
            started = time.monotonic()
            assert not await asyncio.to_thread(wire.tell, addr, b"", 0.3), addr
            assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("cluster", ["pulsing", "another"])
async def test_word_of_another_cluster_or_passphrase_is_not_heard(cluster: str) -> None:
    heard: list[Sequence[Any]] = []
    settings = {"passphrase": PASSPHRASE} if cluster == "pulsing" else {}
    async with nodes.system("127.0.0.1:0", **settings) as host:
        host.network().cluster_handler = lambda *call: heard.append(call)
        options = DialOptions(node_id="4" * 32, cluster=cluster, tls=None, limits=TransportLimits())
        with pytest.raises(pul.PulsingRuntimeError):
            await asyncio.to_thread(
                run_errand, addr_of(host), cluster_block(secure=False), b"", options, 2.0
            )
        assert not heard
