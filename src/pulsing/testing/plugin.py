"""The pytest plugin: fixtures for tests of programs that use Pulsing.

The fixtures are synchronous and hand out what ``async with`` takes, so they work with every
plugin for asynchronous tests, and with ``asyncio.run``. Pulsing is imported when one is used.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pulsing.testing import reports

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from pulsing.actor.system import ActorSystem
    from pulsing.testing.node import NodeProcess


class StartNode(Protocol):
    """What the fixture `start_node` is: it starts one more node, as `NodeProcess` does."""

    def __call__(
        self,
        *,
        addr: str = ...,
        imports: Sequence[str] = ...,
        arguments: Sequence[str] = ...,
        environ: Mapping[str, str] | None = ...,
    ) -> NodeProcess:
        """Start it and wait until it is ready."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("pulsing")
    group.addoption(
        "--pulsing-seed",
        type=int,
        default=None,
        metavar="N",
        help="seed of whatever is left to chance where a test names none: faults in clusters "
        "(default: random, told on failure) and runs in virtual time (default: 0)",
    )
    group.addoption(
        "--pulsing-trace",
        action="store_true",
        help="show every change of membership when a test with a cluster fails",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let the options be known, to the processes of pytest-xdist as well."""
    before = reports.OPTIONS.seed, reports.OPTIONS.trace
    reports.OPTIONS.seed = config.getoption("--pulsing-seed")
    reports.OPTIONS.trace = bool(config.getoption("--pulsing-trace"))

    def restore() -> None:
        reports.OPTIONS.seed, reports.OPTIONS.trace = before

    config.add_cleanup(restore)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test how its clusters and systems were."""
    report = yield
    if report.failed:
        report.sections += [("pulsing cluster", text) for text in reports.take()]
    reports.FAILED.clear()
    return report


@pytest.fixture
def start_node() -> Iterator[StartNode]:
    """Starts nodes in processes of their own; at the end each is stopped and must exit 0.

    ``node = start_node(imports=["examples.counter"])``, then call ``actor://{node.addr}/counter``.
    """
    from pulsing.testing.node import NodeProcess

    with ExitStack() as stack:

        def start(
            *,
            addr: str = "127.0.0.1:0",
            imports: Sequence[str] = (),
            arguments: Sequence[str] = (),
            environ: Mapping[str, str] | None = None,
        ) -> NodeProcess:
            node = NodeProcess(addr=addr, imports=imports, arguments=arguments, environ=environ)
            return stack.enter_context(node)

        yield start


@pytest.fixture
def pulsing_system() -> Callable[..., AbstractAsyncContextManager[ActorSystem]]:
    """Makes the node of this process for the time of an ``async with``.

    It is `pulsing.testing.pulsing_system`, with the same arguments.
    """
    from pulsing.testing.system import pulsing_system

    return pulsing_system


@pytest.fixture
def pulsing_cluster() -> Callable[..., Any]:
    """Makes a cluster of so many nodes for the time of an ``async with``.

    It is `pulsing.testing.pulsing_cluster`, with the same arguments.
    """
    from pulsing.testing.system import pulsing_cluster

    return pulsing_cluster
