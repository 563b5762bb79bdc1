"""Whatever bytes arrive: a value or a WireError, and nothing runs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsing.errors import WireError
from pulsing.wire import Codec, UnsupportedType, tags
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
