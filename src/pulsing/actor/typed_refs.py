"""`TypedRef`: a reference to an actor of which the messages are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, get_args

from pulsing.actor.call import Call, Tell
from pulsing.actor.message_types import Accepts
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.refs import ActorRef

if TYPE_CHECKING:
    from pulsing.addresses import ActorAddress
    from pulsing.ids import ActorId

M_contra = TypeVar("M_contra", contravariant=True)

_UNKNOWN: Final = object()


class TypedRef(Reference, Generic[M_contra]):
    """A reference to an actor that takes messages of the type ``M``, and no others.

    Spawning a behaviour gives one. Of any reference: ``TypedRef[Increment | Reset](ref)``, which
    asks nobody whether the actor takes them. Type checkers refuse other messages, and so do `ask`
    and `tell`, before anything is sent. It travels in messages. References to the same actor are
    equal.

    Args:
        ref: a reference or proxy.
        messages: the classes of messages, for the check at run time; default: the type in
            brackets. Without either, nothing is checked here.
    """

    __slots__ = ("__orig_class__", "_accepts")

    def __init__(self, ref: Reference, *messages: type[Any]) -> None:
        super().__init__(place_of(ref))
        self._accepts: Any = Accepts.of_classes(*messages) if messages else _UNKNOWN

    @classmethod
    def to(cls, place: Place, accepts: Accepts | None) -> Self:
        """A reference to the actor at a place."""
        made = cls(Reference(place))
        made._accepts = accepts
        return made

    @property
    def accepts(self) -> Accepts | None:
        """The messages it takes; None when that is not checked here."""
        if self._accepts is _UNKNOWN:
            # Set by typing after ``__init__``, when it was made as ``TypedRef[M](...)``.
            arguments = get_args(getattr(self, "__orig_class__", None))
            self._accepts = Accepts.of(arguments[0]) if arguments else None
        accepts: Accepts | None = self._accepts
        return accepts

    def ask(self, msg: M_contra) -> Call[Any]:
        """Send a message; await the call for what the actor replies.

        Raises:
            TypeError: it is not one of the messages the actor takes. Nothing was sent.
        """
        self._check(msg)
        return Call.ask(self._place.target, msg)

    def tell(self, msg: M_contra) -> Tell:
        """Send a message now and ask for no answer. See `ActorRef.tell`.

        Raises:
            TypeError: as `ask`.
        """
        self._check(msg)
        return Tell.message(self._place.target, msg)

    def _check(self, msg: object) -> None:
        accepts = self.accepts
        if accepts is not None and not accepts.allows(msg):
            shown = repr(msg)
            shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
            raise TypeError(
                f"{self._place.label} takes {accepts}, not {type(msg).__qualname__}: {shown} was "
                "not sent"
            )

    @property
    def untyped(self) -> ActorRef:
        """A reference that takes every message."""
        return ActorRef(self._place)

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

        See `ActorRef.with_key`.
        """
        return self.to(self._place.with_key(key), self.accepts)

    def __repr__(self) -> str:
        accepts = self.accepts
        return f"<TypedRef[{'Any' if accepts is None else accepts}] {self._place.label}>"
