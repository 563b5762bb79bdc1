"""Classes that travel: which ones, how they are rebuilt, and what does not run."""

from __future__ import annotations

import enum
import sys
import types
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import pytest

from pulsing.errors import WireError
from pulsing.wire import Codec, UnsupportedType, register, register_reference
from pulsing.wire.lookup import find_class
from pulsing.wire.registry import REGISTRY

CODEC = Codec()
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module under its name, whichever way pytest imported it."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())


def _this() -> types.ModuleType:
    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def through(value: Any, codec: Codec = CODEC) -> Any:
    body = codec.encode(value)
    return codec.decode(body if isinstance(body, bytes) else bytearray(b"".join(body)))


@dataclass
class Order:
    id: int
    items: list[Any] = field(default_factory=list)
    note: str | None = None

    def __post_init__(self) -> None:
        if self.id < 0:
            raise AssertionError("ran")


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Base:
    a: int


@dataclass(frozen=True)
class Derived(Base, Generic[T]):
    b: T = field(default=5, compare=False)  # type: ignore[assignment]
    c: int = field(init=False, default=3)


class Color(enum.Enum):
    RED = "r"
    GREEN = object()


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    ANN = "ann"


class Rights(enum.Flag):
    R = enum.auto()
    W = enum.auto()


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Outer:
    @dataclass
    class Inner:
        v: int


class Opaque:
    def __init__(self) -> None:
        self.secret = 1


@dataclass
class Error(Exception):
    code: int
    why: str = ""


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: int) -> None:
        self.a = a


