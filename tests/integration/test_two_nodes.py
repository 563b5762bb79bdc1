"""Asks, tells, references and messages between two nodes."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import pulsing as pul
from tests.integration import nodes
from tests.integration.hosted import Echo, Lab, Mail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.testing import NodeProcess


# --- calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(2**80),
        0.1,
        "süß",
        "",
        b"",
        (1, (2, [3])),
        {"a": {1, 2}, 3: None},
        Decimal("1.10"),
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        UUID(int=7),
        random.Random(5).randbytes(100_000),
        [random.Random(5).randbytes(20_000) for _ in range(5)],
    ],
    ids=lambda value: type(value).__name__,
)
async def test_values_come_back_as_they_went(value: Any) -> None:
    async with nodes.pair() as (host, caller):
        echo = await caller.resolve(f"actor://{host.addr}/echo", cls=Echo)
        for method in (echo.echo, echo.echo_in_thread):
            back = await method(value)
            assert back == value
            assert type(back) is type(value)


async def test_keyword_arguments_defaults_and_attributes(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo", 40)
        assert await echo.add() == 41
        assert await echo.add(amount=2, twice=True) == 45
        assert await echo.value == 45
        assert await echo.motto == "say it again"
        with pytest.raises(pul.PulsingActorError, match=r"has no attribute 'nothing'"):
            await echo.as_any().nothing
        for private in ("_private", "on_start"):
            with pytest.raises((AttributeError, pul.PulsingActorError)):
                await getattr(echo.as_any(), private)


async def test_a_tell_arrives_in_order_and_tells_when_the_mailbox_has_it(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        echo.add.tell(5)
        assert await echo.add.tell(amount=5) is None
        assert await echo.value == 10


async def test_a_tell_that_fails_is_counted_and_logged_where_it_ran(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with nodes.pair() as (host, caller):
        echo = await caller.resolve(f"actor://{host.addr}/echo", cls=Echo)
        await echo.fail.tell("value")
        assert await echo.add() == 1, "the actor lives"
        assert host.dispatcher.counters.lost_tells == 1
    assert "not a number" in caplog.text


async def test_an_untyped_proxy_shows_what_the_actor_has(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        ref = await caller.resolve(f"actor://{node.addr}/echo")
        proxy = ref.as_any()
        assert {"echo", "add", "count", "value"} - {*dir(proxy)} <= {"value"}
        assert (
            str(inspect.signature(proxy.add)) == "(amount: int = 1, *, twice: bool = False) -> int"
        )
        assert proxy.add.__doc__ == "Add to the value and give it."
        assert node.addr in repr(proxy)
        assert "add" in repr(proxy.add)
        assert await proxy.echo("x") == "x"
        assert [each async for each in proxy.count(3)] == [0, 1, 2]
        with pytest.raises(pul.PulsingActorError, match=r"Not found: .*'nowhere'.* echo_in_thread"):
            await proxy.nowhere()


async def test_a_typed_proxy_refuses_what_its_class_lacks_at_once(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        with pytest.raises(AttributeError, match=r"No method 'ecco' on Echo.*Did you mean 'echo'"):
            echo.ecco("x")


async def test_many_asks_at_once_on_one_link(node: NodeProcess) -> None:
    """The issue's 10,000."""
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        assert await asyncio.gather(*(echo.echo(i) for i in range(10_000))) == [*range(10_000)]
        assert sum(await asyncio.gather(*(echo.add() for _ in range(10_000)))) == 50_005_000


# --- order and fairness -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["note", "note_in_thread"])
async def test_calls_and_tells_of_one_task_keep_their_order_whatever_their_size(
    node: NodeProcess, method: str
) -> None:
    sizes = [10, 1 << 20, 10, 100_000, 10, 3 << 20, 0, 70_000, 10, 20_000] * 4
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        note = getattr(echo, method)
        asks: list[asyncio.Task[int]] = []
        for mark, size in enumerate(sizes):
            if mark % 3 == 0:
                note.tell(mark, bytes(size))
            else:
                asks.append(asyncio.ensure_future(note(mark, bytes(size))))
                await asyncio.sleep(0)  # tasks start in the order they were made
        assert await asyncio.gather(*asks) == [size for mark, size in enumerate(sizes) if mark % 3]
        log = await echo.log
        assert [mark for mark in log if mark % 3 == 0] == [*range(0, len(sizes), 3)], "the tells"


async def test_one_task_that_sends_without_waiting_keeps_its_order(node: NodeProcess) -> None:
    rng = random.Random(11)
    sizes = [rng.choice([10, 10, 10, 5_000, 70_000, 1 << 20]) for _ in range(60)]
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        for mark, size in enumerate(sizes):
            echo.note.tell(mark, bytes(size))
        assert await echo.note("last", bytes(10)) == 10
        assert await echo.log == [*range(len(sizes)), "last"]


async def test_the_order_holds_from_before_the_connection_is_there(node: NodeProcess) -> None:
    async with nodes.system() as first, nodes.system() as caller:
        echo = await (await nodes.lab(first, node)).make("Echo")
        target = caller.remote_target(node.addr, f"@{echo.actor_id}")  # nobody dials for this
        for mark in range(50):
            target.tell("note", (mark, bytes(1 << 20 if mark % 10 == 0 else 10)), None)
        await target.tell("note", ("last",), None)
        assert await echo.log == [*range(50), "last"]


