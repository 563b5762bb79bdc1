"""Header blocks between nodes: HPACK without a dynamic table, so a block means the same always.

Both sides announce SETTINGS_HEADER_TABLE_SIZE = 0 and never refer to a dynamic entry. A block is
then a pure function of its headers: what was encoded once is kept as octets, what was decoded
once is found again by its octets. Only a block never seen before costs a real decode (`hpack`).

Source: RFC 7541 (HPACK) sections 5 and 6, RFC 9113 sections 8.2 and 8.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import hpack
from hpack.table import HeaderTable

from .faults import CompressionFault

Header = tuple[bytes, bytes]

_STATIC: Final[dict[Header, int]] = {}
_STATIC_NAMES: Final[dict[bytes, int]] = {}
for _index, _pair in enumerate(cast("Iterable[Header]", HeaderTable.STATIC_TABLE), 1):
    _STATIC.setdefault((bytes(_pair[0]), bytes(_pair[1])), _index)
    _STATIC_NAMES.setdefault(bytes(_pair[0]), _index)

_PSEUDO_REQUEST: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_UPPER: Final = bytes(range(ord("A"), ord("Z") + 1))
_TOKEN_BAD: Final = frozenset(range(0x21)) | frozenset(range(0x7F, 0x100))


_MAX_KEPT_BYTES: Final = 1024
"""Longest header block that is kept."""


def _integer(value: int, prefix_bits: int, pattern: int) -> bytes:
    """An HPACK integer behind a bit pattern (RFC 7541 5.1)."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((pattern | value,))
    encoded = bytearray((pattern | limit,))
    value -= limit
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_headers(headers: Iterable[Header]) -> bytes:
    """The header block of ``headers``: indexed where static, else plain literals (6.1, 6.2.2)."""
    block = bytearray()
    for name, value in headers:
        index = _STATIC.get((name, value))
        if index is not None:
            block += _integer(index, 7, 0x80)
            continue
        name_index = _STATIC_NAMES.get(name, 0)
        block += _integer(name_index, 4, 0x00)
        if not name_index:
            block += _integer(len(name), 7, 0x00) + name
        block += _integer(len(value), 7, 0x00) + value
    return bytes(block)


class Head:
    """A decoded header block. Equal blocks share one Head, so an upper layer may cache in it.

    Attributes:
        headers: every field, in order, as octets.
        method, path: of a request; empty otherwise.
        status: of a response; 0 otherwise.
        content_length: announced body length in bytes, or None.
        stream_items: the ``pulsing-stream`` field: this body is an item stream, and the producer
            may be that many items ahead.
        stream_buffer: the ``pulsing-buffer`` field: how far ahead the caller lets the producer be.
        final_status: the ``pulsing-status`` trailer: ``ok`` or ``failed``.
        malformed: what breaks RFC 9113 8.2 or 8.3, or None.
        plain: nothing but method, path, status: the fast path may be taken.
        is_request: plain, and a request.
        route: belongs to the layer above.
        base: the Head without its content-length, which lasts longer; mostly itself.
    """

    __slots__ = (
        "base",
        "content_length",
        "final_status",
        "headers",
        "is_request",
        "malformed",
        "method",
        "path",
        "plain",
        "route",
        "status",
        "stream_buffer",
        "stream_items",
    )

    def __init__(self, headers: Sequence[Header]) -> None:
        self.headers = tuple(headers)
        self.method = ""
        self.path = ""
        self.status = 0
        self.content_length: int | None = None
        self.stream_items: int | None = None
        self.stream_buffer: int | None = None
        self.final_status = ""
        self.route: Any = None
        self.malformed = self._read()
        self.plain = self._is_plain()
        self.is_request = self.plain and bool(self.method)
        self.base = self

    def sized(self, content_length: int) -> Head:
        """The same plain block with a content-length behind it."""
        head = Head.__new__(Head)
        head.headers = (*self.headers, (b"content-length", str(content_length).encode()))
        head.method = self.method
        head.path = self.path
        head.status = self.status
        head.content_length = content_length
        head.stream_items = None
        head.stream_buffer = self.stream_buffer
        head.final_status = self.final_status
        head.route = self.route
        head.malformed = None
        head.plain = head.is_request = False
        head.base = self
        return head

    def _is_plain(self) -> bool:
        return self.malformed is None and self.content_length is None and self.stream_items is None

    @property
    def is_trailers(self) -> bool:
        """No pseudo-header: a second block of a message (RFC 9113 8.1)."""
        return not self.method and not self.status

    def _read(self) -> str | None:
        pseudo: dict[bytes, bytes] = {}
        regular_seen = False
        for name, value in self.headers:
            problem = _field_problem(name, value)
            if problem is not None:
                return problem
            if name[:1] == b":":
                if regular_seen:
                    return "pseudo-header after a regular field (8.3)"
                if name in pseudo:
                    return "pseudo-header repeated (8.3)"
                pseudo[name] = value
                continue
            regular_seen = True
            problem = self._read_regular(name, value)
            if problem is not None:
                return problem
        if self.content_length is not None and self.stream_items is not None:
            return "content-length of an item stream"
        return self._read_pseudo(pseudo)

    def _read_pseudo(self, pseudo: dict[bytes, bytes]) -> str | None:
        if b":status" in pseudo:
            status = pseudo[b":status"]
            if len(pseudo) != 1 or len(status) != 3 or not status.isdigit():
                return "bad :status or a request pseudo-header in a response (8.3.2)"
            self.status = int(status)
            if not 100 <= self.status <= 599:
                return "bad :status (8.3.2)"
        elif pseudo:
            if not pseudo.keys() <= _PSEUDO_REQUEST:
                return "unknown pseudo-header (8.3)"
            if not (pseudo.get(b":method") and b":scheme" in pseudo and pseudo.get(b":path")):
                return "request without :method, :scheme or :path (8.3.1)"
            self.method = pseudo[b":method"].decode("latin-1")
            self.path = pseudo[b":path"].decode("latin-1")
        return None

    def _read_regular(self, name: bytes, value: bytes) -> str | None:
        if name == b"content-length":
            number = _bounded_number(value)
            if number is None or self.content_length not in (None, number):
                return "bad content-length (8.1.1)"
            self.content_length = number
        elif name == b"pulsing-stream":
            self.stream_items = _bounded_number(value)
            if not self.stream_items:
                return "bad pulsing-stream"
        elif name == b"pulsing-buffer":
            self.stream_buffer = _bounded_number(value)
            if not self.stream_buffer:
                return "bad pulsing-buffer"
        elif name == b"pulsing-status":
            self.final_status = value.decode("latin-1")
        return None


