"""Frames that are about the connection and not about a message (RFC 9113 6.3 to 6.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import frames
from .faults import ConnectionFault, FlowControlFault, FrameSizeFault, StreamFault
from .frames import (
    ACK,
    LARGEST_MAX_FRAME_BYTES,
    LARGEST_STREAM_ID,
    LARGEST_WINDOW_BYTES,
    ErrorCode,
    Setting,
    frame_header,
)

if TYPE_CHECKING:
    from .connection_core import Connection
    from .streams import Stream

_SMALL_UPDATE_BYTES: Final = 1024
"""WINDOW_UPDATEs below this cost: honest ones come for half a window, or for items consumed."""
_MAX_SETTINGS: Final = 64
"""Settings accepted in one frame; more is a flood."""
_LIMITS: Final[dict[int, tuple[int, int, ErrorCode]]] = {
    # setting: lowest, highest, error (6.5.2)
    Setting.ENABLE_PUSH: (0, 1, ErrorCode.PROTOCOL_ERROR),
    Setting.INITIAL_WINDOW_SIZE: (0, LARGEST_WINDOW_BYTES, ErrorCode.FLOW_CONTROL_ERROR),
    Setting.MAX_FRAME_SIZE: (
        frames.DEFAULT_MAX_FRAME_BYTES,
        LARGEST_MAX_FRAME_BYTES,
        ErrorCode.PROTOCOL_ERROR,
    ),
}


class ControlFrames:
    """Reads control frames and changes the connection accordingly."""

    __slots__ = ("_connection", "_handlers")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._handlers = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
        }

    def receive(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """One frame of any type but DATA, HEADERS and CONTINUATION. Raises ConnectionFault."""
        connection = self._connection
        if kind != frames.WINDOW_UPDATE:
            connection.budget.spend()
        handler = self._handlers.get(kind)
        if handler is not None:  # 4.1: unknown types are ignored
            handler(flags, stream_id, payload)

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise ConnectionFault("PRIORITY on stream 0 (6.3)")
        if len(payload) != 5:
            # 6.3 makes this a stream error; nothing honest sends it, so the connection ends.
            raise FrameSizeFault("PRIORITY of wrong length (6.3)")

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameSizeFault("RST_STREAM of wrong length (6.4)")
        connection = self._connection
        if stream_id == 0 or connection.is_idle(stream_id):
            raise ConnectionFault("RST_STREAM on an idle stream (6.4)")
        stream = connection.streams.get(stream_id)
        if stream is not None:
            connection.stream_reset_by_peer(stream, int.from_bytes(payload, "big"))

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault("SETTINGS on a stream (6.5)")
        connection = self._connection
        if flags & ACK:
            if payload:
                raise FrameSizeFault("SETTINGS ACK with a payload (6.5)")
            if not connection.introduced:
                raise ConnectionFault("the first frame must be SETTINGS (3.4)")
            connection.acknowledged = True
            return
        if len(payload) % 6 or len(payload) > 6 * _MAX_SETTINGS:
            raise FrameSizeFault("SETTINGS of wrong length (6.5)")
        settings: dict[int, int] = {}
        for at in range(0, len(payload), 6):
            key = int.from_bytes(payload[at : at + 2], "big")
            value = int.from_bytes(payload[at + 2 : at + 6], "big")
            self._apply(key, value)
            settings[key] = value
        connection.out.append(frame_header(0, frames.SETTINGS, ACK, 0))
        connection.output_ready()
        connection.settings_changed()
        if not connection.introduced:
            connection.introduced = True
            if connection.on_introduced is not None:
                connection.on_introduced(settings)

    def _apply(self, key: int, value: int) -> None:
        limits = _LIMITS.get(key)
        if limits is not None and not limits[0] <= value <= limits[1]:
            raise ConnectionFault(f"{Setting(key).name} of {value} (6.5.2)", limits[2])
        connection = self._connection
        if key == Setting.ENABLE_PUSH and value and not connection.peer_may_enable_push:
            raise ConnectionFault("a server enables push (6.5.2)")
        if key == Setting.MAX_CONCURRENT_STREAMS:
            connection.peer_max_streams = value
        elif key == Setting.MAX_FRAME_SIZE:
            connection.peer_max_frame = value
            connection.send_frame_bytes = min(value, connection.limits.max_frame_bytes)
        elif key == Setting.INITIAL_WINDOW_SIZE:
            change = value - connection.peer_initial_window
            connection.peer_initial_window = value
            for stream in list(connection.streams.values()):
                flow = stream.flow
                if flow is not None:  # 6.9.2: applies to open streams, may go below 0
                    if flow.send_window + change > LARGEST_WINDOW_BYTES:
                        raise FlowControlFault("INITIAL_WINDOW_SIZE beyond a window (6.9.2)")
                    self._widen(stream, change)

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault("PUSH_PROMISE, which is disabled (6.6, 8.4)")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault("PING on a stream (6.7)")
        if len(payload) != 8:
            raise FrameSizeFault("PING of wrong length (6.7)")
        if flags & ACK:
            self._connection.ping_acknowledged(payload)
        else:
            self._connection.out.append(frame_header(8, frames.PING, ACK, 0) + payload)
            self._connection.output_ready()

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault("GOAWAY on a stream (6.8)")
        if len(payload) < 8:
            raise FrameSizeFault("GOAWAY of wrong length (6.8)")
        last_id = int.from_bytes(payload[:4], "big") & LARGEST_STREAM_ID
        code = int.from_bytes(payload[4:8], "big")
        text = payload[8:1032].decode("utf-8", "replace")
        self._connection.peer_goes_away(last_id, code, text)

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameSizeFault("WINDOW_UPDATE of wrong length (6.9)")
        size = int.from_bytes(payload, "big") & LARGEST_WINDOW_BYTES
        connection = self._connection
        if stream_id == 0:
            if size < _SMALL_UPDATE_BYTES:
                connection.budget.spend()
            if size == 0:
                raise ConnectionFault("WINDOW_UPDATE of 0 (6.9)")
            connection.send_window += size
            if connection.send_window > LARGEST_WINDOW_BYTES:
                raise FlowControlFault("connection window beyond 2^31-1 (6.9.1)")
            connection.output_ready()
            return
        if connection.is_idle(stream_id):
            raise ConnectionFault("WINDOW_UPDATE on an idle stream (5.1)")
        stream = connection.streams.get(stream_id)
        if stream is None:
            connection.budget.spend()  # late, which is no fault (5.1)
            return
        if size == 0:
            connection.stream_fault(stream, StreamFault("WINDOW_UPDATE of 0 (6.9)"))
            return
        self._widen(stream, size)
        acknowledges = stream.writer is not None and stream.writer.acknowledged(size)
        if size < _SMALL_UPDATE_BYTES and not acknowledges:
            connection.budget.spend()

    def _widen(self, stream: Stream, size: int) -> None:
        connection = self._connection
        flow = stream.flow or connection.open_flow(stream)
        flow.send_window += size
        if flow.send_window > LARGEST_WINDOW_BYTES:
            fault = StreamFault("stream window beyond 2^31-1 (6.9.1)", ErrorCode.FLOW_CONTROL_ERROR)
            connection.stream_fault(stream, fault)
            return
        connection.round.schedule(stream, flow)
        connection.output_ready()
        if stream.writer is not None:
            stream.writer.unblocked()
