"""Whatever bytes arrive: a value or a WireError, within bounds of memory, and nothing runs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsing.errors import MessageTooLarge, WireError
from pulsing.wire import Codec, UnsupportedType, WireLimits, tags
from pulsing.wire import limits as limits_module
from pulsing.wire.container import split
from pulsing.wire.failures import decode_failure

CODEC = Codec()
MIB = 1024 * 1024
FUZZ = settings(
    deadline=None, max_examples=400, suppress_health_check=list(HealthCheck), database=None
)

CONTENTS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 1 << 40),
        st.floats(),
        st.text(max_size=6),
        st.binary(max_size=9),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def value_or_wire_error(body: Any, codec: Codec = CODEC) -> None:
    with suppress(WireError):
        codec.decode(body)
    assert codec.decode(b"\x93\x01\x02\x03") == [1, 2, 3]
    assert codec.decode(CODEC.encode((1,))) == (1,)


@contextmanager
def peak_memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit, f"{peak / MIB:.1f} MiB"


# --- arbitrary bytes -----------------------------------------------------------------------------

SAMPLES = [
    CODEC.encode(value)
    for value in (
        [1, "x", None, {"a": (1, 2.5)}],
        {(1, 2): {3}, b"k": bytearray(2), "big": 1 << 80},
        [ValueError("x", 1), UnicodeDecodeError("utf-8", b"abc", 0, 1, "r")],
    )
]


@FUZZ
@given(st.binary(max_size=400))
def test_any_bytes_are_a_value_or_a_wire_error(body: bytes) -> None:
    value_or_wire_error(body)
    value_or_wire_error(b"\xc1\x01" + body)


@FUZZ
@given(
    st.integers(0, 20),
    st.binary(max_size=60),
    st.sampled_from([b"", b"\xc0", b"\x90", b"\x93\x01\x02\x03"]),
)
def test_any_extension_is_a_value_or_a_wire_error(code: int, data: bytes, content: bytes) -> None:
    extension = b"\xc7" + bytes([len(data), code]) + data
    value_or_wire_error(extension)
    value_or_wire_error(b"\x81" + extension + content)
    value_or_wire_error(b"\x91" + extension)


@FUZZ
@given(st.sampled_from("tsfriqoavTp"), CONTENTS)
def test_any_content_of_a_tag_is_a_value_or_a_wire_error(name: str, content: Any) -> None:
    packed = CODEC.encode(content)
    assert isinstance(packed, bytes)
    value_or_wire_error(b"\x81\xd4" + bytes([tags.BUILTIN]) + name.encode() + packed)


@FUZZ
@given(
    st.sampled_from("exndampr?"),
    st.sampled_from(
        ["builtins:OSError", "builtins:int", "enum:Enum", "os:system", "re:RegexFlag", ""]
    ),
    st.lists(st.text(max_size=4), max_size=3),
    CONTENTS,
)
def test_any_class_with_any_content_is_a_value_or_a_wire_error(
    letter: str, name: str, names: list[str], content: Any
) -> None:
    data = "\0".join([letter + name, *names]).encode()
    packed = CODEC.encode(content)
    assert isinstance(packed, bytes)
    value_or_wire_error(
        b"\x81\xc8" + len(data).to_bytes(2, "big") + bytes([tags.TYPE]) + data + packed
    )


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_truncation_and_every_changed_octet_is_a_value_or_a_wire_error(sample: bytes) -> None:
    for end in range(len(sample)):
        with pytest.raises(WireError):
            CODEC.decode(sample[:end])
    for at in range(len(sample)):
        for octet in (0x00, 0x81, 0x93, 0xC1, 0xC7, 0xD9, 0xDD, 0xDF, 0xFF, sample[at] ^ 1):
            value_or_wire_error(sample[:at] + bytes([octet]) + sample[at + 1 :])


def test_every_changed_octet_of_a_container_is_a_value_or_a_wire_error() -> None:
    sample = b"".join(CODEC.encode([bytes(20_000), (bytearray(17_000),)]))  # type: ignore[arg-type]
    head = len(sample) - 20_000 - 17_000
    for at in range(min(head, 200)):
        for octet in (0, 1, 0x7F, 0xC1, 0xFF):
            value_or_wire_error(bytearray(sample[:at] + bytes([octet]) + sample[at + 1 :]))
    for end in (*range(0, 300, 7), 20_100, len(sample) - 1):
        with pytest.raises(WireError):
            CODEC.decode(sample[:end])
    with pytest.raises(WireError, match="after its last buffer"):
        CODEC.decode(sample + b"x")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty"),
        (b"\x01\x02", "extra"),
        (b"\xc1", "FormatError"),
        (b"\x92\x01", "incomplete"),
        (b"\x82\xa1a\x01\xa1a\x02", "same key twice"),
        (b"\x82\x01\x01\xcb\x3f\xf0\0\0\0\0\0\0\x02", "same key twice"),
        (b"\x81\x90\x01", "unhashable"),
        (b"\x81\x80\x01", "unhashable"),
        (b"\xa1\xff", "Unicode"),
        (b"\xd4\x0et", "only key of a map"),
        (b"\x82\xd4\x0et\x90\x01\x01", "only key of a map"),
        (b"\x81\x01\xd4\x0et", "only key of a map"),
        (b"\x81\xd4\x0es\x92\x01\x01", "same value twice"),
        (b"\x81\xd4\x0et\x01", "instead of a list"),
        (b"\x81\xd4\x0ez\x90", "unknown code"),
        (b"\xd4\x63\x00", "unknown code"),
        (b"\xd4\xfe\x00", "unknown code"),
        (b"\xd4\xff\x00", "timestamp"),
        (b"\xc7\x0c\xff" + b"\xff" * 12, "nanoseconds"),
        (b"\xd7\xff\xff\xff\xff\xff\0\0\0\0", "not valid"),
        (b"\xc7\x05\x03\0\0\0\0\0", "buffer that is not there"),
    ],
)  # fmt: skip
def test_bad_bodies_are_wire_errors_that_say_why(body: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        CODEC.decode(body)
    assert CODEC.decode(b"\x01") == 1


def test_a_pickle_in_any_wrapping_is_refused_and_does_not_run(tmp_path: Any) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    payload = pickle.dumps(Evil(), 5)
    packed = CODEC.encode([payload, []])
    assert isinstance(packed, bytes)
    with pytest.raises(UnsupportedType, match="UnsupportedType: a pickled value"):
        CODEC.decode(b"\x81\xd4\x0ep" + packed)
    for code in range(-128, 128):
        extension = b"\xc7" + bytes([len(payload), code % 256]) + payload
        value_or_wire_error(extension)
    assert not (tmp_path / "ran").exists()


# --- bounds --------------------------------------------------------------------------------------


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
        with peak_memory_below(8 * limit):
            with suppress(WireError):
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
        value_or_wire_error(bad)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(500):
        value_or_wire_error(bad)
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


# --- nothing runs --------------------------------------------------------------------------------


def test_decoding_imports_nothing_and_runs_nothing() -> None:
    # In a process of its own, because an audit hook cannot be taken away.
    program = textwrap.dedent(
        """
        import decimal, pathlib, random, sys, uuid, zoneinfo
        from pulsing.errors import WireError
        from pulsing.wire import Codec, tags
        from pulsing.wire.failures import decode_failure

        codec = Codec()
        values = [1, (2,), {"a": 1 << 70}], ValueError("x"), decimal.Decimal(1)
        good = [codec.encode(value) for value in values]
        for body in good:
            codec.decode(body)
        random.seed(7)
        names = ["os:system", "antigravity:X", "subprocess:Popen", "builtins:eval", "this:x"]
        bodies = list(good)
        for letter in "exndampr":
            for name in names:
                data = (letter + name).encode()
                for content in (b"\\x90", b"\\x92\\x91\\xa2ls\\x80", b"\\xa2ls"):
                    bodies.append(b"\\x81\\xc7" + bytes([len(data), tags.TYPE]) + data + content)
        for _ in range(3000):
            body = bytearray(random.choice(bodies))
            for _ in range(random.randrange(4)):
                body[random.randrange(len(body))] = random.randrange(256)
            bodies.append(bytes(body))
        seen = []
        watching = False

        def hook(event, args):
            if watching and event in (
                "import", "exec", "compile", "pickle.find_class", "os.system", "subprocess.Popen",
                "open", "socket.connect", "ctypes.dlopen",
            ):
                seen.append((event, args[:1]))

        sys.addaudithook(hook)
        watching = True
        for body in bodies:
            try:
                codec.decode(body)
            except WireError:
                pass
            decode_failure(codec, body)
        watching = False
        print(len(bodies), seen[:5])
        sys.exit(bool(seen))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes_as_a_failure_give_an_exception(body: bytes) -> None:
    assert isinstance(decode_failure(CODEC, body), Exception)
