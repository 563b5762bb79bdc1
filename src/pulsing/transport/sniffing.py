"""A connection from accept to the decision who serves it.

Peers go to the transport's own protocol, foreign clients to Hypercorn, everyone else gets an answer
that says what is wrong, where the protocol has one, and the door.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Final, cast

from .frames import ErrorCode
from .preface import (
    Refusal,
    Verdict,
    classify,
    goaway_frame,
    refusal_frames,
    settings_frame,
    speaks_http2,
)
from .reception import PeerConnectionInfo, Reception
from .sockets import first_octet

CLEARTEXT_REFUSED: Final = "this cluster requires a passphrase; give the dialling node the same"
ANONYMOUS_REFUSED: Final = (
    "nodes of this cluster show a certificate; connect with the cluster's passphrase"
)
_TLS_REQUIRED: Final = b"this port speaks TLS only; use https\n"
_FULL: Final = b"too many connections; try again later\n"

# A fatal alert, access_denied: no TLS server sends it before the handshake (RFC 8446 6.2), so
# the dialling side can tell it from all else that goes wrong.
_TLS_NOT_SPOKEN: Final = bytes((0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 49))

_TLS_SHUTDOWN_S: Final = 1.0


class Arrival(asyncio.Protocol):
    """One accepted connection nobody serves yet.

    Args:
        reception: the listener's side.
        sock: connected and non-blocking; owned by the arrival from here on.
        address: remote ``HOST:PORT``.
    """

    def __init__(self, reception: Reception, sock: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        self._reception = reception
        self._address = address
        self._sock = sock
        self._handed_over = False  # to the event loop, which owns the socket from then on
        self._transport: asyncio.Transport | None = None
        self._secure = False
        self._lingering = False
        self._evicted = False
        self._here = True
        self._received = bytearray()
        self._timer = loop.call_later(reception.limits.introduction_timeout_s, self._give_up)
        self._task = loop.create_task(self._open(sock))
        self._task.add_done_callback(self._opened)

    def abort(self) -> None:
        """End the connection at once, whatever it is doing."""
        if self._transport is not None:
            self._transport.abort()
        elif self._handed_over:
            # Cancelling would leave it to the loop to clean up, and uvloop forgets the socket.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        else:
            self._task.cancel()

    def make_room(self) -> None:
        """Abort because too many others wait. Does nothing the second time."""
        if not self._evicted:
            self._evicted = True
            self._give_up("makes room for newer connections")

    # --- up to the transport ---

    async def _open(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = self._reception.tls
        if tls is not None:
            try:
                first = await first_octet(sock)
            except NotImplementedError:  # the proactor loop of Windows: cleartext fails in OpenSSL
                self._secure = True
            else:
                if not first:
                    return
                self._secure = classify(first) is Verdict.TLS
        self._handed_over = True
        if tls is None or not self._secure:
            await loop.connect_accepted_socket(lambda: self, sock)
        else:
            await loop.connect_accepted_socket(
                lambda: self,
                sock,
                ssl=tls.server_context(),
                ssl_handshake_timeout=self._reception.limits.introduction_timeout_s,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S,
            )

    def _opened(self, task: asyncio.Task[None]) -> None:
        if not self._handed_over:
            self._sock.close()
        if self._transport is None:
            self._leave()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._not_opened(error)

    def _not_opened(self, error: BaseException) -> None:
        lines = self._reception.log
        if not isinstance(error, OSError):
            lines.error("accept", "connection of %s: %r", self._address, error)
        elif self._secure:
            self._reception.counters.handshakes_failed += 1
            reason = str(getattr(error, "reason", None) or type(error).__name__)
            lines.warning(
                "tls " + reason,
                "TLS handshake with %s failed (%s); does its cluster passphrase or cluster name "
                "differ, or is it no node?",
                self._address,
                reason,
            )

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._lingering or self._transport is None:
            return
        self._received += data
        verdict = classify(self._received)
        if verdict is Verdict.NEED_MORE:
            return
        received = bytes(self._received)
        self._received.clear()
        if self._reception.tls is not None and not self._secure:
            self._refuse_cleartext(verdict, received)
        elif verdict is Verdict.PEER:
            self._to_peer(self._transport, received)
        elif verdict is Verdict.FOREIGN:
            self._to_hypercorn(self._transport, received)
        elif verdict is Verdict.TLS and not self._secure:
            self._turn_away(_TLS_NOT_SPOKEN, "TLS on cleartext port: %s has a passphrase or https")
        else:
            self._turn_away(b"", "%s sent neither HTTP nor what a node sends")

    # --- the decision ---

    def _to_peer(self, transport: asyncio.Transport, received: bytes) -> None:
        authenticated = self._is_authenticated(transport)
        if self._secure and not authenticated:
            answer = refusal_frames(
                Refusal.NOT_AUTHENTICATED, ANONYMOUS_REFUSED, self._reception.introduction
            )
            self._turn_away(answer, "%s speaks as a node but shows no certificate")
            return
        self._leave()
        self._reception.counters.peers += 1
        info = PeerConnectionInfo(
            address=self._address, tls=self._secure, authenticated=authenticated
        )
        peer = self._reception.make_peer_protocol(info)
        transport.set_protocol(peer)
        peer.connection_made(transport)
        feed(peer, received)

    def _to_hypercorn(self, transport: asyncio.Transport, received: bytes) -> None:
        foreign = self._reception.foreign
        if foreign.is_full:
            answer = (
                _http2_answer(ErrorCode.ENHANCE_YOUR_CALM, _FULL)
                if speaks_http2(received)
                else _http1_answer(b"503 Service Unavailable", _FULL)
            )
            self._turn_away(answer, "too many HTTP connections; refused %s")
            return
        self._leave()
        self._reception.counters.foreign += 1
        foreign.adopt(
            transport,
            received,
            address=self._address,
            tls=self._secure,
            authenticated=self._is_authenticated(transport),
        )

    def _is_authenticated(self, transport: asyncio.Transport) -> bool:
        # OpenSSL verified it in the handshake, if there is one (CERT_OPTIONAL).
        return self._secure and bool(transport.get_extra_info("peercert"))

    def _refuse_cleartext(self, verdict: Verdict, received: bytes) -> None:
        if verdict is Verdict.PEER:
            answer = refusal_frames(
                Refusal.NOT_AUTHENTICATED, CLEARTEXT_REFUSED, self._reception.introduction
            )
        elif verdict is Verdict.FOREIGN and speaks_http2(received):
            answer = _http2_answer(ErrorCode.INADEQUATE_SECURITY, _TLS_REQUIRED)
        elif verdict is Verdict.FOREIGN:
            answer = _http1_answer(b"400 Bad Request", _TLS_REQUIRED)
        else:
            answer = b""
        self._turn_away(answer, "cleartext on TLS port: %s has no passphrase or no https")

    def _turn_away(self, answer: bytes, line: str) -> None:
        """Say why, then wait a moment: closing with unread input would destroy the answer."""
        assert self._transport is not None
        self._reception.counters.turned_away += 1
        self._reception.log.warning(line, line, self._address)
        self._lingering = True
        if not answer:
            self._transport.close()
            return
        self._transport.write(answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(
            self._reception.limits.linger_s, self.abort
        )

    def _give_up(self, why: str = "did not say in time what it is") -> None:
        if not self._lingering:
            self._reception.counters.too_slow += 1
            self._reception.log.log(logging.INFO, why, "closed %s: it %s", self._address, why)
        self.abort()

    def _leave(self) -> None:
        self._timer.cancel()
        if self._here:
            self._here = False
            self._reception.left(self)


def feed(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Give a protocol octets that were read before it had the transport."""
    if isinstance(protocol, asyncio.BufferedProtocol):
        rest = memoryview(data)
        while rest:
            # typeshed calls it a Buffer; memoryview takes any
            with memoryview(protocol.get_buffer(len(rest))) as buffer:
                count = min(len(rest), len(buffer))
                buffer[:count] = rest[:count]
            protocol.buffer_updated(count)
            rest = rest[count:]
    else:
        cast(asyncio.Protocol, protocol).data_received(data)


def _http2_answer(code: ErrorCode, reason: bytes) -> bytes:
    """A server's whole side of an HTTP/2 connection that it ends at once."""
    return settings_frame(()) + goaway_frame(code, reason)


def _http1_answer(status: bytes, text: bytes) -> bytes:
    """A complete HTTP/1.1 response that ends its connection."""
    return (
        b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
        b"connection: close\r\n\r\n%b" % (status, len(text), text)
    )
