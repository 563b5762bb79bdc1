"""Whose turn it is: what the dispatcher knows of a cell."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Turn(Enum):
    """Whether the dispatcher knows that a cell has something to do."""

    IDLE = "idle"
    """Nothing waits in its mailbox."""
    READY = "ready"
    """It is in the dispatcher's queue."""
    HELD = "held"
    """Messages may wait, but must not start now."""


IDLE: Final = Turn.IDLE
READY: Final = Turn.READY
HELD: Final = Turn.HELD
