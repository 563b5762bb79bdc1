"""Log lines: their two formats, and the limit on what a peer can provoke."""

from __future__ import annotations

import io
import json
import logging

import pytest

from pulsing import logs


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "pulsing")
    return caplog


def configured(log_format: logs.LogFormat) -> tuple[io.StringIO, logging.Handler]:
    stream = io.StringIO()
    return stream, logs.configure(log_format, "DEBUG", stream=stream)


def test_json_lines_carry_the_extra_fields_and_stay_on_one_line() -> None:
    stream, handler = configured(logs.LogFormat.JSON)
    try:
        logging.getLogger("pulsing.x").warning("two\nlines %d", 7, extra={"peer": "a:1"})
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("pulsing.x").exception("failed")
    finally:
        logging.getLogger().removeHandler(handler)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert {key: first[key] for key in ("level", "logger", "message", "peer")} == {
        "level": "warning",
        "logger": "pulsing.x",
        "message": "two\nlines 7",
        "peer": "a:1",
    }
    assert "ValueError: odd" in second["exception"]


def test_configuring_again_replaces_the_first_handler_only() -> None:
    before = list(logging.getLogger().handlers)
    first, _ = configured(logs.LogFormat.TEXT)
    second, handler = configured(logs.LogFormat.TEXT)
    try:
        logging.getLogger("pulsing").info("once")
        assert not first.getvalue()
        assert second.getvalue().count("once") == 1
    finally:
        logging.getLogger().removeHandler(handler)
    assert logging.getLogger().handlers == before


def test_a_repeated_line_is_written_once_per_interval_with_the_number_of_the_rest(
    records: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    limited = logs.LimitedLogger(logging.getLogger("pulsing"), interval_s=10, now=lambda: now)
    assert limited.warning("flood a", "flood from %s", "a")
    for _ in range(5):
        assert not limited.warning("flood a", "flood from %s", "a")
    assert limited.warning("flood b", "flood from %s", "b")
    now = 10.0
    assert limited.error("flood a", "flood from %s", "a")
    assert records.messages == ["flood from a", "flood from b", "flood from a (5 more like it)"]


def test_made_up_keys_take_no_memory() -> None:
    limited = logs.LimitedLogger(logging.getLogger("pulsing.silent"), max_keys=3, now=lambda: 0.0)
    logging.getLogger("pulsing.silent").disabled = True
    for number in range(100):
        limited.warning(f"key {number}", "line")
    assert not limited.warning("key 99", "line"), "the newest are remembered"
    assert limited.warning("key 1", "line"), "the oldest are forgotten"
