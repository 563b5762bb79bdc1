"""Which exceptions of an actor's code mean that the actor itself has failed."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Final

from pulsing.errors import (
    PulsingBusinessError,
    PulsingSystemError,
    PulsingTimeoutError,
    PulsingUnsupportedError,
    WireError,
)
from pulsing.wire.failure_text import RemoteTraceback

_OF_THE_CALLER: Final = (
    PulsingBusinessError,
    ValueError,
    TypeError,
    PulsingTimeoutError,
    TimeoutError,
    PulsingUnsupportedError,
    WireError,
    CancelledError,
)
"""What the caller did wrong, asked in vain, gave too little time for, or took back."""


def fails_actor(error: BaseException) -> bool:
    """Whether an actor that is restarted after failures has failed with this."""
    return not isinstance(error, _OF_THE_CALLER)


def is_fatal(error: BaseException) -> bool:
    """Whether an actor, whatever its policy, ends with this.

    Its code said so with ``PulsingSystemError(..., recoverable=False)``. What another actor said
    of itself, and this one did not catch, is not fatal here.
    """
    return (
        isinstance(error, PulsingSystemError)
        and not error.recoverable
        and not isinstance(error.__cause__, RemoteTraceback)
    )
