"""What ``pul.current()`` gives to code inside an actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from pulsing import clock
from pulsing.actor.beside import sender_of
from pulsing.actor.deadline import SCOPE
from pulsing.actor.kinship import KinshipContext
from pulsing.actor.scheduling import SchedulingContext
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.invocation import Invocation
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.system import ActorSystem
    from pulsing.ids import ActorId


class Host(Protocol):
    """What contexts need of the system their actor lives in."""

    def reference(self, whom: Cell | ActorId) -> ActorRef:
        """A reference to an actor, of this node or of another."""
        ...


class ActorContext(SchedulingContext, KinshipContext):
    """The actor and the message for which the current code runs."""

    __slots__ = ("_invocation",)

    def __init__(self, cell: Cell, invocation: Invocation | None) -> None:
        self._cell = cell
        self._invocation = invocation

    def __repr__(self) -> str:
        return f"<ActorContext of {self._cell.label}>"

    @property
    def system(self) -> ActorSystem:
        """The system this actor lives in."""
        return cast("ActorSystem", self._cell.dispatcher.host)

    @property
    def actor_id(self) -> ActorId:
        """The exact identity of this actor."""
        return self._cell.actor_id

    @property
    def name(self) -> str | None:
        """The public name of this actor, or None."""
        return self._cell.name

    @property
    def self_ref(self) -> ActorRef:
        """A reference to this actor, to be given to others."""
        return self._cell.dispatcher.host.reference(self._cell)

    @property
    def sender(self) -> ActorRef | None:
        """A reference to the actor that sent the message, or None: it came from outside actors."""
        invocation = self._invocation
        if invocation is None:
            return None
        if invocation.sender is not None:
            return self._cell.dispatcher.host.reference(cast("Cell", invocation.sender))
        return sender_of(invocation, self.system)

    @property
    def deadline(self) -> float | None:
        """When this should have ended, on the clock of ``time.monotonic()``; None for never."""
        scope = SCOPE.get()
        return None if scope is None else scope.deadline

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, 0 at least; None when there is none."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - clock.monotonic())

    def stop(self, *, grace_s: float = 0.0) -> None:
        """Stop this actor, without waiting for it: the current code is part of it.

        Works in worker threads as well. What runs is cancelled once the grace is over. Under the
        policy ``always`` the actor is restarted.

        Args:
            grace_s: seconds in which messages that wait and run may still finish.
        """
        loop = self._cell.dispatcher.loop
        loop.call_soon_threadsafe(lambda: self._cell.finish(grace_s=grace_s))


def current() -> ActorContext:
    """The context of the actor whose code runs.

    Raises:
        PulsingRuntimeError: this code runs outside of actors.
    """
    scope = SCOPE.get()
    if scope is None or scope.cell is None:
        raise PulsingRuntimeError(
            "pul.current() works inside an actor: in its methods, hooks and tasks they start"
        )
    return ActorContext(scope.cell, scope.invocation)
