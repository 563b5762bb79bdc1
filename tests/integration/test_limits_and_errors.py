"""What cannot work says so: each case its own error, promptly, with nothing left behind."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.testing import assert_no_leaks
from pulsing.transport.frames import PREFACE, PROTOCOL_VERSION, Setting
from pulsing.transport.preface import introduction_settings, settings_frame
from tests.integration import nodes
from tests.integration.hosted import FAILURES, Echo, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.testing import NodeProcess

PROMPTLY_S = 2.0
MIB = 1 << 20


@asynccontextmanager
async def promptly() -> AsyncIterator[None]:
    began = time.monotonic()
    async with assert_no_leaks():
        yield
    assert time.monotonic() - began < PROMPTLY_S


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- nobody there -------------------------------------------------------------------------------


async def test_a_port_without_a_node_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with promptly(), nodes.system() as caller:
        with pytest.raises(pul.NodeUnreachable, match=f"{address}: connection refused") as caught:
            await caller.resolve(f"actor://{address}/echo")
        assert caught.value.delivered is pul.Delivery.NO
        target = caller.remote_target(address, "actors/echo")
        asks = [pul.Call(target, "echo", (1,), None) for _ in range(100)]
        errors = await asyncio.gather(*asks, return_exceptions=True)
        assert {type(each) for each in errors} == {pul.NodeUnreachable}
        with pytest.raises(pul.NodeUnreachable):
            async for _ in pul.Call(target, "count", (1,), None):
                pass
        with pytest.raises(pul.NodeUnreachable):
            await target.tell("echo", (1,), None)


async def test_a_name_that_no_resolver_knows() -> None:
    async with promptly(), nodes.system() as caller:
        with pytest.raises(pul.NodeUnreachable, match=r"no-such-host.invalid:8000"):
            await caller.resolve("actor://no-such-host.invalid:8000/echo")


async def test_resolve_waits_for_a_node_that_comes_later() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with nodes.system() as caller:
        finding = asyncio.ensure_future(caller.resolve(f"actor://{address}/echo", timeout=10))
        await asyncio.sleep(0.1)
        async with nodes.system(address) as host:
            await host.spawn(Echo, name="echo")
            assert await (await finding).echo(1) == 1


async def test_a_node_that_was_shut_down_is_unreachable_and_its_successor_is_not() -> None:
    async with promptly(), nodes.system() as caller:
        async with nodes.system("127.0.0.1:0") as host:
            address = str(host.addr)
            await host.spawn(Echo, name="echo")
            echo = await caller.resolve(f"actor://{address}/echo")
            assert await echo.echo(1) == 1
        with pytest.raises(pul.PulsingRuntimeError):
            await echo.echo(2)
        async with nodes.system(address) as host:
            await host.spawn(Echo, name="echo")
            assert await echo.echo(3) == 3


# --- nothing of that kind there -----------------------------------------------------------------


async def test_an_unknown_actor(node: NodeProcess) -> None:
    async with promptly(), nodes.system() as caller:
        with pytest.raises(pul.ActorNotFound, match=r"no actor 'actors/nobody'"):
            await caller.resolve(f"actor://{node.addr}/nobody")
        target = caller.remote_target(node.addr, "actors/nobody")
        with pytest.raises(pul.ActorNotFound, match=r"nobody"):
            await pul.Call(target, "echo", (1,), None)
        with pytest.raises(pul.ActorNotFound, match=r"nobody"):
            async for _ in pul.Call(target, "echo", (1,), None):
                pass
        with pytest.raises(pul.ActorNotFound, match=r"nobody"):
            await target.tell("echo", (1,), None)


async def test_an_actor_that_has_stopped(node: NodeProcess) -> None:
    async with promptly(), nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        echo = await lab.make("Echo")
        await lab.stop(echo)
        with pytest.raises(pul.ActorNotFound):
            await echo.echo(1)


async def test_an_unknown_method_and_wrong_arguments(node: NodeProcess) -> None:
    async with promptly(), nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        with pytest.raises(pul.PulsingActorError, match=r"Not found: .*'shout'.*it has add"):
            await echo.shout("x")
        with pytest.raises(pul.PulsingActorError, match=r"Not found"):
            async for _ in echo.shout("x"):
                pass
        with pytest.raises(pul.PulsingActorError, match=r"Not found"):
            await echo.shout.tell("x")
        for call in (echo.echo(), echo.echo(1, 2), echo.echo(other=1), echo.echo_in_thread()):
            with pytest.raises(TypeError, match=r"argument") as caught:
                await call
            assert isinstance(caught.value, pul.PulsingBusinessError)
            assert caught.value.code == 400
        assert await echo.echo(1) == 1


# --- what does not travel -----------------------------------------------------------------------


class Strange:
    """Of no kind that travels."""


@pytest.mark.parametrize(
    "value", [object(), Strange(), threading.Lock(), {"deep": [1, Strange()]}, len], ids=repr
)
async def test_a_value_that_does_not_travel_is_refused_before_it_is_sent(
    node: NodeProcess, value: Any
) -> None:
    async with promptly(), nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        for call in (echo.echo(value), echo.echo(1, value), echo.echo(value=value)):
            with pytest.raises(pul.WireError, match=r"cannot encode (args|kwargs)") as caught:
                await call
            assert caught.value.delivered is pul.Delivery.NO
        with pytest.raises(pul.WireError):
            async for _ in echo.count(value):
                pass
        with pytest.raises(pul.WireError):
            await echo.echo.tell(value)
        assert await echo.echo("next") == "next"


async def test_a_result_that_does_not_travel_is_an_error_of_the_call() -> None:
    @pul.remote
    class Odd:
        async def result(self) -> object:
            return Strange()

        def in_thread(self) -> object:
            return Strange()

        async def items(self) -> AsyncIterator[object]:
            yield 1
            yield Strange()

    async with nodes.system("127.0.0.1:0") as host, nodes.system() as caller:
        await host.spawn(Odd, name="odd")
        odd = await caller.resolve(f"actor://{host.addr}/odd")
        for call in (odd.result(), odd.in_thread()):
            with pytest.raises(pul.WireError, match=r"Strange"):
                await call
        got: list[int] = []
        with pytest.raises(pul.PulsingError, match=r"Strange"):
            await nodes.drained(odd.items(), got)
        assert got == [1]


async def test_two_streams_in_one_call_are_one_too_many(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        with pytest.raises(pul.WireError, match=r"one async iterator"):
            await echo.echo([nodes.numbers(1), nodes.numbers(1)])


async def test_a_tell_cannot_carry_a_stream(node: NodeProcess) -> None:
    async with promptly(), nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        with pytest.raises(pul.WireError, match=r"cannot carry a stream"):
            echo.total.tell(nodes.numbers(3))
        assert await echo.echo("next") == "next"


# --- too large ----------------------------------------------------------------------------------


async def test_a_message_over_the_limit_is_refused_here() -> None:
    async with promptly(), nodes.pair(max_message_bytes=MIB) as (host, caller):
        echo = await caller.resolve(f"actor://{host.addr}/echo")
        assert len(await echo.echo(bytes(MIB - 1000))) == MIB - 1000
        with pytest.raises(pul.MessageTooLarge) as caught:
            await echo.echo(bytes(MIB))
        assert caught.value.limit_bytes == MIB
        assert caught.value.size_bytes > MIB
        assert caught.value.delivered is pul.Delivery.NO
        assert await echo.echo(1) == 1


async def test_a_message_over_the_limit_of_the_other_node_is_refused_there() -> None:
    async with (
        promptly(),
        nodes.system("127.0.0.1:0", max_message_bytes=MIB) as host,
        nodes.system() as caller,
    ):
        await host.spawn(Echo, name="echo")
        echo = await caller.resolve(f"actor://{host.addr}/echo")
        for payload in (bytes(3 * MIB), ["x" * 100] * 30_000):
            with pytest.raises(pul.MessageTooLarge, match=str(MIB)):
                await echo.echo(payload)
        assert await echo.echo("the link lives") == "the link lives"


async def test_a_result_over_the_limit_is_an_error_of_the_call() -> None:
    async with promptly(), nodes.system("127.0.0.1:0", max_message_bytes=MIB) as host:
        await nodes.hosted.pulsing_setup(host)
        async with nodes.system() as caller:
            producer = await (await nodes.lab(caller, host)).make("Producer")
            with pytest.raises(pul.MessageTooLarge):
                async for _ in producer.items(5, 2 * MIB):
                    pass
        async with nodes.system(max_message_bytes=MIB // 2) as caller:
            lab = await nodes.lab(caller, host)
            echo, producer = await lab.make("Echo"), await lab.make("Producer")
            with pytest.raises(pul.PulsingRuntimeError, match=r"(?i)exceeds|limit|room"):
                await echo.zeros(900_000)
            with pytest.raises(pul.PulsingRuntimeError, match=r"(?i)exceeds|limit|room"):
                async for _ in producer.items(5, 900_000):
                    pass
            assert await echo.echo("the link lives") == "the link lives"


async def test_a_mailbox_that_is_full_rejects_remote_callers_too() -> None:
    async with nodes.pair() as (host, caller):
        lab = await nodes.lab(caller, host)
        actor = await lab.make("Watched", max_concurrency=1, mailbox_size=2, on_full="reject")
        running = [asyncio.ensure_future(actor.sleep("a"))]
        async with asyncio.timeout(5):
            while await lab.open_calls() < 1:
                await asyncio.sleep(0.005)
        running += [asyncio.ensure_future(actor.sleep("b")) for _ in range(2)]
        async with asyncio.timeout(5):
            while await lab.open_calls() < 3:
                await asyncio.sleep(0.005)
        with pytest.raises(pul.MailboxFull):
            await actor.sleep("c")
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


# --- other peers --------------------------------------------------------------------------------


@asynccontextmanager
async def saying(greeting: bytes, close: bool = False) -> AsyncIterator[str]:
    """A server that says something to whoever connects; gives its address."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read(1)
        writer.write(greeting)
        if close:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()
        await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)


