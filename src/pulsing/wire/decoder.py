"""Bodies to values, whatever the bytes are: a value or a WireError.

Nothing a peer sends names a module to import or code to run. Limits are checked before msgpack
builds anything; then it builds the value in C and calls back for extensions and maps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pulsing.errors import WireError
from pulsing.wire import _msgpack, arrays, container, kinds, lookup, scalars, tags
from pulsing.wire._msgpack import Buffer
from pulsing.wire.limits import (
    CONTAINER_OCTETS,
    WireLimits,
    check_size,
    check_structure,
)
from pulsing.wire.pickling import NAME as PICKLE
from pulsing.wire.pickling import unpack_pickle
from pulsing.wire.refusal import UnsupportedType
from pulsing.wire.registry import REGISTRY
from pulsing.wire.tags import Tag

_unpackb = _msgpack.unpackb
_MOST_TAGS: Final = 1024
_LONGEST_TYPE_NAME: Final = 64 * 1024
_BUILTIN_TAGS: Final = {
    name: Tag(build) for name, build in {**tags.BUILDERS, **arrays.BUILDERS}.items()
}


class StreamSlot:
    """Stands in a decoded message where the sender put an async iterator."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __repr__(self) -> str:
        return f"StreamSlot({self.index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamSlot) and other.index == self.index

    def __hash__(self) -> int:
        return hash((StreamSlot, self.index))


