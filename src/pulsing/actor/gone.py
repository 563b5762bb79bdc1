"""What a reference leads to whose actor, of this node, has stopped: every call of it fails at once.

Such references arrive from other nodes: in messages that were under way, in lists, in events. They
are as good as any other, but for calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulsing.actor.cell import Cell, CellOptions
from pulsing.actor.lifecycle import CellEvent
from pulsing.actor.local import LocalTarget
from pulsing.actor.methods import Executor, Method, MethodTable

if TYPE_CHECKING:
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.ids import ActorId


class Gone:
    """Stands for an object that is no more."""


class GoneTarget(LocalTarget):
    """An actor that has stopped, as the target of calls: they fail with `ActorStopped`, unstarted.

    Whatever method is asked for: nobody knows any more which it had.
    """

    __slots__ = ()

    def method_of(self, name: str) -> Method:
        """See `LocalTarget.method_of`."""
        return Method(Gone, name, _never, Executor.LOOP)


def _never(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("an actor that has stopped runs nothing")


def gone(dispatcher: Dispatcher, actor_id: ActorId, name: str | None) -> GoneTarget:
    """An actor of this node that is not there any more."""
    cell = Cell(
        Gone(),
        MethodTable.of(Gone),
        actor_id=actor_id,
        name=name,
        options=CellOptions(),
        dispatcher=dispatcher,
    )
    cell.advance(CellEvent.START_FAILED)
    return GoneTarget(cell)
