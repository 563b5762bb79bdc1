"""The actors that the tests of this folder host on nodes: ``--import tests.integration.hosted``.

A test asks the ``lab`` of a node for an actor of its own. Times are those of `time.monotonic`, one
clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pulsing as pul


def resident_bytes() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Refused(Exception):
    """An exception of the user's code, with attributes of its own."""

    def __init__(self, reason: str, amount: int) -> None:
        super().__init__(reason, amount)
        self.reason = reason
        self.amount = amount


@pul.remote
class Echo:
    """Gives back what it gets."""

    motto = "say it again"

    def __init__(self, first: int = 0) -> None:
        self.value = first
        self.log: list[Any] = []
        self.other: Any = None

    async def echo(self, value: Any) -> Any:
        """The value."""
        return value

    def echo_in_thread(self, value: Any) -> Any:
        """The value, from a worker thread."""
        assert threading.current_thread() is not threading.main_thread()
        return value

    async def add(self, amount: int = 1, *, twice: bool = False) -> int:
        """Add to the value and give it."""
        self.value += amount * (2 if twice else 1)
        return self.value

    async def note(self, mark: Any, ballast: bytes = b"") -> int:
        """Remember the order in which marks come."""
        self.log.append(mark)
        return len(ballast)

    def note_in_thread(self, mark: Any, ballast: bytes = b"") -> int:
        """The same in a worker thread."""
        self.log.append(mark)
        return len(ballast)

    async def count(self, number: int) -> AsyncIterator[int]:
        """Stream numbers."""
        for each in range(number):
            yield each

    def count_in_thread(self, number: int) -> Iterator[int]:
        """Stream numbers from a worker thread."""
        yield from range(number)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        """Add up what the caller streams."""
        return sum([each async for each in numbers])

    async def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        """Both directions at once."""
        async for each in numbers:
            yield each * 2

    async def first_of(
        self, numbers: AsyncIterator[int], number: int, pause_s: float = 0.0
    ) -> list[int]:
        """Take only some of what the caller streams, and go on working."""
        taken: list[int] = []
        async for each in numbers:
            taken.append(each)
            if len(taken) == number:
                break
        await asyncio.sleep(pause_s)
        return taken

    async def keep(self, other: Any) -> None:
        """Remember another actor."""
        self.other = other

    async def ask_other(self, value: Any) -> Any:
        """Let the remembered actor echo."""
        return await self.other.echo(value)

    async def me(self) -> Any:
        """A reference to this actor."""
        return pul.current().self_ref

    async def rss(self) -> int:
        """Memory of the node."""
        return resident_bytes()

    async def zeros(self, size: int) -> bytes:
        """A result of some size."""
        return bytes(size)

    async def seconds_left(self) -> float | None:
        """Until the deadline of the call."""
        return pul.current().remaining

    async def fail(self, what: str) -> None:
        """Raise something."""
        error = FAILURES[what]()
        raise error

    async def fail_after(self, number: int, what: str) -> AsyncIterator[int]:
        """Raise something in the middle of a stream."""
        for each in range(number):
            yield each
        error = FAILURES[what]()
        raise error


def _with_cause() -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = KeyError("inner")
    error.add_note("written on the spot")
    return error


FAILURES: dict[str, Callable[[], Exception]] = {
    "value": lambda: ValueError("not a number"),
    "empty": KeyError,
    "own": lambda: Refused("too much", 7),
    "business": lambda: pul.PulsingBusinessError(402, "pay first", "the bill"),
    "timeout": lambda: TimeoutError("too slow"),
    "cause": _with_cause,
    "unicode": lambda: RuntimeError("süß \U0001f422"),
}


