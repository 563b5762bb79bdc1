"""Every bound of a connection between nodes, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from .frames import DEFAULT_WINDOW_BYTES, LARGEST_MAX_FRAME_BYTES, LARGEST_WINDOW_BYTES

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportLimits:
    """What one connection may hold, send and wait for. Sizes in bytes, times in seconds."""

    max_message_bytes: int = 512 * MIB
    """Largest body of one message, either way. Raising it lets one message hold more memory."""
    max_concurrent_streams: int = 16_384
    """Requests a peer may have open at once; more wait at the peer, in order."""
    max_queued_requests: int = 65_536
    """Requests that may wait here for a free stream or a connection; more are refused."""
    stream_window_bytes: int = 1 * MIB
    """Unconsumed bytes of one item stream. Lowering it costs throughput over long distances."""
    body_window_bytes: int = 16 * MIB
    """Window opened for the body of one announced large message."""
    connection_window_bytes: int = 64 * MIB
    """Bytes in flight towards us on one connection."""
    max_buffered_bytes: int = 2048 * MIB
    """Incomplete bodies and unread items kept for one connection. When they are more, further large
    bodies are refused, and items wait at the peer."""
    max_frame_bytes: int = 256 * KIB
    """Largest frame accepted, and the grain in which large bodies take turns."""
    max_header_block_bytes: int = 16 * KIB
    """Largest header block, CONTINUATION frames included."""
    control_frames: int = 20_000
    """Control frames (resets, pings, settings, empty data) a peer may be ahead of its useful
    work, before the connection ends with ENHANCE_YOUR_CALM."""
    control_frames_per_s: float = 2_000.0
    """How fast that allowance grows back."""
    connect_timeout_s: float = 5.0
    """TCP, TLS and the exchange of SETTINGS, together."""
    keepalive_interval_s: float | None = 5.0
    """Silence, with requests open, after which a PING asks whether the peer is there. None: the
    peer is not asked."""
    keepalive_timeout_s: float = 15.0
    """Silence after that PING that ends the connection."""
    idle_link_s: float | None = 300.0
    """Silence without open requests after which the side that dialled closes the connection; a
    little later the other side asks whether it is still there. Lowering it costs new connections.
    None: it stays."""
    backoff_min_s: float = 0.05
    """First pause between two attempts to connect, before jitter."""
    backoff_max_s: float = 1.0
    """Longest pause between two attempts to connect."""

    def __post_init__(self) -> None:
        # 6.9.2, 6.5.2: what a peer may use before it knows our settings cannot be taken back.
        windows = ("stream_window_bytes", "body_window_bytes", "connection_window_bytes")
        problems = [
            f"{name} must be between 65535 and 2 GiB - 1"
            for name in windows
            if not DEFAULT_WINDOW_BYTES <= getattr(self, name) <= LARGEST_WINDOW_BYTES
        ]
        if not 16 * KIB <= self.max_frame_bytes <= LARGEST_MAX_FRAME_BYTES:
            problems.append("max_frame_bytes must be between 16 KiB and 16 MiB - 1")
        if not 1 <= self.max_message_bytes < 1 << 31:
            problems.append("max_message_bytes must be between 1 and 2 GiB - 1")
        if self.connection_window_bytes < self.stream_window_bytes:
            problems.append("connection_window_bytes must not be below stream_window_bytes")
        if self.max_concurrent_streams < 1 or self.max_queued_requests < 0:
            problems.append("max_concurrent_streams must be positive, max_queued_requests >= 0")
        if self.max_buffered_bytes < self.max_message_bytes:
            problems.append("max_buffered_bytes must not be below max_message_bytes")
        if not 256 <= self.max_header_block_bytes <= 16 * KIB:
            problems.append("max_header_block_bytes must be between 256 and 16 KiB")
        if self.control_frames < 100 or self.control_frames_per_s < 0:
            problems.append("control_frames must be 100 or more, control_frames_per_s >= 0")
        problems.extend(
            f"{name} must be positive"
            for name in (
                "connect_timeout_s",
                "keepalive_interval_s",
                "keepalive_timeout_s",
                "idle_link_s",
            )
            if (value := getattr(self, name)) is not None and value <= 0
        )
        if not 0 < self.backoff_min_s <= self.backoff_max_s:
            problems.append("backoff_min_s must be positive and not above backoff_max_s")
        if problems:
            raise ValueError("; ".join(problems))
