"""How a class becomes an actor class: ``@pul.remote``, the base `Actor`, and ``@pul.method``.

The decorated name stays the class: calling it makes a plain local instance, subclassing and
``isinstance`` work. It gains three operations: ``spawn``, ``options`` and ``resolve``.

``@pul.remote`` on a plain class gives proxies whose methods a type checker does not know. A class
with the base `Actor` and ``@pul.method`` on its methods is fully typed: `Actor.spawn` is declared
to give the class itself, and a method seen through an instance is a `MethodHandle`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from pulsing.actor.methods import PART_OF_PULSING, Executor, is_part_of_pulsing
from pulsing.actor.options import NO_OPTIONS, ActorOptions, SpawnOptions
from pulsing.actor.scheduling import delayed

if TYPE_CHECKING:
    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.policies import Policy
    from pulsing.ids import ActorId

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")
A = TypeVar("A", bound="Actor")

OPTIONS = "__pulsing_options__"
"""Where a class keeps its `ActorOptions`."""


def options_of(owner: type) -> ActorOptions:
    """The options a class was decorated with, or the defaults."""
    return cast(ActorOptions, getattr(owner, OPTIONS, NO_OPTIONS))


def is_actor_class(owner: type[Any]) -> bool:
    """Whether a class was made for actors: decorated with `remote`, or derived from `Actor`."""
    decorated = any(OPTIONS in vars(base) for base in owner.__mro__)
    return decorated or (issubclass(owner, Actor) and owner is not Actor)


class Spawner(Generic[P, T]):
    """A class together with options: what ``Counter.options(...)`` gives."""

    __slots__ = ("_name", "_options", "_owner", "_placement", "_public", "_system")

    def __init__(
        self,
        owner: type[Any],
        options: ActorOptions,
        name: str | None,
        public: bool | None,
        placement: str | None,
        system: ActorSystem | None,
    ) -> None:
        self._owner = owner
        self._options = options
        self._name = name
        self._public = public
        self._placement = placement
        self._system = system

    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Start an actor; all arguments go to the constructor. Raises what `Actor.spawn` does."""
        system = self._system or _default_system()
        proxy = await system.spawn_class(
            self._owner,
            args,
            kwargs,
            name=self._name,
            public=self._public,
            placement=self._placement,
            options=self._options,
        )
        return cast(T, proxy)

    def __repr__(self) -> str:
        return f"{self._owner.__name__}.options(name={self._name!r}, {self._options})"


