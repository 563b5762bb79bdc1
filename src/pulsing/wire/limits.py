"""What a message may cost, checked before memory is taken for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from pulsing.errors import MessageTooLarge, WireError
from pulsing.wire import _msgpack
from pulsing.wire._msgpack import Buffer

_BYTES_PER_ITEM: Final = 14
"""One value costs at most about 110 bytes in memory: an eighth of that per byte of the limit."""
_LEAST_ITEMS: Final = 65_536
SMALL_BODY: Final = 4096
"""Up to this size no count or length in a body can cost more than a few MiB."""
_LARGEST_DEPTH: Final = 500
_LEAST_OUT_OF_BAND: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """Bounds of one message, the same for both directions.

    Attributes:
        max_message_bytes: size of a whole message, out-of-band buffers included. Default 512 MiB.
            A node may hold this much for each stream whose message is arriving.
        max_depth: containers inside containers. Default 100. A tuple, a set, a dataclass and the
            like count twice, for they are a tagged container on the wire.
        max_items: values in one message: elements, keys and values, at every level. Default 4
            million, and never more than a 14th of ``max_message_bytes`` (or 65,536), which keeps
            the memory of a decoded message below 8 x ``max_message_bytes``. Large numeric data
            belongs in arrays, which count as one value.
        max_buffers: out-of-band buffers in one message. Default 65,536.
        out_of_band_bytes: binary values from this size on travel out of band. Default 16 KiB;
            lower costs more and smaller writes, higher costs copies.
    """

    max_message_bytes: int = 512 * 1024 * 1024
    max_depth: int = 100
    max_items: int = 4_000_000
    max_buffers: int = 65_536
    out_of_band_bytes: int = 16 * 1024

    def __post_init__(self) -> None:
        if not 1 <= self.max_depth <= _LARGEST_DEPTH:
            raise ValueError(f"max_depth is {self.max_depth}; 1 to {_LARGEST_DEPTH} are possible")
        least = {"max_message_bytes": 1, "max_items": 1, "max_buffers": 1}
        for name, smallest in {**least, "out_of_band_bytes": _LEAST_OUT_OF_BAND}.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; {smallest} is the least")

    @property
    def item_limit(self) -> int:
        """``max_items``, lowered to what ``max_message_bytes`` pays for."""
        paid = max(self.max_message_bytes // _BYTES_PER_ITEM, _LEAST_ITEMS)
        return min(self.max_items, paid)

    @property
    def unchecked_bytes(self) -> int:
        """A body up to this size keeps every limit, whatever is in it, and is no container."""
        return min(self.max_depth, self.max_message_bytes, self.max_items, _LEAST_OUT_OF_BAND)

    @property
    def small_bytes(self) -> int:
        """A body up to this size may only nest too deep."""
        return min(SMALL_BODY, self.max_message_bytes, self.max_items)


def check_size(size_bytes: int, limits: WireLimits) -> None:
    """Refuse a message that is larger than the limit. Raises MessageTooLarge."""
    if size_bytes > limits.max_message_bytes:
        raise MessageTooLarge(size_bytes, limits.max_message_bytes)


# A body that passes has no length field that promises more than the body holds, so the lists that
# msgpack allocates ahead take 8 bytes per byte of the body at most, and no more values than the
# limit. Each step is a bound that costs less than the exact answer of the next one.

CONTAINER_OCTETS: Final = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
"""First octets of arrays and maps. Others may look like them: they only bound the number."""


def check_structure(body: Buffer, limits: WireLimits) -> None:
    """Refuse a body that nests too deep, promises more than it holds or holds too many values.

    Raises:
        WireError: it does; nothing was built from it.
    """
    size = len(body)
    if size <= SMALL_BODY and size - len(bytes(body).translate(None, CONTAINER_OCTETS)) <= (
        limits.max_depth
    ):
        return
    _check_nesting(body, limits.max_depth)
    allowed = limits.item_limit
    if size > allowed and _count_items(body, allowed) > allowed:
        raise WireError(
            f"a message holds more than {allowed} values; send large data as arrays or bytes, "
            "in pieces (a stream), or raise max_items and max_message_bytes on both nodes"
        )


def _check_nesting(body: Buffer, max_depth: int) -> None:
    """Let msgpack skip over the body from as deep in its stack as leaves ``max_depth`` levels."""
    prefix = b"\x91" * (_stack_levels() - max_depth)
    skipper = _msgpack.new_skipper(len(prefix) + len(body))
    try:
        skipper.feed(prefix)
        skipper.feed(body)
        skipper.skip()
    except _msgpack.StackError:
        raise WireError(
            f"a message nests deeper than {max_depth} levels (or contains itself)"
        ) from None
    except _msgpack.OutOfData:
        raise WireError("a body ends in the middle of a value") from None
    except ValueError as error:
        raise WireError(f"a body is not valid msgpack: {error}") from error


@cache
def _stack_levels() -> int:
    """How many levels of containers the unpacker of msgpack can hold."""
    low, high = 1, 1 << 16
    while low < high:
        middle = (low + high + 1) // 2
        skipper = _msgpack.new_skipper(middle + 1)
        skipper.feed(b"\x91" * middle + b"\xc0")
        try:
            skipper.skip()
        except _msgpack.StackError:
            high = middle - 1
        else:
            low = middle
    return low


# Values of a known small size, in runs. Bounded, so the memory of a match is bounded too.
_SCALARS: Final = re.compile(
    rb"(?:[\x00-\x7f\xa0\xc0\xc2\xc3\xe0-\xff]|[\xcc\xd0].|[\xcd\xd1].{2}|[\xca\xce\xd2].{4}"
    rb"|[\xcb\xcf\xd3].{8}|"
    + b"|".join(b"%c.{%d}" % (0xA0 + length, length) for length in range(1, 32))
    + b"){0,512}",
    re.DOTALL,
)
# First octet -> (octets of the length field, octets after it beside the length itself).
_LENGTHS: Final = {
    **{0xC4 + n: (1 << n, 0) for n in range(3)},  # bin 8, 16, 32
    **{0xC7 + n: (1 << n, 1) for n in range(3)},  # ext 8, 16, 32
    **{0xD4 + n: (0, 1 + (1 << n)) for n in range(5)},  # fixext 1, 2, 4, 8, 16
    **{0xD9 + n: (1 << n, 0) for n in range(3)},  # str 8, 16, 32
}
_COUNTS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _count_items(body: Buffer, enough: int) -> int:
    """The number of values in a valid body; may stop counting above ``enough``."""
    total, at, end = 1, 0, len(body)
    while at < end and total <= enough:
        match = _SCALARS.match(body, at)
        at = match.end() if match else at
        if at >= end:
            break
        first = body[at]
        if 0x90 <= first <= 0x9F:
            total += first & 0x0F
            at += 1
        elif 0x80 <= first <= 0x8F:
            total += 2 * (first & 0x0F)
            at += 1
        elif first in _COUNTS:
            octets, factor = _COUNTS[first]
            total += factor * int.from_bytes(body[at + 1 : at + 1 + octets], "big")
            at += 1 + octets
        elif first in _LENGTHS:
            octets, more = _LENGTHS[first]
            at += 1 + octets + more + int.from_bytes(body[at + 1 : at + 1 + octets], "big")
        # Otherwise the run above reached its bound: the next one goes on from here.
    return total
