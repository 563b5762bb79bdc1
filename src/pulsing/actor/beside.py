"""What travels beside the arguments of a call made inside an actor: the ``meta`` of its envelope.

Calls from outside actors have none. Keys are single letters:

====  ===========================================================================
``s``  the number of the calling actor on its node
``a``  where that node listens
====  ===========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.refs import ActorRef
from pulsing.errors import PulsingRuntimeError
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.invocation import Invocation
    from pulsing.actor.system import ActorSystem

SENDER: Final = "s"
ADDRESS: Final = "a"


def meta_of(cell: Cell) -> dict[str, Any] | None:
    """What travels with a call that an actor makes of an actor on another node."""
    addr = cast("ActorSystem", cell.dispatcher.host).reachable_addr
    if addr is None:
        return None  # nobody could send it anything
    return {SENDER: cell.actor_id.local, ADDRESS: addr}


def sender_of(invocation: Invocation, system: ActorSystem) -> ActorRef | None:
    """The actor on another node that sent a message, as far as it says so."""
    connection = getattr(invocation, "connection", None)
    match invocation.meta:
        case {"s": int(local), "a": str(addr)} if connection is not None and local > 0:
            try:
                actor_id = ActorId(connection.peer.node_id, local)
                place = system.arrived(actor_id, name=None, host_port=addr, class_name="actor")
            except (ValueError, PulsingRuntimeError):
                return None
            return ActorRef(place)
        case _:
            return None
