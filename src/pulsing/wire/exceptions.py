"""Exceptions taken apart and put together without running their code.

A user's ``__init__`` may want anything; a copy is made by the built-in class underneath, which
stores ``args``, and then gets the attributes of the original.
"""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, cast

from pulsing.errors import WireError
from pulsing.wire.registry import HEAP_TYPE, set_attributes, slots_of

_MEMBERS: Final[dict[type, tuple[str, ...]]] = {
    OSError: ("errno", "strerror", "filename", "filename2"),
    ImportError: ("msg", "name", "path"),
    NameError: ("name",),
    AttributeError: ("name",),
}
"""Attributes kept outside ``args`` and ``__dict__`` that are safe to set to any value."""


_ARGS: Final = cast("GetSetDescriptorType", vars(BaseException)["args"])


def args_of(exc: BaseException) -> tuple[Any, ...]:
    """The arguments of an exception, whatever its class calls ``args``."""
    return cast("tuple[Any, ...]", _ARGS.__get__(exc))


def state_of(exc: BaseException) -> dict[str, Any]:
    """The attributes of an exception, without ``args`` and notes."""
    state = {name: getattr(exc, name) for name in slots_of(type(exc)) if hasattr(exc, name)}
    state.update(_members(exc))
    state.update(exc.__dict__)
    state.pop("__notes__", None)
    return state


def notes_of(exc: BaseException) -> list[str]:
    """The notes of an exception (PEP 678), as far as they are text."""
    notes = cast("dict[str, object]", exc.__dict__).get("__notes__")
    if not isinstance(notes, list):
        return []
    return [note for note in cast("list[object]", notes) if isinstance(note, str)]


def make_exception(
    cls: type[BaseException], args: tuple[object, ...], state: dict[str, Any]
) -> BaseException:
    """An exception of class ``cls``; of its code nothing runs but that of built-in classes.

    Raises:
        WireError: these arguments make no such exception.
    """
    builtin = _builtin_base(cls)
    try:
        made = builtin.__new__(cls, *args)
        builtin.__init__(made, *args)
        _check_positions(made)
    except Exception as error:
        raise WireError(f"no {cls.__qualname__} can be made of these arguments: {error}") from error
    if type(made) is not cls:  # OSError(2, "...") makes a FileNotFoundError
        cls = type(made)
    members = [name for name in _member_names(cls) if name in state]
    for name in members:
        object.__setattr__(made, name, state[name])
    others = {name: state[name] for name in state if name not in members and name != "__notes__"}
    set_attributes(made, others)
    return made


def _builtin_base(cls: type[BaseException]) -> type[BaseException]:
    """The C class that gives instances their memory layout, and so can make them."""
    base: type = cls
    while base.__flags__ & HEAP_TYPE and base.__base__ is not None:
        base = base.__base__
    return cast(type[BaseException], base)


def _member_names(cls: type) -> list[str]:
    return [
        name
        for base, names in _MEMBERS.items()
        if issubclass(cls, base)
        for name in names
        if _is_member(cls, name)
    ]


def _is_member(cls: type, name: str) -> bool:
    """Whether an attribute is still the built-in one, not overridden by a subclass."""
    for base in cls.__mro__:
        if name in vars(base):
            member = vars(base)[name]
            return isinstance(member, MemberDescriptorType) and not base.__flags__ & HEAP_TYPE
    return False


def _members(exc: BaseException) -> dict[str, Any]:
    values = {name: getattr(exc, name, None) for name in _member_names(type(exc))}
    return {name: value for name, value in values.items() if value is not None}


def _check_positions(exc: BaseException) -> None:
    """Unicode errors print the octets at positions they were given, without looking (CPython)."""
    if isinstance(exc, UnicodeEncodeError | UnicodeDecodeError | UnicodeTranslateError):
        _, subject, start, end, _ = exc.args if len(exc.args) == 5 else ("", *exc.args)
        if not 0 <= start <= end <= len(subject):
            raise ValueError("a position outside of the text")