def _introduction(version: tuple[int, int], cluster: str = "pulsing") -> list[tuple[int, int]]:
    settings = dict(introduction_settings("ab" * 16, cluster))
    settings[int(Setting.PULSING_PROTOCOL)] = version[0] << 16 | version[1]
    return list(settings.items())


OTHER_VERSION = (PROTOCOL_VERSION[0] + 1, 0)


@pytest.mark.one_loop
@pytest.mark.parametrize(
    ("greeting", "close", "error", "says"),
    [
        (settings_frame(_introduction(OTHER_VERSION)), False, pul.ProtocolMismatch, "version"),
        (
            settings_frame(_introduction(PROTOCOL_VERSION, "other")),
            False,
            pul.ProtocolMismatch,
            "cluster 'pulsing' here and another",
        ),
        (settings_frame([(4, 65535)]), False, pul.ProtocolMismatch, "not a node of Pulsing"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, pul.NodeUnreachable, "no node of Pulsing"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", False, pul.NodeUnreachable, "no node of Pulsing"),
        (b"", True, pul.NodeUnreachable, "closed the connection before introducing"),
        (b"", False, pul.NodeUnreachable, "no answer within 0.4 s"),
    ],
    ids=["version", "cluster", "http2", "http1", "ssh", "closes", "silent"],
)
async def test_whatever_else_answers_there_is_named(
    greeting: bytes, close: bool, error: type[Exception], says: str
) -> None:
    async with (
        promptly(),
        saying(greeting, close) as address,
        nodes.system(connect_timeout_s=0.4) as caller,
    ):
        with pytest.raises(error, match=says) as caught:
            await caller.resolve(f"actor://{address}/echo")
        assert address in str(caught.value)
        assert getattr(caught.value, "delivered", None) is pul.Delivery.NO


async def test_a_peer_of_another_version_is_refused_with_the_reason(node: NodeProcess) -> None:
    host, port = node.addr.split(":")
    for introduction, says in (
        (_introduction(OTHER_VERSION), b"protocol version"),
        (_introduction(PROTOCOL_VERSION, "other"), b"cluster 'pulsing' here and another"),
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + settings_frame(introduction))
        async with asyncio.timeout(5):
            assert says in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_two_clusters_do_not_mix() -> None:
    async with promptly(), nodes.system("127.0.0.1:0", cluster_name="red") as red:
        await red.spawn(Echo, name="echo")
        async with nodes.system(cluster_name="blue") as blue:
            with pytest.raises(pul.ProtocolMismatch, match=r"cluster"):
                await blue.resolve(f"actor://{red.addr}/echo")
        async with nodes.system(cluster_name="red") as other:
            assert await (await other.resolve(f"actor://{red.addr}/echo")).echo(1) == 1


# --- exceptions of the user's code --------------------------------------------------------------


async def caught_from(call: Any) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the test compares
        await call
    return caught.value


@pytest.mark.parametrize("what", list(FAILURES))
async def test_exceptions_are_the_same_from_here_and_from_there(
    node: NodeProcess, what: str
) -> None:
    async with nodes.system() as caller:
        here = await caller.spawn(Echo, name="twin")
        there = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        for pick in (lambda e: e.fail(what), lambda e: nodes.drained(e.fail_after(2, what))):
            local, remote = await caught_from(pick(here)), await caught_from(pick(there))
            original = FAILURES[what]()
            for error in (local, remote):
                assert isinstance(error, type(original))
                assert isinstance(error, pul.PulsingActorError)
                assert error.args == original.args
                assert str(error) == str(original)
                assert error.__cause__ is not None, "the traceback from there"
                assert any("on node" in note and "in method fail" in note
                           for note in error.__notes__)  # fmt: skip
            assert type(local).__name__ == type(remote).__name__
            assert [n for n in local.__notes__ if "on node" not in n] == [
                n for n in remote.__notes__ if "on node" not in n
            ]
            assert "hosted.py" in "".join(map(str, (remote.__cause__,)))
        assert await there.echo("it lives") == "it lives"


async def test_the_families_of_exceptions_hold_across_nodes(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        for what, families in {
            "value": (ValueError, pul.PulsingBusinessError),
            "timeout": (TimeoutError, pul.PulsingTimeoutError),
            "own": (Refused, pul.PulsingSystemError),
            "empty": (KeyError, pul.PulsingSystemError),
            "business": (pul.PulsingBusinessError,),
        }.items():
            error = await caught_from(echo.fail(what))
            for family in families:
                assert isinstance(error, family), (what, family)
        own: Any = await caught_from(echo.fail("own"))
        assert (own.reason, own.amount) == ("too much", 7)
        business: Any = await caught_from(echo.fail("business"))
        assert (business.code, business.details) == (402, "the bill")
