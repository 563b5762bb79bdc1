"""The links of a node: those that peers made to it, and those it made to peers.

What both have in common is in ``shell``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, Final

from pulsing.errors import NodeUnreachable, ProtocolMismatch, PulsingRuntimeError

from .client_core import ClientConnection
from .faults import ConnectionFault
from .frames import ErrorCode
from .limits import TransportLimits
from .preface import explain_refusal
from .server_core import ServerConnection
from .shell import Link

__all__ = ["ClientLink", "Link", "ServerLink", "goaway_error", "server_link"]

_EXPIRY_GRAIN_S: Final = 0.005
"""Deadlines are looked at no more often than this."""
_UNREAD_BYTES: Final = 8 << 20
"""Output a peer has not read, beyond which nothing more of it is served."""
_IDLE_SLACK: Final = 1.25
"""How much longer than the dialling side the other one keeps a link that nobody uses."""
_DRAIN_HEARD_S: Final = 1.0
"""How long a peer may take to confirm that it heard of the draining."""


class ServerLink(Link[ServerConnection]):
    """A peer's connection to this node.

    Whoever asks must read the answers: while too many lie unread, no more questions are taken. (The
    asking side never stops to read, so the two cannot wait for each other.)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: TransportLimits) -> None:
        super().__init__(loop, limits)
        self._deaf = False

    def output_held(self) -> None:
        """The transport takes no more: stop reading if too much lies unread."""
        transport = self._transport
        if (
            not self._deaf
            and transport is not None
            and transport.get_write_buffer_size() > _UNREAD_BYTES
            and not transport.is_closing()
        ):
            self._deaf = True
            transport.pause_reading()

    def resume_writing(self) -> None:
        if self._deaf:
            self._deaf = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        super().resume_writing()

    def may_read(self) -> bool:
        """Nothing speaks against receiving."""
        return not self._deaf

    def idle_patience_s(self) -> float:
        """Longer than the peer keeps a link that it does not need."""
        return (self._limits.idle_link_s or inf) * _IDLE_SLACK

    async def drain(self, timeout_s: float) -> None:
        """Accept no more requests, let the open ones be answered, then close."""
        drained = self._loop.create_future()

        def done() -> None:
            if not drained.done():
                drained.set_result(None)

        self.core.on_drained = done
        self.core.drain()
        heard = self._loop.call_later(min(_DRAIN_HEARD_S, timeout_s), self.core.refuse_new)
        try:
            await asyncio.wait(
                {drained, self.closed}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            heard.cancel()
            self.close()


class ClientLink(Link[ClientConnection]):
    """This node's connection to a peer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: TransportLimits) -> None:
        super().__init__(loop, limits)
        self.ready: asyncio.Future[dict[int, int]] = loop.create_future()
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_at = inf

    def start(self, core: ClientConnection) -> None:
        """Take the core; before ``connection_made``."""
        super().start(core)
        core.on_introduced = self._introduced
        core.on_expiry = self._expiry_changed
        core.explain_goaway = self._explain_goaway

    def _explain_goaway(self, _code: int, text: str) -> PulsingRuntimeError | None:
        return explain_refusal(text.encode(), self.core.peer.address)

    def _introduced(self, settings: dict[int, int]) -> None:
        if not self.ready.done():
            self.ready.set_result(settings)

    def output_ready(self) -> None:
        # Alone on the link: leave at once. In company: once per loop turn, together.
        if len(self.core.streams) <= 1 and not self._flush_scheduled:
            self.flush()
        else:
            self._schedule_flush()

    def _expiry_changed(self) -> None:
        at = self.core.next_expiry
        if at < self._expiry_at - _EXPIRY_GRAIN_S:
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry_at = at
            self._expiry = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._expiry_at = inf
        self.core.expire(self._loop.time())
        if self.core.next_expiry < inf:
            self.core.next_expiry = max(self.core.next_expiry, self._loop.time() + _EXPIRY_GRAIN_S)
            self._expiry_changed()
        self.end_batch()

    def is_spare(self, silence_s: float) -> bool:
        """It was not used for long."""
        return silence_s >= (self._limits.idle_link_s or inf)

    def close_when_idle(self) -> None:
        """Close as soon as no request is open."""
        self.core.on_idle = self.close
        if not self.core.streams:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        goaway = self.core.goaway
        super().connection_lost(exc)
        if not self.ready.done():
            self.ready.set_exception(
                goaway_error(self.core.peer.address, goaway)
                if goaway is not None
                else exc or ConnectionError("the peer closed the connection before its SETTINGS")
            )
            self.ready.exception()  # the dialler may have given up already


def goaway_error(address: str, goaway: tuple[int, str]) -> PulsingRuntimeError:
    """What a GOAWAY in the middle of an introduction means."""
    code, text = goaway
    refusal = explain_refusal(text.encode(), address)
    if refusal is not None:
        return refusal
    if code == ErrorCode.NO_ERROR:
        return NodeUnreachable(f"{address} takes no connections: {text or 'it is stopping'}")
    return ProtocolMismatch(f"{address} refused this node: {text}")


def server_link(
    loop: asyncio.AbstractEventLoop,
    *,
    limits: TransportLimits,
    on_batch_begin: Callable[[], None] | None = None,
    on_batch_end: Callable[[], None] | None,
    check_introduction: Callable[[dict[int, int]], ConnectionFault | None],
    **core_options: Any,
) -> ServerLink:
    """A link for an accepted connection; ``core_options`` go to the ServerConnection."""
    link = ServerLink(loop, limits)
    core = ServerConnection(
        limits=limits, now=loop.time(), on_output=link.output_ready, **core_options
    )

    def introduced(settings: dict[int, int]) -> None:
        fault = check_introduction(settings)
        if fault is not None:
            core.fail(fault)

    core.on_introduced = introduced
    link.start(core)
    link.on_batch_begin = on_batch_begin
    link.on_batch_end = on_batch_end
    return link