@pytest.mark.parametrize("way", ["request", "reply"])
async def test_a_large_body_does_not_hold_up_small_calls(node: NodeProcess, way: str) -> None:
    """64 MiB one way; small calls go round meanwhile."""
    async with nodes.system() as caller:
        lab = await nodes.lab(caller, node)
        big, small = await lab.make("Echo"), await lab.make("Echo")
        payload = bytes(64 << 20)
        if way == "request":
            large = asyncio.ensure_future(big.note("big", payload))
        else:
            large = asyncio.ensure_future(_last_of(big.echo(payload)))
        pings = 0
        await asyncio.sleep(0)  # it is on its way
        while not large.done():
            await small.echo(pings)
            pings += 1
        assert await large == 64 << 20
        assert pings >= 10, "small calls waited for the large one"


async def _last_of(call: Any) -> int:
    return len(await call)


# --- streams as arguments -----------------------------------------------------------------------


async def test_an_async_iterator_can_be_an_argument(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        assert await echo.total(nodes.numbers(0)) == 0
        assert await echo.total(numbers=nodes.numbers(5000)) == sum(range(5000))
        assert await asyncio.gather(*(echo.total(nodes.numbers(50)) for _ in range(50))) == (
            [sum(range(50))] * 50
        )


async def test_streams_can_go_both_ways_at_once(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        sent: list[int] = []

        async def asking() -> AsyncIterator[int]:
            for each in range(2000):
                sent.append(each)
                yield each

        got = 0
        async for each in echo.doubled(asking()):
            assert each == got * 2
            if got == 0:
                assert len(sent) < 2000, "the answer begins before the question ends"
            got += 1
        assert got == 2000


async def test_a_callee_that_has_enough_ends_the_argument(node: NodeProcess) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    async with nodes.system() as caller, asyncio.timeout(10):
        echo = await (await nodes.lab(caller, node)).make("Echo")
        assert await echo.first_of(endless(), 3, pause_s=0.05) == [0, 1, 2]
        await closed.wait()


async def test_an_argument_that_raises_raises_in_the_callee(node: NodeProcess) -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    async with nodes.system() as caller:
        echo = await (await nodes.lab(caller, node)).make("Echo")
        with pytest.raises(LookupError, match=r"no more"):
            await echo.total(broken())


# --- references ---------------------------------------------------------------------------------


async def test_references_and_proxies_work_where_they_land(node: NodeProcess) -> None:
    async with nodes.system("127.0.0.1:0") as caller, nodes.system() as third:
        lab = await nodes.lab(caller, node)
        there = await lab.make("Echo")
        here = await caller.spawn(Echo, 5)
        for way in (here, here.ref, here.as_any()):
            back = await there.echo(way)
            assert back == way
            assert type(back) is type(way)
            assert await back.add(0) == 5, "it came home"
            await there.keep(way)
            assert await there.ask_other("round trip") == "round trip"
        me = await there.me()
        assert me == there
        assert await me.echo(1) == 1
        elsewhere = await third.refer(str(there.ref.address))
        await elsewhere.keep(here)
        assert await elsewhere.ask_other(3) == 3


async def test_a_reference_to_a_node_without_a_port_cannot_leave_it(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        there = await (await nodes.lab(caller, node)).make("Echo")
        here = await caller.spawn(Echo)
        with pytest.raises(pul.WireError, match=r"opens no port"):
            await there.keep(here)


async def test_a_name_an_id_and_an_address_lead_to_the_same_actor(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        named = await caller.resolve(f"actor://{node.addr}/echo", cls=Echo)
        exact = await caller.refer(str(named.ref.address))
        assert exact == named
        assert hash(exact) == hash(named)
        assert await exact.echo("same") == "same"


# --- raw messages -------------------------------------------------------------------------------


async def test_raw_messages_are_asked_and_told(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        mail = (await (await nodes.lab(caller, node)).make("Mail")).ref
        await mail.tell({"n": 1})
        assert await mail.ask("two") == 2
        answer = await mail.ask(pul.Message("ping", b"payload"))
        assert answer == pul.Message("PING", b"payload")
        assert await mail.as_type(Mail).got == [{"n": 1}, "two"]


async def test_stream_messages_carry_chunks_both_ways(node: NodeProcess) -> None:
    async with nodes.system() as caller:
        mail = (await (await nodes.lab(caller, node)).make("Mail")).ref
        answer = await mail.ask(pul.Message("stream", 1000))
        assert answer.msg_type == "chunks"
        assert [chunk async for chunk in answer] == [*range(1000)]

        stream, writer = pul.StreamMessage.create("upload", buffer_size=3)
        asked = asyncio.ensure_future(mail.ask(stream))
        async with writer:
            for each in range(100):
                await writer.write(bytes(each))
        assert await asked == pul.Message("UPLOAD", 100)


# --- the sync facade ----------------------------------------------------------------------------


def test_synchronous_code_calls_a_remote_node(node: NodeProcess) -> None:
    pul.sync.init()
    try:
        lab = pul.sync.resolve(f"actor://{node.addr}/lab", cls=Lab)
        echo = lab.sync.make("Echo", 2)
        assert echo.sync.add(3) == 5
        assert echo.sync.value == 5
        assert [*echo.sync.count(4)] == [0, 1, 2, 3]
        with pytest.raises(ValueError, match=r"not a number"):
            echo.sync.fail("value")
        for _ in echo.sync.count(1_000_000):
            break
        echo.add.tell(1)
        assert echo.sync.value == 6
    finally:
        pul.sync.shutdown()
