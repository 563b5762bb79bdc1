"""Errors that name the value: what could not be encoded, where it sits, and what to do about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from pulsing.errors import WireError
from pulsing.wire.registry import REGISTRY

WAYS_OUT: Final = (
    "register the type with pulsing.wire.register or make it a dataclass, "
    "give all nodes of the cluster a passphrase, or allow pickle with allow_pickle=True"
)
CALL: Final = "call"
"""Root of a path into the list of a call: [timeout, kwargs, meta, *args]."""
_LONGEST_PATH: Final = 100
_LONGEST_KEY: Final = 60


class UnsupportedType(WireError):
    """A value is of a type that does not travel.

    Attributes:
        type_name: the type, with its module.
        path: where the value sits, such as ``args[0]['model'].weights``; empty at the receiver.
    """

    def __init__(self, message: str, type_name: str = "", path: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.path = path


def full_name(cls: type) -> str:
    """A type as people know it: without the module when it is a built-in."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def refusal(
    value: object,
    error: Exception,
    root: str,
    probe: Callable[[object], Exception | None],
) -> WireError:
    """What to raise instead of ``error``, which encoding ``value`` raised.

    Args:
        value: the whole message.
        error: what the encoder raised.
        root: how the path begins.
        probe: encodes a part and returns what that raised.
    """
    if isinstance(error, WireError) and not isinstance(error, UnsupportedType):
        return error
    steps, culprit, error = _locate(value, error, probe)
    path = _path(steps, root)
    name = full_name(type(culprit))
    if isinstance(error, WireError):
        return UnsupportedType(f"cannot encode {path}, a {name}: {error}", name, path)
    if isinstance(error, UnicodeEncodeError):
        return UnsupportedType(
            f"cannot encode {path}: text with a lone surrogate is not valid Unicode; "
            "send it as bytes (os.fsencode) or replace the surrogates",
            name,
            path,
        )
    if isinstance(error, RecursionError) or "recursion limit" in str(error):
        return WireError(f"cannot encode {path}: it nests too deep, or contains itself")
    refused = UnsupportedType(
        f"cannot encode {path}, a {name}: {type(error).__name__}: {error}", name, path
    )
    refused.__cause__ = error
    return refused


def _locate(
    value: object, error: Exception, probe: Callable[[object], Exception | None]
) -> tuple[list[str], object, Exception]:
    """The innermost part that cannot be encoded on its own, the steps to it, and its error."""
    steps: list[str] = []
    while len(steps) < _LONGEST_PATH:
        for step, part in _parts(value):
            reason = probe(part)
            if reason is not None:
                steps.append(step)
                value, error = part, reason
                break
        else:
            break
    return steps, value, error


def _path(steps: list[str], root: str) -> str:
    if root != CALL or not steps or not steps[0][1:-1].isdigit():
        return root + "".join(steps)
    position = int(steps[0][1:-1])
    if position >= 3:
        return f"args[{position - 3}]" + "".join(steps[1:])
    return ("timeout", "kwargs", "meta")[position] + "".join(steps[1:])


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """The direct parts of a value, each with its step in a path."""
    names: object = getattr(value, "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple):
        named = cast("tuple[object, ...]", value)
        for name, part in zip(cast("tuple[str, ...]", names), named, strict=False):
            yield f".{name}", part
    elif isinstance(value, list | tuple | deque):
        for index, part in enumerate(cast("list[object]", value)):
            yield f"[{index}]", part
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[object, object]", value).items():
            yield f".keys()[{_short(key)}]", key
            yield f"[{_short(key)}]", part
    elif isinstance(value, set | frozenset):
        for part in cast("set[object]", value):
            yield f"{{{_short(part)}}}", part
    else:
        yield from _attributes(value)


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, type):
        return
    if isinstance(value, BaseException):
        yield ".args", list(value.args)
    names = _field_names(type(value))
    if not names and REGISTRY.of(type(value)) is not None:
        names = list(getattr(value, "__dict__", {}))
    for name in names:
        try:
            yield f".{name}", getattr(value, name)
        except AttributeError:
            continue


def _field_names(cls: type) -> list[str]:
    for marker in (
        "__dataclass_fields__",
        "__struct_fields__",
        "__pydantic_fields__",
        "__attrs_attrs__",
    ):
        fields = getattr(cls, marker, None)
        if fields is not None:
            return [str(getattr(field, "name", field)) for field in fields]
    return []


def _short(key: object) -> str:
    try:
        text = repr(key)
    except Exception as error:  # noqa: BLE001 - the repr of a user's class may do anything
        return f"<{type(key).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST_KEY else text[:_LONGEST_KEY] + "..."
