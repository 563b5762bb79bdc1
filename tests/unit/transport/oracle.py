"""The `h2` library at the other end of a connection: the oracle of the differential tests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    ResponseReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from h2.windows import WindowManager

from pulsing.transport.frames import PREFACE, Setting

if TYPE_CHECKING:
    import pytest

Fields = list[tuple[str, str]]


def tolerate_empty_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let h2 take an empty DATA frame while a window is below zero, as RFC 9113 6.9 says.

    It takes one at zero, but below, after SETTINGS made the window smaller, it does not.
    """
    consume = WindowManager.window_consumed

    def window_consumed(self: WindowManager, size: int) -> None:
        if size:
            consume(self, size)

    monkeypatch.setattr(WindowManager, "window_consumed", window_consumed)


@dataclass
class Heard:
    """What h2 received on one stream."""

    headers: Fields = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None
    unacknowledged: int = 0


@dataclass
class Pending:
    """What h2 has yet to send on one stream."""

    pieces: deque[tuple[bytes, int | None]]
    trailers: Fields | None


def text(headers: Any) -> Fields:
    return [
        (bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers
    ]


class Oracle:
    """One end of a connection, played by h2. It keeps to the windows it was given."""

    def __init__(self, *, client: bool, settings: dict[int, int] | None = None) -> None:
        # Field names and values that break the rules are part of what is tested.
        self.connection = H2Connection(
            H2Configuration(
                client_side=client, header_encoding=None, validate_outbound_headers=False
            )
        )
        self.heard: dict[int, Heard] = {}
        self.pending: dict[int, Pending] = {}
        self.pings = 0
        self.settling = False
        self._octets = b""
        self.terminated: ConnectionTerminated | None = None
        if settings:
            self.connection.local_settings.update(settings)
            for key, value in settings.items():
                self.connection.local_settings[SettingCodes(key)] = value
            self.connection.local_settings.acknowledge()
            self._apply_local(settings)
        self.connection.initiate_connection()
        self.settling = True

    def _apply_local(self, settings: dict[int, int]) -> None:
        connection = self.connection
        connection.max_inbound_frame_size = settings.get(
            Setting.MAX_FRAME_SIZE, connection.max_inbound_frame_size
        )
        connection.decoder.max_allowed_table_size = settings.get(Setting.HEADER_TABLE_SIZE, 4096)

    def output(self) -> bytes:
        return self.connection.data_to_send()

    def receive(self, octets: bytes) -> list[Event]:
        """Raises what h2 raises.

        Frame by frame: h2 looks at its own largest frame size only once for each chunk.
        """
        events: list[Event] = []
        self._octets += octets
        while True:
            size = self._first_size()
            if len(self._octets) < size or not self._octets:
                break
            piece, self._octets = self._octets[:size], self._octets[size:]
            events += self.connection.receive_data(piece)
        for event in events:
            self._hear(event)
        return events

    def receive_rest(self) -> None:
        """Let h2 see the beginning of a frame that is not complete."""
        octets, self._octets = self._octets, b""
        for event in self.connection.receive_data(octets):
            self._hear(event)

    def _first_size(self) -> int:
        if self._octets.startswith(PREFACE[:1]) and PREFACE.startswith(self._octets[:24]):
            return len(PREFACE)
        return 9 + int.from_bytes(self._octets[:3], "big")

    def _hear(self, event: Event) -> None:
        match event:
            case RequestReceived() | ResponseReceived():
                self.heard.setdefault(event.stream_id, Heard()).headers = text(event.headers)
            case TrailersReceived():
                self.heard[event.stream_id].trailers = text(event.headers)
            case DataReceived():
                heard = self.heard[event.stream_id]
                heard.body += event.data
                heard.unacknowledged += event.flow_controlled_length
            case StreamEnded():
                self.heard[event.stream_id].ended = True
            case StreamReset():
                self.heard.setdefault(event.stream_id, Heard()).reset = int(event.error_code)
                self.pending.pop(event.stream_id, None)
            case SettingsAcknowledged():
                self.settling = False
            case PingAckReceived():
                self.pings += 1
            case ConnectionTerminated():
                self.terminated = event
            case _:
                pass

    def change(self, settings: dict[SettingCodes, int]) -> None:
        """Announce other settings, if the last were confirmed.

        h2 takes one acknowledgement for those of several frames, when they are of different kinds.
        """
        if not self.settling:
            self.settling = True
            self.connection.update_settings(settings)

    def acknowledge(self, stream: int) -> None:
        """Give the window back for what came on a stream."""
        heard = self.heard[stream]
        size, heard.unacknowledged = heard.unacknowledged, 0
        if size:
            self.connection.acknowledge_received_data(size, stream)

    def send(
        self,
        stream: int,
        headers: Fields,
        pieces: list[tuple[bytes, int | None]],
        trailers: Fields | None = None,
        **priority: Any,
    ) -> None:
        """HEADERS now, the body as the windows allow, then the end."""
        self.connection.send_headers(stream, headers, **priority)
        self.pending[stream] = Pending(deque(pieces), trailers)
        self.pump()

    def reset(self, stream: int, code: int) -> None:
        if self.is_open(stream):
            self.connection.reset_stream(stream, ErrorCodes(code))
        self.pending.pop(stream, None)

    def is_open(self, stream: int) -> bool:
        found = self.connection.streams.get(stream)
        return found is not None and not found.closed

    def pump(self) -> None:
        """Send what the windows allow."""
        for stream, pending in list(self.pending.items()):
            if not self.is_open(stream):
                del self.pending[stream]
                continue
            while pending.pieces:
                body, pad = pending.pieces[0]
                window = self.connection.local_flow_control_window(stream)
                if pad is not None and 0 < window <= pad + 1:
                    pad = None  # no room but for octets that bring something
                overhead = 0 if pad is None else pad + 1
                size = min(
                    len(body),
                    window - overhead,
                    self.connection.max_outbound_frame_size - overhead,
                )
                if size < 0 or (size == 0 and body):
                    break
                self.connection.send_data(stream, body[:size], pad_length=pad)
                if size == len(body):
                    pending.pieces.popleft()
                else:
                    pending.pieces[0] = (body[size:], pad)
            else:
                del self.pending[stream]
                if pending.trailers is not None:
                    self.connection.send_headers(stream, pending.trailers, end_stream=True)
                else:
                    self.connection.end_stream(stream)
