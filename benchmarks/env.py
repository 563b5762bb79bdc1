"""What benchmarks run against: server processes, connections and proxies, made on demand."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Any

from benchmarks.processes import ServerProcess
from benchmarks.raw import RawClient, connect_raw
from benchmarks.raw_bulk import BulkClient, StreamsClient, connect_buffered

PASSPHRASE = "only for benchmarks"
CLEAR, TLS, CROWD, LOCAL = "clear", "tls", "crowd", "local"
RAW_NAME = "bench/receive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much each slice does; `quick` only shows that everything runs, its figures mean nothing.

    Args:
        seconds: length of a slice that is measured by time.
        tokens: items of all streams of a slice together.
        idle_actors: how many are spawned for their weight, smaller and larger step.
        crowd: how many idle actors share the node with the one that is called.
        processes: how often a process is started for its import time.
        single: one slice per round, whatever a benchmark says.
    """

    seconds: float
    tokens: int
    idle_actors: tuple[int, ...]
    crowd: int
    processes: int
    single: bool = False

    @classmethod
    def full(cls) -> Scale:
        """For figures."""
        return cls(
            seconds=0.25,
            tokens=100_000,
            idle_actors=(100_000, 1_000_000),
            crowd=100_000,
            processes=9,
        )

    @classmethod
    def quick(cls) -> Scale:
        """For CI."""
        return cls(
            seconds=0.02,
            tokens=2_000,
            idle_actors=(2_000, 4_000),
            crowd=1_000,
            processes=1,
            single=True,
        )


class Env:
    """The world of one run; everything in it is made at first use and shared after that."""

    def __init__(self, scale: Scale, *, loop: str, pinned: bool) -> None:
        self.scale = scale
        self._loop = loop
        self._pinned = pinned
        self._servers: dict[str, ServerProcess] = {}
        self._systems: dict[str, Any] = {}
        self._addresses: dict[str, str] = {}
        self._cache: dict[object, Any] = {}
        self._aliases = itertools.count(2)

    async def server(self, kind: str) -> ServerProcess:
        """The server process of that kind: `CLEAR`, `TLS`, or `CROWD` with its many idle actors."""
        if kind not in self._servers:
            options = ["--loop", self._loop]
            if kind == TLS:
                options += ["--passphrase", PASSPHRASE]
            if self._pinned:
                options += ["--cpu", "1"]
            self._servers[kind] = await ServerProcess.start(*options)
        return self._servers[kind]

    async def pids(self, kind: str = CLEAR) -> tuple[int, int]:
        """This process and the server of that kind."""
        return os.getpid(), (await self.server(kind)).pid

    async def _raw_address(self, name: str) -> str:
        if "raw" not in self._addresses:
            server = await self.server(CLEAR)
            self._addresses.update(await server.ask("raw"))
        return self._addresses[name]

    async def raw(self) -> RawClient:
        """A connection to the yardstick for calls."""
        if "raw" not in self._cache:
            self._cache["raw"] = await connect_raw(await self._raw_address("raw"))
        client: RawClient = self._cache["raw"]
        return client

    async def raw_streams(self) -> StreamsClient:
        """A connection to the yardstick for large bodies, over asyncio streams."""
        if "streams" not in self._cache:
            address = await self._raw_address("streams")
            self._cache["streams"] = await StreamsClient.connect(address)
        client: StreamsClient = self._cache["streams"]
        return client

    async def raw_buffered(self) -> BulkClient:
        """A connection to the upper bound for large bodies."""
        if "buffered" not in self._cache:
            address = await self._raw_address("buffered")
            self._cache["buffered"] = await connect_buffered(address)
        client: BulkClient = self._cache["buffered"]
        return client

    async def system(self, kind: str = CLEAR) -> Any:
        """The node of this process that talks to servers of that kind; `LOCAL`: to nobody."""
        import pulsing as pul

        kind = CLEAR if kind == CROWD else kind
        if kind not in self._systems:
            addr = None if kind == LOCAL else "127.0.0.1:0"
            passphrase = PASSPHRASE if kind == TLS else None
            self._systems[kind] = await pul.actor_system(addr, passphrase=passphrase)
        return self._systems[kind]

    async def address(self, kind: str = CLEAR) -> str:
        """``host:port`` of the Pulsing node in the server of that kind."""
        key = f"pulsing {kind}"
        if key not in self._addresses:
            server = await self.server(kind)
            host = "127.0.0.1" if kind == CROWD else "0.0.0.0"
            port = str(await server.ask("pulsing", host)).rsplit(":", 1)[1]
            self._addresses[key] = f"127.0.0.1:{port}"
            if kind == CROWD:
                await server.ask("crowd", self.scale.crowd)
        return self._addresses[key]

    async def fresh_address(self, kind: str) -> str:
        """Another address of the same node: loopback has many, and each is a new connection."""
        number = next(self._aliases)
        port = (await self.address(kind)).rsplit(":", 1)[1]
        return f"127.0.{number >> 8 & 255}.{number & 255}:{port}"

    async def proxy(self, name: str, kind: str = CLEAR) -> Any:
        """A typed proxy of the actor with that name in the server of that kind."""
        key = (name, kind)
        if key not in self._cache:
            self._cache[key] = await self.resolve(name, kind, await self.address(kind))
        return self._cache[key]

    async def resolve(self, name: str, kind: str, address: str) -> Any:
        """Look the actor up at that address."""
        from benchmarks.actors import NAMED

        system = await self.system(kind)
        return await system.resolve(f"actor://{address}/{name}", cls=NAMED.get(name))

    async def local(self) -> Any:
        """A proxy of an actor in this very process."""
        if "local" not in self._cache:
            from benchmarks.actors import AsyncCounter

            self._cache["local"] = await (await self.system(LOCAL)).spawn(AsyncCounter)
        return self._cache["local"]

    async def close(self) -> None:
        """Close connections, systems and servers."""
        for made in self._cache.values():
            if isinstance(made, (StreamsClient, BulkClient)):
                made.close()
            elif isinstance(made, RawClient) and made.transport is not None:
                made.transport.close()
        for system in self._systems.values():
            await system.shutdown()
        for server in self._servers.values():
            await server.close()
