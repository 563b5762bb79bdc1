"""Shortcuts at the top of `pulsing` to what a system does: starting and finding actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from pulsing.actor.api import default_system

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pulsing.actor.behaviors import Behavior
    from pulsing.actor.exits import Terminated
    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.methods import Executor
    from pulsing.actor.options import RestartOptions
    from pulsing.actor.place import Reference
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, ActorClass
    from pulsing.actor.system import ActorSystem
    from pulsing.actor.typed_refs import TypedRef
    from pulsing.addresses import ActorAddress
    from pulsing.cluster.policies import Policy
    from pulsing.ids import ActorId

A = TypeVar("A", bound="Actor")
T = TypeVar("T")
M = TypeVar("M")


@overload
async def spawn(  # type: ignore[overload-overlap]
    actor: Behavior[M],
    /,
    *,
    name: str | None = None,
    public: bool | None = None,
    system: ActorSystem | None = None,
    executor: str | Executor | None = None,
    mailbox_size: int | None = None,
    on_full: str | OnFull | None = None,
    **restart: Unpack[RestartOptions],
) -> TypedRef[M]: ...
@overload
async def spawn(  # type: ignore[overload-overlap]
    actor: type[A],
    /,
    *args: Any,
    name: str | None = None,
    public: bool | None = None,
    placement: str | None = None,
    system: ActorSystem | None = None,
    **kwargs: Any,
) -> A: ...
@overload
async def spawn(  # type: ignore[overload-overlap]
    actor: ActorClass[..., T] | type[T],
    /,
    *args: Any,
    name: str | None = None,
    public: bool | None = None,
    placement: str | None = None,
    system: ActorSystem | None = None,
    **kwargs: Any,
) -> ActorProxy[T]: ...
@overload
async def spawn(
    actor: object,
    /,
    *,
    name: str | None = None,
    public: bool | None = None,
    system: ActorSystem | None = None,
    max_concurrency: int | None = None,
    executor: str | Executor | None = None,
    mailbox_size: int | None = None,
    on_full: str | OnFull | None = None,
    stream_buffer: int | None = None,
    factory: Callable[[], object] | None = None,
    **restart: Unpack[RestartOptions],
) -> ActorRef: ...
async def spawn(
    actor: Any,
    /,
    *args: Any,
    name: str | None = None,
    public: bool | None = None,
    placement: str | None = None,
    system: ActorSystem | None = None,
    **kwargs: Any,
) -> Any:
    """Start an actor; see `ActorSystem.spawn`.

    Args:
        actor: a class with arguments for its constructor, a ready instance, or a behaviour.
        args: for the constructor.
        name: where others find it; default: a generated one.
        public: whether other nodes find it by name; default: when it was given one.
        placement: on which node of the cluster; default: this one.
        system: where to start it; default: the actor's own or the process's.
        kwargs: for the constructor; for an instance: options.
    """
    where: Any = system or default_system()
    return await where.spawn(actor, *args, name=name, public=public, placement=placement, **kwargs)


@overload
async def resolve(
    name: str,
    *,
    cls: None = None,
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
    system: ActorSystem | None = None,
) -> ActorRef: ...
@overload
async def resolve(  # type: ignore[overload-overlap]
    name: str,
    *,
    cls: type[A],
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
    system: ActorSystem | None = None,
) -> A: ...
@overload
async def resolve(
    name: str,
    *,
    cls: ActorClass[..., T] | type[T],
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
    system: ActorSystem | None = None,
) -> ActorProxy[T]: ...
async def resolve(
    name: str,
    *,
    cls: Any = None,
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
    system: ActorSystem | None = None,
) -> Any:
    """Find an actor; see `ActorSystem.resolve`.

    Args:
        name: a name, ``name@node``, an ``actor://`` address, or the text of an actor id.
        cls: gives a typed proxy of this class instead of a reference.
        node_id: only that node's actor; the id or the name of a node.
        timeout: seconds to wait until the actor exists; default: it must exist now.
        policy: which of the actors of one name gets a call; default: each in turn.
        system: where to look; default: the actor's own or the process's.
    """
    where: Any = system or default_system()
    return await where.resolve(name, cls=cls, node_id=node_id, timeout=timeout, policy=policy)


async def refer(
    actor: ActorId | ActorAddress | Reference | str, *, system: ActorSystem | None = None
) -> ActorRef:
    """A reference to the actor of an id or address, or behind a proxy; see `ActorSystem.refer`."""
    return await (system or default_system()).refer(actor)


def mount(
    instance: object,
    *,
    name: str,
    public: bool = True,
    factory: Callable[[], object] | None = None,
    system: ActorSystem | None = None,
) -> ActorRef:
    """Make an object an actor, from synchronous code of any thread. See `ActorSystem.mount`."""
    where = system or default_system()
    return where.mount(instance, name=name, public=public, factory=factory)


def unmount(name: str, *, system: ActorSystem | None = None) -> None:
    """Stop an actor by name, from synchronous code of any thread. See `ActorSystem.unmount`."""
    (system or default_system()).unmount(name)


def watch(actor: Reference, *, system: ActorSystem | None = None) -> asyncio.Future[Terminated]:
    """Wait for the end of an actor: ``event = await pul.watch(ref)``; see `ActorSystem.watch`.

    Inside an actor ``pul.current().watch(ref)`` lets the actor hear of it as of a message.
    """
    return (system or default_system()).watch(actor)


async def register(
    actor: Reference, name: str | None = None, *, system: ActorSystem | None = None
) -> None:
    """Make an actor known to the cluster by a name; see `ActorSystem.register`."""
    await (system or default_system()).register(actor, name)


async def whereis(name: str, *, system: ActorSystem | None = None) -> ActorRef | None:
    """A reference to the actor that has a name now, or None; see `ActorSystem.whereis`."""
    return await (system or default_system()).whereis(name)


async def unregister(name: str, *, system: ActorSystem | None = None) -> None:
    """Take a name from an actor, which lives on; see `ActorSystem.unregister`."""
    await (system or default_system()).unregister(name)
