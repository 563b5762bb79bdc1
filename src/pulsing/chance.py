"""What is left to chance: identities, and the dice for jitter and choices.

A simulation puts a seeded source in its place, so that the same seed gives the same run. Keys and
certificates do not come from here.
"""

from __future__ import annotations

import random
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_seeded: random.Random | None = None


def token_hex(octets: int) -> str:
    """Random text that nobody can guess: two hex digits for each octet."""
    return secrets.token_hex(octets) if _seeded is None else _seeded.randbytes(octets).hex()


def dice() -> random.Random:
    """A generator of its own for whoever asks. Not for secrets."""
    return random.Random(None if _seeded is None else _seeded.getrandbits(64))  # noqa: S311


@contextmanager
def seeded(source: random.Random) -> Generator[None]:
    """Take everything from ``source`` inside the block, in the whole process."""
    global _seeded  # noqa: PLW0603 - one per process, like the generator of `random` itself
    before, _seeded = _seeded, source
    try:
        yield
    finally:
        _seeded = before
