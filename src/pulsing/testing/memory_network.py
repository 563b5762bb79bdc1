"""A network in memory for the nodes of one virtual loop: latency, loss, partitions, dead processes.

Every node has a place in it (`MemoryHost`), found by the address it listens on. Faults are those of
``faults``, from one host to another; a host is called by the first part of its address.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Collection, Iterable
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from pulsing.addresses import join_host_port
from pulsing.errors import PulsingRuntimeError
from pulsing.testing.faults import Faults
from pulsing.testing.memory_sockets import MemoryListening, attached, refuse_tls
from pulsing.testing.memory_streams import MemoryStream
from pulsing.testing.virtual_history import History
from pulsing.testing.virtual_loop import HOME

if TYPE_CHECKING:
    from pulsing.testing.virtual_loop import VirtualLoop
    from pulsing.transport.tls import ClusterTls

_FIRST_PORT: Final = 7001
_FIRST_CLIENT_PORT: Final = 49_152
_FIRST_SYN_RETRY_S: Final = 1.0
_SYN_ATTEMPTS: Final = 7  # tcp_syn_retries of Linux is 6
_LOCAL: Final = Faults(delay_s=10e-6)


class MemoryNetwork:
    """All hosts of one loop, and what lies between them.

    Args:
        loop: where they live; its seed decides delays and losses.

    Attributes:
        dice: for jitter and loss.
        history: what was sent and what happened.
        names: names that hosts can look up, with their addresses.
        faults: between any two hosts that have none of their own.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.dice = random.Random(f"{loop.seed} network")  # noqa: S311 - chance, not secrets
        self.history = History(loop.time)
        self.names: dict[str, list[str]] = {}
        self.faults = Faults(delay_s=0.0003, jitter_s=0.0002)
        self._own_faults: dict[tuple[str, str], Faults] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._listening: dict[tuple[str, int], MemoryListening] = {}
        self._known: dict[str, None] = {}
        self._streams: dict[MemoryStream, None] = {}
        self._hosts = 0
        self._numbers = 0
        self._client_port = _FIRST_CLIENT_PORT

    def host(self) -> MemoryHost:
        """A new place in the network."""
        self._hosts += 1
        return MemoryHost(self, self._hosts)

    def addresses_of(self, name: str) -> list[str]:
        """Look a name up; every address is its own name.

        Raises:
            socket.gaierror: there is no such name.
        """
        if name in self.names:
            return list(self.names[name])
        if name.replace(".", "").isdigit() or ":" in name or name in self._known:
            return [name]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # --- faults

    def between(self, sender: str, receiver: str) -> Faults:
        """What happens to octets on their way from one host to another."""
        if sender == receiver:
            return _LOCAL
        faults = self._own_faults.get((sender, receiver), self.faults)
        return replace(faults, cut=True) if (sender, receiver) in self._cuts else faults

    def set_faults(self, sender: str, receiver: str, faults: Faults | None) -> None:
        """Give one direction between two hosts faults of its own; None: those of all again."""
        if faults is None:
            self._own_faults.pop((sender, receiver), None)
        else:
            self._own_faults[sender, receiver] = faults
        self.history.happened(f"{sender} -> {receiver}: {faults}")
        self.changed()

    def cut(self, senders: Iterable[str], receivers: Iterable[str]) -> None:
        """Let nothing through from any of some hosts to any of others."""
        receivers = list(receivers)
        for sender in senders:
            for receiver in receivers:
                self._cuts[sender, receiver] = None
                self.history.happened(f"{sender} -> {receiver}: cut")
        self.changed()

    def partition(self, *groups: Collection[str]) -> None:
        """Let hosts of different groups not reach each other; those in no group reach all.

        It replaces other cuts.
        """
        self._cuts.clear()
        for senders in groups:
            for receivers in groups:
                if senders is not receivers:
                    self.cut(senders, receivers)

    def heal(self) -> None:
        """No cuts any more, and everywhere the faults of all."""
        self._cuts.clear()
        self._own_faults.clear()
        self.history.happened("healed")
        self.changed()

    def changed(self) -> None:
        """Faults have changed: let them act on connections that are open."""
        for stream in list(self._streams):
            stream.faults = self.between(stream.host.name, stream.other.host.name)
            stream.arm()

    # --- connections

    async def one_way(self, sender: str, receiver: str) -> None:
        """Wait as long as a packet of a handshake takes, repeated until it comes through.

        Raises:
            TimeoutError: it never did.
        """
        wait_s = _FIRST_SYN_RETRY_S
        for _ in range(_SYN_ATTEMPTS):
            faults = self.between(sender, receiver)
            delay_s = faults.delay_s
            if faults.jitter_s:
                delay_s += self.dice.uniform(0.0, faults.jitter_s)
            if not faults.cut and not (faults.lost and self.dice.random() < faults.lost):
                await asyncio.sleep(delay_s)
                return
            await asyncio.sleep(wait_s)
            wait_s *= 2
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    def listening_at(self, host: str, port: int) -> MemoryListening | None:
        """Who takes connections there."""
        return self._listening.get((host, port))

    def is_known(self, host: str) -> bool:
        """A node listened there once, so that a machine answers, if only to refuse."""
        return host in self._known

    def stream_pair(
        self, client: MemoryHost, server: MemoryHost, at: tuple[str, int]
    ) -> tuple[MemoryStream, MemoryStream]:
        """A connection: the client's end, and the server's."""
        self._client_port += 1
        self._numbers += 2
        came_from = (client.name, self._client_port)
        ends = (
            MemoryStream(client, self._numbers, came_from, at),
            MemoryStream(server, self._numbers + 1, at, came_from),
        )
        for end, other in zip(ends, reversed(ends), strict=True):
            end.other = other
            end.faults = self.between(end.host.name, other.host.name)
            end.host.streams[end] = None
            self._streams[end] = None
        self.history.happened(f"{client} connects to {join_host_port(*at)}")
        return ends

    def forget(self, stream: MemoryStream) -> None:
        """An end is gone; when both are, the connection is."""
        if stream.other.is_lost:
            self._streams.pop(stream, None)
            self._streams.pop(stream.other, None)

    def open_port(self, owner: MemoryHost, host: str, port: int) -> MemoryListening:
        """Listen.

        Raises:
            PulsingRuntimeError: somebody does already.
        """
        if port == 0:
            port = _FIRST_PORT
            while (host, port) in self._listening:
                port += 1
        if (host, port) in self._listening:
            raise PulsingRuntimeError(
                f"cannot listen on {join_host_port(host, port)}: Address already in use; another "
                "node has this port; choose another, or port 0 for a free one"
            )
        listening = self._listening[host, port] = MemoryListening(owner, host, port)
        self._known[host] = None
        return listening

    def close_port(self, listening: MemoryListening) -> None:
        """Listen no more."""
        if self._listening.get(listening.address) is listening:
            del self._listening[listening.address]


