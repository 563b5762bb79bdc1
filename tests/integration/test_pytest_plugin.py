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
