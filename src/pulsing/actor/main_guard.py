"""What guards against a script that starts its program again in the process of an actor."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

_AGAIN: Final[list[None]] = []


@contextmanager
def running_main_again() -> Generator[None]:
    """Inside it, the script of another process is run for its definitions."""
    _AGAIN.append(None)
    try:
        yield
    finally:
        _AGAIN.pop()


def check_not_again() -> None:
    """Refuse to start a node meanwhile.

    Raises:
        RuntimeError: says what the script lacks.
    """
    if _AGAIN:
        raise RuntimeError(
            "this script is being run again in the process of an actor, to find its classes; what "
            'starts the program must stand below:  if __name__ == "__main__":'
        )