class Decoder:
    """Decodes bodies, one at a time; for one thread."""

    def __init__(self, limits: WireLimits, *, allow_pickle: bool, context: object) -> None:
        self._limits = limits
        self._allow_pickle = allow_pickle
        self._context = context
        self._harmless_bytes = limits.unchecked_bytes
        self._small_bytes = limits.small_bytes
        self._open_tags = 0
        self._received: list[memoryview | None] = []
        self._has_stream = False
        self._stream: object = None
        self._tags: dict[bytes, Tag] = {}
        self._tags_version = REGISTRY.version
        self._extension_hook = self._extension
        self._map_hook = self._map

    def decode(self, body: Buffer, stream: object = None) -> Any:
        """Turn a body back into its value.

        Args:
            body: one contiguous piece. Arrays in it become views of it, writable when it is.
            stream: what to put where the sender put an async iterator; default: a `StreamSlot`.

        Raises:
            UnsupportedType: it holds a class that is not known here, or a pickle.
            MessageTooLarge: it exceeds ``max_message_bytes``.
            WireError: it is anything else but a valid body within the limits.
        """
        self._stream = stream
        try:
            size = len(body)
            if size > self._harmless_bytes and (
                size > self._small_bytes
                or body[0] == container.CONTAINER
                or isinstance(body, memoryview)
                or size - len(body.translate(None, CONTAINER_OCTETS)) > self._limits.max_depth
            ):
                value = self._decode_large(body)
            else:
                value = _unpackb(
                    body,
                    ext_hook=self._extension_hook,
                    object_pairs_hook=self._map_hook,
                    strict_map_key=False,
                    timestamp=3,
                )
            if self._open_tags or self._has_stream:
                self._close()
        except Exception as error:
            self._reset()
            if isinstance(error, WireError):
                raise
            raise _translated(error, body) from error
        except BaseException:  # an interrupt
            self._reset()
            raise
        return value

    def _decode_large(self, body: Buffer) -> object:
        """Everything that is long enough to be a container, or to exceed a limit."""
        check_size(len(body), self._limits)
        if body[0] == container.CONTAINER:
            body, buffers = container.split(body, self._limits)
            self._received = [*buffers]
        elif isinstance(body, memoryview):
            body = body.cast("B")
        check_structure(body, self._limits)
        value = _unpackb(
            body,
            ext_hook=self._extension_hook,
            object_pairs_hook=self._map_hook,
            strict_map_key=False,
            timestamp=3,
        )
        if self._received:
            self._close()
        return value

    def _reset(self) -> None:
        self._open_tags, self._has_stream, self._received = 0, False, []

    def _close(self) -> None:
        """Whatever the body announced was used."""
        self._has_stream = False
        left, self._received = self._received, []
        if any(buffer is not None for buffer in left):
            raise WireError("a container holds a buffer that no value uses")
        if self._open_tags:
            raise WireError("a body has a tag that is not the only key of a map")

    def _foreign(self, unpack: Callable[[object], object]) -> Callable[[object], object]:
        """Around code of users, which may decode something else with this very codec meanwhile."""

        def set_aside(packed: object) -> object:
            outer = self._open_tags, self._has_stream, self._received
            self._reset()
            try:
                return unpack(packed)
            finally:
                self._open_tags, self._has_stream, self._received = outer

        return set_aside

    # --- hooks of the unpacker ---------------------------------------------------------------

    def _map(self, pairs: list[tuple[Any, Any]]) -> object:
        """A map is complete: a dict, or what its tag makes of it."""
        if len(pairs) == 1:
            key, value = pairs[0]
            if type(key) is Tag:
                self._open_tags -= 1
                return key.build(value)
            return {key: value}
        made = dict(pairs)
        if len(made) != len(pairs):
            raise WireError("a map holds the same key twice")
        return made

    def _extension(self, code: int, data: bytes) -> object:
        if code == tags.BUILTIN:
            tag = _BUILTIN_TAGS.get(data)
            self._open_tags += 1
            return self._other_tag(data) if tag is None else tag
        if code == tags.TYPE:
            self._open_tags += 1
            return self._type_tag(data)
        if code == tags.BUFFER:
            return self._take_buffer(data)
        if code == tags.STREAM:
            return self._take_stream(data)
        unpack = scalars.UNPACKERS.get(code)
        if unpack is None:
            raise _unknown(code, data)
        return unpack(data)

    def _take_buffer(self, data: bytes) -> object:
        kind, index = data[0], int.from_bytes(data[1:], "big")
        buffers = self._received
        view = buffers[index] if len(data) == 5 and index < len(buffers) else None
        if view is None:
            raise WireError("a body refers to a buffer that is not there, or was used already")
        buffers[index] = None
        if kind == tags.AS_BYTES:
            return bytes(view)
        if kind == tags.AS_BYTEARRAY:
            return bytearray(view)
        if kind == tags.AS_VIEW:
            return view
        raise WireError(f"a buffer of unknown kind {kind}")

    def _take_stream(self, data: bytes) -> object:
        if data != b"\0" or self._has_stream:
            raise WireError("a message refers to more than one stream")
        self._has_stream = True
        return StreamSlot(0) if self._stream is None else self._stream

    def _other_tag(self, name: bytes) -> Tag:
        if name != PICKLE:
            raise _unknown(tags.BUILTIN, name)
        if not self._allow_pickle:
            raise UnsupportedType(
                "UnsupportedType: a pickled value arrived; it is read only between nodes "
                "that share a passphrase, or with allow_pickle=True"
            )
        return Tag(self._foreign(unpack_pickle))

    # --- classes -----------------------------------------------------------------------------

    def _type_tag(self, data: bytes) -> Tag:
        if self._tags_version != REGISTRY.version or len(self._tags) > _MOST_TAGS:
            self._tags = {}
            self._tags_version = REGISTRY.version
        tag = self._tags.get(data)
        if tag is None:
            tag = Tag(self._builder(data))
            # Notebooks define the classes of __main__ again and again: look them up each time.
            if not data[1:].startswith(b"__main__:"):
                self._tags[data] = tag
        return tag

    def _builder(self, data: bytes) -> Callable[[object], object]:
        if len(data) > _LONGEST_TYPE_NAME:
            raise WireError(f"a class name of {len(data)} bytes")
        text = data.decode()
        letter, (name, *names) = text[:1], text[1:].split("\0")
        entry = REGISTRY.by_name.get(name)
        if letter == "r":
            if entry is None:
                raise _unknown_class(name, "it is not registered here")
            unpack = entry.unpack
            return self._foreign(lambda packed: unpack(packed, self._context))
        recipe_for = kinds.KINDS.get(letter)
        if recipe_for is None:
            raise UnsupportedType(f"UnsupportedType: a class of unknown kind {letter!r} arrived")
        cls = lookup.find_class(name)
        if cls is None:
            raise _unknown_class(name, "its module is not imported here, or has no such class")
        recipe = recipe_for(cls, names)
        if recipe is None:
            raise _unknown_class(name, f"here it is not {kinds.KIND_NAMES[letter]}")
        return recipe.load


def _unknown(code: int, data: bytes) -> UnsupportedType:
    name = f" {data[:20]!r}" if code == tags.BUILTIN else ""
    return UnsupportedType(
        f"UnsupportedType: an extension of unknown code {code}{name} arrived; the peer may run a "
        "newer version of Pulsing"
    )


def _unknown_class(name: str, why: str) -> UnsupportedType:
    short = name[:200]
    hint = (
        "it was defined in the program that was started as a script; move it to a module that both "
        "programs import"
        if name.startswith(lookup.MAIN + ":")
        else "import that module in the receiving program, or register the class in both"
    )
    return UnsupportedType(
        f"UnsupportedType: a value of class {short} arrived, but {why}; {hint}", short
    )


def _translated(error: Exception, body: Buffer) -> WireError:
    if not body:
        return WireError("an empty body: not even a value")
    if isinstance(error, MemoryError):
        return WireError("not enough memory for a message")
    return WireError(f"a body of {len(body)} bytes is not valid: {type(error).__name__}: {error}")
