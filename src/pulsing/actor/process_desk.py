"""What a node does for the processes of its actors, beyond calls: it finds and starts others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pulsing.actor import lifecycle
from pulsing.actor.cell import Cell
from pulsing.actor.mailbox import CellOptions
from pulsing.actor.methods import Executor, MethodTable
from pulsing.actor.options import ActorOptions
from pulsing.actor.place import place_of
from pulsing.actor.refs import ActorRef
from pulsing.actor.remote import options_of
from pulsing.errors import PulsingRuntimeError
from pulsing.ids import ActorId
from pulsing.wire.lookup import find_class

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.policies import Policy

DESK: Final = "desk"
"""The target of requests of a process to its node."""
_MAX_AT_ONCE: Final = 100_000


class Desk:
    """Answers the processes of actors."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    async def locate(self, address: str, timeout_s: float, policy: Policy | str | None) -> ActorRef:
        """See `ActorSystem.resolve`."""
        return await self._system.resolve(address, timeout=timeout_s, policy=policy)

    async def spawn(
        self,
        class_name: str,
        args: list[Any],
        kwargs: dict[str, Any],
        name: str | None,
        public: bool | None,
        options: dict[str, Any],
        placement: str,
    ) -> ActorRef:
        """Start an actor on another node; see `ActorSystem.spawn`."""
        owner = find_class(class_name)
        if owner is None:
            raise PulsingRuntimeError(
                f"the node of this process has not imported {class_name}, so it cannot start one"
            )
        proxy = await self._system.spawn_class(
            owner,
            tuple(args),
            kwargs,
            name=name,
            public=public,
            placement=placement,
            options=options_of(owner).updated(ActorOptions.checked(**options)),
        )
        return ActorRef(place_of(proxy))

    async def members(self) -> list[dict[str, Any]]:
        """See `ActorSystem.members`."""
        return await self._system.members()

    async def all_named_actors(self) -> list[dict[str, Any]]:
        """See `ActorSystem.all_named_actors`."""
        return await self._system.all_named_actors()


def desk_cell(system: ActorSystem) -> Cell:
    """The actor `DESK` of a system, ready for messages."""
    cell = Cell(
        Desk(system),
        MethodTable.of(Desk, Executor.THREAD),
        actor_id=ActorId(system.node_id, 0),
        name=DESK,
        options=CellOptions(max_concurrency=_MAX_AT_ONCE),
        dispatcher=system.dispatcher,
    )
    cell.advance(lifecycle.CellEvent.STARTED)
    cell.reschedule()
    return cell
