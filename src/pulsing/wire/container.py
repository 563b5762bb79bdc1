"""How a value lies in bytes: the two forms of a body.

**Plain**: one msgpack value, nothing else.

**Container**: a msgpack value with large binary values beside it, so that neither side copies them
through the packer. The first octet is 0xC1, the only one that no msgpack value starts with. All
numbers are unsigned, big-endian::

    offset   octets      content
    0        1           0xC1
    1        1           version of this layout: 1
    2        2           0
    4        4           n, the number of buffers, at least 1
    8        8           m, the length of the meta part
    16       8 * n       the length of each buffer
    16+8n    m           the meta part: one msgpack value (a plain body)
    then, for each buffer: zeros up to the next multiple of 64 octets from offset 0, the buffer

The body ends with the last buffer. Buffers start at multiples of 64 so that an array over the
received bytes is aligned as well as those bytes are. In the meta part an extension of code
``BUFFER`` stands where a buffer belongs; each buffer is used exactly once, or the body is refused:
a buffer named many times would multiply memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from pulsing.errors import WireError
from pulsing.wire._msgpack import Buffer
from pulsing.wire.limits import WireLimits

Body = bytes | list[bytes | bytearray | memoryview]
"""An encoded message: one piece, or parts to be sent in order without joining them.

The parts of a container refer to the memory of the values that were encoded: an array or a
bytearray must not change until its message was sent.
"""

CONTAINER: Final = 0xC1
_VERSION: Final = 1
_ALIGNMENT: Final = 64
_HEAD: Final = Struct(">BBHIQ")


def body_size(body: Body) -> int:
    """The length of an encoded message in bytes."""
    if isinstance(body, bytes):
        return len(body)
    return sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in body)


def join(meta: bytes, buffers: Sequence[memoryview]) -> list[bytes | bytearray | memoryview]:
    """The parts of a container. Buffers are flat views of octets; they are not copied."""
    lengths = [buffer.nbytes for buffer in buffers]
    head = _HEAD.pack(CONTAINER, _VERSION, 0, len(buffers), len(meta))
    table = b"".join(length.to_bytes(8, "big") for length in lengths)
    parts: list[bytes | bytearray | memoryview] = []
    before = b"".join((head, table, meta))
    size = len(before)
    for buffer in buffers:
        padding = -size % _ALIGNMENT
        if before or padding:
            parts.append(before + bytes(padding))
        parts.append(buffer)
        size += padding + buffer.nbytes
        before = b""
    return parts


def split(body: Buffer, limits: WireLimits) -> tuple[bytes, list[memoryview]]:
    """The meta part of a container, copied, and views of its buffers.

    Raises:
        WireError: the layout is not exactly the one above.
    """
    whole = memoryview(body).cast("B")
    size = whole.nbytes
    if size < _HEAD.size:
        raise WireError(f"a container of {size} bytes is shorter than its head")
    _, version, zero, count, meta_length = _HEAD.unpack_from(whole)
    if version != _VERSION or zero != 0:
        raise WireError(f"a container of layout {version} arrived; this node reads {_VERSION}")
    if not 1 <= count <= limits.max_buffers:
        raise WireError(f"a container of {count} buffers; 1 to {limits.max_buffers} are accepted")
    at = _HEAD.size + 8 * count
    if at + meta_length > size:
        raise WireError("a container ends before its meta part does")
    lengths = [int.from_bytes(whole[i : i + 8], "big") for i in range(_HEAD.size, at, 8)]
    meta = bytes(whole[at : at + meta_length])
    at += meta_length
    buffers: list[memoryview] = []
    for length in lengths:
        at += -at % _ALIGNMENT
        if at + length > size:
            raise WireError("a container ends before its buffers do")
        buffers.append(whole[at : at + length])
        at += length
    if at != size:
        raise WireError(f"a container has {size - at} bytes after its last buffer")
    return meta, buffers
