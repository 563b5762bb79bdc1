import asyncio
import logging
import socket
import threading
from contextlib import contextmanager

import pytest

from pulsing.cluster.seeds import Seeds


class Names:
    """A name server in memory."""

    def __init__(self, **known: list[str]) -> None:
        self.known: dict[str, list[str] | Exception] = dict(known)
        self.asked: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        assert self.hold.wait(10)
        found = self.known.get(host, socket.gaierror(-2, "Name or service not known"))
        if isinstance(found, Exception):
            raise found
        return found

    @contextmanager
    def hanging(self):
        self.hold.clear()
        try:
            yield
        finally:
            self.hold.set()


async def test_addresses_of_all_kinds_need_no_name_server() -> None:
    names = Names()
    seeds = Seeds(["127.0.0.1:7000", "[::1]:7001", "[2001:DB8::0:1]:7002"], look_up=names)
    assert await seeds.resolve() == ("127.0.0.1:7000", "[::1]:7001", "[2001:db8::1]:7002")
    assert names.asked == []


async def test_every_address_of_a_name_is_a_seed_and_none_comes_twice() -> None:
    names = Names(nodes=["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1"], other=["10.0.0.2"])
    seeds = Seeds(["nodes:7000", "other:7000", "other:7001"], look_up=names)
    assert await seeds.resolve() == (
        "10.0.0.1:7000",
        "10.0.0.2:7000",
        "[fd00::1]:7000",
        "10.0.0.2:7001",
    )


async def test_localhost_is_looked_up_by_the_system() -> None:
    found = await Seeds(["localhost:7000"]).resolve()
    assert set(found) & {"127.0.0.1:7000", "[::1]:7000"}


async def test_names_are_looked_up_each_time() -> None:
    names = Names(nodes=["10.0.0.1"])
    seeds = Seeds(["nodes:7000"], look_up=names)
    assert await seeds.resolve() == ("10.0.0.1:7000",)
    names.known["nodes"] = ["10.0.0.9"]
    assert await seeds.resolve() == ("10.0.0.9:7000",)


async def test_a_name_that_fails_keeps_its_addresses_and_is_said_once_for_each_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pulsing")
    names = Names(nodes=["10.0.0.1"])
    seeds = Seeds(["nodes:7000", "127.0.0.1:1"], look_up=names)
    both = ("10.0.0.1:7000", "127.0.0.1:1")
    assert await seeds.resolve() == both
    names.known["nodes"] = socket.gaierror(-3, "Temporary failure in name resolution")
    for _ in range(3):
        assert await seeds.resolve() == both
    names.known["nodes"] = ["10.0.0.1"]
    for _ in range(3):
        assert await seeds.resolve() == both
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "nodes:7000 cannot be looked up: [Errno -3] Temporary failure" in lines[0]
    assert "using 10.0.0.1:7000 of before" in lines[0]
    assert lines[1] == "seed nodes:7000 resolves now: 10.0.0.1:7000"


async def test_a_name_that_never_resolved_leaves_the_other_seeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seeds = Seeds(["nowhere:7000", "127.0.0.1:1"], look_up=Names())
    assert await seeds.resolve() == ("127.0.0.1:1",)
    assert "the other seeds are used" in caplog.text


async def test_a_name_server_that_hangs_costs_the_timeout_and_one_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = Names(nodes=["10.0.0.1"])
    seeds = Seeds(["nodes:7000", "127.0.0.1:1"], look_up=names, timeout_s=0.02)
    with names.hanging():
        for _ in range(3):
            assert await seeds.resolve() == ("127.0.0.1:1",)
        assert names.asked == ["nodes"], "the first lookup is still under way"
        assert "no answer within 0.02 s" in caplog.text
    async with asyncio.timeout(5):
        while await seeds.resolve() != ("10.0.0.1:7000", "127.0.0.1:1"):
            await asyncio.sleep(0.001)


async def test_a_lookup_that_fails_after_its_timeout_is_no_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = Names()
    seeds = Seeds(["nodes:7000"], look_up=names, timeout_s=0.02)
    with names.hanging():
        assert await seeds.resolve() == ()
    async with asyncio.timeout(5):
        while any(each.name == "pulsing-seed-nodes" for each in threading.enumerate()):
            await asyncio.sleep(0.001)
    assert "never retrieved" not in caplog.text


async def test_resolving_can_be_cancelled() -> None:
    names = Names(nodes=["10.0.0.1"])
    seeds = Seeds(["nodes:7000"], look_up=names)
    with names.hanging():
        task = asyncio.create_task(seeds.resolve())
        async with asyncio.timeout(5):
            while not names.asked:
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await seeds.resolve() == ("10.0.0.1:7000",)


async def test_addresses_that_mean_something_on_one_interface_only_are_left_out() -> None:
    names = Names(nodes=["fe80::1%eth0", "10.0.0.1"], local=["fe80::1%eth0"])
    assert await Seeds(["nodes:1", "local:1"], look_up=names).resolve() == ("10.0.0.1:1",)


async def test_a_name_with_thousands_of_addresses_is_cut() -> None:
    names = Names(nodes=[f"10.0.{high}.{low}" for high in range(8) for low in range(250)])
    assert len(await Seeds(["nodes:7000"], look_up=names).resolve()) == 256


def test_what_is_no_seed_is_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match="seeds: ") as caught:
        Seeds(["fine:7000", "nowhere", "zero:0", "::1:7000"])
    text = str(caught.value)
    assert "'nowhere'" in text
    assert "'zero:0'; port 0" in text
    assert "write an IPv6 host in brackets" in text


def test_hundreds_of_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="300 seeds are too many: 256"):
        Seeds([f"host-{n}:1" for n in range(300)])


def test_the_same_seed_twice_is_one() -> None:
    assert len(Seeds(["a:1", "a:1", "b:1"])) == 2
