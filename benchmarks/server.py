"""The server process: opens what it is asked for, and answers commands on its standard input.

A command is a JSON line ``[name, argument, ...]``, the answer a JSON line with ``result`` or
``error``. The process ends when its input ends, so it never outlives the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import traceback
from typing import Any

from benchmarks.loops import LOOPS, pin, run_on
from benchmarks.processes import settle_memory, status_bytes
from benchmarks.raw import serve_raw
from benchmarks.raw_bulk import serve_buffered, serve_streams

SPAWN_BATCH = 1000


def address_of(server: asyncio.Server) -> str:
    """``host:port`` of a listening server."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"{host}:{port}"


class Commands:
    """What the client can ask for; each method is one command."""

    def __init__(self, passphrase: str | None) -> None:
        self._passphrase = passphrase
        self._servers: list[asyncio.Server] = []

    async def raw(self) -> dict[str, str]:
        """Open the three yardsticks and return their addresses."""
        self._servers = [await serve_raw(), await serve_streams(), await serve_buffered()]
        addresses = map(address_of, self._servers)
        return dict(zip(("raw", "streams", "buffered"), addresses, strict=True))

    async def pulsing(self, host: str = "127.0.0.1") -> str:
        """Start a Pulsing node with the benchmark actors and return its address."""
        import pulsing as pul
        from benchmarks.actors import spawn_all

        system = await pul.init(addr=f"{host}:0", passphrase=self._passphrase)
        await spawn_all(system)
        return str(system.addr)

    async def crowd(self, count: int) -> int:
        """Spawn `count` more actors that nobody calls."""
        import pulsing as pul
        from benchmarks.actors import AsyncCounter

        for number in range(count):
            await pul.spawn(AsyncCounter)
            if number % SPAWN_BATCH == 0:
                await asyncio.sleep(0)
        return count

    async def settle(self) -> int | None:
        """Give freed memory back, restart the peak, return the size in bytes."""
        return settle_memory()

    async def peak(self) -> int | None:
        """The largest size since the last `settle`, in bytes."""
        return status_bytes("VmHWM")

    async def close(self) -> None:
        """Stop serving."""
        for server in self._servers:
            server.close()
        if "pulsing" in sys.modules:
            import pulsing as pul

            await pul.shutdown()


async def serve(passphrase: str | None) -> None:
    """Answer commands until the input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    commands = Commands(passphrase)
    while line := await reader.readline():
        name, *arguments = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"result": await getattr(commands, name)(*arguments)}
        except Exception as error:  # noqa: BLE001 - the client reports it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    await commands.close()


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server")
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0])
    parser.add_argument("--passphrase")
    parser.add_argument("--cpu", type=int, help="position of the processor to stay on")
    options = parser.parse_args()
    if options.cpu is not None:
        pin(options.cpu)
    run_on(options.loop, serve(options.passphrase))


if __name__ == "__main__":
    main()
