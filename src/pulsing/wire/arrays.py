"""numpy arrays and scalars, torch tensors: their memory travels out of band.

Neither library is imported to encode: when there is an array, there is the library. To decode an
array numpy is imported, a fixed name; torch, being large, must be imported by the program itself.
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from pulsing.errors import WireError
from pulsing.wire import tags
from pulsing.wire.refusal import UnsupportedType
from pulsing.wire.tags import expect_list

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Attach(Protocol):
    """Puts octets into a message, out of band when they are large."""

    def attach_view(self, view: memoryview, /) -> object: ...


_ARRAY: Final = tags.builtin_tag(b"a")
_SCALAR: Final = tags.builtin_tag(b"v")
_TENSOR: Final = tags.builtin_tag(b"T")
_SIMPLE_DTYPE: Final = re.compile(
    r"[<>|=]?(?:b1|[iufc]\d{1,2}|[SUV][1-9]\d{0,8}|[mM]8(?:\[\d{0,9}[a-zA-Zμ]{1,7}\])?)"
)
_MOST_DIMENSIONS: Final = 64


def packer_for(cls: type) -> Callable[[Attach, Any], object] | None:
    """The function that packs instances of a class of numpy or torch, if it is one of them."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if cls is numpy.ndarray or cls is getattr(numpy, "memmap", None):
            return _pack_array
        if issubclass(cls, numpy.generic) and cls.__module__ == "numpy":
            return _pack_scalar
    torch = sys.modules.get("torch")
    if torch is not None and cls is getattr(torch, "Tensor", None):
        return _pack_tensor
    return None


# --- numpy -------------------------------------------------------------------------------------


def _pack_array(attach: Attach, array: Any) -> object:
    dtype = _describe(array.dtype)
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = sys.modules["numpy"].ascontiguousarray(array.reshape(-1, order=order))
    octets = memoryview(flat.view("u1")) if flat.size else memoryview(b"")
    return {_ARRAY: [dtype, list(array.shape), order, attach.attach_view(octets)]}


def _unpack_array(packed: object) -> object:
    import numpy as np

    spec, shape, order, data = expect_list(packed, 4)
    dtype = np.dtype(_read_dtype(spec))
    dimensions = _read_shape(shape)
    if dtype.hasobject or dtype.itemsize == 0 or order not in {"C", "F"}:
        raise WireError(f"an array of dtype {dtype} cannot be received")
    buffer = _read_octets(data, math.prod(dimensions) * dtype.itemsize)
    if not buffer:
        return np.empty(dimensions, dtype, order=order)
    return np.ndarray(dimensions, dtype, buffer, order=order)


def _pack_scalar(_attach: Attach, scalar: Any) -> object:
    return {_SCALAR: [_describe(scalar.dtype), scalar.tobytes()]}


def _unpack_scalar(packed: object) -> object:
    import numpy as np

    spec, data = expect_list(packed, 2)
    dtype = np.dtype(_read_dtype(spec))
    if dtype.hasobject or dtype.itemsize == 0:
        raise WireError(f"a scalar of dtype {dtype} cannot be received")
    buffer = _read_octets(data, dtype.itemsize)
    return np.ndarray((), dtype, buffer)[()]


def _describe(dtype: Any) -> object:
    """A dtype as text, or as a list of fields: ``[[name, dtype, shape], ...]``."""
    if dtype.names is None:
        text = cast(str, dtype.str)
        if _SIMPLE_DTYPE.fullmatch(text) and sys.modules["numpy"].dtype(text) == dtype:
            return text
        raise UnsupportedType(f"numpy dtype {dtype} has no form on the wire")
    described: list[object] = []
    packed_size = 0
    for name in dtype.names:
        field, offset = dtype.fields[name][:2]
        base, shape = field.subdtype or (field, ())
        if offset != packed_size:
            raise UnsupportedType(f"numpy dtype {dtype} has padding; repack it (align=False)")
        packed_size += field.itemsize
        described.append([name, _describe(base), list(shape)])
    if packed_size != dtype.itemsize:
        raise UnsupportedType(f"numpy dtype {dtype} has padding; repack it (align=False)")
    return described


def _read_dtype(spec: object) -> Any:
    if isinstance(spec, str) and _SIMPLE_DTYPE.fullmatch(spec):
        return spec
    fields: list[tuple[str, object, tuple[int, ...]]] = []
    for field in expect_list(spec):
        name, base, shape = expect_list(field, 3)
        if type(name) is not str:
            raise WireError("a field of a numpy dtype has no name")
        fields.append((name, _read_dtype(base), _read_shape(shape)))
    return fields


# --- torch -------------------------------------------------------------------------------------


def _pack_tensor(attach: Attach, tensor: Any) -> object:
    torch = sys.modules["torch"]
    if tensor.device.type != "cpu":
        raise UnsupportedType(f"a tensor on {tensor.device}; send tensor.cpu()")
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided or name.startswith("q"):
        raise UnsupportedType("only dense tensors travel; send its parts, or tensor.to_dense()")
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    octets = memoryview(plain.view(torch.uint8).numpy()) if plain.numel() else memoryview(b"")
    return {_TENSOR: [name, list(tensor.shape), attach.attach_view(octets)]}


def _unpack_tensor(packed: object) -> object:
    torch: Any = sys.modules.get("torch")
    name, shape, data = expect_list(packed, 3)
    if torch is None:
        raise WireError("a torch tensor arrived; `import torch` in this program to receive it")
    if type(name) is not str or not re.fullmatch(r"[a-z]+[0-9a-z_]{0,20}", name):
        raise WireError("a torch tensor of no dtype")
    dtype: Any = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise WireError(f"this version of torch has no dtype {name}")
    dimensions = _read_shape(shape)
    count = math.prod(dimensions)
    buffer = _read_octets(data, count * dtype.itemsize)
    if not count:
        return torch.empty(dimensions, dtype=dtype)
    writable = buffer if not memoryview(buffer).readonly else bytearray(buffer)
    return torch.frombuffer(writable, dtype=dtype, count=count).reshape(dimensions)


# --- both --------------------------------------------------------------------------------------


def _read_shape(shape: object) -> tuple[int, ...]:
    dimensions = cast("Sequence[object]", expect_list(shape))
    if len(dimensions) > _MOST_DIMENSIONS or not all(
        type(length) is int and 0 <= length < 1 << 62 for length in dimensions
    ):
        raise WireError("the shape of an array is not a list of lengths")
    return tuple(cast("Sequence[int]", dimensions))


def _read_octets(data: Any, size: int) -> bytearray | memoryview:
    """The memory of an array: the received octets themselves, or a copy of short inline ones."""
    octets = bytearray(data) if isinstance(data, bytes) else data
    if type(octets) not in {bytearray, memoryview} or len(octets) != size:
        raise WireError(f"an array of {size} bytes arrived with another amount of data")
    return cast("bytearray | memoryview", octets)


BUILDERS: Final[dict[bytes, Callable[[object], object]]] = {
    b"a": _unpack_array,
    b"v": _unpack_scalar,
    b"T": _unpack_tensor,
}
