"""Every value of DESIGN 8 comes back equal and of the same type, however it is nested."""

from __future__ import annotations

import collections
import math
import pathlib
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsing.wire import Codec, body_size

CODEC = Codec()
RELAXED = settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow], database=None
)

ZONES = [UTC, timezone(timedelta(hours=-3, minutes=-30)), timezone(timedelta(seconds=5), "odd one")]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 200), max_value=1 << 200),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(max_size=100),
    st.datetimes(timezones=st.none() | st.sampled_from(ZONES)),
    st.dates(),
    st.times(timezones=st.none() | st.sampled_from(ZONES)),
    st.timedeltas(),
    st.sampled_from(ZONES),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.builds(range, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 9)),
)
KEYS = LEAVES.filter(lambda key: not isinstance(key, range)) | st.tuples(LEAVES, LEAVES)
VALUES = st.recursive(
    LEAVES | st.binary(max_size=50).map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.lists(inner, max_size=4).map(collections.deque),
    ),
    max_leaves=25,
)


def through(value: Any, codec: Codec = CODEC) -> Any:
    body = codec.encode(value)
    return codec.decode(body if isinstance(body, bytes) else bytearray(b"".join(body)))


def shape(value: Any) -> Any:
    """A value with its types spelled out, for 1, 1.0, True and (1,), [1] compare too easily."""
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | collections.deque):
        return type(value), [shape(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(shape(item)) for item in value)
    return type(value), repr(value)


@RELAXED
@given(VALUES)
def test_a_nested_value_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    assert shape(through(value)) == shape(value)


@RELAXED
@given(VALUES, st.integers(0, 40_000))
def test_large_binary_values_anywhere_do_not_disturb_the_rest(value: Any, size: int) -> None:
    message = {"big": bytes(size), "also": [bytearray(size), (value, bytes(size))], "value": value}
    assert shape(through(message)) == shape(message)


@pytest.mark.parametrize(
    "value",
    [
        2**63, -(2**63) - 1, 2**64 - 1, 2**64, -(2**64), 1 << 5000,
        float("inf"), float("-inf"), -0.0, 5e-324, complex(1, -0.0),
        "", "\0", "naïve \U0001f600", b"", b"\xc1",
        slice(1, None, (2,)), range(10**20, 10**21, 3),
        datetime(1, 1, 1), datetime.max, datetime(2024, 10, 27, 2, 30, fold=1),  # noqa: DTZ001, DTZ901
        datetime(2024, 7, 1, 12, tzinfo=UTC), time(23, 59, 59, 999_999, fold=1), date.min,
        timedelta.max, timedelta.min, timezone(timedelta(0)), timezone.min, timezone.max,
        Decimal("1.10"), Decimal("-0"), Decimal("inf"), Decimal("1E+1000"), uuid4(), UUID(int=0),
        pathlib.PurePosixPath("/a/b c"), pathlib.PureWindowsPath("C:\\x"), pathlib.Path("x/y"),
        collections.deque([1, 2], maxlen=5), collections.OrderedDict([("b", 1), ("a", 2)]),
        {None: 1, 2.5: 2, b"k": 3, (1, (2, "x")): 4, frozenset({1}): 5, -1: 6},
        {}, [], (), set(), frozenset(), ((),), [[]], {"a": {}}, {"only": 1}, {("only",): 1},
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_corner_values_come_back(value: Any) -> None:
    assert shape(through(value)) == shape(value)


def test_nan_comes_back_as_value_and_as_key() -> None:
    assert math.isnan(through(float("nan")))
    assert math.isnan(through(Decimal("nan")))
    (key,) = through({float("nan"): 1})
    assert math.isnan(key)


def test_a_zone_of_the_system_comes_back_by_its_name() -> None:
    try:
        berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("this system has no zone files")
    if not any(pathlib.Path(root, "Europe/Berlin").is_file() for root in zoneinfo.TZPATH):
        pytest.skip("this system has no zone files")
    then = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=berlin)
    back = through([then, berlin])
    assert back == [then, berlin]
    assert back[0].tzinfo is berlin
    assert back[0].utcoffset() == then.utcoffset()


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 100_000])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_binary_values_keep_their_type_at_every_size(kind: Any, size: int) -> None:
    value = kind(b"\xa5" * size)
    back = through([1, value, {"x": (value,)}])
    assert back == [1, value, {"x": (value,)}]
    assert type(back[1]) is kind
    assert type(back[2]["x"][0]) is kind


@pytest.mark.parametrize("size", [10, 50_000])
def test_a_memoryview_arrives_as_bytes_also_when_it_skips(size: int) -> None:
    source = bytes(range(256)) * (size // 128)
    for view in (memoryview(source), memoryview(source)[::2], memoryview(source).cast("H")):
        assert through((view,)) == (view.tobytes(),)


def test_large_buffers_are_not_copied_by_the_encoder() -> None:
    data = bytearray(1 << 20)
    body = CODEC.encode([1, {"deep": [data]}])
    assert isinstance(body, list)
    view = body[-1]
    assert isinstance(view, memoryview)
    data[-1] = 7
    assert view[-1] == 7
    assert body_size(body) == len(b"".join(body))


def test_a_message_of_many_large_buffers_comes_back() -> None:
    message = [bytes([n]) * (20_000 + n) for n in range(200)]
    assert through(message) == message


def test_the_same_object_twice_is_sent_twice() -> None:
    data = bytes(20_000)
    assert through([data, data]) == [data, data]


def test_encoding_does_not_change_the_value() -> None:
    message = {"x": [bytearray(5), bytes(50_000), {"y": (bytearray(1),)}]}
    CODEC.encode(message)
    assert message == {"x": [bytearray(5), bytes(50_000), {"y": (bytearray(1),)}]}


def test_a_body_is_plain_msgpack_unless_it_has_large_buffers() -> None:
    assert CODEC.encode([30_000, None, "x"]) == b"\x93\xcd\x75\x30\xc0\xa1x"
    assert CODEC.encode((1,)) == b"\x81\xd4\x0et\x91\x01"
