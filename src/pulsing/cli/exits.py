"""How a command ends: its exit codes, and the error that becomes one line on standard error."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees. The numbers are part of the interface."""

    OK = 0
    """Done; for ``node``: asked to stop, and drained."""
    FAILED = 1
    """It could not be done: port taken, import failed, set-up failed."""
    USAGE = 2
    """The arguments make no sense; nothing was started."""
    INTERRUPTED = 130
    """SIGINT before the command could finish (128 + 2)."""
    TERMINATED = 143
    """SIGTERM, twice (128 + 15)."""


class CommandError(Exception):
    """Ends the command with one line that says what was tried and what to do next.

    Attributes:
        code: the exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
