"""Node processes that the tests of one file share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulsing.testing import NodeProcess


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    """A node that hosts a lab and an echo, for all tests of a file."""
    with nodes.start() as process:
        yield process