@pytest.mark.parametrize(
    "value",
    [
        Order(1, [Order(2), Point(1.5, 2.5)], "n"),
        Point(1, 2),
        Derived(1, "x"),
        Color.RED,
        Color.GREEN,
        Level.LOW,
        Name.ANN,
        Rights.R | Rights.W,
        Rights(0),
        Pair(1, (2, Pair(3))),
        Outer.Inner(5),
        {Point(1, 2): [Color.RED], Name.ANN: 1, Level.LOW: 2, Pair(1, 2): 3},
        [Point(float(n), 0.0) for n in range(50)],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_values_of_described_classes_come_back(value: Any) -> None:
    back = through(value)
    assert back == value
    assert type(back) is type(value)


def test_post_init_does_not_run_and_frozen_slots_are_set() -> None:
    order = Order(1)
    order.id = -1
    assert through(order).id == -1
    with pytest.raises(AttributeError):
        through(Point(1, 2)).x = 3


def test_buffers_inside_of_classes_come_back_with_their_types() -> None:
    back = through(Order(1, [bytearray(20_000), bytes(20_000), bytearray(3)]))
    assert [type(item) for item in back.items] == [bytearray, bytes, bytearray]


def test_exceptions_as_values_keep_arguments_and_attributes() -> None:
    class_error = Error(5, "why")
    os_error = FileNotFoundError(2, "gone", "/x")
    unicode_error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    group = ExceptionGroup("many", [ValueError(1), KeyError("k")])
    back = through(
        [class_error, os_error, unicode_error, group, KeyError("k"), ImportError("m", name="n")]
    )
    assert (back[0].code, back[0].why, type(back[0])) == (5, "why", Error)
    assert (back[1].errno, back[1].filename, str(back[1])) == (2, "/x", str(os_error))
    assert str(back[2]) == str(unicode_error)
    assert [str(one) for one in back[3].exceptions] == ["1", "'k'"]
    assert back[3].message == "many"
    assert (str(back[4]), back[5].name) == ("'k'", "n")


def test_positions_outside_of_the_text_are_refused_because_cpython_reads_there() -> None:
    body = CODEC.encode(UnicodeDecodeError("utf-8", b"abc", 0, 1, "bad"))
    assert isinstance(body, bytes)
    hostile = body.replace(b"abc\x00\x01", b"abc\xd0\x80", 1)
    assert hostile != body
    with pytest.raises(WireError):
        CODEC.decode(hostile)


def test_a_field_with_a_default_may_be_missing_and_an_unknown_one_may_not() -> None:
    body = CODEC.encode(Point(1, 2))
    assert isinstance(body, bytes)
    longer = make_dataclass("Point", [("x", float), ("y", float), ("z", float)])
    shorter = make_dataclass("Point", [("x", float)])
    for sent, expected in ((shorter, Point(7, 0.0)), (longer, None)):
        sent.__module__, sent.__qualname__ = "elsewhere", "Point"
        module = types.ModuleType("elsewhere")
        module.Point = sent  # type: ignore[attr-defined]
        sys.modules["elsewhere"] = module
        values = (7.0, 8.0, 9.0)[: len(sent.__dataclass_fields__)]
        body = Codec().encode(sent(*values))
        module.Point = Point  # type: ignore[attr-defined]
        try:
            if expected is None:
                with pytest.raises(WireError, match="does not have here: z"):
                    CODEC.decode(body)
            else:
                assert Codec().decode(body) == expected
        finally:
            del sys.modules["elsewhere"]


def test_a_class_that_is_not_imported_is_named_with_what_to_do() -> None:
    body = CODEC.encode(Point(1, 2))
    assert isinstance(body, bytes)
    name = f"{__name__}:Point".encode()
    other = b"nowhere_at_all".ljust(len(name) - 6, b"x") + b":Point"
    with pytest.raises(UnsupportedType, match="import that module"):
        CODEC.decode(body.replace(name, other))
    assert "nowhere_at_all" not in " ".join(sys.modules)


def test_a_class_of_the_script_asks_to_be_moved_to_a_module() -> None:
    module = types.ModuleType("__main__")
    cls = make_dataclass("OnlyThere", [("x", int)])
    cls.__module__ = "__main__"
    module.OnlyThere = cls  # type: ignore[attr-defined]
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        body = Codec().encode(cls(1))
        assert Codec().decode(body) == cls(1)
    finally:
        sys.modules["__main__"] = before
    name = b"__main__:OnlyThere"
    assert isinstance(body, bytes)
    if name in body:
        with pytest.raises(UnsupportedType, match="move it to a module"):
            Codec().decode(body)


def test_a_program_started_with_m_uses_the_name_of_its_module() -> None:
    module = types.ModuleType("__main__")
    module.__spec__ = types.SimpleNamespace(name="shop.run")  # type: ignore[assignment]
    cls = make_dataclass("Cart", [("x", int)])
    cls.__module__ = "__main__"
    module.Cart = cls  # type: ignore[attr-defined]
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        body = Codec().encode(cls(1))
        assert isinstance(body, bytes)
        assert b"shop.run:Cart" in body
        assert Codec().decode(body) == cls(1)
        assert find_class("shop.run:Cart") is cls
    finally:
        sys.modules["__main__"] = before


def test_a_class_made_inside_a_function_is_refused_at_the_sender() -> None:
    @dataclass
    class Local:
        x: int

    with pytest.raises(UnsupportedType, match="top of a module"):
        CODEC.encode([Local(1)])


def test_a_class_of_the_wrong_kind_is_refused() -> None:
    body = CODEC.encode(Point(1, 2))
    assert isinstance(body, bytes)
    with pytest.raises(UnsupportedType, match="not a dataclass"):
        CODEC.decode(body.replace(b":Point", b":Level"))


def test_looking_a_class_up_runs_nothing() -> None:
    module = types.ModuleType("lazy_module")

    def fail(name: str) -> Any:
        raise AssertionError("ran")

    module.__getattr__ = fail  # type: ignore[method-assign]
    sys.modules["lazy_module"] = module
    try:
        assert find_class("lazy_module:Thing") is None
        assert find_class("lazy_module") is None
        assert find_class("os:path.join") is None
        assert find_class("") is None
    finally:
        del sys.modules["lazy_module"]


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "by_name", dict(REGISTRY.by_name))
    monkeypatch.setattr(REGISTRY, "_by_class", dict(REGISTRY._by_class))
    monkeypatch.setattr(REGISTRY, "version", REGISTRY.version)


@pytest.mark.usefixtures("clean_registry")
class TestRegistered:
    def test_a_registered_class_travels_by_its_attributes(self) -> None:
        with pytest.raises(UnsupportedType):
            CODEC.encode(Opaque())
        assert register(Opaque) is Opaque
        value = Opaque()
        value.secret = 9
        assert through(value).secret == 9

    def test_a_registered_class_may_be_local_and_slotted(self) -> None:
        @register(name="test.local")
        class Local:
            pass

        register(Slotted)
        assert type(through(Local())) is Local
        assert through(Slotted(4)).a == 4
        assert not hasattr(through(Slotted(4)), "b")

    def test_pack_and_unpack_are_used_and_may_use_the_codec_themselves(self) -> None:
        def pack(value: Opaque) -> Any:
            CODEC.encode([bytes(50_000), bytearray(1)])
            return (value.secret, bytearray(30_000))

        def unpack(packed: Any) -> Opaque:
            CODEC.decode(CODEC.encode((1, 2)))
            made = Opaque()
            made.secret = packed
            return made

        register(Opaque, "test.opaque", pack=pack, unpack=unpack)
        back = through([(1, 2), Opaque(), bytes(40_000), (3,)])
        assert back[1].secret == (1, bytearray(30_000))
        assert (back[0], back[2], back[3]) == ((1, 2), bytes(40_000), (3,))

    def test_a_name_belongs_to_one_class_but_a_class_may_be_defined_again(self) -> None:
        register(Opaque, "test.name")
        with pytest.raises(ValueError, match="belongs to"):
            register(Slotted, "test.name")
        again = type("Opaque", (), {"__module__": Opaque.__module__, "__qualname__": "Opaque"})
        register(again, "test.name")
        assert type(through(again())) is again

    def test_one_of_pack_and_unpack_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="both"):
            register(Opaque, pack=vars)

    def test_a_failing_pack_or_unpack_is_a_wire_error_with_its_cause(self) -> None:
        def fail(_value: Any) -> Any:
            raise KeyError("boom")

        register(Opaque, "test.fail", pack=fail, unpack=fail)
        with pytest.raises(UnsupportedType, match="KeyError"):
            CODEC.encode([Opaque()])
        register(Opaque, "test.fail", pack=lambda _value: 1, unpack=fail)
        with pytest.raises(WireError) as caught:
            through(Opaque())
        assert isinstance(caught.value.__cause__, KeyError)
        assert through((1,)) == (1,)

    def test_a_reference_gets_the_context_of_the_receiver_and_includes_subclasses(self) -> None:
        class Sub(Opaque):
            pass

        register_reference(
            Opaque, lambda value: value.secret, lambda packed, context: (packed, context), name="r"
        )
        body = Codec().encode([Opaque(), Sub()])
        assert Codec(context="here").decode(body) == [(1, "here"), (1, "here")]

    def test_an_unregistered_name_is_refused(self) -> None:
        register(Opaque, "test.gone")
        body = CODEC.encode(Opaque())
        del REGISTRY.by_name["test.gone"]
        REGISTRY.version += 1
        with pytest.raises(UnsupportedType, match="not registered"):
            CODEC.decode(body)


