"""Classes that describe themselves: how their instances travel and are rebuilt.

A value of such a class is a tagged container whose key is an extension of code ``TYPE``. Its data
is a letter for the kind, the name of the class and the names of the fields, separated by zeros,
such as ``d shop.orders:Order 0 id 0 items``. The content is the list of the values of these fields
(for an enum the name of the member, for an exception its arguments and attributes).

The receiver rebuilds only what it knows: a registered class, or one whose module is imported and
which is of the kind that was sent. ``__init__`` and ``__post_init__`` do not run, except for
pydantic and msgspec models, which have constructors of their own for this. Fields that the sender
does not know get their default; fields that the receiver does not know are an error.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final, Protocol, cast

from pulsing.errors import WireError
from pulsing.wire.exceptions import args_of, make_exception, state_of
from pulsing.wire.refusal import UnsupportedType, full_name
from pulsing.wire.registry import HEAP_TYPE, new_instance, slots_of
from pulsing.wire.tags import expect_list, expect_names


class Recipe(Protocol):
    """How instances of one class are taken apart and rebuilt from the values of ``names``."""

    names: tuple[str, ...]

    def dump(self, value: Any, /) -> object: ...
    def load(self, packed: object, /) -> object: ...


Default = Callable[[], object]


class EnumRecipe:
    """The name of a member; for flags, which combine, the value."""

    names: tuple[str, ...] = ()

    def __init__(self, cls: type[enum.Enum]) -> None:
        self._cls = cls

    def dump(self, value: enum.Enum, /) -> object:
        return value.value if isinstance(value, enum.Flag) else value.name

    def load(self, packed: object, /) -> object:
        if type(packed) is int and issubclass(self._cls, enum.Flag):
            return self._cls(packed)
        members: Mapping[str, enum.Enum] = self._cls.__members__
        member = members.get(packed) if isinstance(packed, str) else None
        if member is None:
            raise WireError(f"{full_name(self._cls)} has no member {str(packed)[:80]!r} here")
        return member


class ExceptionRecipe:
    """The arguments and the attributes."""

    names: tuple[str, ...] = ()

    def __init__(self, cls: type[BaseException]) -> None:
        self._cls = cls

    def dump(self, value: BaseException, /) -> object:
        return [list(args_of(value)), state_of(value)]

    def load(self, packed: object, /) -> object:
        args, state = expect_list(packed, 2)
        return make_exception(self._cls, tuple(expect_list(args)), expect_names(state))


class TupleRecipe:
    """The items of a NamedTuple, made by ``tuple`` itself."""

    def __init__(self, cls: type[tuple[Any, ...]], names: Sequence[str]) -> None:
        self._cls = cls
        self.names = tuple(names)

    def dump(self, value: tuple[Any, ...], /) -> object:
        return list(value)

    def load(self, packed: object, /) -> object:
        items = expect_list(packed, len(self.names))
        return cast(object, tuple.__new__(self._cls, items))  # pyright: ignore[reportUnknownMemberType]


class FieldsRecipe:
    """The fields of a dataclass or attrs class, set on an instance made by ``object``."""

    def __init__(self, cls: type, names: Sequence[str], missing: dict[str, Default]) -> None:
        self._cls = cls
        self.names = tuple(names)
        self._missing = missing
        slots = slots_of(cls)
        self._slots = [(name, slots[name]) for name in (*names, *missing) if name in slots]

    def dump(self, value: Any, /) -> object:
        try:
            return [getattr(value, name) for name in self.names]
        except AttributeError as error:
            raise UnsupportedType(f"a field is not set: {error}") from None

    def load(self, packed: object, /) -> object:
        values = dict(zip(self.names, expect_list(packed, len(self.names)), strict=True))
        for name, default in self._missing.items():
            values[name] = default()
        made = new_instance(self._cls)
        for name, slot in self._slots:
            slot.__set__(made, values.pop(name))
        if values:
            made.__dict__.update(values)
        return made


class StructRecipe:
    """The fields of a msgspec Struct, given to its constructor (which checks no types)."""

    def __init__(self, cls: type, names: Sequence[str]) -> None:
        self._cls = cls
        self.names = tuple(names)

    def dump(self, value: Any, /) -> object:
        return [getattr(value, name) for name in self.names]

    def load(self, packed: object, /) -> object:
        values = expect_list(packed, len(self.names))
        return self._cls(**dict(zip(self.names, values, strict=True)))


class ModelRecipe:
    """The fields and extras of a pydantic model, given to ``model_construct``.

    Values are not validated again; which fields were set explicitly is kept.
    """

    names: tuple[str, ...] = ()

    def __init__(self, cls: Any) -> None:
        self._cls = cls

    def dump(self, value: Any, /) -> object:
        known = self._cls.__pydantic_fields__
        attributes = cast("dict[str, Any]", value.__dict__)
        values = {name: item for name, item in attributes.items() if name in known}
        values.update(value.__pydantic_extra__ or {})
        return [values, sorted(value.__pydantic_fields_set__)]

    def load(self, packed: object, /) -> object:
        values, names = expect_list(packed, 2)
        known = self._cls.__pydantic_fields__
        extra = self._cls.model_config.get("extra") == "allow"
        fits = isinstance(values, dict) and (
            extra or set(cast("dict[str, Any]", values)) <= set(known)
        )
        if not fits:
            raise WireError(f"fields that {full_name(self._cls)} does not have here")
        return self._cls.model_construct(set(expect_list(names)), **values)


# One function for each kind: the recipe, or None when the class is not of this kind. ``names`` are
# the fields a sender named, None at the sender itself.
Names = Sequence[str] | None


def _enum(cls: type, _names: Names) -> Recipe | None:
    return EnumRecipe(cls) if issubclass(cls, enum.Enum) else None


def _exception(cls: type, _names: Names) -> Recipe | None:
    return ExceptionRecipe(cls) if issubclass(cls, BaseException) else None


def _named_tuple(cls: type, names: Names) -> Recipe | None:
    fields_of_tuple: object = getattr(cls, "_fields", None)
    if tuple not in cls.__mro__ or not isinstance(fields_of_tuple, tuple):
        return None
    own = cast("tuple[str, ...]", fields_of_tuple)
    if names is not None and tuple(names) != own:
        raise WireError(f"{full_name(cls)} has other fields here than at the sender")
    return TupleRecipe(cls, own)


def _dataclass(cls: type, names: Names) -> Recipe | None:
    if not is_dataclass(cls) or not _is_plain(cls):
        return None
    declared: dict[str, Default | None] = {}
    for field in fields(cls):
        if field.default is not MISSING:
            declared[field.name] = _constant(field.default)
        elif field.default_factory is not MISSING:
            declared[field.name] = field.default_factory
        else:
            declared[field.name] = None
    return FieldsRecipe(cls, *_matched(cls, declared, names))


def _attrs(cls: type, names: Names) -> Recipe | None:
    declared_attributes = cast("Sequence[Any] | None", getattr(cls, "__attrs_attrs__", None))
    if declared_attributes is None or not _is_plain(cls):
        return None
    declared: dict[str, Default | None] = {}
    for attribute in declared_attributes:
        default: Any = attribute.default
        if type(default).__name__ == "_Nothing":
            declared[attribute.name] = None
        elif hasattr(default, "takes_self"):
            declared[attribute.name] = None if default.takes_self else default.factory
        else:
            declared[attribute.name] = _constant(default)
    return FieldsRecipe(cls, *_matched(cls, declared, names))


def _struct(cls: type, names: Names) -> Recipe | None:
    msgspec = sys.modules.get("msgspec")
    if msgspec is None or msgspec.Struct not in cls.__mro__:
        return None
    own = cast("tuple[str, ...]", cls.__struct_fields__)  # type: ignore[attr-defined]
    if names is not None and not set(names) <= set(own):
        raise _unknown_fields(cls, set(names) - set(own))
    return StructRecipe(cls, own if names is None else names)


def _model(cls: type, _names: Names) -> Recipe | None:
    main = sys.modules.get("pydantic.main")
    if main is None or main.BaseModel not in cls.__mro__ or not hasattr(cls, "model_construct"):
        return None
    return ModelRecipe(cls)


KINDS: Final[dict[str, Callable[[type, Names], Recipe | None]]] = {
    "e": _enum,
    "x": _exception,
    "n": _named_tuple,
    "d": _dataclass,
    "a": _attrs,
    "m": _struct,
    "p": _model,
}
"""Letter of a kind -> its recipe for a class. The first that fits is the kind of a class."""

KIND_NAMES: Final = {
    "e": "an enum",
    "x": "an exception",
    "n": "a NamedTuple",
    "d": "a dataclass",
    "a": "an attrs class",
    "m": "a msgspec Struct",
    "p": "a pydantic model",
}


def _is_plain(cls: type) -> bool:
    """Whether ``object`` can make instances: no built-in class but ``object`` underneath."""
    return all(base is object or base.__flags__ & HEAP_TYPE for base in cls.__mro__)


def _constant(value: object) -> Default:
    return lambda: value


def _matched(
    cls: type, declared: dict[str, Default | None], names: Names
) -> tuple[list[str], dict[str, Default]]:
    """The fields to send or to expect, and the defaults of those that the sender left out."""
    if names is None:
        return list(declared), {}
    if not set(names) <= set(declared) or len(set(names)) != len(names):
        raise _unknown_fields(cls, set(names) - set(declared))
    missing: dict[str, Default] = {}
    for name, default in declared.items():
        if name not in names:
            if default is None:
                raise WireError(f"{full_name(cls)} arrived without its field {name!r}")
            missing[name] = default
    return list(names), missing


def _unknown_fields(cls: type, names: set[str]) -> WireError:
    listed = ", ".join(sorted(names))[:200] or "named twice"
    return WireError(f"{full_name(cls)} arrived with fields it does not have here: {listed}")
