"""What people write, as the values of a configuration's fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class NetworkKind(StrEnum):
    """How far apart the nodes of a cluster are: which timings membership by gossip has."""

    LOCAL = "local"
    """One machine."""
    LAN = "lan"
    """A data centre."""
    WAN = "wan"
    """Sites far apart, or a network that loses much."""


_WORDS: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False}
_OFF: Final = frozenset({"", "none", "off", "no", "false"})


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _WORDS or word in _OFF:
        return _WORDS.get(word, False)
    raise ValueError("expected true or false")


def _to_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise ValueError("expected a whole number")


def _to_float(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError("expected a number")


def _to_str(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("expected text")


def _to_list(value: object) -> tuple[str, ...]:
    """Texts; as one text with commas between them."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, Iterable):
        parts = tuple(cast("Iterable[object]", value))
        if all(isinstance(part, str) for part in parts):
            return cast("tuple[str, ...]", parts)
    raise ValueError("expected a list of texts")


def _to_labels(value: object) -> Mapping[str, str]:
    """Names and values; in texts ``name=value``, or only ``name``."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        if all(isinstance(key, str) and isinstance(text, str) for key, text in pairs.items()):
            return dict(cast("Mapping[str, str]", pairs))
        raise ValueError("expected names with texts as values, '' for none")
    split = [part.partition("=") for part in _to_list(value)]
    return {key.strip(): text.strip() for key, _, text in split}


def _to_network(value: object) -> NetworkKind:
    try:
        return NetworkKind(str(value).lower())
    except ValueError:
        raise ValueError(f"expected one of {', '.join(NetworkKind)}") from None


_CONVERTERS: Final[Mapping[str, Callable[[object], object]]] = {
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
    "tuple[str, ...]": _to_list,
    "Mapping[str, str]": _to_labels,
    "NetworkKind": _to_network,
}


def convert(types: Mapping[str, str], key: str, value: object) -> object:
    """The value as the type of its field. Never shows the value of a secret.

    Args:
        types: of all fields, by name.
        key: name of the field.
        value: what a source says.

    Raises:
        ValueError: no such field, or no such value of it.
    """
    kind, _, rest = types.get(key, "").partition(" | ")
    if not kind:
        import difflib

        close = difflib.get_close_matches(key, types, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(types))}"
        raise ValueError(f"unknown key {key!r}; {hint}")
    if rest and (value is False or (isinstance(value, str) and value.lower() in _OFF)):
        return None
    try:
        return _CONVERTERS[kind](value)
    except ValueError as error:
        shown = "" if key == "passphrase" else f", not {value!r}"
        raise ValueError(f"{key}: {error}{shown}") from None
