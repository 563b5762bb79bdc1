"""The last resort where every peer is trusted: pickle, with its large buffers out of band."""

from __future__ import annotations

from typing import Final, cast

from pulsing.errors import WireError
from pulsing.wire import tags
from pulsing.wire.arrays import Attach
from pulsing.wire.tags import expect_list

NAME: Final = b"p"
_PICKLE: Final = tags.builtin_tag(NAME)


def dump_pickle(value: object) -> tuple[bytes, list[memoryview]]:
    """Pickle a value (protocol 5). Raises whatever pickling it raises."""
    import pickle

    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return data, [buffer.raw() for buffer in buffers]


def pack_pickle(attach: Attach, data: bytes, buffers: list[memoryview]) -> object:
    """A pickle as a tagged container."""
    views = [attach.attach_view(buffer) for buffer in buffers]
    return {_PICKLE: [attach.attach_view(memoryview(data)), views]}


def unpack_pickle(packed: object) -> object:
    """Run the pickle of a peer that may do anything here. Only for codecs that allow it."""
    import pickle

    data, buffers = expect_list(packed, 2)
    if not isinstance(data, bytes | bytearray | memoryview):
        raise WireError("a pickle without data")
    views = cast("list[memoryview]", expect_list(buffers))
    octets = cast(bytes, data)
    return cast(object, pickle.loads(octets, buffers=views))  # noqa: S301 - the caller checked allow_pickle
