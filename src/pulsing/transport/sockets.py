"""Listening sockets and what the standard library leaves to do around them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final, cast

from pulsing.addresses import join_host_port
from pulsing.errors import PulsingRuntimeError

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What ``accept`` reports when this process or the system has no descriptor or memory left."""
_SAME_PORT_ATTEMPTS: Final = 8
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_TCP_THIN_LINEAR_TIMEOUTS: Final = 16  # linux/tcp.h; the standard library has no name for it
_MAPPED_IPV4: Final = "::ffff:"


class ListeningSocket(socket.socket):
    """Knows the connection it accepted last, until its taker has claimed it.

    A task that is cancelled while ``loop.sock_accept`` hands it a connection never sees it; whoever
    cancelled the task can close it here.
    """

    unclaimed: socket.socket | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """See `socket.socket.accept`."""
        sock, address = super().accept()
        self.unclaimed = sock
        return sock, address

    def close(self) -> None:
        """Close it, and a connection that nobody claimed."""
        if self.unclaimed is not None:
            self.unclaimed.close()
            self.unclaimed = None
        super().close()


async def open_listening_sockets(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listen on every address of ``host``, all with the same port.

    Args:
        host: name or address; ``::`` takes IPv4 connections too where the system can.
        port: 0 picks a free one.
        backlog: connections the system queues for us.

    Raises:
        PulsingRuntimeError: the name is unknown, or the address cannot be used; says what to do.
    """
    loop = asyncio.get_running_loop()
    where = join_host_port(host, port)
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise PulsingRuntimeError(
            f"cannot listen on {where}: {error.strerror}; give an address of this machine", error
        ) from error
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for attempt in range(1, _SAME_PORT_ATTEMPTS + 1):
        try:
            return _bind_all(addresses, port, backlog, dual_stack=host == "::")
        except OSError as error:
            # A port picked for the first address may be taken on the second: pick another.
            taken = error.errno == errno.EADDRINUSE
            if not (taken and port == 0 and attempt < _SAME_PORT_ATTEMPTS):
                raise _cannot_listen(where, error) from error
    raise AssertionError("the last attempt returned or raised")


def _bind_all(
    addresses: Sequence[tuple[int, Any]], port: int, backlog: int, *, dual_stack: bool
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    skipped: OSError | None = None
    try:
        for family, address in addresses:
            try:
                sockets.append(_bind(family, address, port, backlog, dual_stack=dual_stack))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                skipped = error  # a machine without IPv6 still has a localhost
                continue
            port = sockets[0].getsockname()[1]
        if not sockets:
            raise skipped or OSError(errno.EADDRNOTAVAIL, "the name has no address")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(family: int, address: Any, port: int, backlog: int, *, dual_stack: bool) -> socket.socket:
    sock = ListeningSocket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
        sock.bind((address[0], port, *address[2:]))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _cannot_listen(where: str, error: OSError) -> PulsingRuntimeError:
    advice = {
        errno.EADDRINUSE: "another process has this port; choose another, or port 0 for a free one",
        errno.EACCES: "ports below 1024 need privileges; choose a higher one",
        errno.EADDRNOTAVAIL: "no interface of this machine has this address; choose one that has",
    }.get(error.errno or 0, "choose another address")
    return PulsingRuntimeError(f"cannot listen on {where}: {error.strerror}; {advice}", error)


def retry_steadily(transport: asyncio.BaseTransport) -> None:
    """Let lost packets of a connection that sends little be repeated every 0.2 s or so.

    By default each repetition waits twice as long as the one before: after some losses in a row a
    probe would be answered within seconds only. Linux calls such streams thin (tcp(7)).
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_THIN_LINEAR_TIMEOUTS, 1)


def address_text(address: object) -> str:
    """A socket address as ``HOST:PORT``; IPv4 addresses mapped into IPv6 read as IPv4."""
    if isinstance(address, tuple):
        host, port = cast(tuple[str, int], address[:2])
        return join_host_port(host.removeprefix(_MAPPED_IPV4), port)
    return str(address) or "unknown"


async def first_octet(sock: socket.socket) -> bytes:
    """The first octet that arrives on ``sock``, which stays there to be read again.

    Args:
        sock: a connected, non-blocking socket that no transport has.

    Returns:
        One octet; nothing when the other side closed without a word.

    Raises:
        OSError: the connection broke.
        NotImplementedError: this event loop cannot wait for a socket without reading it.

    Cancellation: safe, nothing was consumed.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(sock, _resolve, readable)
        try:
            await readable
        finally:
            loop.remove_reader(sock)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SpareDescriptor:
    """One file descriptor in reserve, to refuse connections when no other is left.

    Without it a client would hang in the system's queue for as long as descriptors are short, and
    the listening socket would report it over and over.
    """

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def refuse_one(self, listening: socket.socket) -> bool:
        """Accept the next connection and close it at once. Says whether there was one."""
        self.close()
        try:
            refused, _ = listening.accept()
        except OSError:
            return False
        else:
            refused.close()
            return True
        finally:
            # Somebody else may have been faster; then the next round tries again.
            with contextlib.suppress(OSError):
                self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Give the reserve up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
