"""The test's end of the line to a node process; ``observer`` is the node's."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

FD_VARIABLE: Final = "_PULSING_TESTING_CONTROL"
"""The environment variable that tells a node the number of its end."""
MAX_LINE_BYTES: Final = 16 << 20


class NodeGone(ConnectionError):
    """The node has ended, so it answers nothing."""


class NodeRefused(AssertionError):
    """What a node was asked to do failed there; the message says how."""


class Control:
    """Asks a node process, and hears what it sees.

    Args:
        on_told: called on the loop with what the node says without being asked.

    Attributes:
        theirs: the end of the line for the node; close it once the node has inherited it.
    """

    def __init__(self, on_told: Callable[[dict[str, Any]], None]) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._on_told = on_told
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen."""
        reader, self._writer = await asyncio.open_unix_connection(
            sock=self._ours, limit=MAX_LINE_BYTES
        )
        self._reading = asyncio.create_task(self._read(reader), name="test-node-control")

    async def ask(self, do: str, /, **arguments: Any) -> Any:
        """Let the node do something, and wait for the answer.

        Raises:
            NodeRefused: it failed there.
            NodeGone: the node has ended, or ends meanwhile.
        """
        if self._writer is None or self._reading is None or self._reading.done():
            raise NodeGone(f"{do}: the node has ended")
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Hang up. A node that still runs ends itself."""
        self.theirs.close()
        if self._writer is None:
            self._ours.close()
            return
        self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            with suppress(ConnectionError):
                while line := await reader.readline():
                    self._heard(line)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(NodeGone("the node has ended"))

    def _heard(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:  # a line that its node did not live to finish
            return
        if "id" not in message:
            self._on_told(message)
            return
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(NodeRefused(message["error"]))
        else:
            answer.set_result(message["result"])
