"""The first bytes of a connection: who is there, and how a stranger is turned away.

Pure: bytes and numbers in, verdicts and bytes out. A node of Pulsing introduces itself in its first
SETTINGS frame (RFC 9113 3.4) by settings that others ignore (6.5.2); everything else that reads as
HTTP is a foreign client. A refusal is a SETTINGS frame and a GOAWAY whose debug data says why, in
words for people after a mark for programs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2s
from struct import Struct
from typing import Final

from pulsing.errors import NotAuthenticated, ProtocolMismatch, PulsingRuntimeError

from .frames import (
    FRAME_HEADER_BYTES,
    GOAWAY,
    PREFACE,
    PROTOCOL_VERSION,
    SETTINGS,
    ErrorCode,
    Setting,
    frame_header,
    unpack_frame_header,
)

MAX_FIRST_SETTINGS_BYTES: Final = 1024
"""A peer's first SETTINGS frame is shorter than this; a longer one is a foreign client's."""
MAX_METHOD_CHARS: Final = 32
"""What begins with a longer word than this is not an HTTP request."""
MAX_REASON_BYTES: Final = 512
"""How much of a refusal's text is sent, and how much of one is read."""

_TLS_HANDSHAKE_RECORD: Final = 0x16  # RFC 8446 5.1
_H2_PREFACE_LINE: Final = PREFACE[:12]  # "PRI * HTTP/2": no other request may begin like this
_METHOD: Final = re.compile(rb"[!#$%%&'*+\-.^_`|~0-9A-Za-z]{1,%d}" % MAX_METHOD_CHARS)
_SETTING: Final = Struct(">HI")
_GOAWAY: Final = Struct(">II")


# --- who is there ------------------------------------------------------------------------------


class Verdict(Enum):
    """What the first bytes of a connection say about its client."""

    NEED_MORE = "need more"
    """Nothing yet. Never the answer to more than 24 + 9 + `MAX_FIRST_SETTINGS_BYTES` octets."""
    PEER = "peer"
    """A node of Pulsing, over HTTP/2."""
    FOREIGN = "foreign"
    """Any other HTTP client, or what looks like one."""
    TLS = "tls"
    """The start of a TLS handshake."""
    GARBAGE = "garbage"
    """None of these."""


def classify(data: bytes | bytearray) -> Verdict:
    """Say who is there, from all octets received so far.

    A verdict other than ``NEED_MORE`` is final: more octets after these never change it, and
    fewer give the same or ``NEED_MORE``.
    """
    if not data:
        return Verdict.NEED_MORE
    if data[0] == _TLS_HANDSHAKE_RECORD:
        return Verdict.TLS
    if data.startswith(PREFACE):
        return _classify_settings(data)
    if PREFACE.startswith(bytes(data[: len(PREFACE)])):
        return Verdict.NEED_MORE
    if data.startswith(_H2_PREFACE_LINE):
        return Verdict.GARBAGE
    return _classify_request_line(data)


def speaks_http2(data: bytes | bytearray) -> bool:
    """Whether a connection that began with these octets can read HTTP/2 frames."""
    return data.startswith(PREFACE)


def _classify_settings(data: bytes | bytearray) -> Verdict:
    """The frame after the preface must be SETTINGS (RFC 9113 3.4); the h2 library judges others."""
    start = len(PREFACE) + FRAME_HEADER_BYTES
    if len(data) < start:
        return Verdict.NEED_MORE
    high, low, kind, _, _ = unpack_frame_header(data, len(PREFACE))
    length: int = high << 8 | low
    if kind != SETTINGS or length % _SETTING.size or length > MAX_FIRST_SETTINGS_BYTES:
        return Verdict.FOREIGN
    if len(data) < start + length:
        return Verdict.NEED_MORE
    payload = bytes(data[start : start + length])
    if any(key == Setting.PULSING_PROTOCOL for key, _ in _SETTING.iter_unpack(payload)):
        return Verdict.PEER
    return Verdict.FOREIGN


def _classify_request_line(data: bytes | bytearray) -> Verdict:
    """A request of HTTP/1.x begins with a method, a token, and one space (RFC 9112 3)."""
    method = _METHOD.match(data)
    if method is None:
        return Verdict.GARBAGE
    end = method.end()
    if end == len(data):
        return Verdict.NEED_MORE
    return Verdict.FOREIGN if data[end : end + 1] == b" " else Verdict.GARBAGE


