"""`ActorRef`: a reference to an actor of which no class is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from pulsing.actor.call import Call, Tell
from pulsing.actor.handles import AnyHandle
from pulsing.actor.place import Reference

if TYPE_CHECKING:
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.remote import Actor
    from pulsing.addresses import ActorAddress
    from pulsing.ids import ActorId

A = TypeVar("A", bound="Actor")
T = TypeVar("T")


class ActorRef(Reference):
    """A reference to an actor. Made by ``spawn`` and ``resolve``; travels in messages.

    ``ask`` and ``tell`` send raw messages to its ``receive`` method. Any other public name is a
    method of the actor: ``await ref.incr(1)``. For methods named as something here, use `as_any`
    or `call`. References to the same actor are equal.
    """

    __slots__ = ("__dict__",)

    def ask(self, msg: Any) -> Call[Any]:
        """Send a message to ``receive``; await the call for what it returns."""
        return Call.ask(self._place.target, msg)

    def tell(self, msg: Any) -> Tell:
        """Send a message to ``receive`` now and ask for no answer.

        Awaiting what this gives is optional: it waits until the actor's mailbox took the message,
        and raises what prevented that.
        """
        return Tell.message(self._place.target, msg)

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """A call of the method with this name."""
        return Call(self._place.target, method, args, kwargs)

    @property
    def actor_id(self) -> ActorId:
        """The exact identity of the actor; of a name's, that which got the latest call."""
        return self._place.actor_id

    @property
    def name(self) -> str | None:
        """The canonical name of the actor, or None when it is not known by one."""
        return self._place.name

    @property
    def address(self) -> ActorAddress:
        """The exact address; ``str()`` of it is something `pulsing.refer` takes."""
        return self._place.address

    def with_key(self, key: str) -> Self:
        """The same actors, of which calls with this key go to always the same one.

        Of a name with many instances, the key picks one (rendezvous hashing): the same on every
        node, and another one only for those keys whose instance has gone. Where there is but one
        actor, it is that one.
        """
        return type(self)(self._place.with_key(key))

    def as_any(self) -> ActorProxy[Any]:
        """A proxy on which every public name is a method; the actor refuses what it lacks."""
        from pulsing.actor.proxy import ActorProxy

        return ActorProxy(self._place, None)

    @overload
    def as_type(  # type: ignore[overload-overlap]
        self,
        cls: type[A],  # pyright: ignore[reportOverlappingOverload]
    ) -> A: ...
    @overload
    def as_type(self, cls: type[T]) -> ActorProxy[T]: ...
    def as_type(self, cls: type[Any]) -> Any:
        """A proxy that has the methods of the class and refuses others here already.

        Nobody checks that the actor is of this class.
        """
        from pulsing.actor.proxy import typed_proxy

        return typed_proxy(self._place, cls)

    def __getattr__(self, name: str) -> AnyHandle:
        if name.startswith("_"):
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}; names with a leading "
                "underscore are private to the actor"
            )
        offer = self._place.offer
        handle = AnyHandle(self._place, name, offer.get(name) if offer is not None else None)
        self.__dict__[name] = handle
        return handle

    def __dir__(self) -> list[str]:
        own = [name for name in object.__dir__(self) if not name.startswith("_")]
        offer = self._place.offer
        return sorted({*own, *(offer.names if offer is not None else ())})

    def __repr__(self) -> str:
        return f"<ActorRef {self._place.label}>"