class Actor:
    """Base class of actors whose proxies are fully typed, and of ``receive``-style actors.

    Optional hooks, each ``def`` or ``async def``: ``on_start(self, actor_id)`` before the first
    message, ``on_stop(self)`` after the last, ``metadata(self) -> dict[str, str]``, read once
    after the start; and ``receive(self, msg)`` for raw messages.
    """

    if TYPE_CHECKING:
        # What a proxy has, and `spawn` says that it gives the class.
        actor_id: ActorId
        sync: Any

        def with_key(self, key: str) -> Self: ...

    delayed = delayed

    @overload
    @classmethod  # pyright: ignore[reportArgumentType]  # typeshed knows no ParamSpec of cls
    async def spawn(cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs) -> A: ...
    @overload
    @classmethod
    async def spawn(
        cls: type[A],
        *args: Any,
        name: str | None,
        public: bool | None = None,
        placement: str | None = None,
        system: ActorSystem | None = None,
        **kwargs: Any,
    ) -> A: ...
    @overload
    @classmethod
    async def spawn(
        cls: type[A],
        *args: Any,
        placement: str | None,
        system: ActorSystem | None = None,
        **kwargs: Any,
    ) -> A: ...
    @overload
    @classmethod
    async def spawn(cls: type[A], *args: Any, system: ActorSystem | None, **kwargs: Any) -> A: ...
    @classmethod  # type: ignore[misc]  # checkers cannot relate a ParamSpec to *args: Any
    async def spawn(
        cls: Any,
        *args: Any,
        name: str | None = None,
        public: bool | None = None,
        placement: str | None = None,
        system: ActorSystem | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start an actor of this class and give a typed proxy of it.

        The constructor and ``on_start`` have run when this returns. A ``def`` of them runs in a
        worker thread, unless the class says ``executor="loop"``. When one raises, nothing is left
        of the actor.

        Args:
            args: for the constructor.
            name: where others find it; default: a generated one. For a constructor that itself
                has a ``name``, use ``options(name=...).spawn(name=...)``.
            public: whether other nodes find it by name; default: when it was given one.
            placement: on which node: ``"local"`` (default), ``"remote"`` (another one), the id or
                name of a node, ``"label:gpu"`` or ``"label:zone=eu"`` (any that has it).
            system: whose actor it is; default: that of the actor whose code runs, or the process's.
            kwargs: for the constructor.

        Raises:
            ValueError: ``name`` is not an actor name, or ``placement`` none of these.
            NameTaken: an actor of this name lives on that node.
            PulsingRuntimeError: there is no system, or it is shutting down; no node fits, or it
                has not imported the class.
            Exception: what the constructor or ``on_start`` raised.
        """
        where = system or _default_system()
        return await where.spawn_class(
            cls,
            args,
            kwargs,
            name=name,
            public=public,
            placement=placement,
            options=options_of(cls),
        )

    @classmethod  # pyright: ignore[reportArgumentType]  # as above
    def options(
        cls: Callable[P, A],
        *,
        name: str | None = None,
        public: bool | None = None,
        placement: str | None = None,
        system: ActorSystem | None = None,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
        mailbox_size: int | None = None,
        on_full: str | OnFull | None = None,
        stream_buffer: int | None = None,
        **restart: Unpack[SpawnOptions],
    ) -> Spawner[P, A]:
        """The class with options; ``.spawn(...)`` then takes the constructor's arguments only.

        Args:
            name: see `spawn`.
            public: see `spawn`.
            placement: see `spawn`.
            system: see `spawn`.
            max_concurrency: see `remote`, as all that follow; default: as the class was decorated.
            executor: see `remote`.
            mailbox_size: see `remote`.
            on_full: see `remote`.
            stream_buffer: see `remote`.
            restart: see `SpawnOptions`.

        Raises:
            ValueError: an option has no such value.
        """
        owner = cast("type[Any]", cls)
        changed = ActorOptions.checked(
            max_concurrency=max_concurrency,
            executor=executor,
            mailbox_size=mailbox_size,
            on_full=on_full,
            stream_buffer=stream_buffer,
            **restart,
        )
        options = options_of(owner).updated(changed)
        return Spawner(owner, options, name, public, placement, system)

    @classmethod
    async def resolve(
        cls,
        name: str,
        *,
        node_id: str | None = None,
        timeout: float | None = None,
        policy: Policy | str | None = None,
        system: ActorSystem | None = None,
    ) -> Self:
        """Find an actor of this class and give a typed proxy of it. See `ActorSystem.resolve`.

        Args:
            name: a name, an ``actor://`` address, or the text of an actor id.
            node_id: only that node's instance; the id or the name of a node.
            timeout: seconds to wait until it exists; default: it must exist now.
            policy: which instance gets a call; default: each in turn.
            system: where to look; default: the actor's own or the process's.

        Raises:
            ValueError: ``name`` is none of these.
            ActorNotFound: there is none, or there was none for ``timeout`` seconds.
            NodeUnreachable: the node in the address does not answer.
        """
        where = system or _default_system()
        return await where.resolve(name, cls=cls, node_id=node_id, timeout=timeout, policy=policy)


OPERATIONS: Final[tuple[str, ...]] = ("spawn", "options", "resolve")
for _name in OPERATIONS:
    setattr(Actor.__dict__[_name].__func__, PART_OF_PULSING, True)


if TYPE_CHECKING:

    class ActorClass(type, Generic[P, T]):  # pyright: ignore[reportGeneralTypeIssues]
        """A plain class after ``@pul.remote``, as type checkers see it."""

        def __call__(cls, *args: P.args, **kwargs: P.kwargs) -> T: ...
        async def spawn(
            cls,
            *args: Any,
            name: str | None = None,
            public: bool | None = None,
            placement: str | None = None,
            system: ActorSystem | None = None,
            **kwargs: Any,
        ) -> ActorProxy[T]: ...
        def options(
            cls,
            *,
            name: str | None = None,
            public: bool | None = None,
            placement: str | None = None,
            system: ActorSystem | None = None,
            max_concurrency: int | None = None,
            executor: str | Executor | None = None,
            mailbox_size: int | None = None,
            on_full: str | OnFull | None = None,
            stream_buffer: int | None = None,
            **restart: Unpack[SpawnOptions],
        ) -> Spawner[P, ActorProxy[T]]: ...
        async def resolve(
            cls,
            name: str,
            *,
            node_id: str | None = None,
            timeout: float | None = None,
            policy: Policy | str | None = None,
            system: ActorSystem | None = None,
        ) -> ActorProxy[T]: ...
        def __getattr__(cls, name: str) -> Any: ...

    class RemoteDecorator:
        """What ``pul.remote(...)`` with options gives, as type checkers see it."""

        @overload
        def __call__(self, cls: type[A], /) -> type[A]: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, cls: Callable[P, T], /) -> ActorClass[P, T]: ...
        def __call__(self, cls: Any, /) -> Any: ...


@overload
def remote(cls: type[A], /) -> type[A]: ...  # type: ignore[overload-overlap]
@overload
def remote(cls: Callable[P, T], /) -> ActorClass[P, T]: ...
@overload
def remote(
    *,
    max_concurrency: int | None = None,
    executor: str | Executor | None = None,
    mailbox_size: int | None = None,
    on_full: str | OnFull | None = None,
    stream_buffer: int | None = None,
    **restart: Unpack[SpawnOptions],
) -> RemoteDecorator: ...
def remote(
    cls: Any = None,
    /,
    *,
    max_concurrency: int | None = None,
    executor: str | Executor | None = None,
    mailbox_size: int | None = None,
    on_full: str | OnFull | None = None,
    stream_buffer: int | None = None,
    **restart: Unpack[SpawnOptions],
) -> Any:
    """Make a class an actor class: it gains ``spawn``, ``options`` and ``resolve``.

    A subclass keeps the options unless it is decorated with others.

    Args:
        cls: the class, when used as ``@pul.remote`` without parentheses.
        max_concurrency: calls one actor works on at a time; 1 makes it strictly sequential.
            Default: the system's, 1000.
        executor: where ``def`` methods run: ``"thread"`` (default), or ``"loop"`` for tiny ones.
            ``"process"``: the actor has a process of its own.
        mailbox_size: messages that may wait for one actor. Default: the system's, 10 000.
        on_full: what a caller gets when the mailbox is full: ``"wait"`` (default) or
            ``"reject"``, which raises MailboxFull; ``"drop_oldest"`` or ``"drop_newest"``:
            one message is dropped; an ask gets MailboxFull, a tell is a dead letter.
        stream_buffer: items a stream may be ahead of its consumer. Default: the system's, 256.
        restart: when it is restarted, and how it looks after its children; see `SpawnOptions`.

    Raises:
        TypeError: not a class, or one with an own ``spawn``, ``options`` or ``resolve``.
        ValueError: an option has no such value.
    """
    options = ActorOptions.checked(
        max_concurrency=max_concurrency,
        executor=executor,
        mailbox_size=mailbox_size,
        on_full=on_full,
        stream_buffer=stream_buffer,
        **restart,
    )

    def decorate(owner: Any) -> Any:
        if not isinstance(owner, type):
            raise TypeError(f"@pul.remote decorates classes, not {owner!r}")
        for name in OPERATIONS:
            _add_operation(owner, name)
        if inspect.getattr_static(owner, "delayed", None) is None:
            setattr(owner, delayed.__name__, delayed)
        setattr(owner, OPTIONS, options_of(owner).updated(options))
        return cast(Any, owner)

    return decorate if cls is None else decorate(cls)


def _add_operation(owner: type, name: str) -> None:
    present = inspect.getattr_static(owner, name, None)
    if present is None:
        setattr(owner, name, Actor.__dict__[name])
    elif not is_part_of_pulsing(present):
        raise TypeError(
            f"{owner.__name__} has its own {name!r}, which @pul.remote needs for itself; rename "
            f"it, or leave the class undecorated and use pul.spawn({owner.__name__}(...))"
        )


def _default_system() -> ActorSystem:
    from pulsing.actor.api import default_system

    return default_system()
