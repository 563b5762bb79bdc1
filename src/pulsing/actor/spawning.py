"""``system.spawn``: starting actors of classes and of ready objects.

`SpawningHost` is the part of `pulsing.actor.system.ActorSystem` that takes orders to start one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from pulsing.actor.clustering import ClusteredHost
from pulsing.actor.options import ActorOptions
from pulsing.actor.remote import options_of

if TYPE_CHECKING:
    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.methods import Executor
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, ActorClass

A = TypeVar("A", bound="Actor")
T = TypeVar("T")


class SpawningHost(ClusteredHost):
    """A node that starts actors."""

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
                `pulsing.remote`; by default those of its class.

        Returns:
            A typed proxy for a class, an `ActorRef` for an instance.

        Raises:
            ValueError: ``name`` is not an actor name, or ``placement`` none of these.
            NameTaken: an actor of this name lives on that node.
            PulsingRuntimeError: the system is draining or was shut down; or no node fits, or it
                has not imported the class.
            Exception: what the constructor or ``on_start`` raised; nothing is left of the actor.
        """
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
            )
        if placement not in (None, "local"):
            raise TypeError(f"{actor!r} is an instance already; it stays on this node")
        if args:
            raise TypeError(f"{actor!r} is an instance already; it takes no arguments")
        options = ActorOptions.checked(**kwargs)
        return await self.spawn_instance(actor, name=name, public=public, options=options)
