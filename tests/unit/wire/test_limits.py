"""What arrives is bounded in size, depth and number before memory is taken for it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from pulsing.errors import MessageTooLarge, WireError
from pulsing.wire import Codec, WireLimits
from pulsing.wire import limits as limits_module
from pulsing.wire.container import split

CODEC = Codec()
MIB = 1024 * 1024


@contextmanager
def peak_memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit, f"{peak / MIB:.1f} MiB"


def refuse(body: bytes) -> None:
    with pytest.raises(WireError):
        CODEC.decode(body)


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_a_length_of_four_gib_takes_no_memory(header: bytes) -> None:
    for body in (
        header + b"\xff\xff\xff\xff",
        header + b"\xff\xff\xff\xff" + bytes(MIB),
        (header + b"\xff\xff\xff\xff") * 90,
        b"\x91" * 90 + header + b"\xff\xff\xff\xff" + bytes(200),
    ):
        with peak_memory_below(8 * MIB), pytest.raises(WireError):
            CODEC.decode(body)


def test_nested_lengths_that_promise_the_whole_body_take_no_memory() -> None:
    # Each of 90 arrays claims as many items as the body has bytes: 90 x 8 x 4 MiB if believed.
    size = 4 * MIB
    for head in (b"\xdd" + (size - 1000).to_bytes(4, "big"), b"\xdc\xff\xff"):
        body = (head * 90).ljust(size, b"\x01")
        with peak_memory_below(3 * size), pytest.raises(WireError):
            CODEC.decode(body)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\x81\xd4\x0et\x91"])
def test_nesting_is_bounded(opening: bytes) -> None:
    levels = opening.count(b"\x91") + opening.count(b"\x81") + opening.count(b"\xdc")
    for depth in (33, 50 if levels == 2 else 100):
        CODEC.decode(opening * depth + b"\xc0")
    for depth in (101, 511, 1025, 10_000, 1_000_000):
        with peak_memory_below(16 * MIB), pytest.raises(WireError, match="nests deeper than 100"):
            CODEC.decode(opening * depth + b"\xc0")


def test_the_depth_limit_is_exact_for_bodies_of_every_size() -> None:
    for padding in (
        b"",
        b"\x91" * 0 + b"\xc4\xff" + b"\x91" * 255,
        b"\xc5\x40\x00" + b"\x81" * 16_384,
    ):
        for depth, fits in ((99, True), (100, False)):
            inner = b"\x91" * depth + b"\xc0"
            body = b"\x92" + padding + inner if padding else b"\x91" + inner
            if fits:
                CODEC.decode(body)
            else:
                with pytest.raises(WireError, match="nests deeper"):
                    CODEC.decode(body)


def test_many_values_are_bounded() -> None:
    body = b"\xdd" + (10 * MIB).to_bytes(4, "big") + b"\x80" * (10 * MIB)
    with peak_memory_below(40 * MIB), pytest.raises(WireError, match="more than 4000000 values"):
        CODEC.decode(body)


@pytest.mark.parametrize(
    "item", [b"\x80", b"\x90", b"\xa2ab", b"\xcd\x10\x00", b"\x81\x01\x01", b"\x81\xd4\x0es\x90"]
)
def test_the_memory_of_a_message_stays_below_eight_times_the_limit(item: bytes) -> None:
    limit = MIB
    codec = Codec(limits=WireLimits(max_message_bytes=limit))
    for count in (
        limit // 16 // item.count(b"\x81") if b"\x81" in item else limit // 16,
        limit // len(item) - 8,
    ):
        body = b"\xdd" + count.to_bytes(4, "big") + item * count
        with peak_memory_below(8 * limit), suppress(WireError):
            codec.decode(body)


def test_a_map_of_a_million_keys_is_decoded() -> None:
    keys = 1_000_000
    body = (
        b"\xdf"
        + keys.to_bytes(4, "big")
        + b"".join(b"\xce" + n.to_bytes(4, "big") + b"\x01" for n in range(keys))
    )
    assert len(CODEC.decode(body)) == keys


def test_values_are_counted_exactly() -> None:
    values: list[Any] = [
        1,
        -1,
        300,
        70_000,
        1 << 40,
        -200,
        -40_000,
        -(1 << 33),
        1.5,
        None,
        True,
        "x" * 5,
    ]
    values += [
        "x" * 31,
        "x" * 32,
        "x" * 300,
        "x" * 70_000,
        b"",
        b"x" * 300,
        b"x" * 70_000,
        (1, 2),
        {"k": [1] * 20},
    ]
    values += [1 << 70, bytearray(3), {n: n for n in range(20)}, [[]] * 70_000, list(range(1500))]
    body = CODEC.encode(values * 3)
    expected = 1 + sum(_items(value) for value in values * 3)
    if isinstance(body, list):
        body = split(b"".join(body), WireLimits())[0]
    assert limits_module._count_items(body, 10**9) == expected
    assert limits_module._count_items(body, 10) > 10


def _items(value: Any) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_items, value))
    if isinstance(value, tuple):
        return 1 + 1 + _items(list(value))
    if isinstance(value, dict):
        return 1 + sum(_items(key) + _items(item) for key, item in value.items())
    return 1


def test_a_message_over_the_limit_is_refused() -> None:
    codec = Codec(limits=WireLimits(max_message_bytes=1000))
    assert codec.decode(b"\xc5\x03\xe5" + bytes(997)) == bytes(997)
    with pytest.raises(MessageTooLarge) as caught:
        codec.decode(b"\xc5\x03\xe6" + bytes(998))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (1001, 1000)


def test_a_buffer_cannot_be_used_twice_to_multiply_memory() -> None:
    body = b"".join(CODEC.encode([bytes(MIB), 1]))  # type: ignore[arg-type]
    reference = b"\xc7\x05\x03\x00\x00\x00\x00\x00"
    assert reference in body
    meta = b"\xdc\x03\xe8" + reference * 1000
    head = body[:8] + len(meta).to_bytes(8, "big") + MIB.to_bytes(8, "big") + meta
    with peak_memory_below(3 * MIB), pytest.raises(WireError, match="used already"):
        CODEC.decode(head.ljust(-(-len(head) // 64) * 64, b"\0") + bytes(MIB))


def test_a_container_with_a_table_of_a_million_buffers_is_refused() -> None:
    many = b"\xc1\x01\0\0" + (10**6).to_bytes(4, "big") + bytes(2 * MIB)
    with peak_memory_below(MIB), pytest.raises(WireError, match="buffers"):
        CODEC.decode(many)
    huge = b"\xc1\x01\0\0\0\0\0\x01" + (1).to_bytes(8, "big") + b"\xff" * 8 + b"\xc0" + bytes(300)
    with peak_memory_below(MIB), pytest.raises(WireError):
        CODEC.decode(huge)


def test_failed_bodies_leak_no_memory() -> None:
    bad = b"\x91" * 50 + b"\x93\xa3abc\xdc\x01\x00" + b"\x01" * 30
    for _ in range(10):
        refuse(bad)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(500):
        refuse(bad)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000


@pytest.mark.parametrize("text", ["x", "\u4e2d", "\u00e9\u0301"])
def test_long_texts_are_checked_fast(text: str) -> None:
    body = CODEC.encode([text * 3_000_000])
    assert isinstance(body, bytes)
    start = time.perf_counter()
    limits_module.check_structure(body, WireLimits())
    assert time.perf_counter() - start < 0.5


def test_limits_are_checked_at_construction() -> None:
    for wrong in (
        {"max_depth": 0},
        {"max_depth": 10_000},
        {"max_message_bytes": 0},
        {"out_of_band_bytes": 1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            WireLimits(**wrong)
