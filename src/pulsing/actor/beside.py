"""What travels beside the arguments of a call made inside an actor: the ``meta`` of its envelope.

Calls from outside actors have none, unless a trace or such travels with them. The keys:

====  ===========================================================================
``s``  the number of the calling actor on its node
``a``  where that node listens
``f``  instead of both: the id of the calling actor, and where its node listens; for calls that
       come from the process of an actor, or are passed on to it
``c``  the chain of the call, for asks; see `pulsing.actor.chain`
``t``  the trace it belongs to, with ``ts``; see `pulsing.actor.carried`, as for the next
``v``  values of context variables
====  ===========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

from pulsing.actor.carried import CARRIERS, carried
from pulsing.actor.chain import CHAIN, chain_of
from pulsing.actor.invocation import RUNNING
from pulsing.actor.refs import ActorRef
from pulsing.errors import PulsingRuntimeError
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.deadline import Scope
    from pulsing.actor.invocation import Invocation
    from pulsing.actor.system import ActorSystem
    from pulsing.wire import Codec

ORIGIN: Final = "f"


def meta_of(scope: Scope | None, *, waits: bool) -> dict[str, Any] | None:
    """What travels with a call of an actor on another node.

    Args:
        scope: what the code that makes it runs for.
        waits: that code waits for it: it is no tell.
    """
    meta: dict[str, Any] = {}
    cell = None if scope is None else scope.cell
    if cell is not None:
        meta.update(cast("ActorSystem", cell.dispatcher.host).sender_meta(cell))
        if meta and waits:
            meta[CHAIN] = chain_of(scope)
    return carried(meta) if CARRIERS else meta or None


def packed_meta(scope: Scope | None, codec: Codec, *, waits: bool) -> dict[str, Any] | bytes | None:
    """The same, ready to be put into an envelope.

    For nearly all calls of an actor it says the same, and then it is encoded once.
    """
    if CARRIERS:
        return meta_of(scope, waits=waits)
    cell = None if scope is None else scope.cell
    if cell is None or (waits and not _is_first(scope)):
        return meta_of(scope, waits=waits)
    known = _packed[waits]
    packed = known.get(cell)
    if packed is None:
        meta = meta_of(scope, waits=waits)
        if meta is None:
            return None
        body = codec.encode(meta)
        assert isinstance(body, bytes), "text and numbers"
        packed = known[cell] = body
    return packed


_packed: Final[tuple[WeakKeyDictionary[Cell, bytes], ...]] = (
    WeakKeyDictionary(),
    WeakKeyDictionary(),
)


def _is_first(scope: Scope | None) -> bool:
    """Whether the chain of a call made in a scope has one link, and nothing else to say."""
    invocation = None if scope is None else scope.invocation
    return (
        invocation is not None
        and invocation.caller is None
        and invocation.meta is None
        and invocation.stage is RUNNING
        and not invocation.cell.exclusive
    )


def forwarded_meta(scope: Scope | None) -> dict[str, Any]:
    """What travels with a message that is passed on: its sender is the one it came with."""
    meta: dict[str, Any] = {CHAIN: chain_of(scope)}
    invocation = None if scope is None else scope.invocation
    if invocation is not None:
        origin = _origin(invocation)
        if origin is not None:
            meta[ORIGIN] = [str(origin[0]), origin[1]]
    carried(meta)
    return meta


def _origin(invocation: Invocation) -> tuple[ActorId, str] | None:
    """The actor that sent a message, and where its node listens ("" for this node)."""
    sender: object = invocation.sender
    if sender is not None:
        return sender if isinstance(sender, ActorId) else cast("Cell", sender).actor_id, ""
    connection = getattr(invocation, "connection", None)
    match invocation.meta:
        case {"f": [str(actor_id), str(addr)]}:
            try:
                return ActorId.parse(actor_id), addr
            except ValueError:
                return None
        case {"s": int(local), "a": str(addr)} if connection is not None and local > 0:
            return ActorId(connection.peer.node_id, local), addr
        case _:
            return None


def sender_of(invocation: Invocation, system: ActorSystem) -> ActorRef | None:
    """The actor on another node that sent a message, as far as it says so."""
    try:
        origin = _origin(invocation)
        if origin is None:
            return None
        actor_id, addr = origin
        return ActorRef(
            system.arrived(actor_id, name=None, host_port=addr or None, class_name="actor")
        )
    except (ValueError, PulsingRuntimeError):
        return None
