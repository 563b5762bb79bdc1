"""An event loop on which time is an invention: it jumps to the next timer when nobody is busy.

An hour of sleeping takes no time, and one seed gives one run, always: nothing on this loop depends
on the machine, its clock, other threads or the hash seed. ``virtual_run`` runs things on it.
Network connections of whatever starts on the loop are made of memory (``memory_network``).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import socket
import threading
from asyncio import BaseEventLoop, Future, Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack, cast

from pulsing.testing.waiting_tasks import describe_tasks

if TYPE_CHECKING:
    from pulsing.testing.memory_network import MemoryHost, MemoryNetwork

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

HOME: Final[ContextVar[object]] = ContextVar("pulsing_home", default=None)
"""Which node the running code belongs to, on a loop that plays several."""

_logger = logging.getLogger(__name__)

_PATIENCE: Final = 1000
"""Turns and looks at the clock within one instant, before time creeps on."""
_CREEP_S: Final = 1e-6
_MANY_CANCELLED: Final = 100


class Deadlock(AssertionError):
    """Nothing will ever happen again, or not within the time that was allowed, and main waits.

    Attributes:
        waiting: a line for each task: its name, where it stands, what it waits for.
    """

    def __init__(self, reason: str, waiting: list[str]) -> None:
        lines = "".join(f"\n  {line}" for line in waiting)
        super().__init__(f"{reason}; tasks:{lines or ' none'}")
        self.waiting = waiting


class _Timer(TimerHandle):
    """A `TimerHandle` that is made faster and tells its loop when it is cancelled."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: VirtualLoop,
        context: Context | None,
    ) -> None:
        # What the constructors of `TimerHandle` and `Handle` do, but for the debug mode.
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None
        self._scheduled = True


