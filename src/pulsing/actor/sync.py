"""``pul.sync``: everything for code without ``await``: scripts, threads, notebooks.

``pul.sync.init()`` starts the node of the process on a loop in a background thread, unless it has
one. ``pul.sync.spawn`` and ``pul.sync.resolve`` give ordinary proxies;
``proxy.sync.method()`` calls and waits. All of it may be used from any thread but the loop's own,
where it raises instead of waiting for itself.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pulsing.actor import api
from pulsing.actor.call import Call
from pulsing.actor.handles import AttributeHandle
from pulsing.actor.place import place_of
from pulsing.actor.threadsafe import block, running_loop
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pulsing.actor.api import Labels
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, ActorClass
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.policies import Policy
    from pulsing.config import SystemConfig

A = TypeVar("A", bound="Actor")
T = TypeVar("T")


class _BackgroundLoop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self.loop is None:
                ready: threading.Event = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(ready,), name="pulsing-sync-loop", daemon=True
                )
                self._thread.start()
                ready.wait()
            assert self.loop is not None
            return self.loop

    def stop(self) -> None:
        with self._lock:
            loop, self.loop = self.loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=api.loop_factory()) as runner:
            self.loop = loop = runner.get_loop()
            asyncio.set_event_loop(loop)
            loop.call_soon(ready.set)
            loop.run_forever()


_background = _BackgroundLoop()


def init(
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
    """Start the node of this process in the background; a second call gives the first one's.

    Args and raises: see `pulsing.init`.
    """
    if api.is_initialized():
        return api.get_system()
    loop = _background.start()
    try:
        return block(
            loop,
            lambda: api.init(
                addr,
                seeds=seeds,
                passphrase=passphrase,
                head_addr=head_addr,
                is_head_node=is_head_node,
                advertise=advertise,
                node_name=node_name,
                labels=labels,
                config=config,
            ),
        )
    except BaseException:
        if running_loop() is not loop:
            _background.stop()
        raise


def shutdown() -> None:
    """End the node of this process and the background thread. Without one: nothing."""
    if api.is_initialized():
        block(api.get_system().loop, api.shutdown)
    elif running_loop() is not None and running_loop() is _background.loop:
        raise PulsingRuntimeError("pul.sync.shutdown() cannot end the loop it is called on")
    _background.stop()


@overload
def spawn(  # pyright: ignore[reportOverlappingOverload]
    actor: type[A],  # pyright: ignore[reportOverlappingOverload]
    /,
    *args: Any,
    name: str | None = None,
    **kwargs: Any,
) -> A: ...
@overload
def spawn(
    actor: ActorClass[..., T] | type[T], /, *args: Any, name: str | None = None, **kwargs: Any
) -> ActorProxy[T]: ...
@overload
def spawn(actor: object, /, *, name: str | None = None, **kwargs: Any) -> ActorRef: ...
def spawn(actor: Any, /, *args: Any, name: str | None = None, **kwargs: Any) -> Any:
    """Start an actor and wait until it has started; see `pulsing.spawn`.

    Raises:
        PulsingRuntimeError: there is no system; called on the loop's own thread.
    """
    system: Any = api.default_system()
    return block(system.loop, lambda: system.spawn(actor, *args, name=name, **kwargs))


@overload
def resolve(
    name: str,
    *,
    cls: None = None,
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
) -> ActorRef: ...
@overload
def resolve(  # type: ignore[overload-overlap]
    name: str,
    *,
    cls: type[A],
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
) -> A: ...
@overload
def resolve(
    name: str,
    *,
    cls: ActorClass[..., T] | type[T],
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
) -> ActorProxy[T]: ...
def resolve(
    name: str,
    *,
    cls: Any = None,
    node_id: str | None = None,
    timeout: float | None = None,
    policy: Policy | str | None = None,
) -> Any:
    """Find an actor and wait for it; see `pulsing.resolve`.

    Raises:
        PulsingRuntimeError: there is no system; called on the loop's own thread.
    """
    system: Any = api.default_system()
    return block(
        system.loop,
        lambda: system.resolve(name, cls=cls, node_id=node_id, timeout=timeout, policy=policy),
    )


def stop(actor: Any) -> None:
    """Stop an actor, by name, reference or proxy; see `ActorSystem.stop`."""
    system = api.default_system()
    block(system.loop, lambda: system.stop(actor))


class SyncProxy:
    """``proxy.sync``: the same methods, which wait here for the result. A stream is an iterator.

    An attribute is read at once: ``proxy.sync.value``.
    """

    __slots__ = ("_proxy",)

    def __init__(self, proxy: ActorProxy[Any]) -> None:
        self._proxy = proxy

    def __getattr__(self, name: str) -> Any:
        handle = getattr(self._proxy, name)
        if isinstance(handle, AttributeHandle):
            place = place_of(self._proxy)
            return block(
                place.system.loop,
                lambda: Call.get(place.target, name),
            )
        return getattr(handle, "sync", handle)

    def __dir__(self) -> list[str]:
        return dir(self._proxy)

    def __repr__(self) -> str:
        return f"<sync {self._proxy!r}>"


@atexit.register
def _at_exit() -> None:
    # A daemon thread that runs a loop while the interpreter ends can crash it.
    if _background.loop is not None:
        with contextlib.suppress(Exception):  # nobody is left who could do something about it
            shutdown()
