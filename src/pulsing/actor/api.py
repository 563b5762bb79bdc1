"""The functions at the top of `pulsing` for the one system that a process usually has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pulsing.actor.deadline import SCOPE
from pulsing.actor.system import ActorSystem
from pulsing.config import SystemConfig
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")

Labels: TypeAlias = Mapping[str, str] | Iterable[str]
"""Names and values, or texts: ``"zone=eu"``, ``"gpu"``."""


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


def _config(config: SystemConfig | None, *, is_head_node: bool, **given: Any) -> SystemConfig:
    given["is_head_node"] = is_head_node or None  # False: the other sources may say so
    return SystemConfig.load(**given) if config is None else config.with_options(**given)


async def actor_system(
    addr: str | None = None,
    *,
    seeds: Iterable[str] | None = None,
    passphrase: str | None = None,
    head_addr: str | None = None,
    is_head_node: bool = False,
    advertise: str | None = None,
    node_name: str | None = None,
    labels: Labels | None = None,
    config: SystemConfig | None = None,
) -> ActorSystem:
    """Start a node that is not the process's: pass it as ``system=``, end it with ``shutdown()``.

    Args and raises: see `init`.
    """
    return await ActorSystem.create(
        _config(
            config,
            addr=addr,
            seeds=seeds,
            passphrase=passphrase,
            head_addr=head_addr,
            is_head_node=is_head_node,
            advertise=advertise,
            node_name=node_name,
            labels=labels,
        )
    )


async def init(
    addr: str | None = None,
    *,
    seeds: Iterable[str] | None = None,
    passphrase: str | None = None,
    head_addr: str | None = None,
    is_head_node: bool = False,
    advertise: str | None = None,
    node_name: str | None = None,
    labels: Labels | None = None,
    config: SystemConfig | None = None,
) -> ActorSystem:
    """Start the node of this process; a second call gives the first one's.

    Args:
        addr: ``HOST:PORT`` to listen on, port 0 picks one. Default: from the environment or the
            configuration file, else none: a standalone node, which opens no port, or, with
            ``seeds`` or ``head_addr``, a port that is picked.
        seeds: ``HOST:PORT`` of nodes to join; any that answers is enough, and none has to: the
            node is usable at once and keeps looking for them.
        passphrase: the secret of the cluster; turns on mutual TLS.
        head_addr: ``HOST:PORT`` of the head to register with, instead of ``seeds``.
        is_head_node: be the head of a cluster.
        advertise: ``HOST`` or ``HOST:PORT`` at which others reach this node.
        node_name: a name for the node, unique in the cluster; default: made from its id.
        labels: what actors can be placed by: ``{"zone": "eu"}``, or texts such as ``"gpu"``.
        config: everything, instead of the environment and the configuration file; the other
            arguments still win over it.

    Raises:
        ValueError: the configuration has problems; lists them all. ``head_addr`` goes neither
            with ``is_head_node`` nor with ``seeds``.
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
        starting = loop.create_task(
            actor_system(
                addr,
                seeds=seeds,
                passphrase=passphrase,
                head_addr=head_addr,
                is_head_node=is_head_node,
                advertise=advertise,
                node_name=node_name,
                labels=labels,
                config=config,
            )
        )
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


def adopt(system: ActorSystem) -> None:
    """Make a system that was started otherwise the node of this process."""
    _process.system = system


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
    seeds: Iterable[str] | None = None,
    passphrase: str | None = None,
    head_addr: str | None = None,
    is_head_node: bool = False,
    advertise: str | None = None,
    node_name: str | None = None,
    labels: Labels | None = None,
    config: SystemConfig | None = None,
) -> AsyncGenerator[ActorSystem]:
    """``async with pul.running() as system:`` starts the node of this process and ends it after.

    Where the process has a node already, it is that one, and it is left running. Args and raises:
    see `init`.
    """
    mine = not is_initialized()
    system = await init(
        addr,
        seeds=seeds,
        passphrase=passphrase,
        head_addr=head_addr,
        is_head_node=is_head_node,
        advertise=advertise,
        node_name=node_name,
        labels=labels,
        config=config,
    )
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