class VirtualLoop(BaseEventLoop):
    """An event loop with a clock of its own, without sockets, threads or waiting.

    The clock stands still while code runs, and jumps when all of it waits. Code that keeps running
    without waiting for a timer sees it creep by a microsecond a turn, so that its timeouts end it.
    Timers that are due at the same time fire in an order the seed decides: asyncio promises none.
    Functions for executors, and ``def`` methods of actors, run on the loop, one after another.

    Args:
        seed: decides everything that is left to chance.
        limit_s: virtual seconds after which the run is given up with `Deadlock`.

    Attributes:
        threadless: tells Pulsing not to use threads.
        seed: as it was given.
        limit_s: as above; may be changed at any time.
        turns: rounds of callbacks so far.
    """

    threadless: Final = True

    # Of BaseEventLoop, which leaves nothing but `_run_once` to its heirs.
    _ready: deque[Any]
    _stopping: bool
    _thread_id: int | None

    def __init__(self, *, seed: int = 0, limit_s: float = 7200.0) -> None:
        super().__init__()
        self.seed = seed
        self.limit_s = limit_s
        self.turns = 0
        self._virtual_now = 0.0
        self._looks = 0
        self._tie = random.Random(f"{seed} order").random  # noqa: S311 - chance, not secrets
        self._timers: list[tuple[float, float, int, TimerHandle]] = []
        self._timer_number = 0
        self._cancelled_timers = 0
        self._frozen: dict[object, list[Any]] = {}
        self._memory_network: MemoryNetwork | None = None

    @property
    def network(self) -> MemoryNetwork:
        """The network of this loop."""
        if self._memory_network is None:
            from pulsing.testing.memory_network import MemoryNetwork

            self._memory_network = MemoryNetwork(self)
        return self._memory_network

    # --- time

    def time(self) -> float:
        """Virtual seconds since the start."""
        self._looks += 1
        if self._looks > _PATIENCE:
            self._virtual_now += _CREEP_S
        return self._virtual_now

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        """See `asyncio.loop.call_later`."""
        return self.call_at(self._virtual_now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        """See `asyncio.loop.call_at`."""
        timer = _Timer(when, callback, args, self, context)
        self._timer_number += 1
        heapq.heappush(self._timers, (when, self._tie(), self._timer_number, timer))
        return timer

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        """See `asyncio.loop.call_soon`."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        self._cancelled_timers += 1
        if self._cancelled_timers > _MANY_CANCELLED:
            if self._cancelled_timers * 2 > len(self._timers):
                self._timers = [each for each in self._timers if not each[3].cancelled()]
                heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _run_once(self) -> None:
        """One turn."""
        queue = self._ready
        if not queue and not self._stopping:
            self._jump()
        timers = self._timers
        while timers and timers[0][0] <= self._virtual_now:
            queue.append(heapq.heappop(timers)[3])
        self.turns += 1
        self._looks += 1
        if self._looks > _PATIENCE:
            self._virtual_now += _CREEP_S
        frozen = self._frozen
        handle: Any
        for _ in range(len(queue)):
            handle = queue.popleft()
            if handle._cancelled:  # noqa: SLF001 - as every event loop does
                continue
            context = handle._context  # noqa: SLF001
            if frozen:
                home = context.get(HOME)
                if home is not None and home in frozen:
                    frozen[home].append(handle)
                    continue
            try:  # `Handle._run`, inlined: this is most of what the loop costs
                context.run(handle._callback, *handle._args)  # noqa: SLF001
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - told as every event loop does
                self.call_exception_handler(
                    {"message": f"{handle!r} failed", "exception": error, "handle": handle}
                )
        handle = None  # it holds on to what it called

    def _jump(self) -> None:
        """Nobody is busy: let it be the time of the next timer."""
        timers = self._timers
        while timers and timers[0][3].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(
                f"at {self._virtual_now:.6f} virtual seconds nothing is left that could happen"
                + (f" ({len(self._frozen)} nodes are frozen)" if self._frozen else ""),
                self._waiting(),
            )
        when = timers[0][0]
        if when > self.limit_s:
            raise Deadlock(
                f"not done after {self.limit_s:g} virtual seconds; give limit_s= more if it may "
                "take longer",
                self._waiting(),
            )
        self._looks = 0
        self._virtual_now = max(self._virtual_now, when)

    def _waiting(self) -> list[str]:
        return describe_tasks(asyncio.all_tasks(self))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """See `asyncio.loop.default_exception_handler`.

        What is found out after the end comes from the garbage collector, at any moment of other
        code: it gets a line, and no traceback, because to format one is more than that code bears
        (inside ``ast.parse`` CPython 3.11 answers with SystemError).
        """
        if self.is_closed():
            text = "after the end of a virtual run: %s: %r"
            _logger.error(text, context.get("message"), context.get("exception"))
        else:
            super().default_exception_handler(context)

    # --- several nodes on one loop

    def make_home(self) -> Callable[[], object] | None:
        """A function that marks contexts as belonging to the node whose code runs now."""
        home = HOME.get()
        return None if home is None else partial(HOME.set, home)

    def make_wiring(self) -> MemoryHost:
        """The network of a node that starts now."""
        return self.network.host()

    def freeze(self, home: object) -> None:
        """Let no code of a node run, as if its process were stopped by a signal."""
        self._frozen.setdefault(home, [])

    def thaw(self, home: object) -> None:
        """Let a frozen node go on; what came due meanwhile happens now."""
        self._ready.extend(self._frozen.pop(home, ()))

    def thaw_all(self) -> None:
        """Let every node go on."""
        for home in list(self._frozen):
            self.thaw(home)

    def is_frozen(self, home: object) -> bool:
        """Whether its code is held back."""
        return home in self._frozen

    # --- what needs no other thread here

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        """See `asyncio.loop.call_soon_threadsafe`; other threads may not call it here."""
        if self._thread_id not in (None, threading.get_ident()):
            raise RuntimeError("a virtual loop has no other threads: they cannot be repeated")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> Future[T]:
        """Run it now, on the loop."""
        outcome: Future[T] = self.create_future()
        try:
            outcome.set_result(func(*args))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            outcome.set_exception(error)
        return outcome

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    # --- the network, as far as nodes and tests use it

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int, **_options: Any
    ) -> list[tuple[Any, Any, int, str, tuple[str, int]]]:
        """Names are those of the memory network; every address is its own name."""
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in self.network.addresses_of(host)
        ]

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], T], host: str, port: int, **options: Any
    ) -> tuple[asyncio.Transport, T]:
        """Connect from a place of its own, which is no node: for clients in tests."""
        protocol = protocol_factory()
        client = self.network.host()
        transport = await client.connect(
            cast(asyncio.Protocol, protocol), host, port, secure=bool(options.get("ssl"))
        )
        return transport, protocol

    async def sock_accept(self, sock: Any) -> tuple[Any, Any]:
        """See `asyncio.loop.sock_accept`, for sockets of the memory network."""
        accepted: tuple[Any, Any] = await sock.next_connection()
        return accepted

    async def connect_accepted_socket(
        self, protocol_factory: Callable[[], T], sock: Any, **options: Any
    ) -> tuple[asyncio.Transport, T]:
        """See `asyncio.loop.connect_accepted_socket`, for sockets of the memory network."""
        protocol = protocol_factory()
        return await sock.adopt(protocol, secure=bool(options.get("ssl"))), protocol


def current_virtual_loop() -> VirtualLoop:
    """The loop that runs, which must be a virtual one.

    Raises:
        RuntimeError: it is another one, or none; says what to do.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError(  # noqa: TRY004 - the call comes at the wrong time, from anywhere
            f"this works in virtual time only, and {type(loop).__name__} is a real loop; run the "
            "test with pulsing.testing.run_virtual"
        )
    return loop
