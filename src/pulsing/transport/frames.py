"""The vocabulary of HTTP/2: frame types, flags, settings, error codes, frame headers.

Source: RFC 9113 sections 4.1, 6, 7 and 11.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (RFC 9113 3.4)."""

FRAME_HEADER_BYTES: Final = 9
DEFAULT_MAX_FRAME_BYTES: Final = 16_384
LARGEST_MAX_FRAME_BYTES: Final = (1 << 24) - 1
DEFAULT_WINDOW_BYTES: Final = 65_535
LARGEST_WINDOW_BYTES: Final = (1 << 31) - 1
LARGEST_STREAM_ID: Final = (1 << 31) - 1

# Frame types (6). Plain integers: the receive loop compares them for every frame.
DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

# Flags (6).
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20


class Setting(IntEnum):
    """Settings identifiers: RFC 9113 6.5.2, and from 0xF050 on our own.

    A peer that does not know an identifier must ignore it (6.5.2), so the private ones are
    harmless to others. They make the first SETTINGS frame the introduction of a Pulsing node.
    """

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6

    PULSING_PROTOCOL = 0xF050
    """``major << 16 | minor`` of the protocol between nodes. Its presence marks a peer."""
    PULSING_CLUSTER = 0xF051
    """Digest of the cluster name, 32 bits."""
    PULSING_NODE_0 = 0xF052
    """The node id, 128 bits in four settings, the most significant first."""
    PULSING_NODE_1 = 0xF053
    PULSING_NODE_2 = 0xF054
    PULSING_NODE_3 = 0xF055
    PULSING_ASIDE = 0xF056
    """1: this connection is beside the node's link and does not replace an older one."""


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


PROTOCOL_VERSION: Final = (1, 0)
"""Major and minor version of the protocol between nodes. Other majors are refused."""

_HEADER = Struct(">HBBBI")
unpack_frame_header: Final = _HEADER.unpack_from
"""(length >> 8, length & 0xFF, type, flags, stream id) at an offset."""


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine octets in front of a frame's payload (RFC 9113 4.1)."""
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)