# --- introductions -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a node says about itself in its first SETTINGS frame.

    Attributes:
        version: major and minor version of the protocol between nodes.
        cluster: `cluster_digest` of the name of its cluster.
        node_id: 32 hex digits. Claimed, not proven.
        aside: the connection does not replace an older one of this node.
    """

    version: tuple[int, int]
    cluster: int
    node_id: str
    aside: bool = False

    def mismatch(self, cluster_name: str) -> str | None:
        """Why a node of ``cluster_name`` cannot talk to this one; ``None`` when it can."""
        if self.version[0] != PROTOCOL_VERSION[0]:
            ours = ".".join(map(str, PROTOCOL_VERSION))
            theirs = ".".join(map(str, self.version))
            return (
                f"protocol version {ours} here and {theirs} there do not fit together; run the "
                "same major version of Pulsing on all nodes"
            )
        if self.cluster != cluster_digest(cluster_name):
            return (
                f"cluster {cluster_name!r} here and another cluster there; give both nodes the "
                "same cluster_name, or another address"
            )
        return None


def cluster_digest(name: str) -> int:
    """The name of a cluster as 32 bits: different names differ, but for bad luck."""
    return int.from_bytes(blake2s(name.encode(), digest_size=4, person=b"cluster").digest(), "big")


def introduction_settings(
    node_id: str, cluster: str, *, aside: bool = False
) -> list[tuple[int, int]]:
    """The settings that introduce a node, for the front of its first SETTINGS frame.

    Args:
        node_id: 32 hex digits.
        cluster: the cluster's name.
        aside: the connection is a short one beside the node's link and does not replace it.
    """
    node = int(node_id, 16)
    major, minor = PROTOCOL_VERSION
    settings = [
        (int(Setting.PULSING_PROTOCOL), major << 16 | minor),
        (int(Setting.PULSING_CLUSTER), cluster_digest(cluster)),
    ]
    settings.extend(
        (Setting.PULSING_NODE_0 + part, node >> (96 - 32 * part) & 0xFFFF_FFFF) for part in range(4)
    )
    if aside:
        settings.append((int(Setting.PULSING_ASIDE), 1))
    return settings


def read_introduction(settings: Mapping[int, int]) -> Introduction:
    """What `introduction_settings` wrote, from the settings of a first SETTINGS frame.

    Raises:
        ProtocolMismatch: there is no introduction: whoever sent them speaks HTTP/2 but is not a
            node of Pulsing.
    """
    protocol = settings.get(Setting.PULSING_PROTOCOL)
    if protocol is None:
        raise ProtocolMismatch(
            "an HTTP/2 server answered that is not a node of Pulsing; check the address"
        )
    node = 0
    for part in range(4):
        node = node << 32 | settings.get(Setting.PULSING_NODE_0 + part, 0)
    return Introduction(
        version=(protocol >> 16, protocol & 0xFFFF),
        cluster=settings.get(Setting.PULSING_CLUSTER, 0),
        node_id=f"{node:032x}",
        aside=settings.get(Setting.PULSING_ASIDE) == 1,
    )


# --- refusals ----------------------------------------------------------------------------------


class Refusal(Enum):
    """Why a peer is turned away: the mark in front of the debug data of its GOAWAY."""

    NOT_AUTHENTICATED = "pulsing-not-authenticated: "
    MISMATCH = "pulsing-mismatch: "

    @property
    def code(self) -> ErrorCode:
        """The error code of the GOAWAY frame (RFC 9113 section 7)."""
        if self is Refusal.NOT_AUTHENTICATED:
            return ErrorCode.INADEQUATE_SECURITY
        return ErrorCode.PROTOCOL_ERROR

    def debug_data(self, reason: str) -> bytes:
        """The debug data of the GOAWAY frame: the mark and the reason, cut to a bound."""
        return (self.value + reason).encode()[:MAX_REASON_BYTES]


def settings_frame(settings: Sequence[tuple[int, int]]) -> bytes:
    """A SETTINGS frame (RFC 9113 6.5)."""
    payload = b"".join(_SETTING.pack(key, value) for key, value in settings)
    return frame_header(len(payload), SETTINGS, 0, 0) + payload


def goaway_frame(code: ErrorCode, debug_data: bytes = b"", last_stream_id: int = 0) -> bytes:
    """A GOAWAY frame (RFC 9113 6.8)."""
    payload = _GOAWAY.pack(last_stream_id, code) + debug_data
    return frame_header(len(payload), GOAWAY, 0, 0) + payload


def refusal_frames(
    refusal: Refusal, reason: str, introduction: Sequence[tuple[int, int]] = ()
) -> bytes:
    """All that a server says to a client it refuses at once: SETTINGS, then GOAWAY.

    Args:
        refusal: what kind of refusal.
        reason: for a person: what is wrong and what to do.
        introduction: `introduction_settings` of the server.
    """
    return settings_frame(introduction) + goaway_frame(refusal.code, refusal.debug_data(reason))


def explain_refusal(debug_data: bytes, address: str) -> PulsingRuntimeError | None:
    """The error for a GOAWAY whose debug data carries a mark of `Refusal`; ``None`` for others.

    Args:
        debug_data: of the GOAWAY frame. What cannot be printed in it is left out.
        address: the node that was dialled, for the message.
    """
    text = debug_data[:MAX_REASON_BYTES].decode(errors="replace")
    for refusal in Refusal:
        if text.startswith(refusal.value):
            reason = "".join(filter(str.isprintable, text.removeprefix(refusal.value)))
            message = f"{address} refused the connection: {reason}"
            if refusal is Refusal.NOT_AUTHENTICATED:
                return NotAuthenticated(message)
            return ProtocolMismatch(message)
    return None
