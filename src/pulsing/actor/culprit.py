"""Which actor the code on a stack belongs to: for the guard, which looks from another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pulsing.actor.cell import Cell
from pulsing.actor.dispatcher import Dispatcher
from pulsing.actor.invocation import Invocation
from pulsing.actor.runner import carry

if TYPE_CHECKING:
    from types import FrameType

_SERVING: Final = frozenset(
    {
        Dispatcher.run_ready.__code__,
        Dispatcher._start.__code__,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        carry.__code__,
    }
)
"""The functions whose variable ``invocation`` is the message that runs above them."""
_OURS: Final = "pulsing.actor."


def culprit_of(frame: FrameType | None) -> str | None:
    """The actor and method that run on a stack, for people; None when it is no actor's.

    Args:
        frame: the innermost frame. The thread it belongs to may go on meanwhile.
    """
    cell: Cell | None = None
    while frame is not None:
        if frame.f_code in _SERVING:
            invocation = frame.f_locals.get("invocation")
            if isinstance(invocation, Invocation):
                return f"{invocation.cell.label}.{invocation.method.name}"
        elif cell is None and str(frame.f_globals.get("__name__")).startswith(_OURS):
            found = frame.f_locals.get("cell")
            cell = found if isinstance(found, Cell) else None
        frame = frame.f_back
    return None if cell is None else cell.label  # in one of its hooks
