"""Which messages an annotation allows, checked at run time: the run-time side of `TypedRef`."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Allowed: TypeAlias = "type[Any] | Literals"


@dataclass(frozen=True, slots=True)
class Literals:
    """Exact values, as ``Literal["start", "stop"]`` allows them."""

    values: tuple[Any, ...]

    def __contains__(self, message: object) -> bool:
        kind = type(message)
        return any(type(each) is kind and each == message for each in self.values)


@dataclass(frozen=True, slots=True)
class Accepts:
    """The messages an actor takes.

    Attributes:
        classes: of their instances.
        literals: exact values.
    """

    classes: tuple[type[Any], ...]
    literals: Literals = Literals(())

    @classmethod
    def of(cls, annotation: object) -> Self | None:
        """What an annotation allows.

        Of generic classes only the class is checked: ``list[int]`` takes every list.

        Returns:
            None when it allows everything, or when that cannot be checked: ``Any``, ``object``, a
            type variable, a protocol.
        """
        try:
            found = list(dict.fromkeys(_allowed(annotation)))
        except _AnythingGoes:
            return None
        values = (value for each in found if isinstance(each, Literals) for value in each.values)
        classes = tuple(each for each in found if not isinstance(each, Literals))
        return cls(classes, Literals(tuple(values)))

    @classmethod
    def of_classes(cls, *classes: type[Any]) -> Self | None:
        """The instances of these classes."""
        return cls.of(Union[classes]) if classes else None  # noqa: UP007 - made at run time

    def allows(self, message: object) -> bool:
        """Whether it is one of these messages."""
        return isinstance(message, self.classes) or message in self.literals

    def __str__(self) -> str:
        classes = (
            each.__qualname__ if each is not types.NoneType else "None" for each in self.classes
        )
        return " | ".join([*classes, *map(repr, self.literals.values)])


def message_annotation(handler: Callable[..., Any]) -> object:
    """The annotation of a handler's second parameter, evaluated.

    Returns:
        `typing.Any` when there is none, or when a name in it exists for type checkers only.
    """
    is_object = not inspect.isroutine(handler)
    function: Any = type(handler).__call__ if is_object else handler
    try:
        names = list(inspect.signature(handler).parameters)
        return get_type_hints(function)[names[1]]
    except (AttributeError, IndexError, KeyError, NameError, TypeError, ValueError):
        return Any


def returned_annotation(function: Callable[..., Any]) -> object:
    """The annotation of what a function returns, evaluated; as `message_annotation`."""
    try:
        return get_type_hints(function)["return"]
    except (AttributeError, KeyError, NameError, TypeError):
        return Any


class _AnythingGoes(Exception):
    """The annotation allows everything."""


def _allowed(annotation: Any) -> Iterator[Allowed]:
    origin = get_origin(annotation)
    if origin is Union or origin is types.UnionType:
        for each in get_args(annotation):
            yield from _allowed(each)
    elif origin is Literal:
        yield Literals(get_args(annotation))
    elif origin is Annotated:
        yield from _allowed(get_args(annotation)[0])
    elif isinstance(annotation, NewType):
        yield from _allowed(annotation.__supertype__)
    elif annotation is None:
        yield types.NoneType
    elif is_typeddict(annotation):
        yield dict
    else:
        alias = getattr(annotation, "__value__", None)  # of a `type` statement
        if alias is not None and not isinstance(annotation, type | TypeVar):
            yield from _allowed(alias)
        else:
            yield from _classes(annotation if origin is None else origin)


def _classes(annotation: Any) -> Iterator[type[Any]]:
    if not isinstance(annotation, type) or annotation is object:
        raise _AnythingGoes
    try:
        isinstance(None, annotation)
    except TypeError:  # a protocol that is not for the run time
        raise _AnythingGoes from None
    yield cast("type[Any]", annotation)
    # PEP 484: an int is a float where a type is concerned, and both are complex.
    if annotation is float:
        yield int
    elif annotation is complex:
        yield from (float, int)
