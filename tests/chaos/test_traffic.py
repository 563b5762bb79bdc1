"""Eight senders, eight receivers, four processes that are killed: nothing twice, nothing swapped.

``TRAFFIC_MESSAGES`` says how many messages; the small form of it runs in every suite
(`tests.integration.test_traffic`).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.test_traffic import run, storm


@pytest.mark.timeout(3600)
@pytest.mark.one_loop
async def test_a_million_messages_under_kills(tmp_path: Path) -> None:
    messages = int(os.environ.get("TRAFFIC_MESSAGES", "1000000"))
    found = await run(tmp_path, messages=messages, kill_every_s=2.0, failures=0.0005)
    print(found)  # noqa: T201 - the figures of the run
    assert found.handled >= messages * 0.9


@pytest.mark.timeout(1800)
async def test_of_a_hundred_thousand_messages_none_is_lost_without_a_word() -> None:
    await storm(100_000)
