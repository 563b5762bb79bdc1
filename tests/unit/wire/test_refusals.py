"""What does not travel is refused at the sender, with the type, the path and the ways out."""

from __future__ import annotations

import collections
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from pulsing.errors import MessageTooLarge, WireError
from pulsing.wire import CALL, Codec, StreamSlot, UnsupportedType, WireLimits, body_size

CODEC = Codec()


class Plain:
    pass


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


@dataclass
class Model:
    weights: Any


class Trap:
    def __reduce__(self) -> Any:
        raise AssertionError("__reduce__ ran")

    __getstate__ = __reduce__


@pytest.mark.parametrize(
    "value",
    [
        Plain(), lambda: 1, print, Text("x"), Whole(5), type, Plain, sys, object(), ...,
        collections.defaultdict(list), collections.UserDict(), iter([]), (n for n in ()), Trap(),
        type("Bytes", (bytes,), {})(b"x"), type("List", (list,), {})(), type("Dict", (dict,), {})(),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_types_are_refused_with_the_ways_out(value: Any) -> None:
    with pytest.raises(UnsupportedType) as caught:
        CODEC.encode({"deep": [1, (value,)]})
    message = str(caught.value)
    assert caught.value.path == "value['deep'][1][0]"
    assert caught.value.type_name in message
    assert type(value).__name__ in caught.value.type_name
    for way in ("dataclass", "pulsing.wire.register", "passphrase", "allow_pickle=True"):
        assert way in message


def test_an_open_file_is_refused(tmp_path: Any) -> None:
    with (tmp_path / "f").open("w") as file, pytest.raises(UnsupportedType, match="TextIOWrapper"):
        CODEC.encode([file])


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ([1, None, None, {"model": Model([1, Plain()])}], "args[0]['model'].weights[1]"),
        ([1, {"size": Plain()}, None], "kwargs['size']"),
        ([1, None, {"trace": Plain()}], "meta['trace']"),
        ([1, None, None, 0, "\ud800"], "args[1]"),
        ([1, None, None, {"\udfff": 1}], "args[0].keys()['\\udfff']"),
        ([1, None, None, {Plain: 1}], f"args[0].keys()[{Plain!r}]"),
        ([1, None, None, ValueError(Plain())], "args[0].args[0]"),
        ([1, None, None, bytes(50_000), bytearray(9), [Plain()]], "args[2][0]"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_the_path_to_the_bad_value_is_named(call: Any, path: str) -> None:
    with pytest.raises(UnsupportedType) as caught:
        CODEC.encode(call, root=CALL)
    assert caught.value.path == path
    assert f"cannot encode {path}" in str(caught.value).encode("utf-8", "replace").decode() or (
        "\\ud" in path
    )


def test_a_value_whose_repr_fails_is_still_refused_properly() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ZeroDivisionError

        def __hash__(self) -> int:
            return 1

    with pytest.raises(UnsupportedType, match="whose repr raised"):
        CODEC.encode({Bad(): 1})


def test_values_that_contain_themselves_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    table: dict[str, Any] = {}
    table["x"] = (table, bytearray(1))
    twice: list[Any] = []
    for _ in range(80):
        twice = [twice, twice]
    for value in (loop, [loop], table, (loop,), twice):
        with pytest.raises(WireError, match=r"nests|holds more"):
            CODEC.encode(value)


def test_a_refusal_leaves_the_codec_as_it_was() -> None:
    for bad in ([bytes(50_000), Plain()], [bytearray(50_000), "\ud800"], ((Plain(),),)):
        with pytest.raises(WireError):
            CODEC.encode(bad)
        assert CODEC.decode(CODEC.encode([(1,), "x"])) == [(1,), "x"]


def test_a_message_over_the_limit_is_refused_before_it_is_sent() -> None:
    limit = 100_000
    codec = Codec(limits=WireLimits(max_message_bytes=limit))
    overhead = body_size(codec.encode(bytes(90_000))) - 90_000
    assert body_size(codec.encode(bytes(limit - overhead))) == limit
    with pytest.raises(MessageTooLarge) as caught:
        codec.encode(bytes(limit - overhead + 1))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (limit + 1, limit)
    with pytest.raises(MessageTooLarge):
        codec.encode("x" * limit)
    assert codec.decode(codec.encode("x" * (limit - 5))) == "x" * (limit - 5)


class Ticks:
    def __aiter__(self) -> AsyncIterator[int]:
        return self  # type: ignore[return-value]


async def generate() -> AsyncIterator[int]:
    yield 1


def test_an_async_iterator_becomes_a_slot() -> None:
    for source in (Ticks(), generate()):
        streams: list[Any] = []
        body = CODEC.encode([1, None, {"x": (source,)}], streams)
        assert streams == [source]
        assert CODEC.decode(body) == [1, None, {"x": (StreamSlot(0),)}]
        assert repr(StreamSlot(0)) == "StreamSlot(0)"


def test_an_async_iterator_is_refused_where_there_is_no_call_and_a_second_one_everywhere() -> None:
    with pytest.raises(UnsupportedType, match="argument of a call"):
        CODEC.encode([Ticks()])
    with pytest.raises(WireError, match="one async iterator"):
        CODEC.encode([Ticks(), Ticks()], [])
    with pytest.raises(WireError):
        CODEC.encode(StreamSlot(0))
    slot = CODEC.encode(Ticks(), [])
    assert isinstance(slot, bytes)
    with pytest.raises(WireError, match="more than one stream"):
        CODEC.decode(b"\x92" + slot + slot)
    assert CODEC.decode(slot) == StreamSlot(0)


def test_pickle_is_the_last_resort_where_it_is_allowed() -> None:
    trusting = Codec(allow_pickle=True)
    body = trusting.encode([1, Plain(), {"t": Text("x")}, bytes(40_000)])
    assert isinstance(body, list)
    joined = bytearray(b"".join(body))
    back = trusting.decode(joined)
    assert (type(back[1]).__name__, back[2]["t"], back[3]) == ("Plain", "x", bytes(40_000))
    with pytest.raises(UnsupportedType, match="pickle"):
        CODEC.decode(joined)
    with pytest.raises(UnsupportedType, match="args\\[0\\]"):
        trusting.encode([1, None, None, lambda: 1], root=CALL)


def test_a_pickle_carries_its_large_buffers_out_of_band() -> None:
    import pickle

    class Holder:
        def __init__(self, data: bytearray) -> None:
            self.data = data

        def __reduce_ex__(self, protocol: Any) -> Any:
            return bytearray, (pickle.PickleBuffer(self.data),)

    trusting = Codec(allow_pickle=True)
    data = bytearray(b"\x07" * 100_000)
    body = trusting.encode([Holder(data)])
    assert isinstance(body, list)
    assert any(isinstance(part, memoryview) and part.nbytes == 100_000 for part in body)
    assert trusting.decode(bytearray(b"".join(body))) == [data]


def test_a_dataclass_of_a_function_travels_only_by_pickle_if_at_all() -> None:
    @dataclass
    class Local:
        x: int

    with pytest.raises(UnsupportedType):
        CODEC.encode(Local(1))
    with pytest.raises(UnsupportedType):
        Codec(allow_pickle=True).encode(Local(1))
