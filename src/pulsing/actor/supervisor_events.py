"""What a supervisor is told, and what it says to do. Values; `supervisor_core` has the meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .exit_reason import ExitReason
from .restart_policy import ChildSpec

Key: TypeAlias = int | str
"""What the shell calls a child."""

# --- stimuli --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildAdded:
    """A child runs, and is supervised from now on; it comes last in the order of start."""

    child: Key
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child has ended, and nobody had asked it to."""

    child: Key
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ChildStopped:
    """What `StopChild` asked for is done."""

    child: Key


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """What `StartChild` asked for is done: the child runs."""

    child: Key


@dataclass(frozen=True, slots=True)
class StartFailed:
    """What `StartChild` asked for failed: nothing of the child runs."""

    child: Key


@dataclass(frozen=True, slots=True)
class ChildGone:
    """A child is gone for good, whoever asked for it."""

    child: Key


@dataclass(frozen=True, slots=True)
class StopAsked:
    """All children are to end."""


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """It is time to look again."""


Stimulus: TypeAlias = (
    ChildAdded
    | ChildEnded
    | ChildStopped
    | ChildStarted
    | StartFailed
    | ChildGone
    | StopAsked
    | DeadlineReached
)

# --- effects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartChild:
    """Make a child run again.

    Attributes:
        child: whom.
        attempt: restarts in a row of the child that failed, this one included.
        because_of: the child that failed: itself, or a sibling.
    """

    child: Key
    attempt: int
    because_of: Key


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop a child that will be started again: it keeps its identity."""

    child: Key


@dataclass(frozen=True, slots=True)
class EndChild:
    """End a child for good, whatever it does.

    Attributes:
        child: whom.
        reason: why; ``NORMAL`` for one that did nothing wrong.
    """

    child: Key
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Escalate:
    """The budget is used up and all children are gone: the supervisor itself has failed.

    Attributes:
        child: whose failure was one too many.
    """

    child: Key


@dataclass(frozen=True, slots=True)
class ReportStopped:
    """All children are gone, as was asked."""


Effect: TypeAlias = StartChild | StopChild | EndChild | Escalate | ReportStopped
