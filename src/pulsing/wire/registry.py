"""Types that travel because somebody said so.

``register`` is for users; ``register_reference`` is for types whose copy at the receiver is made
with the help of the receiver itself, such as actor references. Both work for the whole process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MemberDescriptorType
from typing import Any, TypeVar, cast, overload

from pulsing.wire.lookup import wire_name
from pulsing.wire.tags import expect_names

T = TypeVar("T")
Unpack = Callable[[Any, object], object]


@dataclass(frozen=True, slots=True)
class Registration:
    """How one class travels: ``pack(value)`` and, at the receiver, ``unpack(packed, context)``."""

    cls: type
    name: str
    pack: Callable[[Any], object]
    unpack: Unpack
    subclasses: bool


class Registry:
    """The registrations of this process, by class and by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Registration] = {}
        self._by_class: dict[type, Registration] = {}
        self.version = 0
        """Grows with each change, so that codecs drop what they remembered."""

    def add(self, entry: Registration) -> None:
        """Add an entry, or replace that of the same class, also of its earlier definition.

        Raises:
            ValueError: another class has this name.
        """
        known = self.by_name.get(entry.name)
        if known is not None and wire_name(known.cls) != wire_name(entry.cls):
            raise ValueError(
                f"the wire name {entry.name!r} belongs to {wire_name(known.cls)}; "
                "pass another name= to register"
            )
        if known is not None:
            self._by_class.pop(known.cls, None)
        before = self._by_class.pop(entry.cls, None)
        if before is not None:
            self.by_name.pop(before.name, None)
        self.by_name[entry.name] = entry
        self._by_class[entry.cls] = entry
        self.version += 1

    def of(self, cls: type) -> Registration | None:
        """The entry for a class, or of a base that was registered together with subclasses."""
        for base in cls.__mro__:
            entry = self._by_class.get(base)
            if entry is not None and (base is cls or entry.subclasses):
                return entry
        return None


REGISTRY = Registry()


@overload
def register(
    cls: type[T],
    name: str | None = None,
    *,
    pack: Callable[[T], object] | None = None,
    unpack: Callable[[Any], T] | None = None,
) -> type[T]: ...
@overload
def register(
    cls: None = None,
    name: str | None = None,
    *,
    pack: Callable[[Any], object] | None = None,
    unpack: Callable[[Any], object] | None = None,
) -> Callable[[type[T]], type[T]]: ...
def register(
    cls: type[Any] | None = None,
    name: str | None = None,
    *,
    pack: Callable[[Any], object] | None = None,
    unpack: Callable[[Any], object] | None = None,
) -> object:
    """Let instances of ``cls`` travel; call it in every program that sends or receives them.

    Usable as a decorator, with or without arguments. Without ``pack`` and ``unpack`` the instance's
    attributes travel and are set on a new instance; ``__init__`` does not run.

    Args:
        cls: the class; subclasses are not included.
        name: the name on the wire, the same in all programs. Default: module and class name.
        pack: makes of an instance a value that can travel (a dict, a tuple, bytes, ...).
        unpack: makes an instance of what ``pack`` returned. It gets whatever a peer sent: check it.

    Raises:
        ValueError: the name belongs to another class, or only one of pack and unpack is given.
    """
    if cls is None:

        def decorate(decorated: type[Any]) -> type[Any]:
            return register(decorated, name, pack=pack, unpack=unpack)

        return decorate
    if (pack is None) != (unpack is None):
        raise ValueError("give both pack and unpack, or neither")
    if unpack is None or pack is None:
        pack, load = _attributes, _from_attributes(cls)
    else:
        load = _without_context(unpack)
    REGISTRY.add(Registration(cls, name or wire_name(cls), pack, load, subclasses=False))
    return cls


def register_reference(
    cls: type[T],
    pack: Callable[[T], object],
    unpack: Callable[[Any, Any], object],
    *,
    name: str | None = None,
) -> None:
    """Let instances of ``cls`` and of its subclasses travel as references.

    Args:
        cls: the class.
        pack: makes of an instance a value that can travel.
        unpack: gets that value and the ``context`` of the receiving codec.
        name: the name on the wire. Default: module and class name.
    """
    REGISTRY.add(Registration(cls, name or wire_name(cls), pack, unpack, subclasses=True))


def _without_context(unpack: Callable[[Any], object]) -> Unpack:
    return lambda packed, _context: unpack(packed)


@lru_cache(maxsize=1024)
def _slots_of(cls: Any) -> dict[str, MemberDescriptorType]:
    return {
        name: member
        for base in reversed(cast("tuple[type, ...]", cls.__mro__))
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType) and base.__flags__ & HEAP_TYPE
    }


HEAP_TYPE = 1 << 9  # set for classes made by a class statement


def _attributes(value: object) -> object:
    slots = {name: getattr(value, name) for name in slots_of(type(value)) if hasattr(value, name)}
    return {**slots, **cast("dict[str, object]", getattr(value, "__dict__", {}))}


def _from_attributes(cls: type) -> Unpack:
    def unpack(packed: object, _context: object) -> object:
        made = new_instance(cls)
        set_attributes(made, expect_names(packed))
        return made

    return unpack


def slots_of(cls: type) -> dict[str, MemberDescriptorType]:
    """The slots of a class and its bases, by attribute name. Not to be changed."""
    return _slots_of(cast(Any, cls))


def new_instance(cls: type) -> object:
    """An instance whose ``__new__`` and ``__init__`` did not run."""
    return cast(object, object.__new__(cls))  # pyright: ignore[reportUnknownVariableType]


def set_attributes(target: object, values: dict[str, object]) -> None:
    """Set slots and instance attributes without running code of the class."""
    slots = slots_of(type(target))
    for name, value in values.items():
        if name in slots:
            slots[name].__set__(target, value)
        else:
            target.__dict__[name] = value
