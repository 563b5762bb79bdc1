"""Whoever waits for a name that nobody has yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from pulsing.errors import PulsingRuntimeError


class NameWaiters:
    """Wakes those who wait for names when something about these names changes.

    Args:
        loop: where they wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    async def wait(
        self, name: str, timeout_s: float, there: Callable[[], bool], wanted: Callable[[], None]
    ) -> None:
        """Wait until ``there()`` holds, looked at whenever the name changes, or time is up.

        Args:
            name: canonical.
            timeout_s: how long.
            there: what is waited for.
            wanted: called each time before it waits.

        Raises:
            PulsingRuntimeError: `close` was called meanwhile.
        """
        give_up_at = self._loop.time() + timeout_s
        while not there() and (remaining := give_up_at - self._loop.time()) > 0:
            changed: asyncio.Future[None] = self._loop.create_future()
            waiting = self._waiting.setdefault(name, [])
            waiting.append(changed)
            wanted()
            try:
                async with asyncio.timeout(remaining):
                    await changed
            except TimeoutError:
                return
            finally:
                if changed in waiting:
                    waiting.remove(changed)
                if not waiting and self._waiting.get(name) is waiting:
                    del self._waiting[name]

    def wake(self, names: Iterable[str]) -> None:
        """These names have changed."""
        if self._waiting:
            for name in names:
                for each in self._waiting.get(name, ()):
                    if not each.done():
                        each.set_result(None)

    def close(self) -> None:
        """Nothing will change any more."""
        for waiting in self._waiting.values():
            for each in waiting:
                if not each.done():
                    text = "the node was shut down while waiting for a name"
                    each.set_exception(PulsingRuntimeError(text))
        self._waiting.clear()
