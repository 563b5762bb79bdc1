"""The pytest plugin, in test runs of their own: under each plugin for asynchronous tests."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)

PRELUDE = """
import asyncio
import pytest
import pulsing as pul

@pul.remote
class Counter:
    def __init__(self):
        self.value = 0

    async def incr(self):
        self.value += 1
        return self.value
"""
BODY = """
    async with pulsing_cluster(2) as cluster:
        counter = await cluster[0].system.spawn(Counter, name="counter")
        there = await cluster[1].system.resolve("counter", timeout=5)
        assert [await counter.incr(), await there.incr()] == [1, 2]
        assert type(asyncio.get_running_loop()).__module__.startswith(("asyncio", "uvloop"))
"""
ASYNC_TEST = "async def test_it(pulsing_cluster):" + BODY
ANYIO_BACKEND = """
@pytest.fixture
def anyio_backend():
    return "asyncio"

"""
PYTEST_ASYNCIO = [
    *("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function"),
]
STYLES = {
    "no plugin": (
        [],
        "def test_it(pulsing_cluster):\n    async def main():"
        + textwrap.indent(BODY, "    ")
        + "\n    asyncio.run(main())\n",
    ),
    "anyio": (
        ["-p", "anyio.pytest_plugin"],
        f"{ANYIO_BACKEND}@pytest.mark.anyio\n{ASYNC_TEST}",
    ),
    "pytest-asyncio strict": (
        [*PYTEST_ASYNCIO, "--asyncio-mode=strict"],
        f"@pytest.mark.asyncio\n{ASYNC_TEST}",
    ),
    "pytest-asyncio auto": ([*PYTEST_ASYNCIO, "--asyncio-mode=auto"], ASYNC_TEST),
}
NEEDS = {
    "anyio": "anyio",
    "pytest-asyncio strict": "pytest_asyncio",
    "pytest-asyncio auto": "pytest_asyncio",
}


def run_pytest(directory: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test file where only the plugins that are named are loaded."""
    (directory / "test_generated.py").write_text(PRELUDE + source, encoding="utf-8")
    plugins = ["-p", "pulsing.testing.plugin", "-p", "no:cacheprovider"]
    return run_python(directory, "-m", "pytest", *plugins, "-W", "error", "-rA", *options)


