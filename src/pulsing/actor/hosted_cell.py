"""The cells of a system: found by name and number until they are asked to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pulsing.actor.cell import Cell
from pulsing.actor.exits import ExitReason
from pulsing.actor.lifecycle import CellEvent, CellState

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.hosting import ActorHost


class HostedCell(Cell):
    """A cell whose name is free from the moment it is asked to stop, whoever asks."""

    __slots__ = ()

    def stop(
        self,
        *,
        grace_s: float = 0.0,
        reason: ExitReason = ExitReason.NORMAL,
        error: BaseException | None = None,
    ) -> asyncio.Future[None]:
        """See `Cell.stop`."""
        cast("ActorHost", self.dispatcher.host).forget(self)
        return super().stop(grace_s=grace_s, reason=reason, error=error)


def retired(cell: Cell) -> bool:
    """Stop an actor here and now if nothing of it runs or has to run. Returns whether it did."""
    idle = cell.state is CellState.RUNNING and cell.is_idle() and not cell.children
    if idle and not cell.stash and not hasattr(type(cell.instance), "on_stop"):
        cell.advance(CellEvent.STOP_ASKED)
        cell.advance(CellEvent.ENDED)
        return True
    return False
