"""One request on a connection of its own, by blocking code: for threads without a loop.

The connection says that it is beside the node's link, so that the peer does not take it for a new
one that replaces the old.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from pulsing import clock
from pulsing.addresses import split_host_port
from pulsing.errors import ConnectionLost, NodeUnreachable, PulsingRuntimeError

from .client_core import ClientConnection
from .frames import ErrorCode
from .header_blocks import Head, HeadCache
from .preface import introduction_settings
from .streams import ClientStream, PeerInfo

if TYPE_CHECKING:
    from .client_core import RequestBlock
    from .dialling import DialOptions
    from .items import ItemReader

_READ_BYTES: Final = 64 << 10


def run_errand(
    address: str, block: RequestBlock, body: bytes, options: DialOptions, timeout_s: float
) -> tuple[int, bytes]:
    """Connect to a node, ask it once, and disconnect. Blocks until then; needs no event loop.

    Args:
        address: ``host:port``. Looking up a host name is not part of the timeout.
        block: the header block of the request.
        body: what to send.
        options: what this node says about itself.
        timeout_s: for everything together.

    Returns:
        The status of the answer, and its body.

    Raises:
        PulsingRuntimeError: there is none. Nothing is left open.
    """
    errand = _Errand(address, options, clock.monotonic() + timeout_s)
    try:
        with errand.connect() as sock:
            return errand.ask(sock, block, body)
    except (OSError, ValueError, OverflowError) as error:
        raise NodeUnreachable(f"cannot ask {address}: {error}", error) from error


class _Ask(ClientStream):
    """The request; keeps what becomes of it."""

    __slots__ = ("answer", "error")

    def __init__(self) -> None:
        super().__init__()
        self.answer: tuple[int, bytes] | None = None
        self.error: PulsingRuntimeError | None = None

    def response_received(self, head: Head, body: bytes | bytearray) -> None:
        """See `ClientStream.response_received`."""
        self.answer = head.status, bytes(body)

    def items_started(self, head: Head, reader: ItemReader) -> None:
        """See `ClientStream.items_started`."""
        self.error = PulsingRuntimeError("answered with a stream")

    def failed(self, error: PulsingRuntimeError) -> None:
        """See `ClientStream.failed`."""
        self.error = error


class _Errand:
    """The connection, from its beginning to its end."""

    def __init__(self, address: str, options: DialOptions, give_up_at: float) -> None:
        self._address = address
        self._options = options
        self._give_up_at = give_up_at

    def _remaining_s(self) -> float:
        remaining = self._give_up_at - clock.monotonic()
        if remaining <= 0:
            raise TimeoutError("no answer in time")
        return remaining

    def connect(self) -> socket.socket:
        """The connection; with a passphrase, after the TLS handshake."""
        address = split_host_port(self._address)
        sock = socket.create_connection(address, timeout=self._remaining_s())
        tls = self._options.tls
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                return sock
            return tls.client_context().wrap_socket(sock, server_hostname=tls.server_name)
        except BaseException:
            sock.close()
            raise

    def ask(self, sock: socket.socket, block: RequestBlock, body: bytes) -> tuple[int, bytes]:
        """Introduction, request and answer. The peer checks the introduction before all else."""
        options = self._options
        core = ClientConnection(
            peer=PeerInfo(self._address, authenticated=options.tls is not None, aside=True),
            limits=options.limits,
            heads=HeadCache(),  # the node's own is the loop's
            settings=introduction_settings(options.node_id, options.cluster, aside=True),
            now=clock.monotonic(),
            on_output=lambda: None,
        )
        ask = _Ask()
        core.request(ask, block, body)
        while ask.answer is None and ask.error is None:
            self._send(sock, core)
            data = sock.recv(_READ_BYTES)
            if data:
                core.receive_data(data, clock.monotonic())
            if not data or core.closing is not None:
                core.connection_lost(ConnectionLost(f"{self._address} closed the connection"))
        if ask.answer is None:
            raise ask.error or PulsingRuntimeError("no answer")
        with contextlib.suppress(OSError):  # the goodbye is a courtesy
            core.go_away(ErrorCode.NO_ERROR)
            self._send(sock, core)
        return ask.answer

    def _send(self, sock: socket.socket, core: ClientConnection) -> None:
        while core.round.waiting:
            core.round.fill(_READ_BYTES)
        sock.settimeout(self._remaining_s())
        sock.sendall(b"".join(core.out))
        core.out.clear()
