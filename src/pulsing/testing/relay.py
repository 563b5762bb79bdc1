"""Passes connections on to a target, and lets a network's faults happen to them.

A relay lives on a running loop. ``proxy`` gives one a thread of its own; ``cluster`` and
``processes`` put one in front of every node.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Any

from pulsing.addresses import join_host_port, split_host_port

from .faults import NO_FAULTS, Direction, Faults
from .relayed import RelayedConnection

Identify = Callable[[bytes], str | None]
"""From the first octets of a client: who it is; "" a stranger, None: more octets are needed."""
FaultsOf = Callable[[str, Direction], Faults]
"""What happens to octets of a client in a direction."""


class Relay:
    """Listens, and passes each connection on to the target.

    Args:
        faults_of: asked for each piece of octets, with who the client is.
        identify: finds out who a client is; only then the target is dialled. Default: all are "".
        admits: whether a client is let in at all; who is not gets a reset.
        seed: of the dice.

    Attributes:
        addr: ``HOST:PORT`` it listens on; "" before `start`.
        passed: octets that arrived, by direction.
        accepted: connections so far.
    """

    def __init__(
        self,
        faults_of: FaultsOf = lambda _client, _direction: NO_FAULTS,
        *,
        identify: Identify | None = None,
        admits: Callable[[str], bool] = lambda _client: True,
        seed: int | None = None,
    ) -> None:
        self.faults_of = faults_of
        self.identify = identify
        self.admits = admits
        self.addr = ""
        self.passed = dict.fromkeys(Direction, 0)
        self.accepted = 0
        self.dice = random.Random(seed)  # noqa: S311 - not a secret
        self.loop = asyncio.get_running_loop()
        self._target: asyncio.Future[str] = self.loop.create_future()
        self._listening: socket.socket | None = None
        self._accepting: set[asyncio.Task[Any]] = set()
        self._connections: dict[RelayedConnection, None] = {}

    @property
    def target(self) -> str:
        """``HOST:PORT`` that clients get; connections wait until there is one."""
        return self._target.result() if self._target.done() else ""

    @target.setter
    def target(self, addr: str) -> None:
        if self._target.done():
            self._target = self.loop.create_future()
        self._target.set_result(addr)

    @property
    def is_listening(self) -> bool:
        """Whether who dials is let in."""
        return self._listening is not None

    @property
    def open_connections(self) -> int:
        """Connections that live."""
        return len(self._connections)

    async def start(self, addr: str = "127.0.0.1:0") -> str:
        """Listen; again after `refuse`, at the same address as before.

        Returns:
            ``HOST:PORT`` with the port that was picked.
        """
        host, port = split_host_port(self.addr or addr)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=1024)
        listening.setblocking(False)
        self.loop.add_reader(listening, self._accept, listening)
        self._listening = listening
        self.addr = join_host_port(host, listening.getsockname()[1])
        return self.addr

    def _accept(self, listening: socket.socket) -> None:
        # Not loop.create_server: its servers forget what they have just accepted when they close.
        while True:
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            task = self.loop.create_task(
                self.loop.connect_accepted_socket(lambda: RelayedConnection(self).client, accepted),
                name="pulsing-relay",
            )
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    def refuse(self) -> None:
        """Listen no more: the operating system refuses who dials, as for a process that died."""
        if self._listening is not None:
            self.loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def forget_target(self) -> None:
        """Let new connections wait for the next `target`."""
        if self._target.done():
            self._target = self.loop.create_future()

    def reset(self, client: str | None = None) -> None:
        """End every connection, or those of one client, with a reset at both sides."""
        for each in list(self._connections):
            if client is None or each.name == client:
                each.reset()

    def vanish(self, side: Direction) -> None:
        """The machine at the end of a direction is gone: the other side hears nothing of it.

        Connections that live become half-open; what arrives on them is lost.
        """
        for each in list(self._connections):
            each.vanish(side)

    def changed(self) -> None:
        """``faults_of`` says something else now: look at what waits."""
        for each in list(self._connections):
            each.changed()

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        self.refuse()
        if self._accepting:
            await asyncio.wait(self._accepting)
        self._target.cancel()  # who waits for it
        connections = list(self._connections)
        for each in connections:
            each.reset()
        for each in connections:
            await each.ended()

    # --- for connections

    def opened(self, connection: RelayedConnection) -> None:
        """A client is there."""
        self.accepted += 1
        self._connections[connection] = None

    def gone(self, connection: RelayedConnection) -> None:
        """Both sides of a connection are closed."""
        self._connections.pop(connection, None)

    async def dial(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Connect to the target, as soon as there is one.

        Raises:
            OSError: nobody answers there.
        """
        host, port = split_host_port(await asyncio.shield(self._target))
        await self.loop.create_connection(make, host, port)
