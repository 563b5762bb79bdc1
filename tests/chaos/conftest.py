"""Long runs: only with ``--chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--chaos"):
        skip = pytest.mark.skip(reason="takes minutes; run it with --chaos")
        for item in items:
            if _HERE in item.path.parents:
                item.add_marker(skip)