class MemoryHost:
    """The place of one node in the network; its `pulsing.transport.wiring.Wiring`.

    Attributes:
        name: the first part of the address it listens on; before, a made-up one.
        context: of callbacks of its connections.
        streams: its ends of connections.
        is_alive: its process was not killed.
        octets_sent: what it has put on the network.
    """

    def __init__(self, network: MemoryNetwork, number: int) -> None:
        self.network = network
        self.loop = network.loop
        self.name = f"client-{number}"
        self.home: object = HOME.get() or self
        self.context = copy_context()
        self.context.run(HOME.set, self.home)
        self.streams: dict[MemoryStream, None] = {}
        self.is_alive = True
        self.octets_sent = 0
        self._vanished: list[MemoryStream] = []
        self._listening: list[MemoryListening] = []

    def __repr__(self) -> str:
        return self.name

    async def dial(
        self, protocol: asyncio.Protocol, host: str, port: int, *, tls: ClusterTls | None
    ) -> None:
        """See `Wiring.dial`."""
        await self.connect(protocol, host, port, secure=tls is not None)

    async def connect(
        self, protocol: asyncio.Protocol, host: str, port: int, *, secure: bool = False
    ) -> asyncio.Transport:
        """Connect, as `dial` does, and give the transport.

        Raises:
            OSError: refused, unknown, timed out, or asked for TLS.
        """
        refuse_tls(secure)
        if not self.is_alive:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "this process was killed")
        failed: OSError | None = None
        for address in self.network.addresses_of(host):
            try:
                stream = await self._connect_to(address, port)
            except OSError as error:
                failed = error
                continue
            try:
                await attached(stream, protocol)
            except BaseException:
                stream.abort()
                raise
            return stream
        raise failed or OSError(errno.EADDRNOTAVAIL, "the name has no address")

    async def _connect_to(self, address: str, port: int) -> MemoryStream:
        network = self.network
        if not network.is_known(address):
            await asyncio.sleep(network.faults.delay_s)
            raise OSError(errno.EHOSTUNREACH, f"No route to host {address}")
        await network.one_way(self.name, address)
        listening = network.listening_at(address, port)
        if listening is None:
            await network.one_way(address, self.name)
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"Connect call failed {(address, port)}"
            )
        ours, theirs = network.stream_pair(self, listening.owner, (address, port))
        listening.arrive(theirs)
        try:
            await network.one_way(address, self.name)
        except BaseException:
            ours.abort()
            raise
        if ours.is_lost:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return ours

    async def listen(self, host: str, port: int, backlog: int) -> list[socket.socket]:
        """See `Wiring.listen`."""
        listening = self.network.open_port(self, host, port)
        self.name = host
        self._listening.append(listening)
        return [cast(socket.socket, listening)]  # as far as a listener is concerned

    def left(self, stream: MemoryStream) -> None:
        """One of its ends is gone."""
        self.streams.pop(stream, None)
        self.network.forget(stream)

    def kill(self) -> None:
        """What the others notice when its process dies: resets, and refused connections."""
        self.network.history.happened(f"{self} is killed")
        self.is_alive = False
        for listening in list(self._listening):
            listening.close()
        self._vanished = list(self.streams)
        for stream in self._vanished:
            stream.vanish()

    def bury(self) -> None:
        """Tell what is left of a killed process that its connections are gone, so that it can end.

        For the end of a test: no process hears anything after its death.
        """
        vanished, self._vanished = self._vanished, []
        for stream in vanished:
            stream.tell_lost(ConnectionAbortedError(errno.ECONNABORTED, "its process was killed"))

    def closed(self, listening: MemoryListening) -> None:
        """One of its ports is closed."""
        if listening in self._listening:
            self._listening.remove(listening)
