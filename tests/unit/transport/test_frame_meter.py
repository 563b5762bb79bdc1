from __future__ import annotations

from collections.abc import Iterable

import pytest

from pulsing.transport.frame_meter import BURST, REFILL_PER_S, FrameMeter
from pulsing.transport.frames import (
    CONTINUATION,
    DATA,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame_header,
)


def frame(kind: int, payload: bytes = b"") -> bytes:
    return frame_header(len(payload), kind, 0, 1) + payload


def rounds_until_refused(frames: bytes, limit: int, grain: int = 1 << 20) -> int:
    meter = FrameMeter(0.0)
    assert meter.feed(PREFACE, 0.0) is None
    for count in range(limit):
        for start in range(0, len(frames), grain):
            code = meter.feed(frames[start : start + grain], 0.0)
            if code is not None:
                assert code is ErrorCode.ENHANCE_YOUR_CALM
                return count
    return limit


@pytest.mark.parametrize("grain", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("flood", "at_most"),
    [
        ([frame(HEADERS, b"abc"), frame(RST_STREAM, bytes(4))], 1100),
        ([frame(PING, bytes(8))], 1100),
        ([frame(SETTINGS)], 1100),
        ([frame(CONTINUATION, b"x")], 1100),
        ([frame(DATA)], 2100),
        ([frame(PRIORITY, bytes(5))], 2100),
        ([frame(0x77, b"unknown")], 2100),
        ([frame(WINDOW_UPDATE, bytes(4))], 21_000),
        ([frame(HEADERS, b"abc")], 11_000),
    ],
)
def test_a_flood_ends_however_it_is_cut(flood: Iterable[bytes], at_most: int, grain: int) -> None:
    refused_after = rounds_until_refused(b"".join(flood), at_most, grain)
    assert 500 < refused_after < at_most


def test_data_is_free_because_flow_control_bounds_it() -> None:
    upload = frame(DATA, bytes(16_384))
    assert rounds_until_refused(upload, 5000) == 5000


def test_an_honest_client_is_never_refused() -> None:
    meter = FrameMeter(0.0)
    meter.feed(PREFACE, 0.0)
    requests = frame(HEADERS, b"abc") + frame(WINDOW_UPDATE, bytes(4))
    for tick in range(10_000):  # 1,000 requests a second for ten seconds
        assert meter.feed(requests, tick / 1000) is None


def test_what_was_spent_grows_back() -> None:
    meter = FrameMeter(0.0)
    meter.feed(PREFACE, 0.0)
    pings = frame(PING, bytes(8))
    while meter.feed(pings, 0.0) is None:
        pass
    assert meter.feed(pings, 20 / REFILL_PER_S * 2) is None
    assert meter.feed(pings * 1001, BURST) is not None  # the allowance has a ceiling


@pytest.mark.parametrize("length", [16_385, (1 << 24) - 1])
def test_a_frame_too_large_is_refused_at_its_header(length: int) -> None:
    meter = FrameMeter(0.0)
    header = frame_header(length, DATA, 0, 1)
    assert meter.feed(PREFACE + header[:8], 0.0) is None
    assert meter.feed(header[8:], 0.0) is ErrorCode.FRAME_SIZE_ERROR
