"""``system.spawn``: starting actors of classes and of ready objects.

`SpawningHost` is the part of `pulsing.actor.system.ActorSystem` that takes orders to start one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from pulsing.actor.behaving import actor_class
from pulsing.actor.behaviors import Behavior, is_behavior
from pulsing.actor.methods import Executor
from pulsing.actor.naming import NamingHost
from pulsing.actor.options import ActorOptions, RestartOptions
from pulsing.actor.place import place_of
from pulsing.actor.remote import options_of
from pulsing.actor.typed_refs import TypedRef
from pulsing.ids import generated_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulsing.actor.cell import Cell
    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, ActorClass

A = TypeVar("A", bound="Actor")
T = TypeVar("T")
M = TypeVar("M")


class SpawningHost(NamingHost):
    """A node that starts actors."""

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
        **restart: Unpack[RestartOptions],
    ) -> TypedRef[M]: ...
    @overload
    async def spawn(  # type: ignore[overload-overlap]
        self,
        actor: type[A],
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        placement: str | None = None,
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
        placement: str | None = None,
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
        factory: Callable[[], object] | None = None,
        **restart: Unpack[RestartOptions],
    ) -> ActorRef: ...
    async def spawn(
        self,
        actor: Any,
        /,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        placement: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start an actor: of a class with arguments for its constructor, or a ready instance.

        Args:
            actor: a class, or an object; whatever class it has, its public methods can be called,
                and raw messages go to its ``receive``.
            args: for the constructor, when it is a class.
            name: where others find it; default: a generated one.
            public: whether other nodes find it by name; default: when it was given one.
            placement: on which node, for a class: ``"local"`` (default), ``"remote"`` (another
                one), the id or name of a node, ``"label:gpu"`` or ``"label:zone=eu"``. The class
                is found there by its import path, among what that node has imported.
            kwargs: for the constructor, when it is a class. For an instance: options as in
                `pulsing.remote`, by default those of its class; and ``factory``, which makes
                another object when it is to be restarted.

        Returns:
            A typed proxy for a class, an `ActorRef` for an instance.

        Raises:
            ValueError: ``name`` is not an actor name, or ``placement`` none of these.
            NameTaken: an actor of this name lives on that node.
            PulsingRuntimeError: the system is draining or was shut down; or no node fits, or it
                has not imported the class.
            Exception: what the constructor or ``on_start`` raised; nothing is left of the actor.
        """
        return await self._spawn(actor, args, kwargs, name, public, placement)

    async def spawn_child(
        self,
        parent: Cell,
        actor: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        name: str | None,
        public: bool | None,
    ) -> Any:
        """Start an actor on this node that stops with its parent. See `ActorContext.spawn`."""
        if "placement" in kwargs:
            raise TypeError("children live on the node of their parent: there is no placement=")
        return await self._spawn(actor, args, kwargs, name, public, None, parent)

    async def _spawn(
        self,
        actor: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
        public: bool | None,
        placement: str | None,
        parent: Cell | None = None,
    ) -> Any:
        if is_behavior(actor):
            if placement not in (None, "local"):
                raise TypeError(f"{actor!r} is made of functions; it stays on this node")
            return await self._spawn_behavior(actor, args, name, public, kwargs, parent)
        if isinstance(actor, type):
            options = options_of(actor)
            return await self.spawn_class(
                actor,
                args,
                kwargs,
                name=name,
                public=public,
                placement=placement,
                options=options,
                parent=parent,
            )
        if placement not in (None, "local"):
            raise TypeError(f"{actor!r} is an instance already; it stays on this node")
        if args:
            raise TypeError(f"{actor!r} is an instance already; it takes no arguments")
        factory = kwargs.pop("factory", None)
        options = ActorOptions.checked(**kwargs)
        return await self.spawn_instance(
            actor, name=name, public=public, options=options, parent=parent, factory=factory
        )

    async def _spawn_behavior(
        self,
        behavior: Behavior[M],
        args: tuple[Any, ...],
        name: str | None,
        public: bool | None,
        options: dict[str, Any],
        parent: Cell | None,
    ) -> TypedRef[M]:
        if args:
            raise TypeError(f"{behavior!r} takes no arguments; they belong into its state")
        if options.setdefault("max_concurrency", 1) != 1:
            raise ValueError(f"{behavior!r} takes one message at a time: max_concurrency is 1")
        checked = ActorOptions.checked(**options)
        if checked.executor is Executor.PROCESS:
            raise ValueError(
                f"{behavior!r} is made of functions, which stay in this process; for one of its "
                "own take a class"
            )
        if public is None:
            public = name is not None
        proxy = await self.spawn_class(
            actor_class(behavior, checked.executor),
            (behavior,),
            {},
            name=name if name is not None else generated_name(behavior.name),
            public=public,
            options=checked,
            parent=parent,
        )
        return TypedRef[M].to(place_of(proxy), behavior.accepts)