@pul.remote
class Watched:
    """Tells what happened to its code, and when."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, float]] = defaultdict(dict)
        self._changed = asyncio.Condition()

    async def _record(self, key: str, what: str) -> None:
        self.events[key][what] = time.monotonic()
        async with self._changed:
            self._changed.notify_all()

    async def when(self, key: str, what: str) -> float:
        """Wait until it happened, and tell when that was."""
        async with self._changed:
            await self._changed.wait_for(lambda: what in self.events[key])
        return self.events[key][what]

    async def when_ended(self, key: str) -> float:
        """The same for generators, also those that run in a thread."""
        while "ended" not in self.events[key]:
            await asyncio.sleep(0.002)
        return self.events[key]["ended"]

    async def seen(self, key: str) -> list[str]:
        """What has happened."""
        return list(self.events[key])

    async def history(self) -> dict[str, dict[str, float]]:
        """All that has happened."""
        return dict(self.events)

    async def sleep(self, key: str, seconds: float = 60.0) -> str:
        """Wait, and tell how that ended."""
        await self._record(key, "started")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.events[key]["cancelled"] = time.monotonic()
            raise
        finally:
            await asyncio.shield(asyncio.ensure_future(self._record(key, "ended")))
        return "slept"

    async def ticks(self, key: str, pause_s: float = 0.001) -> AsyncIterator[int]:
        """An endless stream that waits between its items."""
        number = 0
        try:
            while True:
                yield number
                number += 1
                await asyncio.sleep(pause_s)
        except asyncio.CancelledError:
            self.events[key]["cancelled"] = time.monotonic()
            raise
        finally:
            await self._record(key, "ended")

    async def sleep_first(self, key: str) -> AsyncIterator[int]:
        """A stream whose first item does not come."""
        await self._record(key, "started")
        await asyncio.sleep(60)
        yield 1

    async def flood(self, key: str) -> AsyncIterator[int]:
        """An endless stream that never waits."""
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            await self._record(key, "ended")

    def flood_in_thread(self, key: str) -> Iterator[int]:
        """The same from a worker thread."""
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            self.events[key]["ended"] = time.monotonic()

    async def pull(self, key: str, numbers: AsyncIterator[int]) -> None:
        """Take what the caller streams, until it stops."""
        try:
            async for _ in numbers:
                await self._record(key, "item")
        finally:
            await self._record(key, "ended")

    async def call_other(self, key: str, other: Any, other_key: str) -> str:
        """Call another actor as part of this call."""
        await self._record(key, "started")
        try:
            return await other.sleep(other_key)
        finally:
            self.events[key]["ended"] = time.monotonic()


class Producer(pul.Actor):
    """Streams, and counts how far it is."""

    def __init__(self) -> None:
        self.produced = 0

    @pul.method
    async def items(self, number: int | None, size: int = 8) -> AsyncIterator[bytes]:
        """Items of some size; endless for None."""
        item = bytes(size)
        while number is None or self.produced < number:
            self.produced += 1
            yield item

    @pul.method
    def items_in_thread(self, number: int | None, size: int = 8) -> Iterator[bytes]:
        """The same from a worker thread."""
        item = bytes(size)
        while number is None or self.produced < number:
            self.produced += 1
            yield item

    @pul.method(stream_buffer=5)
    async def five_ahead(self) -> AsyncIterator[int]:
        """A stream with a buffer of its own."""
        while True:
            self.produced += 1
            yield self.produced

    @pul.method
    async def made(self) -> int:
        """Items so far."""
        return self.produced

    @pul.method
    async def of_sizes(self, sizes: list[int]) -> AsyncIterator[bytes]:
        """One item of each size."""
        for size in sizes:
            yield bytes(size)

    @pul.method
    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        """Endless items, each of them different."""
        while True:
            self.produced += 1
            yield self.produced.to_bytes(4, "big") * (size // 4)


@pul.remote
class Exclusive:
    """Finds out whether two pieces of its code ever run at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.overlaps = 0
        self.runs = 0

    def _enter(self) -> None:
        self.runs += 1
        self.inside += 1
        if self.inside != 1:
            self.overlaps += 1

    def _leave(self) -> None:
        self.inside -= 1

    def blocking(self, seconds: float = 0.0) -> str:
        """Work in a thread."""
        self._enter()
        time.sleep(seconds)
        self._leave()
        return "blocked"

    async def waiting(self, steps: int = 3) -> str:
        """Work on the loop, in steps."""
        for _ in range(steps):
            self._enter()
            time.sleep(0.0002)  # noqa: ASYNC251 - so that an overlap would show
            self._leave()
            await asyncio.sleep(0)
        return "waited"

    def stepping(self, steps: int) -> Iterator[int]:
        """Stream from a thread."""
        for each in range(steps):
            self._enter()
            time.sleep(0.0002)
            self._leave()
            yield each

    async def streaming(self, steps: int) -> AsyncIterator[int]:
        """Stream from the loop."""
        for each in range(steps):
            self._enter()
            self._leave()
            yield each
            await asyncio.sleep(0)

    async def findings(self) -> tuple[int, int]:
        """Runs, and overlaps among them."""
        return self.runs, self.overlaps


@pul.remote
class Relay:
    """Consumes what others stream."""

    async def read(self, producer: Any, size: int) -> None:
        """Read endlessly."""
        async for _ in producer.items(None, size):
            pass


class Mail(pul.Actor):
    """Takes raw messages."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def receive(self, msg: Any) -> Any:
        if isinstance(msg, pul.StreamMessage):
            chunks = [chunk async for chunk in msg]
            return pul.Message(msg.msg_type.upper(), len(chunks))
        if isinstance(msg, pul.Message) and msg.msg_type == "stream":
            return self._stream(msg.payload)
        if isinstance(msg, pul.Message):
            return pul.Message(msg.msg_type.upper(), msg.payload)
        self.got.append(msg)
        return len(self.got)

    def _stream(self, number: int) -> pul.StreamMessage:
        stream, writer = pul.StreamMessage.create("chunks", buffer_size=4)

        async def write() -> None:
            async with writer:
                for each in range(number):
                    await writer.write(each)

        self._writing = asyncio.ensure_future(write())
        return stream


KINDS: dict[str, Any] = {
    each.__name__: each for each in (Echo, Watched, Producer, Exclusive, Relay, Mail)
}


@pul.remote
class Lab:
    """Makes actors for tests."""

    async def make(self, kind: str, *args: Any, **options: Any) -> Any:
        """A proxy of a new actor."""
        return await KINDS[kind].options(**options).spawn(*args)

    async def actors(self) -> int:
        """How many actors the node hosts."""
        return len(self._system.actors())

    async def open_calls(self) -> int:
        """How many calls run or wait on the node."""
        return sum(each["queued"] + each["running"] for each in self._system.actors())

    async def stop(self, actor: Any) -> None:
        """Stop one of them."""
        await self._system.stop(actor)

    _system: pul.ActorSystem


async def pulsing_setup(system: pul.ActorSystem) -> None:
    lab = Lab()
    lab._system = system
    await system.spawn(lab, name="lab")
    await system.spawn(Echo, name="echo")