def run_python(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("style", STYLES)
def test_clusters_work_in_every_style_of_asynchronous_tests(style: str, tmp_path: Path) -> None:
    needed = NEEDS.get(style)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    options, source = STYLES[style]
    done = run_pytest(tmp_path, source, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


FAILING = """
def test_fails(pulsing_cluster):
    async def main():
        async with pulsing_cluster(2) as cluster:
            cluster.kill(1)
            await cluster.converged()
            assert False, "on purpose"
    asyncio.run(main())

def test_passes_after_it(pulsing_cluster):
    async def main():
        async with pulsing_cluster(2):
            pass
    asyncio.run(main())

def test_fails_without_a_cluster():
    assert False
"""
LEFTOVERS = """
import os, threading
from pathlib import Path

def sockets():
    found = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
    return sorted(each for each in found if each.startswith("socket:"))

BEFORE = sockets()

def test_fails_in_the_middle(pulsing_cluster):
    async def main():
        async with pulsing_cluster(3) as cluster:
            await cluster[0].system.spawn(Counter, name="counter")
            cluster.partition([0], [1, 2])
            cluster.freeze(1)
            asyncio.create_task(asyncio.sleep(60))
            assert False, "on purpose"
    asyncio.run(main())

def test_fails_with_a_system(pulsing_system):
    async def main():
        async with pulsing_system("127.0.0.1:0") as system:
            await system.spawn(Counter, name="lonely")
            assert False, "on purpose"
    asyncio.run(main())

def test_nothing_is_left(pulsing_system):
    assert not pul.is_initialized()
    assert [each for each in threading.enumerate() if each.name.startswith("pulsing")] == []
    assert sockets() == BEFORE
    async def main():
        async with pulsing_system() as system:
            assert await (await system.spawn(Counter)).incr() == 1
    asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sockets are not to be listed here")
def test_failing_tests_leave_nothing_behind_for_the_next(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, LEFTOVERS)
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    assert re.search(r"actor actors/lonely \(\S+\.Counter\) \w+: 0 queued, 0 running", done.stdout)


def test_a_failed_test_shows_actors_mailboxes_and_the_last_events(tmp_path: Path) -> None:
    source = """
@pul.remote
class Slow:
    async def work(self):
        await asyncio.Event().wait()

async def hurt(cluster):
    slow = await cluster[0].system.spawn(Slow, name="slow")
    for _ in range(3):
        slow.work.tell()
    await asyncio.sleep(0.05)
    assert False, "on purpose"

def test_fails(pulsing_cluster):
    async def main():
        async with pulsing_cluster(2) as cluster:
            await hurt(cluster)
    asyncio.run(main())
"""
    done = run_pytest(tmp_path, source)
    assert "1 failed" in done.stdout
    line = r"actor actors/slow \(\S+\.Slow\) \w+: (\d+) queued, (\d+) running"
    found = re.search(line, done.stdout)
    assert found, done.stdout
    assert int(found[1]) + int(found[2]) == 3
    assert re.search(r"\d+\.\d{3}  node-1 Alive \(incarnation 0\)", done.stdout)


def test_a_cluster_of_processes_shows_its_actors_too(tmp_path: Path) -> None:
    source = """
def test_fails(pulsing_cluster):
    async def main():
        async with pulsing_cluster(1, processes=True) as cluster:
            assert False, "on purpose"
    asyncio.run(main())
"""
    done = run_pytest(tmp_path, source)
    assert "ProcessCluster of 1 nodes" in done.stdout
    assert "actor testing/observer (pulsing.testing.observer.Observer)" in done.stdout


def test_a_cluster_in_a_fixture_is_shown_when_its_test_fails(tmp_path: Path) -> None:
    if importlib.util.find_spec("pytest_asyncio") is None:
        pytest.skip("pytest_asyncio is not installed")
    source = """
import pytest_asyncio

@pytest_asyncio.fixture
async def cluster(pulsing_cluster):
    async with pulsing_cluster(2) as cluster:
        yield cluster

@pytest.mark.asyncio
async def test_fails(cluster):
    assert len(cluster) == 3

@pytest.mark.asyncio
async def test_passes(cluster):
    assert len(cluster) == 2
"""
    done = run_pytest(tmp_path, source, *PYTEST_ASYNCIO, "--asyncio-mode=strict")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert len(re.findall(r"-+ pulsing cluster -+", done.stdout)) == 1
    assert "LocalCluster of 2 nodes" in done.stdout


VIRTUAL = """
import random
from pulsing import chance
from pulsing.testing import run_virtual, virtual_time

@virtual_time()
async def test_virtual():
    print("decorated", asyncio.get_running_loop().seed, chance.token_hex(8))

def test_run():
    run_virtual(test_virtual.__wrapped__)

@virtual_time(seed=5)
async def test_pinned():
    print("pinned", asyncio.get_running_loop().seed)
"""


def test_the_seed_decides_what_happens_in_virtual_time(tmp_path: Path) -> None:
    def said(*options: str) -> list[str]:
        done = run_pytest(tmp_path, VIRTUAL, "-s", "-p", "no:randomly", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"(?:decorated|pinned) .*\w", done.stdout)

    plain, seeded = said(), said("--pulsing-seed", "42")
    assert seeded == said("--pulsing-seed", "42")
    assert plain == said("--pulsing-seed", "0")
    assert plain[0] != seeded[0]
    assert seeded[0].startswith("decorated 42 ")
    assert seeded[1] == seeded[0]
    assert seeded[2] == plain[2] == "pinned 5"


def test_a_trace_shows_every_event(tmp_path: Path) -> None:
    source = """
def test_fails(pulsing_cluster):
    async def main():
        async with pulsing_cluster(1) as cluster:
            for number in range(1, 13):
                await cluster.add()
                await cluster.converged()
                cluster.kill(number)
                await cluster.converged()
            assert False
    asyncio.run(main())
"""

    def events_of_the_first(*options: str) -> int:
        out = run_pytest(tmp_path, source, *options).stdout
        told = out[out.index("node-0 ") : out.index("\nnode-1 ")]
        return len(re.findall(r"\(incarnation \d+\)", told))

    assert events_of_the_first() == 20
    assert events_of_the_first("--pulsing-trace") >= 25


def test_tests_with_clusters_run_beside_each_other(tmp_path: Path) -> None:
    if importlib.util.find_spec("xdist") is None:
        pytest.skip("pytest-xdist is not installed")
    source = """
@pytest.mark.parametrize("number", range(8))
def test_it(number, pulsing_cluster, worker_id):
    async def main():
        async with pulsing_cluster(2) as cluster:
            counter = await cluster[0].system.spawn(Counter, name="counter")
            there = await cluster[1].system.resolve("counter", timeout=5)
            assert [await counter.incr(), await there.incr()] == [1, 2]
            assert len(await cluster[0].system.members()) == 2
            assert cluster.seed == 42
    asyncio.run(main())
"""
    options = ["-p", "xdist", "-n", "3", "--pulsing-seed", "42"]
    done = run_pytest(tmp_path, source, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout
    assert len(set(re.findall(r"\[gw(\d)\]", done.stdout))) > 1 or "3 workers" in done.stdout


def test_a_failed_test_tells_how_its_cluster_was_and_leaves_nothing(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, FAILING)
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    assert len(re.findall(r"-+ pulsing cluster -+", done.stdout)) == 1
    assert "node-0 Alive, node-1 Dead" in done.stdout
    assert re.search(r"LocalCluster of 2 nodes, seed \d+", done.stdout)


def test_the_seed_can_be_given_and_is_told(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, FAILING, "--pulsing-seed", "42", "--pulsing-trace")
    assert "LocalCluster of 2 nodes, seed 42" in done.stdout


def test_a_forgotten_task_fails_its_test(tmp_path: Path) -> None:
    source = """
def test_forgets(pulsing_cluster):
    async def main():
        async with pulsing_cluster(1):
            asyncio.get_running_loop().task = asyncio.create_task(asyncio.sleep(60), name="mine")
    asyncio.run(main())
"""
    done = run_pytest(tmp_path, source)
    assert done.returncode == 1
    assert "left behind after the test" in done.stdout
    assert "mine" in done.stdout


def test_the_plugin_does_not_import_pulsing_until_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['-q', '-p', 'pulsing.testing.plugin', '-p', 'no:cacheprovider'])\n"
        "heavy = [name for name in sys.modules if name.startswith('pulsing.')\n"
        "         and name.split('.')[1] not in ('_version', 'testing')]\n"
        "print('IMPORTED', heavy, 'pulsing.testing.cluster' in sys.modules)\n"
        "sys.exit(code)\n"
    )
    done = run_python(tmp_path, "-c", code)
    assert "IMPORTED [] False" in done.stdout, done.stdout + done.stderr
