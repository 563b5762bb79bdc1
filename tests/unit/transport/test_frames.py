from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsing.transport.frames import (
    FRAME_HEADER_BYTES,
    ErrorCode,
    Setting,
    frame_header,
    unpack_frame_header,
)
from tests.unit.transport.feeding import read_frames


@given(
    st.integers(0, (1 << 24) - 1),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, (1 << 31) - 1),
)
def test_a_frame_header_reads_back_as_it_was_written(
    length: int, kind: int, flags: int, stream: int
) -> None:
    header = frame_header(length, kind, flags, stream)
    assert len(header) == FRAME_HEADER_BYTES
    high, low, *rest = unpack_frame_header(b"??" + header, 2)
    assert [high << 8 | low, *rest] == [length, kind, flags, stream]


def test_the_layout_is_that_of_rfc_9113_section_4_1() -> None:
    assert frame_header(0x012345, 6, 1, 0x89ABCD) == bytes.fromhex("012345 06 01 0089abcd")
    (frame,) = read_frames(frame_header(3, 0, 1, 5) + b"abc")
    assert (frame.kind, frame.flags, frame.stream, frame.payload) == (0, 1, 5, b"abc")
    assert frame.ends


@pytest.mark.parametrize(
    ("code", "number"),
    [("NO_ERROR", 0), ("REFUSED_STREAM", 7), ("ENHANCE_YOUR_CALM", 11), ("HTTP_1_1_REQUIRED", 13)],
)
def test_error_codes_have_the_numbers_of_section_7(code: str, number: int) -> None:
    assert ErrorCode[code] == number


def test_private_settings_are_outside_what_iana_gave_away() -> None:
    assert [setting for setting in Setting if setting > 0x6] == list(Setting)[6:]
    assert all(0xF000 <= setting <= 0xFFFF for setting in list(Setting)[6:])
