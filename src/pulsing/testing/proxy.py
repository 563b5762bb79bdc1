"""A TCP proxy whose network is as bad as a test wants it."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from .faults import NO_FAULTS, Direction, Faults
from .relay import Relay

T = TypeVar("T")

_ANSWER_S = 10.0


class FaultProxy:
    """Passes connections on to a target, with faults; it listens when the constructor returns.

    It runs in a thread of its own, so it works from synchronous and asynchronous tests and scripts
    alike. What is changed takes effect on live connections at once. Use it as a context manager, or
    call `close`.

        with FaultProxy(node.addr) as proxy:
            call(proxy.addr)
            proxy.set(delay_s=0.05, jitter_s=0.02)
            proxy.set(Direction.FROM_TARGET, cut=True)
            proxy.heal()

    Args:
        target: ``HOST:PORT``; "" lets connections wait until `retarget`.
        addr: where to listen; port 0 picks one.
        seed: of the dice for jitter, loss and corruption.

    Attributes:
        addr: ``HOST:PORT`` it listens on.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(
        self, target: str = "", *, addr: str = "127.0.0.1:0", seed: int | None = None
    ) -> None:
        self._faults = dict.fromkeys(Direction, NO_FAULTS)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="test-fault-proxy", daemon=True
        )
        self._thread.start()
        try:
            self._relay = self._do_async(self._start, addr, target, seed)
        except BaseException:
            self._end_thread()
            raise
        self.addr = self._relay.addr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- faults

    def set(self, direction: Direction | None = None, /, **faults: Any) -> None:
        """Change some faults of a direction, of both by default.

        Args:
            direction: which way.
            faults: fields of `Faults`; those that are not given stay as they are.

        Raises:
            ValueError: a value makes no sense.
            TypeError: there is no such fault.
        """
        changed = {
            each: dataclasses.replace(self._faults[each], **faults)
            for each in ([direction] if direction is not None else Direction)
        }
        self._do(lambda: self._become(changed))

    def heal(self) -> None:
        """No more faults, in both directions; listen again. What was held back arrives."""
        self._do(lambda: self._faults.update(dict.fromkeys(Direction, NO_FAULTS)))
        self._do(self._relay.changed)
        self.listen()

    def reset(self) -> None:
        """End every live connection with a reset, at both sides."""
        self._do(self._relay.reset)

    def half_open(self, side: Direction = Direction.TO_TARGET) -> None:
        """Let one end of every live connection vanish; the other end hears nothing of it.

        Args:
            side: whose machine is gone: the target's, or (``FROM_TARGET``) the clients'.
        """
        self._do(lambda: self._relay.vanish(side))

    def refuse(self) -> None:
        """Listen no more: who dials is refused. Live connections stay."""
        self._do(self._relay.refuse)

    def listen(self) -> None:
        """Listen again, at the same address."""
        self._do_async(self._listen)

    def retarget(self, target: str) -> None:
        """New connections go to ``target``."""
        self._do(lambda: setattr(self._relay, "target", target))

    # --- what happened

    @property
    def open_connections(self) -> int:
        """Connections that live."""
        return self._do(lambda: self._relay.open_connections)

    @property
    def accepted(self) -> int:
        """Connections so far."""
        return self._do(lambda: self._relay.accepted)

    def passed_bytes(self, direction: Direction) -> int:
        """Octets that arrived in a direction."""
        return self._do(lambda: self._relay.passed[direction])

    def close(self) -> None:
        """End the proxy and its connections. Again does nothing."""
        if self._thread.is_alive():
            self._do_async(self._relay.close)
            self._end_thread()

    # --- the thread

    async def _start(self, addr: str, target: str, seed: int | None) -> Relay:
        relay = Relay(lambda _client, direction: self._faults[direction], seed=seed)
        await relay.start(addr)
        if target:
            relay.target = target
        return relay

    def _become(self, faults: dict[Direction, Faults]) -> None:
        self._faults.update(faults)
        self._relay.changed()

    async def _listen(self) -> None:
        if not self._relay.is_listening:
            await self._relay.start()

    def _do(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return self._do_async(run)

    def _do_async(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        return asyncio.run_coroutine_threadsafe(work(*args), self._loop).result(_ANSWER_S)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()
