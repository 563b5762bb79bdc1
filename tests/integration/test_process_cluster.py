"""Node processes of a test: what can be asked of them, and that none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from pulsing.testing import NodeFailed, ProcessCluster, assert_no_leaks
from pulsing.testing.control import NodeGone, NodeRefused

pytestmark = [pytest.mark.one_loop, pytest.mark.timeout(120)]

CRASHING = """
import asyncio, os
from pulsing.testing import ProcessCluster

async def main():
    async with ProcessCluster(2) as cluster:
        print(*(node.pid for node in cluster), flush=True)
        os._exit(1)

asyncio.run(main())
"""


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - short
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


async def test_a_node_does_what_it_is_asked_and_says_what_failed() -> None:
    async with assert_no_leaks(), ProcessCluster(2) as cluster:
        one, other = cluster
        assert {each["name"] for each in await one.members()} == {"node-0", "node-1"}
        await one.spawn("examples.counter:Counter", 5, name="counter")
        assert await other.call("counter", "incr", 2) == 7
        (listed,) = await other.names()
        assert listed["name"] == "actors/counter"
        usage = await one.usage()
        assert usage["tasks"] > 0 < usage["open_files"]
        with pytest.raises(NodeRefused, match="ModuleNotFoundError"):
            await one.spawn("no.such:Thing")
        with pytest.raises(NodeRefused, match="TimeoutError"):
            await one.expect("nobody", within_s=0.05)
        with pytest.raises(NodeRefused, match="KeyError"):
            await one.ask("fly")


async def test_who_asks_a_node_that_ends_hears_of_it() -> None:
    async with ProcessCluster(2) as cluster:
        waiting = asyncio.ensure_future(cluster[1].expect("never", within_s=60))
        await cluster[1].members()  # the question before has arrived
        cluster.kill(1)
        with pytest.raises(NodeGone):
            await waiting
        with pytest.raises(NodeGone):
            await cluster[1].members()
        await cluster.restart(1)
        assert len(await cluster[1].members()) >= 1


async def test_a_frozen_node_answers_when_it_goes_on() -> None:
    async with ProcessCluster(1) as cluster:
        cluster.freeze(0)
        asked = asyncio.ensure_future(cluster[0].members())
        await asyncio.wait((asked,), timeout=0.2)
        assert not asked.done()
        cluster.thaw(0)
        assert len(await asked) == 1


async def test_a_node_that_cannot_start_is_told_with_what_it_said() -> None:
    async with assert_no_leaks():
        with pytest.raises(NodeFailed, match="no_such_module"):
            async with ProcessCluster(2, imports=["no_such_module"]):
                pass


async def test_without_relays_what_needs_them_is_refused() -> None:
    async with ProcessCluster(1) as cluster:
        with pytest.raises(NotImplementedError, match="faults=True"):
            cluster.partition([0])
        cluster.heal()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_test_process_that_dies_takes_its_nodes_with_it() -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", CRASHING], env=environ, capture_output=True, text=True, check=False
    )
    pids = [int(each) for each in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    give_up_at = time.monotonic() + 10
    while not all(map(has_ended, pids)):
        if time.monotonic() > give_up_at:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            pytest.fail("its nodes live on")
        time.sleep(0.02)
