"""Behaviours: actors as functions of a state and a message, in the manner of Akka typed.

A behaviour says what an actor does with its next message; what its handler returns says what it
will do with the one after. `pulsing.actor.behaving` is the actor that follows them.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    TypeAlias,
    TypeGuard,
    TypeVar,
    get_args,
)

from pulsing.actor.context import ActorContext
from pulsing.actor.message_types import Accepts, message_annotation, returned_annotation
from pulsing.actor.typed_refs import TypedRef
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.behaving import Behaving
    from pulsing.actor.cell import Cell
    from pulsing.actor.invocation import Invocation

S = TypeVar("S")
M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)


class Behavior(Generic[M_contra]):
    """What an actor does with its next message, of type ``M``. Made by `stateful` and `setup`.

    ``await system.spawn(behavior)`` makes an actor of it.

    Attributes:
        name: what to call it in messages to people.
        accepts: the messages it takes, as far as annotations tell.
    """

    __slots__ = ("accepts", "name")

    def __init__(self, name: str, accepts: Accepts | None) -> None:
        self.name = name
        self.accepts = accepts

    def __repr__(self) -> str:
        return f"<Behavior {self.name}>"

    def fresh(self) -> Behavior[M_contra]:
        """The same, for an actor that starts: nothing that changes is shared with others."""
        return self


def is_behavior(value: object) -> TypeGuard[Behavior[Any]]:
    """Whether it is one."""
    return isinstance(value, Behavior)


class BehaviorAction:
    """What a handler returns: how its actor goes on. None is the same as ``Same``.

    Attributes:
        Same: go on as before. A state that was changed in place stays changed.
        Stop: stop the actor, after this message. What waits is refused. Under the restart policy
            ``always`` the actor starts anew, and what waits is kept.
        Unhandled: this message is none for this behaviour: whoever asked gets
            `PulsingUnsupportedError`, a tell is reported as lost.
        Become: ``Become(behavior)``: go on as another behaviour.
    """

    __slots__ = ("_name",)

    Same: ClassVar[BehaviorAction]
    Stop: ClassVar[BehaviorAction]
    Unhandled: ClassVar[BehaviorAction]
    Become: ClassVar[type[Become]]

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"BehaviorAction.{self._name}"


class Become(BehaviorAction):
    """Go on as another behaviour, from the next message on.

    Args:
        behavior: its state is taken as it is, without a copy.

    Raises:
        TypeError: not a behaviour.
    """

    __slots__ = ("behavior",)

    def __init__(self, behavior: Behavior[Any]) -> None:
        if not is_behavior(behavior):
            raise TypeError(
                f"an actor cannot become {behavior!r}; Become takes a behaviour, such as "
                "stateful(state, handler)"
            )
        super().__init__("Become")
        self.behavior: Behavior[Any] = behavior

    def __repr__(self) -> str:
        return f"BehaviorAction.Become({self.behavior!r})"


BehaviorAction.Same = BehaviorAction("Same")
BehaviorAction.Stop = BehaviorAction("Stop")
BehaviorAction.Unhandled = BehaviorAction("Unhandled")
BehaviorAction.Become = Become

SAME: Final = BehaviorAction.Same
STOP: Final = BehaviorAction.Stop
UNHANDLED: Final = BehaviorAction.Unhandled


@dataclass(frozen=True, slots=True)
class ReceiveTimeout:
    """The message that says: no other came for a while. See `BehaviorContext.set_receive_timeout`.

    Attributes:
        seconds: for how long.
    """

    seconds: float


Handled: TypeAlias = BehaviorAction | None
Handler: TypeAlias = Callable[[S, M, "BehaviorContext[M]"], Handled | Awaitable[Handled]]
Factory: TypeAlias = Callable[["BehaviorContext[M]"], Behavior[M] | Awaitable[Behavior[M]]]


# --- making them ----------------------------------------------------------------------------------


class Stateful(Behavior[M_contra]):
    """A handler and its state."""

    __slots__ = ("handler", "state")

    def __init__(self, state: Any, handler: Callable[..., Any], accepts: Accepts | None) -> None:
        super().__init__(_name_of(handler), accepts)
        self.state = state
        self.handler = handler

    def fresh(self) -> Stateful[M_contra]:
        """See `Behavior.fresh`."""
        try:
            state = copy.deepcopy(self.state)
        except Exception as error:
            raise TypeError(
                f"the state of {self!r} cannot be copied ({type(error).__name__}: {error}), and "
                "each actor starts with its own: make it in pul.setup(lambda ctx: stateful(...))"
            ) from error
        return Stateful(state, self.handler, self.accepts)


class Setup(Behavior[M_contra]):
    """Something that makes the behaviour when the actor starts."""

    __slots__ = ("factory",)

    def __init__(self, factory: Callable[..., Any]) -> None:
        promised = get_args(returned_annotation(factory))
        super().__init__(_name_of(factory), Accepts.of(promised[0]) if promised else None)
        self.factory = factory


def _name_of(function: Callable[..., Any]) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    return name if name.isidentifier() and name.isascii() else "behavior"


def stateful(state: S, handler: Handler[S, M]) -> Behavior[M]:
    """A behaviour: a state, and what a message does to it.

    ::

        @dataclass
        class Count:
            value: int = 0

        def counting(count: Count, msg: Increment | Get, ctx: BehaviorContext[Increment | Get]):
            match msg:
                case Increment(by):
                    count.value += by
                case Get():
                    ctx.reply(count.value)

        counter = await system.spawn(stateful(Count(), counting), name="counter")
        counter.tell(Increment(5))
        assert await counter.ask(Get()) == 5

    Args:
        state: changed in place by the handler, or replaced with
            ``Become(stateful(new_state, handler))``. Every actor that is spawned or restarted
            starts with a deep copy of it; see `setup` for one that is not to be copied.
        handler: ``(state, msg, ctx)``, returns a `BehaviorAction` or None for ``Same``. ``async
            def`` runs on the loop, ``def`` in a worker thread, as methods do; either way one
            message after another. The annotation of ``msg`` is the type of messages the actor
            takes: a union, as a rule. Others are unhandled before they reach the handler.

    Raises:
        TypeError: the handler is not callable.
    """
    if not callable(handler):
        raise TypeError(f"stateful(state, handler) needs something callable, not {handler!r}")
    return Stateful(state, handler, Accepts.of(message_annotation(handler)))


def setup(factory: Factory[M]) -> Behavior[M]:
    """A behaviour that is made when the actor starts, and anew when it is restarted.

    For states that cost much, cannot be copied, or need the context: ``setup(lambda ctx:
    stateful(Model(), handler))``. Messages wait meanwhile.

    Args:
        factory: gets the context and returns the behaviour; ``def`` or ``async def``.

    Raises:
        TypeError: the factory is not callable.
    """
    if not callable(factory):
        raise TypeError(f"setup(factory) needs something callable, not {factory!r}")
    return Setup(factory)


# --- what handlers are given ----------------------------------------------------------------------

_NOTHING: Final = object()


class BehaviorContext(ActorContext, Generic[M]):
    """The context of a handler, for the message in hand. All of it works in worker threads.

    Besides what `ActorContext` has: answers, the stash, and the receive timeout.
    """

    __slots__ = ("_actor", "_answer", "_closed", "_message", "stashing", "unstashing")

    def __init__(
        self, cell: Cell, invocation: Invocation | None, actor: Behaving, message: object
    ) -> None:
        super().__init__(cell, invocation)
        self._actor = actor
        self._message = message
        self._answer: object = _NOTHING
        self._closed = False
        self.stashing = False
        self.unstashing = False

    @property
    def self_ref(self) -> TypedRef[M]:  # type: ignore[override]  # says more: which messages
        """A reference to this actor, to be given to others."""
        place = self.system.place(self._cell)
        return TypedRef[M].to(place, self._actor.accepts)

    def reply(self, value: object) -> None:
        """Answer the message in hand, if it was asked; the answer leaves when the handler returns.

        An ask that is handled without a reply is answered with None.

        Raises:
            PulsingRuntimeError: it has been answered or stashed, or the handler has returned.
        """
        self._check_open("reply")
        if self._answer is not _NOTHING or self.stashing:
            done = "stashed" if self.stashing else "answered"
            raise PulsingRuntimeError(f"{self._cell.label}: the message in hand has been {done}")
        self._answer = value

    def stash(self, msg: M) -> None:
        """Put the message in hand aside, until `unstash_all`. Whoever asked goes on waiting.

        When the actor stops, stashed messages are refused like those in the mailbox.

        Raises:
            ValueError: it is not the message in hand.
            MailboxFull: as many as may be are stashed already.
            PulsingRuntimeError: it has been answered or stashed, or the handler has returned.
        """
        self._check_open("stash")
        if msg is not self._message:
            raise ValueError(f"{msg!r} is not the message in hand, which alone can be stashed")
        if self._answer is not _NOTHING or self.stashing:
            done = "stashed" if self.stashing else "answered"
            raise PulsingRuntimeError(f"{self._cell.label}: the message in hand has been {done}")
        self._actor.stash.check_room()
        self.stashing = True

    def unstash_all(self) -> int:
        """Take up all stashed messages again, in order, before those in the mailbox.

        They follow once the handler has returned, then with the behaviour it returned. A message
        that is stashed in the same step stays.

        Returns:
            How many.
        """
        self._check_open("unstash_all")
        self.unstashing = True
        return len(self._actor.stash)

    @property
    def stashed(self) -> int:
        """Messages in the stash."""
        return len(self._actor.stash)

    def set_receive_timeout(self, seconds: float | None) -> None:
        """Get a `ReceiveTimeout` as a message whenever none came for so long.

        It stays in effect, also for other behaviours, until it is set again. The time runs while
        nothing waits or is handled.

        Args:
            seconds: more than 0; None turns it off.

        Raises:
            ValueError: not above 0, or not finite.
        """
        self._actor.set_receive_timeout(self._cell, seconds)

    def close(self) -> Any:
        """The handler has returned. Gives the answer."""
        self._closed = True
        return None if self._answer is _NOTHING else self._answer

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise PulsingRuntimeError(
                f"{self._cell.label}: ctx.{what} belongs to a message whose handler has returned"
            )
