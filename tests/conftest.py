"""How tests run here: an ``async def`` test runs on every loop and must leave nothing behind.

No plugin for asyncio is needed: a coroutine function is a test of its own, run once on plain
asyncio and once on uvloop; ``@pytest.mark.one_loop`` limits it to plain asyncio. Fixtures are
ordinary ones.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pulsing.testing import assert_nothing_left

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    LoopFactory = Callable[[], asyncio.AbstractEventLoop]


if not any(each.name == "pulsing" for each in entry_points(group="pytest11")):
    pytest_plugins = ["pulsing.testing.plugin"]  # running from source, not installed

if relative := os.environ.get("PYTHONPATH"):  # nodes under test run in other directories
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, relative.split(os.pathsep)))

LOOPS: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos", action="store_true", help="also run the long tests in tests/chaos")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes an event loop of the kind this run of the test is for."""
    return LOOPS[getattr(request, "param", "asyncio")]


def pytest_pycollect_makeitem(name: str, obj: object) -> None:
    if name.startswith("test") and inspect.iscoroutinefunction(obj):
        pytest.mark.usefixtures("loop_factory")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loop_factory" in metafunc.fixturenames:
        one_loop = metafunc.definition.get_closest_marker("one_loop")
        kinds = ["asyncio"] if one_loop else list(LOOPS)
        metafunc.parametrize("loop_factory", kinds, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    with asyncio.Runner(loop_factory=pyfuncitem.funcargs["loop_factory"]) as runner:
        runner.run(_checked(pyfuncitem.obj(**arguments)))
    return True


async def _checked(test: Coroutine[Any, Any, object]) -> None:
    await test
    await assert_nothing_left()
