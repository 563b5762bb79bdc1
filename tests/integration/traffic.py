"""Senders and receivers for runs in which processes and actors die: ``--import`` of test nodes.

Receivers write what they handle to files, before they answer, so that it outlives them; senders
write what became of each message. `verdict` reads both.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulsing as pul

WINDOW = 32
"""Asks that one sender has on their way to one receiver."""


class Log:
    """Lines that are in the file when this returns: a killed process takes none along."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


@pul.remote(restart_policy="on_failure", max_restarts=1_000_000, min_backoff=0.0, max_backoff=0.0)
class Receiver:
    """Handles messages one after another, and fails now and then."""

    def __init__(self, name: str, directory: str, failures: float) -> None:
        self.log = Log(f"{directory}/{name}.received")
        self.failures = failures
        self.dice = random.Random()

    async def take(self, sender: str, number: int) -> int:
        """Handle one message."""
        self.log.write(f"{sender} {number}")
        if self.dice.random() < self.failures:
            raise RuntimeError("a defect")
        return number


@pul.remote
class Sender:
    """Sends numbers to receivers, each in order, many at a time."""

    def __init__(self, name: str, directory: str) -> None:
        self.name = name
        self.directory = directory

    async def send(self, receivers: list[str], count: int, timeout_s: float) -> int:
        """Send numbers to each receiver; gives how many were answered."""
        life = f"{self.name}-{os.getpid()}-{time.monotonic_ns()}"
        log = Log(f"{self.directory}/{life}.sent")
        system = pul.current().system
        return sum(
            await asyncio.gather(
                *(self._send_to(system, log, life, each, count, timeout_s) for each in receivers)
            )
        )

    async def _send_to(
        self, system: Any, log: Log, life: str, address: str, count: int, timeout_s: float
    ) -> int:
        receiver: Any = await _found(system, address)
        name = address.rpartition("/")[2]
        answered = 0
        for begin in range(0, count, WINDOW):
            waiting: list[tuple[int, float, Any]] = []
            for number in range(begin, min(count, begin + WINDOW)):
                call = receiver.take(f"{life}>{name}", number).with_timeout(timeout_s)
                waiting.append((number, time.monotonic(), call.start()))
            for number, since, reply in waiting:
                what = "ok"
                try:
                    await reply
                    answered += 1
                except Exception as error:  # noqa: BLE001 - all of them are outcomes
                    what = type(error).__name__
                late_s = time.monotonic() - since - timeout_s
                log.write(f"{name} {number} {what} {late_s:.4f}")
            if what != "ok":
                await asyncio.sleep(0.02)
        return answered


async def _found(system: Any, address: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            try:
                return await system.resolve(address, cls=Receiver)
            except pul.PulsingRuntimeError:
                await asyncio.sleep(0.05)


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """Host as many of both as the environment says."""
    directory = os.environ["TRAFFIC_DIRECTORY"]
    failures = float(os.environ["TRAFFIC_FAILURES"])
    for name in os.environ["TRAFFIC_RECEIVERS"].split():
        await Receiver.options(name=name, max_concurrency=1, system=system).spawn(
            name, directory, failures
        )
    for name in os.environ["TRAFFIC_SENDERS"].split():
        await Sender.options(name=name, system=system).spawn(name, directory)


@dataclass
class Verdict:
    """What the files say.

    Attributes:
        handled: messages that some receiver handled.
        duplicates: messages that were handled twice.
        reordered: messages that were handled after a later one of the same sender.
        unaccounted: messages that were answered, but that nobody handled.
        latest_s: by how much the latest outcome came after the deadline; below 0: before it.
        outcomes: how many ended how.
    """

    handled: int = 0
    duplicates: int = 0
    reordered: int = 0
    unaccounted: int = 0
    latest_s: float = float("-inf")
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def verdict(directory: Path) -> Verdict:
    """Judge a run by its files."""
    found = Verdict()
    handled: set[tuple[str, int]] = set()
    for path in directory.glob("*.received"):
        last: dict[str, int] = defaultdict(lambda: -1)
        for line in path.read_text().splitlines():
            sender, number = line.split()
            key = (sender, int(number))
            found.handled += 1
            found.duplicates += key in handled
            found.reordered += key[1] < last[sender]
            handled.add(key)
            last[sender] = max(last[sender], key[1])
    for path in directory.glob("*.sent"):
        for line in path.read_text().splitlines():
            name, number, what, late = line.split()
            found.outcomes[what] += 1
            found.latest_s = max(found.latest_s, float(late))
            answered = what in ("ok", "RuntimeError")
            found.unaccounted += answered and (f"{path.stem}>{name}", int(number)) not in handled
    return found
