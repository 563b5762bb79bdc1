"""Which values msgpack must not see, because it would copy them or forget their type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final, cast

from pulsing.errors import WireError
from pulsing.wire.limits import WireLimits

LOOK_INTO: Final[frozenset[type]] = frozenset({list, dict, bytes, bytearray, memoryview})
"""Types that msgpack packs itself but that may be, or hold, what it must not see."""

_values = cast("Callable[[Any], Iterable[Any]]", vars(dict)["values"])


def holds_no_buffers(level: list[Any], limits: WireLimits) -> bool:
    """Whether lists and dicts inside hold neither bytearrays nor large binary values.

    Looks at one level after the other, each in few passes, most of them in C.

    Raises:
        WireError: it nests too deep or holds too many values.
    """
    for _ in range(limits.max_depth):
        types = set(map(type, level))
        if bytearray in types or memoryview in types:
            return False
        if bytes in types and any(
            type(item) is bytes and len(item) >= limits.out_of_band_bytes for item in level
        ):
            return False
        inner: list[Any] = []
        if list in types:
            inner.extend(chain.from_iterable(_only(list, level, types)))
        if dict in types:
            inner.extend(chain.from_iterable(map(_values, _only(dict, level, types))))
        if not inner:
            return True
        if len(inner) > limits.item_limit:
            raise WireError(f"a message holds more than {limits.item_limit} values")
        level = inner
    raise WireError(f"a message nests deeper than {limits.max_depth} levels (or contains itself)")


def _only(kind: type, level: list[Any], types: set[type]) -> list[Any]:
    return level if len(types) == 1 else [item for item in level if type(item) is kind]


def flat(view: memoryview) -> memoryview:
    """The octets of any memoryview; a copy of them when they do not lie in a row."""
    return view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
