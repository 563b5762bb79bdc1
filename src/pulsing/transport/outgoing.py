"""What leaves a connection: frames about the connection itself, and DATA of item streams.

Lowest of the layers of ``Connection`` (connection_core); of streams it knows those it is given.

Source: RFC 9113 sections 3.4, 6.4, 6.5, 6.7, 6.8, 6.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pulsing.errors import ConnectionLost

from . import frames
from .frames import (
    DATA,
    DEFAULT_MAX_FRAME_BYTES,
    DEFAULT_WINDOW_BYTES,
    END_STREAM,
    ErrorCode,
    Setting,
    frame_header,
)
from .limits import TransportLimits
from .sending import SendRound
from .streams import Flow, PeerInfo, Stream

SMALL_BODY_BYTES: Final = 16_384
"""Bodies up to here leave in one DATA frame, with their header block (every peer takes 16 KiB)."""
DATA_END: Final = [n.to_bytes(3, "big") + bytes((DATA, END_STREAM)) for n in range(2048)]


FULL_PIECES: Final = 128
"""Pieces of output, five or six to a small message, that are worth a write of their own. Fewer let
both ends work at the same time more often; more save system calls."""


def data_end_prefix(size: int) -> bytes:
    """First five octets of a DATA frame that ends its stream."""
    return DATA_END[size] if size < 2048 else frame_header(size, DATA, END_STREAM, 0)[:5]


class Outgoing:
    """The sending half of a connection.

    Attributes:
        out: what is to be sent, in order; the shell takes it.
        peer: who is at the other end.
        send_window: bytes the peer lets us send on the connection (6.9).
        closing: why nothing more is received, or None.
        in_batch: the shell will look at ``out`` by itself.
        on_full: called inside a batch when ``out`` holds `FULL_PIECES`: what is there may leave
            now, so that the peer works on it while the rest is made.
    """

    round: SendRound

    def __init__(
        self, *, peer: PeerInfo, limits: TransportLimits, on_output: Callable[[], None]
    ) -> None:
        self.peer = peer
        self.limits = limits
        self.out: list[bytes | bytearray | memoryview] = []
        self.closing: ConnectionLost | None = None
        self.in_batch = True
        self.on_output = on_output
        self.on_full = on_output
        # What we may send (the peer's settings).
        self.send_window = DEFAULT_WINDOW_BYTES
        self.peer_initial_window = DEFAULT_WINDOW_BYTES
        self.peer_max_frame = DEFAULT_MAX_FRAME_BYTES
        self.send_frame_bytes = DEFAULT_MAX_FRAME_BYTES
        self.peer_max_streams = 100

    # --- opening: 3.4

    def introduce(self, private: list[tuple[int, int]]) -> None:
        """The preface: our settings, ``private`` ones first, and the connection's window."""
        limits = self.limits
        settings: list[tuple[int, int]] = [
            *private,
            (Setting.HEADER_TABLE_SIZE, 0),
            (Setting.ENABLE_PUSH, 0),
            (Setting.MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams),
            (Setting.INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
            (Setting.MAX_FRAME_SIZE, limits.max_frame_bytes),
            (Setting.MAX_HEADER_LIST_SIZE, limits.max_header_block_bytes),
        ]
        self._send_preface()
        payload = b"".join(
            int(key).to_bytes(2, "big") + int(value).to_bytes(4, "big") for key, value in settings
        )
        self.out.append(frame_header(len(payload), frames.SETTINGS, 0, 0) + payload)
        self.send_window_update(0, limits.connection_window_bytes - DEFAULT_WINDOW_BYTES)

    def _send_preface(self) -> None:
        """The client says ``PRI * HTTP/2.0`` first."""

    # --- frames

    def send_window_update(self, stream_id: int, size: int) -> None:
        """WINDOW_UPDATE without any bookkeeping; nothing for a size of 0 (6.9)."""
        if size > 0:
            self.out.append(
                frame_header(4, frames.WINDOW_UPDATE, 0, stream_id) + size.to_bytes(4, "big")
            )
            self.output_ready()

    def send_reset(self, stream_id: int, code: ErrorCode) -> None:
        """RST_STREAM without any bookkeeping (6.4)."""
        self.out.append(
            frame_header(4, frames.RST_STREAM, 0, stream_id) + int(code).to_bytes(4, "big")
        )
        self.output_ready()

    def go_away(self, code: ErrorCode, text: str = "", last_id: int | None = None) -> None:
        """Say that no further streams are accepted (6.8).

        Args:
            code: why.
            text: why, for a person; sent as debug data.
            last_id: the last stream that may have been processed; by default that is known.
        """
        debug = text.encode(errors="replace")[:1024]
        self.out.append(
            frame_header(8 + len(debug), frames.GOAWAY, 0, 0)
            + (self._last_processed() if last_id is None else last_id).to_bytes(4, "big")
            + int(code).to_bytes(4, "big")
            + debug
        )
        self.output_ready()

    def _last_processed(self) -> int:
        return 0

    def ping(self, payload: bytes) -> None:
        """Ask whether the peer is there; the answer counts as octets received (6.7)."""
        self.out.append(frame_header(8, frames.PING, 0, 0) + payload)
        self.output_ready()

    # --- item streams

    def send_item_data(self, stream: Stream, pieces: list[bytes | bytearray | memoryview]) -> None:
        """DATA with records."""
        if stream.closed:
            return
        flow = stream.flow or self.open_flow(stream)
        size = sum(map(len, pieces))
        if (
            not flow.queue
            and size <= self.send_frame_bytes
            and size <= flow.send_window
            and size <= self.send_window
        ):
            flow.send_window -= size
            self.send_window -= size
            self.out.append(frame_header(size, DATA, 0, stream.id))
            self.out += pieces
        elif all(len(piece) < SMALL_BODY_BYTES for piece in pieces):
            self.round.enqueue(stream, b"".join(pieces), None)
        else:
            self.round.enqueue(stream, pieces, None)
        self.output_ready()

    def end_items(self, stream: Stream, status: bytes) -> None:
        """The regular end of an item stream."""
        if not stream.closed:
            self.round.enqueue(stream, b"", self._items_trailer(status))
            self.output_ready()

    def _items_trailer(self, status: bytes) -> bytes:
        """The block of the trailers, or b"" for a bare END_STREAM."""
        raise NotImplementedError

    # --- windows

    def open_flow(self, stream: Stream) -> Flow:
        """Give the stream its windows: until now it was within every limit by its size."""
        flow = Flow(self.peer_initial_window, self.limits.stream_window_bytes)
        stream.flow = flow
        return flow

    def queue_drained(self, stream: Stream) -> None:
        """What the stream had queued has been sent."""
        if stream.writer is not None:
            stream.writer.unblocked()

    def local_end(self, stream: Stream) -> None:
        """We sent END_STREAM."""
        raise NotImplementedError

    # --- the shell

    def output_ready(self) -> None:
        """There is something in ``out``; inside a batch the shell looks anyway."""
        if not self.in_batch:
            self.on_output()
