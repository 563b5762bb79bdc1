"""Values to bodies.

msgpack packs what it knows in C and calls ``_refine`` for the rest, which answers with something
msgpack knows: an extension, or a tagged container (see ``tags``). What msgpack would pack wrongly
or with a copy, bytearrays and large binary values, is looked for before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from pulsing.errors import WireError
from pulsing.wire import _msgpack, arrays, container, kinds, scalars, tags
from pulsing.wire._msgpack import Ext
from pulsing.wire.buffers import LOOK_INTO, flat, holds_no_buffers
from pulsing.wire.container import Body
from pulsing.wire.duals import origin_of
from pulsing.wire.limits import WireLimits, check_size, check_structure
from pulsing.wire.lookup import findable, wire_name
from pulsing.wire.pickling import dump_pickle, pack_pickle
from pulsing.wire.refusal import WAYS_OUT, UnsupportedType, full_name, refusal
from pulsing.wire.registry import REGISTRY, Registration

_TUPLE: Final = tags.SPLITTERS[tuple][0]
_LARGEST_KEPT_PACKER: Final = 4 * 1024 * 1024
_MOST_PACKERS: Final = 4096

_Packer = Callable[["Encoder", Any], object]


class Encoder:
    """Encodes values, one at a time; for one thread."""

    def __init__(self, limits: WireLimits, *, allow_pickle: bool) -> None:
        self._limits = limits
        self._allow_pickle = allow_pickle
        # A peer checks smaller bodies too; here that would cost every call more than it helps.
        self._unchecked_bytes = limits.small_bytes
        self._pack = _msgpack.new_packer(self._refine)
        self._buffers: list[memoryview] = []
        self._streams: list[Any] | None = None
        self._packers: dict[type, _Packer] = dict(_BUILTIN_PACKERS)
        self._packers_version = REGISTRY.version

    def encode(self, value: Any, streams: list[Any] | None = None, *, root: str = "value") -> Body:
        """Turn a value into a body.

        Args:
            value: anything of the supported types.
            streams: collects the async iterator that the value may hold (at most one), for which
                a ``StreamSlot`` arrives at the other side. Without a list it is refused.
            root: what errors call the value; ``CALL`` for the list of a call.

        Returns:
            bytes, or parts that refer to large buffers of the value: do not change them until the
            body was sent.

        Raises:
            UnsupportedType: a part of the value does not travel; it names the type and the path.
            WireError: the value nests too deep or holds too many values.
            MessageTooLarge: the body would exceed ``max_message_bytes``.
        """
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        try:
            if kind is list:
                for item in value:
                    if type(item) in LOOK_INTO:
                        value = self.plain(value)
                        break
            elif kind in LOOK_INTO:
                value = self.plain([value])[0]
            if streams is not None:
                self._streams = streams
            body = self._pack(value)
            if len(body) > self._unchecked_bytes or self._buffers:
                return self._finish(body)
        except Exception as error:  # noqa: BLE001 - users' code runs inside; all becomes WireError
            self._buffers = []
            refused = refusal(value, error, root, self._probe)
            raise refused from (None if isinstance(error, WireError) else error)
        except BaseException:  # an interrupt
            self._buffers = []
            raise
        finally:
            if streams is not None:
                self._streams = None
        return body

    def encode_call(self, envelope: list[Any], arguments: Sequence[Any]) -> bytes | None:
        """A small call of plain arguments, in a hurry.

        Args:
            envelope: what to encode; all in it but ``arguments`` is plain.
            arguments: the part of it that may be anything.

        Returns:
            None when `encode` has to take a closer look; it also finds the error if there is one.
        """
        for item in arguments:
            if type(item) in LOOK_INTO:
                return None
        try:
            body = self._pack(envelope)
        except Exception:  # noqa: BLE001 - `encode` comes to the same, and tells what it was
            self._buffers = []
            return None
        if len(body) > self._unchecked_bytes or self._buffers:
            self._buffers = []
            return None
        return body

    # --- what msgpack must not see -----------------------------------------------------------

    def plain(self, values: list[Any]) -> list[Any]:
        """A list that msgpack may pack: the same one, or a copy with buffers lifted out."""
        if self._is_plainly_plain(values) or holds_no_buffers(values, self._limits):
            return values
        return cast("list[Any]", self._lift(values, 0))

    def _is_plainly_plain(self, values: list[Any]) -> bool:
        """A quick look at two levels. False says nothing."""
        for item in values:
            kind = type(item)  # pyright: ignore[reportUnknownVariableType]
            if kind in LOOK_INTO:
                if kind is dict:
                    if not LOOK_INTO.isdisjoint(map(type, item.values())):
                        return False
                elif kind is list:
                    if not LOOK_INTO.isdisjoint(map(type, item)):
                        return False
                elif kind is not bytes or len(item) >= self._limits.out_of_band_bytes:
                    return False
        return True

    def _lift(self, value: Any, depth: int) -> object:
        """The same value with extensions in the place of what msgpack must not see."""
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind not in LOOK_INTO:
            return value
        if depth > self._limits.max_depth:
            raise WireError(f"a message nests deeper than {self._limits.max_depth} levels")
        if kind is list:
            return [self._lift(item, depth + 1) for item in value]
        if kind is dict:
            return {key: self._lift(item, depth + 1) for key, item in value.items()}
        if kind is bytes:
            return (
                self._attach(memoryview(value), tags.AS_BYTES) if self._is_large(value) else value
            )
        if kind is bytearray:
            if self._is_large(value):
                return self._attach(memoryview(value), tags.AS_BYTEARRAY)
            return _msgpack.ext(tags.BYTEARRAY, bytes(value))
        octets = flat(value)
        return self._attach(octets, tags.AS_BYTES) if self._is_large(octets) else bytes(octets)

    def attach_view(self, view: memoryview, /) -> object:
        """Octets of an array: out of band when large."""
        return self._attach(view, tags.AS_VIEW) if self._is_large(view) else bytes(view)

    def _is_large(self, octets: bytes | bytearray | memoryview) -> bool:
        return len(octets) >= self._limits.out_of_band_bytes

    def _attach(self, view: memoryview, kind: int) -> Ext:
        index = len(self._buffers)
        if index >= self._limits.max_buffers:
            raise WireError(
                f"a message holds more than {self._limits.max_buffers} large binary values"
            )
        self._buffers.append(view)
        return _msgpack.ext(tags.BUFFER, bytes((kind,)) + index.to_bytes(4, "big"))

    # --- what msgpack does not know ----------------------------------------------------------

    def _refine(self, value: Any) -> object:
        """The ``default`` hook: something msgpack can pack, standing for ``value``."""
        if self._packers_version != REGISTRY.version or len(self._packers) > _MOST_PACKERS:
            self._packers = dict(_BUILTIN_PACKERS)
            self._packers_version = REGISTRY.version
        cls: Any = cast(Any, type)(value)
        if cls is tuple:
            return {_TUPLE: self.plain(list(cast("Iterable[Any]", value)))}
        packer = self._packers.get(cls)
        if packer is None:
            packer = self._packers[cls] = self._packer_for(origin_of(cls))
        return packer(self, value)

    def _packer_for(self, cls: type) -> _Packer:
        entry = REGISTRY.of(cls)
        if entry is not None:
            return _registered_packer(entry)
        leaf = scalars.PACKERS_BY_NAME.get(f"{cls.__module__}.{cls.__qualname__}")
        if leaf is not None and findable(cls):
            return _leaf_packer(leaf)
        array = arrays.packer_for(cls)
        if array is not None:
            return array
        for letter, recipe_for in kinds.KINDS.items():
            recipe = recipe_for(cls, None)
            if recipe is not None and (findable(cls) or not self._allow_pickle):
                return _class_packer(cls, letter, recipe)
        if hasattr(cls, "__aiter__"):
            return Encoder._pack_stream
        return Encoder._pack_by_pickle if self._allow_pickle else _refuse

    def _pack_stream(self, _iterator: object) -> Ext:
        if self._streams is None:
            raise UnsupportedType("an async iterator may only be an argument of a call")
        if self._streams:
            raise WireError("a call can carry one async iterator, not more")
        self._streams.append(_iterator)
        return _msgpack.ext(tags.STREAM, b"\0")

    def _pack_by_pickle(self, value: object) -> object:
        with self.foreign_code():
            data, buffers = dump_pickle(value)
        return pack_pickle(self, data, buffers)

    @contextmanager
    def foreign_code(self) -> Generator[None, None, None]:
        """Around code of users, which may encode something else with this very codec meanwhile."""
        pack, buffers, streams = self._pack, self._buffers, self._streams
        self._pack, self._buffers, self._streams = _msgpack.new_packer(self._refine), [], None
        try:
            yield
        finally:
            self._pack, self._buffers, self._streams = pack, buffers, streams

    # --- the end ----------------------------------------------------------------------------

    def _finish(self, body: bytes) -> Body:
        """Check the limits of a body and add the buffers that were lifted out of it."""
        if len(body) > _LARGEST_KEPT_PACKER:  # a packer keeps the memory of its largest body
            self._pack = _msgpack.new_packer(self._refine)
        if not self._buffers:
            check_size(len(body), self._limits)
            check_structure(body, self._limits)
            return body
        buffers, self._buffers = self._buffers, []
        parts = container.join(body, buffers)
        check_size(container.body_size(parts), self._limits)
        check_structure(body, self._limits)
        return parts

    def _probe(self, part: object) -> Exception | None:
        """What encoding a part of a refused value raises."""
        self._streams = []
        try:
            self._pack(self._lift(part, 0))
        except Exception as error:  # noqa: BLE001 - as in encode
            return error
        finally:
            self._buffers, self._streams = [], None
        return None


def _leaf_packer(leaf: Callable[[Any], Ext]) -> _Packer:
    return lambda _encoder, value: leaf(value)


def _split_packer(tag: Ext, split: Callable[[Any], Any]) -> _Packer:
    def pack(encoder: Encoder, value: Any) -> object:
        parts = split(value)
        if type(parts) is list:
            return {tag: encoder.plain(cast(Any, parts))}
        return {tag: encoder.plain([parts])[0]}

    return pack


def _class_packer(cls: type, letter: str, recipe: kinds.Recipe) -> _Packer:
    if not findable(cls):
        raise UnsupportedType(
            f"the class {full_name(cls)} cannot be found by its name (defined inside a function, "
            "or replaced); define it at the top of a module, or register it with a name"
        )
    tag = _type_tag(letter, wire_name(cls), *recipe.names)

    def pack(encoder: Encoder, value: Any) -> object:
        return {tag: encoder.plain([recipe.dump(value)])[0]}

    return pack


def _registered_packer(entry: Registration) -> _Packer:
    tag = _type_tag("r", entry.name)

    def pack(encoder: Encoder, value: Any) -> object:
        with encoder.foreign_code():
            packed = entry.pack(value)
        return {tag: encoder.plain([packed])[0]}

    return pack


def _type_tag(*parts: str) -> Ext:
    return _msgpack.ext(tags.TYPE, (parts[0] + "\0".join(parts[1:])).encode())


def _refuse(_encoder: Encoder, value: object) -> object:
    base = next((b for b in (str, int, float, list, dict, bytes) if isinstance(value, b)), None)
    hint = (
        f"it is a subclass of {base.__name__}, which would arrive as another type; " if base else ""
    )
    raise UnsupportedType(f"{hint}{WAYS_OUT}")


_BUILTIN_PACKERS: Final[dict[type, _Packer]] = {
    **{cls: _leaf_packer(leaf) for cls, leaf in scalars.PACKERS.items()},
    **{cls: _split_packer(tag, split) for cls, (tag, split) in tags.SPLITTERS.items()},
}
