"""msgpack with types: the only file of the project that imports it.

The C extension of msgpack is required. Two of its properties are relied upon and proven by tests:
``Unpacker.skip`` reads a body without building anything, and its stack is of a fixed size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import msgpack

Buffer = bytes | bytearray | memoryview
"""What a body may arrive in: one contiguous piece."""


class Ext(Protocol):
    """One extension value: a code from 0 to 127 and its data."""

    @property
    def code(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class _Skipper(Protocol):
    def feed(self, data: Buffer, /) -> None: ...
    def skip(self) -> None: ...


_module = cast(Any, msgpack)

StackError = cast(type[ValueError], _module.exceptions.StackError)
OutOfData = cast(type[Exception], _module.exceptions.OutOfData)


def ext(code: int, data: bytes) -> Ext:
    """An extension value that the packer writes as it is."""
    return cast(Ext, _module.ExtType(code, data))


def new_packer(default: Callable[[Any], object]) -> Callable[[object], bytes]:
    """A function that packs one value; ``default`` gets what msgpack does not know exactly."""
    packer = _module.Packer(strict_types=True, default=default)
    return cast(Callable[[object], bytes], packer.pack)


unpackb: Callable[..., object] = _module.unpackb
"""One value from a body of exactly one value. Raises anything; the decoder translates."""


def new_skipper(size_bytes: int) -> _Skipper:
    """A reader for up to ``size_bytes`` that can skip values without building them."""
    size = max(size_bytes, 1)
    return cast(_Skipper, _module.Unpacker(max_buffer_size=size, read_size=size))
