"""Why an actor is no more: the words for it."""

from __future__ import annotations

from enum import Enum


class ExitReason(Enum):
    """Why an actor is no more."""

    __hash__ = object.__hash__  # that of enums is slow, and looked up at every failure

    NORMAL = "normal"
    """It was asked to stop, or stopped itself, or its system was shut down."""
    ERROR = "error"
    """Its code failed, and it was not restarted."""
    KILLED = "killed"
    """Somebody ended it at once, without letting it finish."""
    NODE_DOWN = "node_down"
    """Its node died, left, or could not be reached any more."""
    NOT_FOUND = "not_found"
    """There was no such actor when it was asked after; how it ended is not known."""
