"""The functions at the top of `pulsing`: one system for the process, and shortcuts to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pulsing.actor.deadline import SCOPE
from pulsing.actor.system import ActorSystem
from pulsing.config import SystemConfig
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pulsing.actor.mailbox import OnFull
    from pulsing.actor.methods import Executor
    from pulsing.actor.place import Reference
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, ActorClass
    from pulsing.addresses import ActorAddress
    from pulsing.ids import ActorId

A = TypeVar("A", bound="Actor")
T = TypeVar("T")


class _Process:
    """The system of this process.

    Attributes:
        system: the one that runs, or the last one.
        starting: the task that starts it.
    """

    def __init__(self) -> None:
        self.system: ActorSystem | None = None
        self.starting: asyncio.Task[ActorSystem] | None = None

    def running(self) -> ActorSystem | None:
        system = self.system
        return system if system is not None and not system.is_closed else None


_process = _Process()


def _config(addr: str | None, passphrase: str | None, config: SystemConfig | None) -> SystemConfig:
    if config is None:
        return SystemConfig.load(addr=addr, passphrase=passphrase)
    if addr is not None:
        config = config.with_addr(addr)
    return config if passphrase is None else config.with_passphrase(passphrase)


async def actor_system(
    addr: str | None = None,
    *,
    passphrase: str | None = None,
    config: SystemConfig | None = None,
) -> ActorSystem:
    """Start a node that is not the process's: pass it as ``system=``, end it with ``shutdown()``.

    Args and raises: see `init`.
    """
    return await ActorSystem.create(_config(addr, passphrase, config))


async def init(
    addr: str | None = None,
    *,
    passphrase: str | None = None,
    config: SystemConfig | None = None,
) -> ActorSystem:
    """Start the node of this process; a second call gives the first one's.

    Args:
        addr: ``HOST:PORT`` to listen on, port 0 picks one. Default: from the environment or the
            configuration file, else none: a standalone node, which opens no port.
        passphrase: the secret of the cluster; turns on mutual TLS.
        config: everything, instead of the environment and the configuration file; ``addr`` and
            ``passphrase`` still win over it.

    Raises:
        ValueError: the configuration has problems; lists them all.
        PulsingRuntimeError: the port cannot be opened; or the node of this process lives on
            another loop, which runs in another thread.
    """
    loop = asyncio.get_running_loop()
    system = _process.running()
    if system is not None:
        _check_loop(system.loop, loop)
        return system
    starting = _process.starting
    if starting is not None and not starting.get_loop().is_closed() and not starting.done():
        _check_loop(starting.get_loop(), loop)
    else:
        if _process.system is not None:
            await _process.system.abandon()
        starting = loop.create_task(actor_system(addr, passphrase=passphrase, config=config))
        starting.add_done_callback(_started)
        _process.starting = starting
    # Shielded: who cancels one init() does not cancel the other.
    return await asyncio.shield(starting)


def _started(starting: asyncio.Task[ActorSystem]) -> None:
    if _process.starting is starting:
        _process.starting = None
    if not starting.cancelled() and starting.exception() is None:
        _process.system = starting.result()


def _check_loop(theirs: asyncio.AbstractEventLoop, ours: asyncio.AbstractEventLoop) -> None:
    if theirs is not ours:
        raise PulsingRuntimeError(
            "the actor system of this process lives on another event loop; use it from there, "
            "from here through pul.sync, or start one of your own with pul.actor_system()"
        )


async def shutdown() -> None:
    """End the node of this process: actors, port, tasks and threads. Without one: nothing.

    Raises:
        PulsingRuntimeError: it lives on another loop, which runs in another thread.
    """
    starting = _process.starting
    if starting is not None and starting.get_loop() is asyncio.get_running_loop():
        await asyncio.wait((starting,))
    system = _process.system
    if system is None or system.loop.is_closed():
        return
    _check_loop(system.loop, asyncio.get_running_loop())
    try:
        await system.shutdown()
    finally:
        if _process.system is system and system.is_closed:
            _process.system = None


def is_initialized() -> bool:
    """Whether the process has a node that runs."""
    return _process.running() is not None


def get_system() -> ActorSystem:
    """The node of this process.

    Raises:
        PulsingRuntimeError: there is none; says how to get one.
    """
    system = _process.running()
    if system is None:
        raise PulsingRuntimeError(
            "there is no actor system in this process; call 'await pul.init()' first, or "
            "'pul.sync.init()' from synchronous code, or pass system="
        )
    return system


def default_system() -> ActorSystem:
    """The system of the actor whose code runs, else the node of this process."""
    scope = SCOPE.get()
    if scope is not None and scope.cell is not None:
        host = scope.cell.dispatcher.host
        if isinstance(host, ActorSystem):
            return host
    return get_system()


@asynccontextmanager
async def running(
    addr: str | None = None,
    *,
    passphrase: str | None = None,
    config: SystemConfig | None = None,
) -> AsyncGenerator[ActorSystem]:
    """``async with pul.running() as system:`` starts the node of this process and ends it after.

    Where the process has a node already, it is that one, and it is left running. Args and raises:
    see `init`.
    """
    mine = not is_initialized()
    system = await init(addr, passphrase=passphrase, config=config)
    try:
        yield system
    finally:
        if mine:
            await shutdown()


def run(
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]], *, uvloop: bool = True
) -> T:
    """``asyncio.run`` on the fastest loop there is; ends the node of the process after ``main``.

    Args:
        main: a coroutine, or a function without arguments that makes one.
        uvloop: use uvloop where it is installed.

    Raises:
        RuntimeError: a loop runs in this thread.
    """
    with asyncio.Runner(loop_factory=loop_factory() if uvloop else None) as runner:
        coroutine = main() if callable(main) else main
        return runner.run(_main(coroutine))


async def _main(main: Coroutine[Any, Any, T]) -> T:
    try:
        return await main
    finally:
        system = _process.running()
        if system is not None and system.loop is asyncio.get_running_loop():
            await shutdown()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the fastest loop there is; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


# --- shortcuts ----------------------------------------------------------------------------------


@overload
async def spawn(  # type: ignore[overload-overlap]
    actor: type[A],
    /,
    *args: Any,
    name: str | None = None,
    public: bool | None = None,
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
) -> ActorRef: ...
async def spawn(
    actor: Any,
    /,
    *args: Any,
    name: str | None = None,
    public: bool | None = None,
    system: ActorSystem | None = None,
    **kwargs: Any,
) -> Any:
    """Start an actor; see `ActorSystem.spawn`.

    Args:
        actor: a class with arguments for its constructor, or a ready instance.
        args: for the constructor.
        name: where others find it; default: a generated one.
        public: whether other nodes find it by name; default: when it was given one.
        system: where to start it; default: the actor's own or the process's.
        kwargs: for the constructor; for an instance: options.
    """
    where: Any = system or default_system()
    return await where.spawn(actor, *args, name=name, public=public, **kwargs)


@overload
async def resolve(
    name: str,
    *,
    cls: None = None,
    timeout: float | None = None,
    system: ActorSystem | None = None,
) -> ActorRef: ...
@overload
async def resolve(  # type: ignore[overload-overlap]
    name: str, *, cls: type[A], timeout: float | None = None, system: ActorSystem | None = None
) -> A: ...
@overload
async def resolve(
    name: str,
    *,
    cls: ActorClass[..., T] | type[T],
    timeout: float | None = None,
    system: ActorSystem | None = None,
) -> ActorProxy[T]: ...
async def resolve(
    name: str,
    *,
    cls: Any = None,
    timeout: float | None = None,
    system: ActorSystem | None = None,
) -> Any:
    """Find an actor; see `ActorSystem.resolve`.

    Args:
        name: a name, an ``actor://`` address, or the text of an actor id.
        cls: gives a typed proxy of this class instead of a reference.
        timeout: seconds to wait until the actor exists; default: it must exist now.
        system: where to look; default: the actor's own or the process's.
    """
    where: Any = system or default_system()
    return await where.resolve(name, cls=cls, timeout=timeout)


async def refer(
    actor: ActorId | ActorAddress | Reference | str, *, system: ActorSystem | None = None
) -> ActorRef:
    """A reference to the actor of an id or address, or behind a proxy; see `ActorSystem.refer`."""
    return await (system or default_system()).refer(actor)


def mount(
    instance: object, *, name: str, public: bool = True, system: ActorSystem | None = None
) -> ActorRef:
    """Make an object an actor, from synchronous code of any thread. See `ActorSystem.mount`."""
    return (system or default_system()).mount(instance, name=name, public=public)


def unmount(name: str, *, system: ActorSystem | None = None) -> None:
    """Stop an actor by name, from synchronous code of any thread. See `ActorSystem.unmount`."""
    (system or default_system()).unmount(name)
