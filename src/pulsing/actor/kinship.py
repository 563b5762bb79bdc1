"""What an actor has to do with others: its children, those it watches, and those it is linked to.

`KinshipContext` is that part of `pulsing.actor.context.ActorContext`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from pulsing.actor.threadsafe import on_loop
from pulsing.actor.watch import handler_of, no_handler

if TYPE_CHECKING:
    from pulsing.actor.behaviors import Behavior
    from pulsing.actor.cell import Cell
    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.methods import Executor
    from pulsing.actor.place import Reference
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, ActorClass
    from pulsing.actor.system import ActorSystem
    from pulsing.actor.typed_refs import TypedRef
    from pulsing.actor.watch import Watch

A = TypeVar("A", bound="Actor")
M = TypeVar("M")
T = TypeVar("T")


class KinshipContext:
    """The part of an actor's context that knows other actors. Works in worker threads as well."""

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the context hold the attributes

    if TYPE_CHECKING:
        _cell: Cell

        @property
        def system(self) -> ActorSystem: ...

    # --- children

    @property
    def parent(self) -> ActorRef | None:
        """The actor that spawned this one as its child, or None."""
        parent = self._cell.parent
        return None if parent is None else self.system.reference(parent)

    @property
    def children(self) -> list[ActorRef]:
        """The children of this actor that are not gone, in order of their start."""
        return [self.system.reference(each) for each in self._cell.children]

    @overload
    async def spawn(  # type: ignore[overload-overlap]
        self,
        actor: Behavior[M],
        /,
        *,
        name: str | None = None,
        public: bool | None = None,
        executor: str | Executor | None = None,
        mailbox_size: int | None = None,
        on_full: str | OnFull | None = None,
    ) -> TypedRef[M]: ...
    @overload
    async def spawn(  # type: ignore[overload-overlap]
        self,
        actor: type[A],
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        **kwargs: Any,
    ) -> A: ...
    @overload
    async def spawn(  # type: ignore[overload-overlap]
        self,
        actor: ActorClass[..., T] | type[T],
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        **kwargs: Any,
    ) -> ActorProxy[T]: ...
    @overload
    async def spawn(
        self,
        actor: object,
        /,
        *,
        name: str | None = None,
        public: bool | None = None,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
        mailbox_size: int | None = None,
        on_full: str | OnFull | None = None,
        stream_buffer: int | None = None,
    ) -> ActorRef: ...
    async def spawn(
        self,
        actor: Any,
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start a child: an actor on this node that stops with this one.

        When this actor stops, its own messages come first, then its children stop, the youngest
        first, one after another, and only then its ``on_stop`` runs. A child that stops by itself
        is simply gone. Actors spawned in any other way are nobody's children.

        Args:
            actor: a class with arguments for its constructor, or a ready instance.
            args: for the constructor.
            name: where others find it; default: a generated one.
            public: whether other nodes find it by name; default: when it was given one.
            kwargs: for the constructor; for an instance: options.

        Raises:
            ActorStopped: this actor is stopping.
            Exception: as for `ActorSystem.spawn`.
        """
        return await self.system.spawn_child(
            self._cell, actor, args, kwargs, name=name, public=public
        )

    # --- watches

    def watch(self, actor: Reference) -> Watch:
        """Hear of the end of another actor, wherever it lives, exactly once.

        This actor then gets a `Terminated`: by ``on_terminated(event)`` if it has that, else as a
        message for ``receive``; before other messages that wait. It comes when the actor is gone
        for good (a restart is no end), when its node is dead or has left, or soon, with
        `ExitReason.NOT_FOUND`, when there is no such actor any more. A connection that is lost
        alone is no end. Watching an actor twice is watching it once. Of a reference to a name, the
        actor that got the latest call, or would get the next one, is watched.

        Args:
            actor: a reference or proxy.

        Returns:
            Something that can be awaited, but need not be: until the watch is in place.

        Raises:
            TypeError: ``actor`` is no reference; or this actor has neither ``on_terminated`` nor
                ``receive``.
            ValueError: it is this actor itself.
            ActorNotFound: nothing is registered by the name it stands for.
        """
        return on_loop(self.system.loop, lambda: self.system.watching.watch(self._cell, actor))

    def unwatch(self, actor: Reference) -> None:
        """Hear nothing of its end. What waits in the mailbox already still comes."""
        on_loop(self.system.loop, lambda: self.system.watching.unwatch(self._cell, actor))

    # --- links

    def link(self, actor: Reference) -> Watch:
        """Die together: when one of the two ends other than normally, so does the other.

        It ends for the same reason, after its ``on_stop``, and its own watchers and links hear of
        it. A normal end of one is nothing to the other. An actor that traps exits (`trap_exits`)
        lives on. Links are gone when one of the two is; being linked twice is being linked once.

        Args:
            actor: a reference or proxy, of this node or another. For another one this node has to
                listen (``addr=``).

        Returns:
            Something that can be awaited, but need not be: until the link is in place.

        Raises:
            TypeError: ``actor`` is no reference.
            ValueError: it is this actor itself.
            PulsingRuntimeError: it is of another node, and this one opens no port.
        """
        return on_loop(self.system.loop, lambda: self.system.watching.link(self._cell, actor))

    def unlink(self, actor: Reference) -> None:
        """End a link, for both sides."""
        on_loop(self.system.loop, lambda: self.system.watching.unlink(self._cell, actor))

    def trap_exits(self, trap: bool = True) -> None:
        """Let the ends of linked actors be events instead of the end of this one.

        Then each of them, a normal one included, is a `Terminated` for ``on_terminated`` or
        ``receive``, as of a watched actor. (In Erlang: ``process_flag(trap_exit, true)``.)

        Raises:
            TypeError: this actor has neither ``on_terminated`` nor ``receive``.
        """
        if trap and handler_of(self._cell) is None:
            raise no_handler(self._cell)
        self._cell.traps_exits = trap
