"""What time it is: the one clock of deadlines and timeouts.

``clock.monotonic()`` costs no more than ``time.monotonic()``: it is that function, until a
simulation puts its own in its place. Read it through the module, never ``from`` it: a copy of the
name would go on telling the old time.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

monotonic: Callable[[], float] = time.monotonic
"""Seconds, of the clock that event loops have as ``loop.time()``."""


@contextmanager
def replaced(source: Callable[[], float]) -> Generator[None]:
    """Let the whole process read another clock inside the block.

    Args:
        source: gives seconds and never goes back. Other threads read it, too.
    """
    global monotonic  # noqa: PLW0603 - an indirection here would be paid by every call
    before, monotonic = monotonic, source
    try:
        yield
    finally:
        monotonic = before
