"""Parents and children: an actor that was spawned by ``ctx.spawn`` stops with its parent.

An actor that stops first finishes or cancels its own messages, then stops its children, the
youngest first, one after another; only then its ``on_stop`` runs. (Akka does the same; an OTP
supervisor terminates its children in reverse start order, too.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pulsing.actor.supervision import EACH_FOR_ITSELF, UNSUPERVISED, Supervision
from pulsing.errors import ActorStopped, Delivery

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.cell import Cell
    from pulsing.actor.exits import ExitReason
    from pulsing.actor.lifecycle import Stopping


class Family:
    """The part of a `Cell` that knows its parent and its children.

    Attributes:
        parent: the actor that spawned it as its child, or None.
    """

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the cell hold the attributes

    if TYPE_CHECKING:
        _children: dict[Cell, None] | None
        _supervision: Supervision | None
        parent: Cell | None
        stopping: Stopping | None

        @property
        def label(self) -> str: ...

    @property
    def children(self) -> tuple[Cell, ...]:
        """Its children that are not gone, in order of their start."""
        return tuple(self._children or ())

    def adopt(self, child: Cell) -> None:
        """An actor was made that stops with this one.

        Raises:
            ActorStopped: this one is stopping already, so its children are not waited for.
        """
        if self.stopping is not None:
            raise ActorStopped(
                f"actor {self.label} is stopping; it has no more children", delivered=Delivery.NO
            )
        if self._children is None:
            self._children = {}
        self._children[child] = None
        child.parent = cast("Cell", self)
        child.on_exit(_leave_parent)

    def supervise(self, child: Cell) -> None:
        """A child has started: what becomes of it when it fails is decided from now on."""
        if self._supervision is None:
            spec = cast("Cell", self).options.supervisor or EACH_FOR_ITSELF
            self._supervision = Supervision(spec, child, cast("Cell", self))
        keeper = child.keeper
        self._supervision.adopt(child, UNSUPERVISED if keeper is None else keeper.spec)
        if keeper is not None:
            keeper.supervision = self._supervision

    async def stop_children(self, grace_s: float = 0.0) -> None:
        """Stop the children, the youngest first, and wait for each.

        Args:
            grace_s: as for `Cell.stop`, for each.
        """
        supervision, self._supervision = self._supervision, None
        if supervision is not None:
            await supervision.stop_all(grace_s)
        while self._children:
            child = next(reversed(self._children))
            ended: asyncio.Future[None] = child.stop(grace_s=grace_s)
            await ended
            self._children.pop(child, None)


def _leave_parent(child: Cell, _reason: ExitReason, _error: BaseException | None) -> None:
    parent = child.parent
    if parent is not None and parent._children is not None:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        parent._children.pop(child, None)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