def test_attrs_classes_travel() -> None:
    attrs = pytest.importorskip("attrs")
    cls = attrs.make_class("Tri", {"a": attrs.field(), "b": attrs.field(factory=list)}, slots=True)
    cls.__module__ = __name__
    setattr(sys.modules[__name__], "Tri", cls)  # noqa: B010
    assert through(cls(1, [2])) == cls(1, [2])


def test_msgspec_structs_travel() -> None:
    msgspec = pytest.importorskip("msgspec")
    cls = msgspec.defstruct(
        "Rec", [("a", int), ("b", list, msgspec.field(default_factory=list))], module=__name__
    )
    setattr(sys.modules[__name__], "Rec", cls)  # noqa: B010
    assert through(cls(a=1, b=[bytearray(2)])) == cls(a=1, b=[bytearray(2)])


def test_pydantic_models_travel_with_what_was_set_and_are_not_validated_twice() -> None:
    pydantic = pytest.importorskip("pydantic")
    cls = pydantic.create_model("Mod", a=(int, 1), b=(str, pydantic.Field("x", alias="bee")))
    cls.__module__ = __name__
    cls.__qualname__ = "Mod"
    setattr(sys.modules[__name__], "Mod", cls)  # noqa: B010
    back = through(cls(bee="y"))
    assert back == cls(bee="y")
    assert back.model_fields_set == {"b"}
