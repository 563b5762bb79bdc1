"""Actors that run in processes of their own, for the tests of them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pulsing as pul


class Odd:
    """Travels as a pickle only."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __reduce__(self) -> tuple[type[Odd], tuple[int]]:
        return Odd, (self.value,)


@pul.remote(executor="process")
class Worker:
    """Does a bit of everything."""

    def __init__(self, value: int = 0, *, log: str = "") -> None:
        if value < 0:
            raise ValueError("too little", value)
        self.value = value
        self._log = log
        self._began = time.monotonic()

    def _say(self, text: str) -> None:
        if self._log:
            with Path(self._log).open("a", encoding="utf-8") as log:
                log.write(f"{text}\n")

    async def on_start(self, actor_id: Any) -> None:
        self._say(f"start {actor_id} {os.getpid()}")

    async def on_restart(self, error: BaseException | None, attempt: int) -> None:
        self._say(f"restart {attempt} {error}")

    def on_stop(self) -> None:
        self._say("stop")

    def metadata(self) -> dict[str, str]:
        return {"kind": "worker"}

    def pid(self) -> int:
        return os.getpid()

    def add(self, number: int = 1) -> int:
        """Add, and tell the sum."""
        self.value += number
        return self.value

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def fail(self) -> None:
        raise LookupError("nothing", 7)

    def odd(self, odd: Odd) -> Odd:
        return Odd(odd.value + 1)

    def double(self, octets: bytes) -> bytes:
        return octets + octets

    def exit(self, status: int) -> None:
        os._exit(status)

    def hold(self, seconds: int) -> None:
        """Let nothing else of this interpreter run."""
        self._say("hold")
        ctypes.PyDLL(None).sleep(seconds)

    async def wait(self) -> None:
        """Wait for ever."""
        self._say("wait")
        try:
            await asyncio.Event().wait()
        finally:
            self._say("cancelled")

    def count(self, to: int) -> Iterator[int]:
        """A stream."""
        try:
            yield from range(to)
        finally:
            self._say("counted")

    async def count_slowly(self, to: int) -> AsyncIterator[int]:
        """A stream, too."""
        for each in range(to):
            await asyncio.sleep(0)
            yield each

    async def total(self, numbers: AsyncIterator[int]) -> int:
        """Take a stream."""
        return sum([each async for each in numbers])

    async def quit(self) -> None:
        pul.current().stop()

    async def give_up(self) -> None:
        raise pul.PulsingSystemError("for good", recoverable=False)

    # --- others

    async def ask(self, other: Any) -> Any:
        """Call an actor given as an argument."""
        return await other.who_calls()

    async def ask_named(self, name: str) -> Any:
        """Call an actor by its name."""
        return await (await pul.resolve(name)).who_calls()

    async def who_calls(self) -> Any:
        return pul.current().sender

    async def myself(self) -> Any:
        return pul.current().self_ref

    async def spawn_inside(self) -> Any:
        """A reference to an actor in the same process."""
        return await Listed.spawn()

    async def watch(self, other: Any) -> None:
        """Hear of the end of another actor."""
        await pul.current().watch(other)

    def on_terminated(self, event: pul.Terminated) -> None:
        self._say(f"terminated {event.reason.value}")

    async def nodes(self) -> int:
        return len(await pul.get_system().members())


@pul.remote
class Listed:
    """An actor like any other."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    async def who_calls(self) -> Any:
        return pul.current().sender

    async def pass_on(self, other: Any) -> Any:
        return await other.who_calls()

    async def where(self) -> int:
        return os.getpid()


@pul.remote(executor="process", max_concurrency=1)
class Strict:
    """One message at a time."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def go(self) -> int:
        """Say how many were inside at most."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.001)
        self.inside -= 1
        return self.most

    async def around(self, other: Any) -> Any:
        """Be called back."""
        return await other.back(pul.current().self_ref)


@pul.remote
class Caller:
    """Calls back."""

    async def back(self, other: Any) -> Any:
        return await other.go()

    async def echo(self, value: Any) -> Any:
        return value


@pul.remote(executor="process")
class Keeper:
    """Keeps its state over restarts that leave time to save it."""

    def __init__(self) -> None:
        self.value = 0

    def snapshot(self) -> int:
        return self.value

    def restore(self, value: int) -> None:
        self.value = value

    def add(self) -> int:
        self.value += 1
        return self.value

    def fail(self) -> None:
        raise RuntimeError("a defect")


@pul.remote(executor="process")
class Unstartable:
    """Fails when it starts."""

    async def on_start(self, _actor_id: Any) -> None:
        raise OSError("no device")


@pul.remote(executor="process")
class Echo(pul.Actor):
    """A message-style actor."""

    async def receive(self, msg: Any) -> Any:
        return [os.getpid(), msg]
