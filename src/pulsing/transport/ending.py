"""How streams and connections end: reset from here, reset from there, lost altogether.

Second layer of ``Connection`` (connection_core). Whoever waits for a stream hears of its end once,
with an error of its own (an exception that many tasks raise would collect all their tracebacks).

Source: RFC 9113 sections 5.1, 5.4, 6.4, 8.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pulsing.errors import ConnectionLost, Delivery, PulsingRuntimeError

from .abuse import ControlBudget
from .faults import ConnectionFault, StreamFault
from .frames import ErrorCode
from .limits import TransportLimits
from .outgoing import Outgoing
from .streams import PeerInfo, Stream

_MAX_RESETS: Final = 4096
"""Streams given up here whose late frames are still recognised (5.1)."""


def code_name(code: int) -> str:
    """The name of an error code; unknown ones are no error (7)."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"code {code:#x}"


def fresh(error: ConnectionLost, delivered: Delivery | None = None) -> ConnectionLost:
    """The same error as an object of its own."""
    return ConnectionLost(error.message, error.cause, delivered=delivered or error.delivered)


class Streams(Outgoing):
    """The open streams of a connection.

    Attributes:
        streams: by id; a stream is in it exactly while it is open or half-closed.
        budget: what the peer may do without making progress.
        broken: streams that ended in another way than by their answer.
        goaway: code and text of the peer's first GOAWAY.
    """

    def __init__(
        self,
        *,
        peer: PeerInfo,
        limits: TransportLimits,
        on_output: Callable[[], None],
        now: float,
    ) -> None:
        super().__init__(peer=peer, limits=limits, on_output=on_output)
        self.streams: dict[int, Stream] = {}
        self.budget = ControlBudget(limits.control_frames, limits.control_frames_per_s, now)
        self.broken = 0
        self.goaway: tuple[int, str] | None = None
        self._resets: dict[int, None] = {}

    def is_idle(self, stream_id: int) -> bool:
        """Nobody has used this stream id yet (5.1)."""
        raise NotImplementedError

    # --- one stream

    def release(self, size: int) -> None:
        """``size`` bytes are not kept here any more."""
        raise NotImplementedError

    def forget(self, stream: Stream) -> None:
        """The stream is closed: drop what is kept for it."""
        stream.closed = True
        self.streams.pop(stream.id, None)
        flow = stream.flow
        if flow is not None:
            self.round.forget(stream)
            flow.collected = None
            held, flow.held = flow.held, 0
            if stream.reader is not None:
                held += stream.reader.let_go()
            if held:
                self.release(held)

    def reset_stream(
        self, stream: Stream, code: ErrorCode, error: PulsingRuntimeError | None = None
    ) -> None:
        """Send RST_STREAM and forget the stream (6.4); its reader and writer are told ``error``."""
        self.broken += 1
        self.note_reset(stream.id)
        self.send_reset(stream.id, code)
        self.forget(stream)
        self._close_ends(stream, error or PulsingRuntimeError("the stream was cancelled"))

    def note_reset(self, stream_id: int) -> None:
        """Late frames of this stream are not the peer's fault (5.1)."""
        self._resets[stream_id] = None
        if len(self._resets) > _MAX_RESETS:
            del self._resets[next(iter(self._resets))]

    def stream_fault(self, stream: Stream, fault: StreamFault) -> None:
        """The peer broke a rule on one stream: reset it and tell our side (5.4.2)."""
        self.budget.spend_fault()
        error = ConnectionLost(
            f"the stream to {self.peer.address} was reset here: {fault.text}",
            delivered=Delivery.UNKNOWN,
        )
        self.reset_stream(stream, fault.code, error)
        stream.ended(error)

    def stream_reset_by_peer(self, stream: Stream, code: int) -> None:
        """RST_STREAM came."""
        self.budget.spend_reset(len(self.streams))
        self.broken += 1
        self.forget(stream)
        refused = code == ErrorCode.REFUSED_STREAM  # 8.7: certainly not processed
        error = ConnectionLost(
            f"{self.peer.address} reset the stream: {code_name(code)}",
            delivered=Delivery.NO if refused else Delivery.UNKNOWN,
        )
        self._close_ends(stream, error)
        stream.ended(error)

    def _close_ends(self, stream: Stream, error: PulsingRuntimeError) -> None:
        if stream.writer is not None:
            stream.writer.close(error)
        if stream.reader is not None:
            stream.reader.end(error)

    # --- all of them

    def fail(self, fault: ConnectionFault) -> None:
        """The peer broke the protocol: GOAWAY, then the shell closes (5.4.1)."""
        self.go_away(fault.code, fault.text)
        self.stop(
            ConnectionLost(
                f"the connection to {self.peer.address} was ended here: {fault.text} "
                f"({fault.code.name})",
            )
        )

    def stop(self, error: ConnectionLost) -> None:
        """Receive nothing more. The streams hear of it when the transport is gone."""
        self.closing = self.closing or error

    def connection_lost(self, error: ConnectionLost) -> None:
        """The transport is gone: every open stream hears of it, once."""
        self.stop(error)
        why = self.closing or error
        while self.streams:
            _, stream = self.streams.popitem()
            self.forget(stream)
            own = fresh(why)
            self._close_ends(stream, own)
            stream.ended(own)
