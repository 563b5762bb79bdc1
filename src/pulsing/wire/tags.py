"""Extension codes, and tagged containers.

A leaf (a date, a big integer) is one msgpack extension, see ``scalars``. Everything that holds
other values is a map of one entry whose key is an extension and whose value is a plain list or
map: ``{TUPLE: [1, 2]}``. So the whole message stays one msgpack value, nothing is packed twice,
and its depth is visible from outside. The unpacker turns the key into a ``Tag`` and, when the
map is complete, lets the tag build the value.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final, cast

from pulsing.errors import WireError
from pulsing.wire import _msgpack
from pulsing.wire._msgpack import Ext

# Extension codes. Below 0 they belong to msgpack (-1, its timestamp, is read as a datetime).
BIG_INT: Final = 1
BYTEARRAY: Final = 2
BUFFER: Final = 3
COMPLEX: Final = 4
DATETIME: Final = 5
DATE: Final = 6
TIME: Final = 7
TIMEDELTA: Final = 8
TIMEZONE: Final = 9
DECIMAL: Final = 10
UUID: Final = 11
PATH: Final = 12
STREAM: Final = 13
BUILTIN: Final = 14
"""A tag; its data is the name of a container of this package, such as ``t`` for tuple."""
TYPE: Final = 15
"""A tag; its data names a class, see ``kinds``."""

# What a BUFFER becomes at the receiver: the first octet of its data, before its index.
AS_BYTES: Final = 0
AS_BYTEARRAY: Final = 1
AS_VIEW: Final = 2


class Tag:
    """The key of a tagged container while it is unpacked: what builds the value."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[[object], object]) -> None:
        self.build = build


def expect_list(packed: object, length: int | None = None) -> list[Any]:
    """The content of a tagged container, which must be a list (of this length)."""
    if type(packed) is not list:
        raise WireError(f"a tagged container holds {type(packed).__name__} instead of a list")
    items = cast("list[Any]", cast(object, packed))
    if length is not None and len(items) != length:
        raise WireError(f"a tagged container holds {len(items)} values instead of {length}")
    return items


def expect_names(packed: object) -> dict[str, Any]:
    """Attributes by name: a map whose keys are text."""
    if type(packed) is not dict or not all(type(key) is str for key in cast(Any, packed)):
        raise WireError("attributes arrived that are not a map of names")
    return cast("dict[str, Any]", cast(object, packed))


def _build_tuple(packed: object) -> object:
    return tuple(expect_list(packed))


def _build_set(packed: object) -> object:
    return _unique(set(expect_list(packed)), packed)


def _build_frozenset(packed: object) -> object:
    return _unique(frozenset(expect_list(packed)), packed)


def _unique(made: set[Any] | frozenset[Any], packed: object) -> object:
    if len(made) != len(expect_list(packed)):
        raise WireError("a set holds the same value twice")
    return made


def _build_range(packed: object) -> object:
    return range(*_whole_numbers(packed))


def _build_slice(packed: object) -> object:
    return slice(*expect_list(packed, 3))


def _whole_numbers(packed: object) -> list[int]:
    numbers = expect_list(packed, 3)
    if not all(type(number) is int for number in numbers):
        raise WireError("the bounds of a range are not integers")
    return cast("list[int]", numbers)


def _build_deque(packed: object) -> object:
    items, maxlen = expect_list(packed, 2)
    return deque(expect_list(items), maxlen)


def _build_ordered(packed: object) -> object:
    if type(packed) is not dict:
        raise WireError(f"an OrderedDict holds {type(packed).__name__} instead of a map")
    return OrderedDict(cast("dict[object, object]", packed))


def _split_range(value: range) -> list[int]:
    return [value.start, value.stop, value.step]


def _split_slice(value: slice[Any, Any, Any]) -> list[object]:
    return [value.start, value.stop, value.step]


def _split_deque(value: deque[Any]) -> list[object]:
    return [list(value), value.maxlen]


def builtin_tag(name: bytes) -> Ext:
    """The key of a tagged container of this package."""
    return _msgpack.ext(BUILTIN, name)


SPLITTERS: Final[dict[type, tuple[Ext, Callable[[Any], Any]]]] = {
    tuple: (builtin_tag(b"t"), list),
    set: (builtin_tag(b"s"), list),
    frozenset: (builtin_tag(b"f"), list),
    range: (builtin_tag(b"r"), _split_range),
    slice: (builtin_tag(b"i"), _split_slice),
    deque: (builtin_tag(b"q"), _split_deque),
    OrderedDict: (builtin_tag(b"o"), dict),
}
"""Class -> its tag, and what makes a list or dict of an instance."""

BUILDERS: Final[dict[bytes, Callable[[object], object]]] = {
    b"t": _build_tuple,
    b"s": _build_set,
    b"f": _build_frozenset,
    b"r": _build_range,
    b"i": _build_slice,
    b"q": _build_deque,
    b"o": _build_ordered,
}
"""Name of a tag -> what makes the value of its content. Must be equal to what was split."""
