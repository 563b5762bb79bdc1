"""numpy arrays are views of the received bytes; torch tensors when torch is there."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsing.errors import WireError
from pulsing.wire import Codec, UnsupportedType, _msgpack, tags

np = pytest.importorskip("numpy")
CODEC = Codec()


def body_of(value: Any) -> bytearray:
    body = CODEC.encode(value)
    return bytearray(body if isinstance(body, bytes) else b"".join(body))


DTYPES = [
    "?",
    "i1",
    "<u2",
    ">i4",
    "<i8",
    "<f2",
    "<f4",
    ">f8",
    "<c16",
    "S5",
    "<U3",
    "<M8[ns]",
    "<m8[s]",
    "V7",
]


@settings(deadline=None, max_examples=80, database=None)
@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=4), st.booleans())
def test_arrays_of_every_dtype_shape_and_order_come_back(
    dtype: str, shape: list[int], fortran: bool
) -> None:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer(bytes(n % 2 for n in range(size)), dtype).reshape(shape)
    array = np.asarray(array, order="F" if fortran else "C")
    back = CODEC.decode(body_of([array]))[0]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@pytest.mark.parametrize("size", [100, 100_000])
def test_an_array_that_skips_or_runs_backwards_comes_back(size: int) -> None:
    array = np.arange(size)
    for view in (array[::2], array[::-1], array.reshape(10, -1)[:, 1:3], array.reshape(10, -1).T):
        assert np.array_equal(CODEC.decode(body_of(view)), view)


def test_a_large_array_is_a_writable_view_of_the_received_bytes_and_aligned() -> None:
    array = np.arange(100_000.0)
    body = body_of({"pad": b"x", "a": array})
    back = CODEC.decode(body)["a"]
    assert np.array_equal(back, array)
    assert back.flags.aligned
    assert np.shares_memory(back, np.frombuffer(body, "u1"))
    back[0] = 5.0
    assert bytes(np.float64(5.0).tobytes()) in bytes(body[:1000])


def test_a_large_array_is_sent_without_a_copy_and_read_only_bytes_give_a_read_only_array() -> None:
    array = np.arange(100_000.0)
    parts = CODEC.encode(array)
    assert isinstance(parts, list)
    assert np.shares_memory(np.frombuffer(parts[-1], "u1"), array)
    assert not CODEC.decode(b"".join(parts)).flags.writeable


@pytest.mark.parametrize(
    "scalar",
    ["np.float32(1.5)", "np.int64(-3)", "np.bool_(True)", "np.complex64(1+2j)", "np.str_('hé')",
     "np.bytes_(b'x')", "np.datetime64('2024-01-01')", "np.timedelta64(5, 'ms')"],
)  # fmt: skip
def test_scalars_keep_their_type(scalar: str) -> None:
    value = eval(scalar)
    back = CODEC.decode(body_of([value]))[0]
    assert (back, type(back)) == (value, type(value))


def test_structured_arrays_come_back() -> None:
    dtype = [("a", "<i4"), ("b", "<f8", (2, 3)), ("c", [("x", "S3")])]
    array = np.zeros(5, dtype)
    array["b"][2] = 7
    back = CODEC.decode(body_of(array))
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["a", None], dtype=object),
        np.zeros(2, np.dtype([("a", "i1"), ("b", "i4")], align=True)),
        np.ma.masked_array([1, 2], [0, 1]),
        np.zeros(2, [("o", object)]),
    ],
    ids=["object", "mixed", "padded", "masked", "object field"],
)
def test_arrays_that_cannot_travel_are_refused_with_their_path(array: Any) -> None:
    with pytest.raises(UnsupportedType, match=r"value\['a'\]"):
        CODEC.encode({"a": array})


@pytest.mark.parametrize(
    "content",
    [
        ["O", [1], "C", bytes(8)],
        ["|O", [1], "C", bytes(8)],
        ["<i4,<i4", [1], "C", bytes(8)],
        ["<i4", [3], "C", bytes(8)],
        ["<i4", [2**40, 2**40], "C", bytes(8)],
        ["<i4", [-1, -2], "C", bytes(8)],
        ["<i4", [2.0], "C", bytes(8)],
        ["<i4", [1] * 99, "C", bytes(4)],
        ["<i4", [2], "K", bytes(8)],
        ["<U0", [2], "C", b""],
        [[["a", "<i4", [1 << 50]]], [1], "C", bytes(4)],
        ["<i4", [2], "C", "text"],
        ["<i4", [2], "C", [1] * 8],
        ["f3", [1], "C", bytes(3)],
        ["<f16", [1], "C"],
        5,
    ],
    ids=lambda content: str(content)[:30],
)
def test_hostile_arrays_are_wire_errors(content: Any) -> None:
    body = b"\x81" + CODEC.encode(1)[:0] + b"\xd4" + bytes([tags.BUILTIN]) + b"a"
    with pytest.raises(WireError):
        CODEC.decode(body + bytes(CODEC.encode(content)))  # type: ignore[arg-type]


def test_empty_arrays_of_any_shape_take_no_memory() -> None:
    array = np.empty((0, 10**9), "f8")
    assert CODEC.decode(body_of(array)).shape == (0, 10**9)


def test_tensors_travel_when_torch_is_there() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.arange(10.0),
        torch.zeros(3, 0),
        torch.tensor(5),
        torch.ones(100, 100, dtype=torch.bfloat16).T,
        torch.tensor([True, False]),
        torch.ones(2, dtype=torch.complex64).conj(),
    ):
        back = CODEC.decode(body_of([tensor]))[0]
        assert back.dtype == tensor.dtype
        assert torch.equal(back, tensor)


class StandIn:
    """As much of a torch tensor as the codec uses, over a numpy array."""

    device = types.SimpleNamespace(type="cpu")
    layout = "strided"

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = TorchDtype(str(array.dtype), array.dtype.itemsize)

    def detach(self) -> StandIn:
        return self

    resolve_conj = resolve_neg = detach

    def contiguous(self) -> StandIn:
        return StandIn(np.ascontiguousarray(self.array))

    def reshape(self, *shape: Any) -> StandIn:
        return StandIn(self.array.reshape(*shape))

    def view(self, _dtype: Any) -> StandIn:
        return StandIn(self.array.view("u1"))

    def numpy(self) -> Any:
        return self.array

    def numel(self) -> int:
        return int(self.array.size)


class TorchDtype:
    def __init__(self, name: str, itemsize: int) -> None:
        self.name, self.itemsize = name, itemsize

    def __str__(self) -> str:
        return f"torch.{self.name}"


@pytest.fixture
def torch_stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake: Any = types.ModuleType("torch")
    fake.Tensor, fake.dtype, fake.strided, fake.uint8 = StandIn, TorchDtype, "strided", "uint8"
    fake.float32 = TorchDtype("float32", 4)
    fake.frombuffer = lambda buffer, dtype, count: StandIn(np.frombuffer(buffer, dtype.name, count))
    fake.empty = lambda shape, dtype: StandIn(np.empty(shape, dtype.name))
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


def test_a_tensor_is_sent_without_a_copy_and_received_as_a_view(torch_stand_in: Any) -> None:
    array = np.arange(30_000, dtype="float32").reshape(100, 300)
    codec = Codec()
    parts = codec.encode([StandIn(array)])
    assert isinstance(parts, list)
    assert np.shares_memory(np.frombuffer(parts[-1], "u1"), array)
    body = bytearray(b"".join(parts))
    (back,) = codec.decode(body)
    assert np.array_equal(back.array, array)
    assert np.shares_memory(back.array, np.frombuffer(body, "u1"))
    assert codec.decode(codec.encode(StandIn(np.zeros((3, 0), "float32")))).shape == (3, 0)
    short = codec.decode(codec.encode(StandIn(np.ones(3, "float32"))))
    assert short.array.flags.writeable


def test_a_tensor_elsewhere_than_in_dense_cpu_memory_says_what_to_do(torch_stand_in: Any) -> None:
    tensor = StandIn(np.ones(3, "float32"))
    tensor.device = types.SimpleNamespace(type="cuda")
    with pytest.raises(UnsupportedType, match=r"tensor\.cpu\(\)"):
        Codec().encode(tensor)
    tensor = StandIn(np.ones(3, "float32"))
    tensor.layout = "sparse"
    with pytest.raises(UnsupportedType, match="dense"):
        Codec().encode(tensor)


def test_a_tensor_for_a_program_without_torch_says_to_import_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    body = _msgpack.new_packer(str)({tags.builtin_tag(b"T"): ["float32", [1], bytes(4)]})
    with pytest.raises(WireError, match="import torch"):
        CODEC.decode(body)


def test_a_dtype_of_torch_is_never_taken_for_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = types.ModuleType("torch")
    fake.dtype = type("dtype", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", fake)
    for name in ("load", "dtype", "__dict__", "os.system"):
        body = _msgpack.new_packer(str)({tags.builtin_tag(b"T"): [name, [1], bytes(4)]})
        with pytest.raises(WireError):
            CODEC.decode(body)
