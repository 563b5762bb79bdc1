"""Identities: nodes, actors, and the names people give to actors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pulsing import chance

MAX_NAME_CHARS: Final = 256
DEFAULT_NAMESPACE: Final = "actors"
RESERVED_NAMESPACE: Final = "system"
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


def new_node_id() -> str:
    """A random 128-bit identity for one process start of a node, as 32 hex digits."""
    return chance.token_hex(16)


@dataclass(frozen=True, slots=True)
class ActorId:
    """The exact identity of one actor: a node and a number that node never gives twice."""

    node: str
    local: int

    def __str__(self) -> str:
        return f"{self.node}/{self.local}"

    @classmethod
    def parse(cls, text: str) -> ActorId:
        """Read what ``str()`` wrote. Raises ValueError for anything else."""
        node, _, local = text.partition("/")
        if len(node) == 32 and local.isascii() and local.isdigit() and len(local) <= 19:
            try:
                int(node, 16)
            except ValueError:
                pass
            else:
                return cls(node, int(local))
        raise ValueError(f"not an actor id: {text[:80]!r}; expected <32 hex digits>/<number>")


def canonical_name(name: str) -> str:
    """The full form of an actor's name: a bare ``counter`` is ``actors/counter``.

    Raises:
        ValueError: not a name: empty, too long, a reserved namespace, or a segment that is not
            1 to 64 letters, digits, ``_``, ``-`` or ``.``.
    """
    full = name if "/" in name else f"{DEFAULT_NAMESPACE}/{name}"
    if len(full) > MAX_NAME_CHARS:
        raise ValueError(
            f"actor name of {len(name)} characters is too long; {MAX_NAME_CHARS} are allowed"
        )
    for segment in full.split("/"):
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise ValueError(
                f"not an actor name: {name!r}; segments between slashes are 1-64 letters, "
                "digits, '_', '-' or '.'"
            )
    if full.startswith(RESERVED_NAMESPACE + "/"):
        raise ValueError(f"actor name {name!r} is reserved: 'system/' belongs to Pulsing")
    return full


def generated_name(class_name: str) -> str:
    """A fresh name for an actor that was given none: ``actors/<Class>_<8 hex>``."""
    return f"{DEFAULT_NAMESPACE}/{class_name[:55]}_{chance.token_hex(4)}"
