"""What travels beside the arguments of a call made inside an actor: the ``meta`` of its envelope.

Calls from outside actors have none, unless a trace or such travels with them. The keys:

====  ===========================================================================
``s``  the number of the calling actor on its node
``a``  where that node listens
``c``  the chain of the call, for asks; see `pulsing.actor.chain`
``t``  the trace it belongs to, with ``ts``; see `pulsing.actor.carried`, as for the next
``v``  values of context variables
====  ===========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.carried import CARRIERS, carried
from pulsing.actor.chain import CHAIN, chain_of
from pulsing.actor.refs import ActorRef
from pulsing.errors import PulsingRuntimeError
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.deadline import Scope
    from pulsing.actor.invocation import Invocation
    from pulsing.actor.system import ActorSystem

SENDER: Final = "s"
ADDRESS: Final = "a"


def meta_of(scope: Scope | None, *, waits: bool) -> dict[str, Any] | None:
    """What travels with a call of an actor on another node.

    Args:
        scope: what the code that makes it runs for.
        waits: that code waits for it: it is no tell.
    """
    meta: dict[str, Any] = {}
    cell = None if scope is None else scope.cell
    if cell is not None:
        addr = cast("ActorSystem", cell.dispatcher.host).reachable_addr
        if addr is not None:  # otherwise nobody could call it
            meta[SENDER] = cell.actor_id.local
            meta[ADDRESS] = addr
            if waits:
                meta[CHAIN] = chain_of(scope)
    return carried(meta) if CARRIERS else meta or None


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
