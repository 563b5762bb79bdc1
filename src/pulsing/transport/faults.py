"""What a peer can do wrong, each bound to the error code that answers it (RFC 9113 5.4)."""

from __future__ import annotations

from .frames import ErrorCode


class ConnectionFault(Exception):
    """The connection cannot go on: answered with GOAWAY, then closed (RFC 9113 5.4.1).

    Attributes:
        code: the error code of the GOAWAY frame.
        text: what was wrong, sent as debug data.
    """

    code = ErrorCode.PROTOCOL_ERROR

    def __init__(self, text: str, code: ErrorCode | None = None) -> None:
        super().__init__(text)
        self.text = text
        if code is not None:
            self.code = code


class FrameSizeFault(ConnectionFault):
    """A frame is longer than allowed, or has the wrong length for its type (4.2)."""

    code = ErrorCode.FRAME_SIZE_ERROR


class FlowControlFault(ConnectionFault):
    """More data than the window allowed, or a window beyond 2^31-1 (5.2, 6.9)."""

    code = ErrorCode.FLOW_CONTROL_ERROR


class CompressionFault(ConnectionFault):
    """A header block cannot be decoded (4.3)."""

    code = ErrorCode.COMPRESSION_ERROR


class FloodFault(ConnectionFault):
    """The peer makes work without doing any (10.5)."""

    code = ErrorCode.ENHANCE_YOUR_CALM


class StreamFault(Exception):
    """One stream cannot go on: answered with RST_STREAM (RFC 9113 5.4.2)."""

    def __init__(self, text: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
