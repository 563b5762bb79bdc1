"""How references, proxies and messages travel between nodes.

A reference travels as where its actor is, or, to a service, as its name and policy; the receiver
makes one of its own system, without asking anybody. A typed proxy arrives typed when its class is
imported there, otherwise untyped; a typed reference checks messages where all classes of them are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.message import Message, StreamMessage
from pulsing.actor.message_types import Accepts, Literals
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.proxy import ActorProxy, class_of_proxy, typed_proxy
from pulsing.actor.refs import ActorRef
from pulsing.actor.service_place import ServicePlace, service_place
from pulsing.actor.typed_refs import TypedRef
from pulsing.errors import PulsingRuntimeError, WireError
from pulsing.ids import ActorId
from pulsing.wire.lookup import find_class, wire_name
from pulsing.wire.registry import register, register_reference

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem

_MAX_TEXT_CHARS: Final = 1024
_MAX_CLASSES: Final = 256

WITHIN_NODE: Final[ContextVar[bool]] = ContextVar("pulsing_within_node", default=False)
"""A value is copied for an actor of the same node, which needs no address for a reference."""


def _pack_place(reference: Reference) -> list[object]:
    place = place_of(reference)
    if isinstance(place, ServicePlace):
        policy = place.policy_text
        if len(policy) > _MAX_TEXT_CHARS:
            raise WireError(f"{reference!r} cannot be sent: its key has {len(policy)} characters")
        return [place.name, policy, place.class_name, *place.whereabouts()]
    host_port = place.address.host_port
    if host_port is None and not WITHIN_NODE.get():
        raise WireError(
            f"{reference!r} cannot be sent to another node, because this node opens no port on "
            "which the actor could be called; give it one: pul.init(addr='HOST:PORT')"
        )
    return [str(place.actor_id), host_port or "", place.name, place.class_name]


def _unpack_place(packed: object, system: ActorSystem) -> Place:
    match packed:
        case [str(actor_id), str(host_port), str() | None as name, str(class_name)] if (
            max(map(len, (actor_id, host_port, name or "", class_name))) <= _MAX_TEXT_CHARS
        ):
            try:
                return system.arrived(
                    ActorId.parse(actor_id), name=name, host_port=host_port, class_name=class_name
                )
            except (ValueError, PulsingRuntimeError) as error:
                raise WireError(f"a reference arrived that cannot be used: {error}", error) from (
                    error
                )
        case [str(name), str(policy), str(class_name), str(actor_id), str(host_port)] if (
            max(map(len, (name, policy, class_name, actor_id, host_port))) <= _MAX_TEXT_CHARS
        ):
            try:
                if system.cluster is not None:
                    return service_place(system, name, policy or None, class_name)
                return system.arrived(  # who is in no cluster knows one of the actors
                    ActorId.parse(actor_id), name=name, host_port=host_port, class_name=class_name
                )
            except (ValueError, PulsingRuntimeError) as error:
                raise WireError(f"a reference arrived that cannot be used: {error}", error) from (
                    error
                )
        case _:
            raise WireError("a reference arrived that makes no sense")


def _pack_proxy(proxy: ActorProxy[Any]) -> list[object]:
    owner = class_of_proxy(proxy)
    return [*_pack_place(proxy), None if owner is None else wire_name(owner)]


def _unpack_ref(packed: Any, system: ActorSystem) -> ActorRef:
    return ActorRef(_unpack_place(packed, system))


def _unpack_proxy(packed: Any, system: ActorSystem) -> Any:
    if not isinstance(packed, list) or not packed:
        raise WireError("a proxy arrived that makes no sense")
    *place_facts, name = cast("list[object]", packed)
    place = _unpack_place(place_facts, system)
    owner = find_class(name) if isinstance(name, str) else None
    if owner is not None:
        return typed_proxy(place, owner)
    proxy: ActorProxy[Any] = ActorProxy(place, None)
    return proxy


def _pack_typed(reference: TypedRef[Any]) -> list[object]:
    accepts = reference.accepts
    names = None if accepts is None else [wire_name(each) for each in accepts.classes]
    literals = [] if accepts is None else list(accepts.literals.values)
    return [*_pack_place(reference), names, literals]


def _unpack_typed(packed: Any, system: ActorSystem) -> TypedRef[Any]:
    if not isinstance(packed, list):
        raise WireError("a typed reference arrived that makes no sense")
    facts = cast("list[object]", packed)
    match facts[-2:]:
        case [None, _]:
            accepts = None
        case [list(), list()] as known if len(cast("list[object]", known[0])) <= _MAX_CLASSES:
            accepts = _accepts(*cast("list[list[object]]", known))
        case _:
            raise WireError("a typed reference arrived that makes no sense")
    return TypedRef[Any].to(_unpack_place(facts[:-2], system), accepts)


def _accepts(names: list[object], literals: list[object]) -> Accepts | None:
    """What it takes; None when a class is not known here, so that nothing can be checked."""
    found = [find_class(name) if isinstance(name, str) else None for name in names]
    classes = [each for each in found if each is not None]
    if len(classes) != len(found):
        return None
    checked = Accepts.of_classes(*classes)
    if checked is None and classes:
        return None
    return Accepts(checked.classes if checked else (), Literals(tuple(literals)))


# --- messages -----------------------------------------------------------------------------------


def _pack_message(message: Message) -> list[object]:
    return [message.msg_type, message.payload]


def _unpack_message(packed: Any) -> Message:
    match packed:
        case [str(msg_type), payload]:
            return Message(msg_type, payload)
        case _:
            raise WireError("a Message arrived that makes no sense")


class _Chunks:
    """The chunks of a message, taken by whoever sends them: encoding may be tried twice."""

    __slots__ = ("_message",)

    def __init__(self, message: StreamMessage) -> None:
        self._message = message

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._message.stream_reader()


def _pack_stream(message: StreamMessage) -> list[object]:
    return [message.msg_type, _Chunks(message)]


def _unpack_stream(packed: Any) -> StreamMessage:
    match packed:
        case [str(msg_type), chunks] if isinstance(chunks, AsyncIterator):
            return StreamMessage(msg_type, cast("Any", chunks))
        case _:
            raise WireError("a StreamMessage arrived that makes no sense")


def register_all() -> None:
    """Let them travel. Doing it again changes nothing."""
    register_reference(ActorRef, _pack_place, _unpack_ref, name="pulsing:ActorRef")
    register_reference(ActorProxy, _pack_proxy, _unpack_proxy, name="pulsing:ActorProxy")
    register_reference(TypedRef, _pack_typed, _unpack_typed, name="pulsing:TypedRef")
    register(Message, "pulsing:Message", pack=_pack_message, unpack=_unpack_message)
    register(StreamMessage, "pulsing:StreamMessage", pack=_pack_stream, unpack=_unpack_stream)
