"""Dials a node: the connection, TLS, the exchange of introductions, and what can go wrong."""

from __future__ import annotations

import asyncio
import errno
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pulsing.addresses import split_host_port
from pulsing.errors import (
    ConnectionLost,
    Delivery,
    NodeUnreachable,
    ProtocolMismatch,
    PulsingRuntimeError,
)

from .client_core import ClientConnection
from .faults import ConnectionFault
from .header_blocks import HeadCache
from .limits import TransportLimits
from .link import ClientLink, goaway_error
from .preface import Refusal, introduction_settings, read_introduction
from .streams import PeerInfo
from .tls import ClusterTls, explain_tls_error
from .wiring import SystemSockets, Wiring

_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\]")
_NOT_TRIED: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH})
"""This machine has no such network, so nobody was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOptions:
    """What a node says about itself when it dials.

    Attributes:
        node_id: of this node, 32 hex digits.
        cluster: name of the cluster both must belong to.
        tls: of the cluster's passphrase, or None for cleartext.
        limits: bounds of every connection.
        wiring: the network; None is that of the operating system.
    """

    node_id: str
    cluster: str
    tls: ClusterTls | None
    limits: TransportLimits
    wiring: Wiring | None = None


class Dialler:
    """Makes the links of a pool.

    Args:
        loop: where they live.
        options: what this node says about itself.
        on_batch_begin, on_batch_end: for the links, see `Link`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: DialOptions,
        on_batch_begin: Callable[[], None] | None,
        on_batch_end: Callable[[], None] | None,
    ) -> None:
        self._loop = loop
        self._options = options
        self._on_batch_begin = on_batch_begin
        self._on_batch_end = on_batch_end
        self._heads = HeadCache()

    async def connect(self, address: str) -> ClientLink:
        """Dial ``host:port`` and exchange introductions.

        Raises:
            NodeUnreachable: nobody answers there, in time.
            NotAuthenticated: passphrases differ, or one side has none.
            ProtocolMismatch: no node of Pulsing, another version, or another cluster.
        """
        limits = self._options.limits
        link = ClientLink(self._loop, limits)
        peer = PeerInfo(address, authenticated=self._options.tls is not None)
        core = ClientConnection(
            peer=peer,
            limits=limits,
            heads=self._heads,
            settings=introduction_settings(self._options.node_id, self._options.cluster),
            now=self._loop.time(),
            on_output=link.output_ready,
        )
        link.start(core)
        link.on_batch_begin = self._on_batch_begin
        link.on_batch_end = self._on_batch_end
        try:
            async with asyncio.timeout(limits.connect_timeout_s):
                await self._open(link, address)
                settings = await link.ready
        except TimeoutError as error:
            link.abort(_gave_up(address))
            raise NodeUnreachable(
                f"cannot reach {address}: no answer within {limits.connect_timeout_s:g} s", error
            ) from error
        except ssl.SSLError as error:
            link.abort(_gave_up(address))
            raise explain_tls_error(error, address) from error
        except OSError as error:
            link.abort(_gave_up(address))
            raise self._explain(error, address) from error
        except (ValueError, OverflowError) as error:  # a name or port that cannot exist
            link.abort(_gave_up(address))
            raise NodeUnreachable(f"{address} is no address: {error}", error) from error
        except BaseException:
            link.abort(_gave_up(address))
            raise
        if core.goaway is not None:
            link.close()
            raise goaway_error(address, core.goaway)
        try:
            introduction = read_introduction(settings)
            mismatch = introduction.mismatch(self._options.cluster)
        except ProtocolMismatch as error:
            introduction, mismatch = None, str(error)
        if introduction is None or mismatch is not None:
            core.fail(ConnectionFault(Refusal.MISMATCH.value + (mismatch or "")))
            link.close()
            raise ProtocolMismatch(f"{address} cannot be a peer of this node: {mismatch}")
        peer.node_id = introduction.node_id
        return link

    async def _open(self, link: ClientLink, address: str) -> None:
        host, port = split_host_port(address)
        wiring = self._options.wiring or SystemSockets(self._loop)
        await wiring.dial(link, host, port, tls=self._options.tls)

    def _explain(self, error: OSError, address: str) -> PulsingRuntimeError:
        refused = _refusal(error)
        if refused is not None:
            return NodeUnreachable(
                f"cannot reach {address}: connection refused; no node listens there", refused
            )
        if isinstance(error, ConnectionError):
            if self._options.tls is not None:
                return explain_tls_error(error, address)
            return NodeUnreachable(
                f"cannot reach {address}: it closed the connection before introducing itself; it "
                "is stopping, overloaded, or no node of Pulsing",
                error,
            )
        return NodeUnreachable(f"cannot reach {address}: {error}", error)


def _refusal(error: OSError) -> ConnectionRefusedError | None:
    """The error, when it means that nobody listens at any address of the host."""
    if isinstance(error, ConnectionRefusedError):
        return error
    # A name with several addresses: event loops join what they gave into one text.
    numbers = set(map(int, _ERRNO.findall(str(error)))) - _NOT_TRIED
    if error.errno is None and numbers == {errno.ECONNREFUSED}:
        return ConnectionRefusedError(errno.ECONNREFUSED, str(error))
    return None


def _gave_up(address: str) -> ConnectionLost:
    return ConnectionLost(f"gave up connecting to {address}", delivered=Delivery.NO)
