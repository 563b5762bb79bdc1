"""Which links were lost, which were closed, and closing those of a process that is gone."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.transport.frames import SETTINGS, frame_header
from pulsing.transport.limits import TransportLimits
from pulsing.transport.preface import introduction_settings
from tests.integration import nodes
from tests.integration.links import (
    Held,
    ask,
    node,
    pool,
    raw_server,
    settings_frame,
    silent,
    until,
)
from tests.integration.test_tls_nodes import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.transport.link import ClientLink
    from pulsing.transport.pool import Pool

GONE = "node x is dead"
DIALLER = "2" * 32
"""The node id that `pool` dials with."""
SECURE = pytest.mark.parametrize(
    "settings", [{}, {"passphrase": PASSPHRASE}], ids=["cleartext", "tls"]
)


@asynccontextmanager
async def watched(**settings: str) -> AsyncIterator[tuple[pul.ActorSystem, list[str]]]:
    """A node, and the ids of those whose links it lost."""
    async with nodes.system("127.0.0.1:0", **settings) as system:
        lost: list[str] = []
        system.network().on_link_lost = lost.append
        yield system, lost


def address(system: pul.ActorSystem) -> str:
    assert system.addr is not None
    return system.addr


async def outcome(work: Any) -> Any:
    try:
        return await work
    except pul.PulsingError as error:
        return error


# --- lost, or closed ------------------------------------------------------------------------------


@SECURE
async def test_a_killed_node_is_a_lost_link_within_moments(settings: dict[str, str]) -> None:
    async with watched(**settings) as (system, lost):
        with nodes.start(**settings) as other:
            await nodes.lab(system, other)
            other_id = system.network()._pool.peer(other.addr).node_id
            other.kill()
            killed = time.monotonic()
            await until(lambda: lost)
            assert time.monotonic() - killed < 0.5
        assert lost == [other_id]


@SECURE
async def test_a_node_that_stops_says_goodbye(settings: dict[str, str]) -> None:
    async with watched(**settings) as (system, lost):
        with nodes.start(**settings) as other:
            await nodes.lab(system, other)
            peer = system.network()._pool.peer(other.addr)
        await until(lambda: peer.link is None)
        await asyncio.sleep(0.05)
        assert not lost


async def dialled(calls: Pool, addr: str) -> ClientLink:
    """A link to a node, which has answered on it (that there is no such actor)."""
    await ask(calls.peer(addr))
    link = calls.peer(addr).link
    assert link is not None
    return link


async def test_a_link_that_a_peer_made_and_lost_is_lost_here_too() -> None:
    async with watched(cluster_name="c") as (system, lost), pool() as calls:
        link = await dialled(calls, address(system))
        assert link._transport is not None
        link._transport.abort()
        await until(lambda: lost)
        assert lost == [DIALLER]
        assert system.network().inbound == 0


async def test_a_link_that_a_peer_closed_is_not_lost() -> None:
    async with watched(cluster_name="c") as (system, lost), pool() as calls:
        link = await dialled(calls, address(system))
        link.close()
        await until(lambda: system.network().inbound == 0)
        await asyncio.sleep(0.01)
        assert not lost


async def test_links_that_end_with_the_node_itself_are_not_lost() -> None:
    async with pool() as calls:
        async with watched(cluster_name="c") as (system, lost):
            await dialled(calls, address(system))
        assert not lost


async def test_a_peer_that_never_introduced_itself_is_no_lost_link() -> None:
    async with watched() as (system, lost):
        host, _, port = address(system).rpartition(":")
        for octets in (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(octets)
            await writer.drain()
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert not lost


# --- closing the links of a process ---------------------------------------------------------------


@SECURE
async def test_what_waits_for_a_dead_process_fails_with_the_reason(
    settings: dict[str, str],
) -> None:
    async with nodes.pair(**settings) as (host, caller):
        lab = await nodes.lab(caller, host)
        actor = await lab.make("Watched")
        pending = [asyncio.ensure_future(outcome(actor.sleep(str(n)))) for n in range(10)]
        await asyncio.gather(*(actor.when(str(n), "started") for n in range(10)))
        caller.network().close_links(host.node_id, address(host), GONE)
        async with asyncio.timeout(1):
            errors = await asyncio.gather(*pending)
        assert {(type(each), str(each), each.delivered) for each in errors} == {
            (pul.ConnectionLost, GONE, pul.Delivery.UNKNOWN)
        }
        await until(lambda: host.network().inbound == 0)
        await actor.when_ended("0")
        assert await actor.seen("0"), "a process that lives after all is reached again"


async def test_links_from_a_dead_process_are_closed_too() -> None:
    async with watched(cluster_name="c") as (system, lost), pool() as calls:
        link = await dialled(calls, address(system))
        system.network().close_links(DIALLER, "127.0.0.1:1", GONE)
        async with asyncio.timeout(1):
            await link.closed
        await until(lambda: system.network().inbound == 0)
        assert not lost, "it was closed here"


async def test_a_new_process_at_the_same_address_keeps_its_links() -> None:
    async with nodes.pair() as (host, caller):
        lab = await nodes.lab(caller, host)
        actor = await lab.make("Watched")
        pending = asyncio.ensure_future(actor.sleep("on", 0.1))
        await actor.when("on", "started")
        caller.network().close_links("f" * 32, address(host), GONE)
        host.network().close_links("f" * 32, address(caller), GONE)
        await pending
        assert host.network().inbound == 1


async def test_calls_that_wait_for_a_connection_to_a_dead_process_were_not_delivered() -> None:
    Held.here, Held.gone = [], []
    limits = TransportLimits(max_concurrent_streams=1)
    async with pool() as calls:
        async with node(Held, limits) as server:
            peer, there = calls.peer(server.address), server.address
            first = asyncio.ensure_future(ask(peer))
            await until(lambda: Held.here)
            queued = asyncio.ensure_future(ask(peer))
            await asyncio.sleep(0)
            calls.close_links(peer.node_id, there, GONE)
            for call, delivered in ((first, pul.Delivery.UNKNOWN), (queued, pul.Delivery.NO)):
                with pytest.raises(pul.ConnectionLost, match=GONE) as caught:
                    await call
                assert caught.value.delivered is delivered
        host, _, port = there.rpartition(":")
        with socket.create_server((host, int(port))):  # takes connections, and says nothing
            waiting = asyncio.ensure_future(ask(peer))
            await asyncio.sleep(0.02)
            calls.close_links(peer.node_id, there, GONE)
            with pytest.raises(pul.ConnectionLost, match=GONE) as caught:
                await waiting
            assert caught.value.delivered is pul.Delivery.NO


# --- links that nobody uses -----------------------------------------------------------------------

IDLE = TransportLimits(keepalive_interval_s=0.02, keepalive_timeout_s=0.5, idle_link_s=0.1)


async def test_a_link_that_nobody_uses_is_closed_by_who_dialled_and_made_anew() -> None:
    async with node(limits=TransportLimits()) as server, pool(IDLE) as calls:
        peer = calls.peer(server.address)
        lost: list[str] = []
        calls.on_link_lost = lost.append
        for times in (1, 2):
            await ask(peer)
            assert len(server.links) == times
            link = peer.link
            assert link is not None
            await until(lambda link=link, times=times: server.links[times - 1].closed.done())
            assert not server.links[times - 1].lost, "with a goodbye"
            await until(lambda: peer.link is None)
        assert not lost


async def test_a_link_with_an_open_request_is_in_use() -> None:
    Held.here, Held.gone = [], []
    async with node(Held) as server, pool(IDLE) as calls:
        pending = asyncio.ensure_future(ask(calls.peer(server.address)))
        await asyncio.sleep(0.3)
        assert not pending.done()
        Held.here[0].respond(b"still here")
        assert await pending == b"still here"


async def test_the_other_side_asks_before_it_gives_up_a_link_that_nobody_uses() -> None:
    keeps = TransportLimits(idle_link_s=None)
    async with node(limits=IDLE) as server, pool(keeps) as calls:
        await ask(calls.peer(server.address))
        await asyncio.sleep(0.4)
        assert not server.links[0].closed.done(), "the peer answers"


async def test_a_link_whose_peer_has_vanished_is_given_up() -> None:
    limits = TransportLimits(keepalive_interval_s=0.02, keepalive_timeout_s=0.05, idle_link_s=0.1)
    async with node(limits=limits) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + settings_frame(introduction_settings("3" * 32, "c"))
            + frame_header(0, SETTINGS, 1, 0)
        )
        await until(lambda: server.links)
        async with asyncio.timeout(2):
            await server.links[0].closed
        assert not server.links[0].lost
        writer.close()


async def test_a_frozen_peer_is_not_asked_while_it_owes_nothing() -> None:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        while data := await reader.read(4096):
            heard.extend(data)

    limits = TransportLimits(keepalive_interval_s=0.02, keepalive_timeout_s=0.02)
    async with raw_server(talk) as there, pool(limits) as calls:
        peer = calls.peer(there)
        with pytest.raises(pul.DeadlineExceeded):
            await ask(peer, within_s=0.005)
        await until(lambda: heard)
        before = len(heard)
        await asyncio.sleep(0.2)
        assert len(heard) - before < 20, "at most what ended the request"
        assert peer.link is not None
        await calls.close()
