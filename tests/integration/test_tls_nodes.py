"""Clusters with a passphrase: who gets in, who does not, and what they are told.

Deriving the key of a passphrase is slow on purpose, so the tests share the nodes of this file.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul
from pulsing.testing import NodeProcess, assert_no_leaks
from tests.integration import nodes
from tests.integration.hosted import Echo

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSPHRASE = "correct horse battery staple"
ANOTHER = "tr0ub4dor & 3"


@pytest.fixture(scope="module")
def secured() -> Iterator[NodeProcess]:
    """A node of a cluster with a passphrase."""
    with nodes.start(passphrase=PASSPHRASE) as process:
        yield process
    assert PASSPHRASE not in process.output + process.errors


@dataclass
class Point:
    x: int
    y: Any


class Pickled:
    """Of no kind that travels by itself."""

    def __init__(self, value: int) -> None:
        self.value = value


async def test_members_call_stream_and_cancel_as_without(secured: NodeProcess) -> None:
    async with nodes.system("127.0.0.1:0", passphrase=PASSPHRASE) as caller:
        lab = await nodes.lab(caller, secured)
        echo, watched = await lab.make("Echo"), await lab.make("Watched")
        assert await echo.echo({"a": (1, 2)}) == {"a": (1, 2)}
        assert await echo.echo_in_thread(b"x" * 5_000_000) == b"x" * 5_000_000
        assert [each async for each in echo.count(5000)] == [*range(5000)]
        assert await echo.total(nodes.numbers(1000)) == sum(range(1000))
        assert await asyncio.gather(*(echo.echo(i) for i in range(1000))) == [*range(1000)]
        here = await caller.spawn(Echo)
        await echo.keep(here)
        assert await echo.ask_other("back over TLS") == "back over TLS"
        async for _ in watched.ticks("a"):
            break
        await watched.when_ended("a")
        with pytest.raises(ValueError, match=r"not a number"):
            await echo.fail("value")


async def test_members_may_pickle_and_others_may_not(
    secured: NodeProcess, node: NodeProcess
) -> None:
    async with nodes.system(passphrase=PASSPHRASE) as caller:
        echo = await caller.resolve(f"actor://{secured.addr}/echo")
        back = await echo.echo(Pickled(5))
        assert isinstance(back, Pickled)
        assert back.value == 5
    async with nodes.system() as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        with pytest.raises(pul.WireError, match=r"Pickled.*passphrase"):
            await echo.echo(Pickled(5))
    async with nodes.system(allow_pickle=True) as caller:
        echo = await caller.resolve(f"actor://{node.addr}/echo")
        with pytest.raises(pul.WireError, match=r"pickle"):
            await echo.echo(Pickled(5))


@pytest.mark.parametrize(
    ("passphrase", "says"),
    [(ANOTHER, "passphrase"), (None, "passphrase")],
    ids=["another", "missing"],
)
async def test_who_has_not_the_passphrase_is_told_so(
    secured: NodeProcess,
    passphrase: str | None,
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with assert_no_leaks(), nodes.system(passphrase=passphrase) as stranger:
        with pytest.raises(pul.NotAuthenticated, match=says) as caught:
            await stranger.resolve(f"actor://{secured.addr}/echo")
        assert secured.addr in str(caught.value)
        assert caught.value.delivered is pul.Delivery.NO
        everything = caplog.text + repr(stranger) + repr(stranger.config) + str(caught.value)
    assert PASSPHRASE not in everything
    assert ANOTHER not in everything


async def test_a_superfluous_passphrase_is_named(node: NodeProcess) -> None:
    async with assert_no_leaks(), nodes.system(passphrase=PASSPHRASE) as caller:
        with pytest.raises(pul.NotAuthenticated, match=r"passphrase") as caught:
            await caller.resolve(f"actor://{node.addr}/echo")
        assert node.addr in str(caught.value)


async def test_the_same_passphrase_in_another_cluster_does_not_help(secured: NodeProcess) -> None:
    async with nodes.system(passphrase=PASSPHRASE, cluster_name="elsewhere") as stranger:
        with pytest.raises((pul.NotAuthenticated, pul.ProtocolMismatch)):
            await stranger.resolve(f"actor://{secured.addr}/echo")


async def test_what_a_link_under_tls_has_lost_is_known(secured: NodeProcess) -> None:
    async with nodes.system("127.0.0.1:0", passphrase=PASSPHRASE) as host:
        await host.spawn(Echo, name="echo")
        async with nodes.system(passphrase=PASSPHRASE) as caller:
            echo = await caller.resolve(f"actor://{host.addr}/echo")
            assert await echo.echo(1) == 1
            await host.shutdown()
            with pytest.raises((pul.NodeUnreachable, pul.ConnectionLost)):
                await echo.echo(2)
