"""The pytest plugin: fixtures for tests of programs that use Pulsing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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
