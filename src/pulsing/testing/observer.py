"""Inside a node process of a test: tells the test what the node sees, and does what it asks.

``pulsing node --import pulsing.testing.observer`` starts it, when the environment names the open
socket to the test (`FD_VARIABLE`). It needs no network, so it also works across partitions, and
adds no traffic between the nodes. ``control`` is the other end.

Lines of JSON go both ways: questions ``{"id", "do", ...}`` with answers ``{"id", "result"}`` or
``{"id", "error"}``, and what the node sees without being asked, ``{"saw": ...}``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.remote import remote
from pulsing.ids import canonical_name
from pulsing.testing.control import FD_VARIABLE, MAX_LINE_BYTES

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.agent import MemberEvent

_LOOK_INTERVAL_S: Final = 0.004


async def pulsing_setup(system: ActorSystem) -> None:
    """Start observing, if a test wants it."""
    number = os.environ.get(FD_VARIABLE)
    if number is not None:
        await system.spawn(Observer, system, int(number), name="testing/observer", public=False)


@remote
class Observer:
    """Lives as long as its node. When the test's end of the socket is closed, the test is gone."""

    def __init__(self, system: ActorSystem, number: int) -> None:
        self._system = system
        self._socket = socket.socket(fileno=number)
        self._writer: asyncio.StreamWriter | None = None
        self._serving: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._tasks: dict[str, Callable[..., Awaitable[Any]]] = {
            "members": self._members,
            "names": self._names,
            "actors": self._actors,
            "spawn": self._spawn,
            "stop": self._stop,
            "call": self._call,
            "expect": self._expect,
            "hold": self._hold,
            "usage": self._usage,
        }

    async def on_start(self, _actor_id: object) -> None:
        """Say who this is, and tell of every change from now on."""
        reader, self._writer = await asyncio.open_unix_connection(
            sock=self._socket, limit=MAX_LINE_BYTES
        )
        self._unsubscribe = self._system.on_member_change(self._saw)
        self._tell({"hello": self._system.node_id, "addr": self._system.reachable_addr})
        now = time.monotonic()
        for member in await self._members():
            self._tell({"saw": member, "at": now - member.get("for_s", 0.0)})
        self._serving = asyncio.create_task(self._serve(reader), name="testing-observer")

    async def on_stop(self) -> None:
        """Tell no more."""
        self._unsubscribe()
        tasks = [*self._working, *([self._serving] if self._serving is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._writer is not None:
            self._writer.close()

    # --- the line to the test

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _saw(self, event: MemberEvent) -> None:
        self._tell({"saw": event.member.as_dict(), "at": time.monotonic()})

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            task = asyncio.create_task(self._answer(json.loads(line)), name="testing-observer")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        os.kill(os.getpid(), signal.SIGKILL)  # the test has ended without ending its nodes

    async def _answer(self, question: dict[str, Any]) -> None:
        number = question.pop("id")
        try:
            result = await self._tasks[question.pop("do")](**question)
            answer = {"id": number, "result": result}
            json.dumps(answer)
        except Exception as error:  # noqa: BLE001 - it is the test's
            answer = {"id": number, "error": f"{type(error).__name__}: {error}"}
        self._tell(answer)

    # --- what a test can ask

    async def _members(self) -> list[dict[str, Any]]:
        return await self._system.members()

    async def _names(self) -> list[dict[str, Any]]:
        return await self._system.all_named_actors()

    async def _actors(self) -> list[dict[str, Any]]:
        return [{**each, "metadata": {}} for each in self._system.actors()]

    async def _spawn(self, cls: str, name: str | None, args: list[Any]) -> str:
        module, _, attribute = cls.partition(":")
        spawned = getattr(importlib.import_module(module), attribute)
        return str((await self._system.spawn(spawned, *args, name=name)).actor_id)

    async def _stop(self, name: str) -> float:
        at = time.monotonic()
        await self._system.stop(name)
        return at

    async def _call(self, name: str, method: str, args: list[Any], timeout_s: float) -> Any:
        async with asyncio.timeout(timeout_s):
            actor = await self._system.resolve(name, timeout=timeout_s)
            return await getattr(actor, method)(*args)

    async def _expect(self, name: str, instances: int, within_s: float) -> float:
        """Wait until so many instances of a name are seen here; say when."""
        canonical, give_up_at = canonical_name(name), time.monotonic() + within_s
        while True:
            cluster = self._system.cluster
            found = 0 if cluster is None else len(cluster.lookup(canonical))
            if found == instances:
                return time.monotonic()
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{found} instances of {name} after {within_s} s")
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def _hold(self, seconds: float) -> float:
        """Hold the loop, as bad code does; say when it began."""
        holder = await self._system.spawn(Holder)
        at = time.monotonic()
        await holder.hold(seconds).with_timeout(None)
        await self._system.stop(holder)
        return at

    async def _usage(self) -> dict[str, int]:
        return {
            "tasks": len(asyncio.all_tasks()) - len(self._working),
            "threads": threading.active_count(),
            "open_files": len(list(Path("/proc/self/fd").iterdir())),  # noqa: ASYNC240 - no disk
        }


@remote(executor="loop")
class Holder:
    """Its method computes on the loop of its node for too long."""

    def hold(self, seconds: float) -> None:
        """Compute."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(1000))