def _bounded_number(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= 15 else None


def _field_problem(name: bytes, value: bytes) -> str | None:
    """What RFC 9113 8.2.1 and 8.2.2 forbid in one field."""
    if name in (b"", b":"):
        return "empty field name (8.2.1)"
    if name.translate(None, _UPPER) != name or not _TOKEN_BAD.isdisjoint(name) or b":" in name[1:]:
        return "field name with forbidden octets (8.2.1)"
    if b"\0" in value or b"\r" in value or b"\n" in value or value != value.strip(b" \t"):
        return "field value with forbidden octets (8.2.1)"
    if name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
        return "connection-specific field (8.2.2)"
    return None


_CONTENT_LENGTH: Final = b"\x0f\x0d"
"""A literal without indexing whose name is entry 28 of the static table (RFC 7541 6.2.2)."""
_MAX_DIGITS: Final = 15


class HeadCache:
    """Header blocks seen before, by their octets; bounded, the older half goes when full.

    One per system: what an upper layer stores in ``Head.route`` is its own.
    """

    __slots__ = ("_decoder", "_heads", "_max_heads", "get")

    def __init__(self, max_heads: int = 8192, max_header_list_bytes: int = 64 * 1024) -> None:
        self._heads: dict[bytes, Head] = {}
        self._max_heads = max_heads
        self._decoder = hpack.Decoder(max_header_list_size=max_header_list_bytes)
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0
        self.get = self._heads.get

    def decode(self, block: bytes) -> Head:
        """The Head of a block that ``get`` did not know. Raises CompressionFault."""
        known = self._sized(block)
        if known is not None:
            return known
        try:
            headers = cast("Sequence[Header]", self._decoder.decode(block, raw=True))
        except (hpack.HPACKError, ValueError, IndexError, OverflowError) as error:
            # 4.3: a decoding error ends the connection.
            raise CompressionFault(f"header block cannot be decoded: {error}") from error
        head = Head([(bytes(name), bytes(value)) for name, value in headers])
        # Those with a length hardly ever come twice, and long ones are nothing to keep.
        if head.content_length is not None:
            self._keep_base(block)
        elif len(block) <= _MAX_KEPT_BYTES:
            if len(self._heads) >= self._max_heads:
                for old in list(self._heads)[: self._max_heads // 2]:
                    del self._heads[old]
            self._heads[block] = head
        return head

    def _sized(self, block: bytes) -> Head | None:
        """The Head of a block that is known but for the content-length at its end.

        The fields of a block follow each other (RFC 7541 2.2), so what a whole block means does not
        change when a field is added behind it.
        """
        at = block.rfind(_CONTENT_LENGTH)
        if at > 0:
            base = self._heads.get(block[:at])
            size = block[at + len(_CONTENT_LENGTH) + 1 :]
            if (
                base is not None
                and base.plain
                and size.isdigit()
                and len(size) == block[at + len(_CONTENT_LENGTH)] <= _MAX_DIGITS
            ):
                return base.sized(int(size))
        return None

    def _keep_base(self, block: bytes) -> None:
        """Know the block without its content-length the next time."""
        at = block.rfind(_CONTENT_LENGTH)
        if at > 0 and block[:at] not in self._heads:
            try:
                self.decode(block[:at])
            except CompressionFault:  # those two octets were part of something else
                return
