from __future__ import annotations

import time

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsing.transport.faults import CompressionFault
from pulsing.transport.frames import ErrorCode
from pulsing.transport.header_blocks import Head, HeadCache, encode_headers

REQUEST = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a"))

names = st.from_regex(rb"[a-z][a-z0-9-]{0,300}", fullmatch=True)
values = st.binary(max_size=400)


@given(st.lists(st.tuples(names, values), max_size=8))
def test_what_is_encoded_decodes_with_the_hpack_library(fields: list[tuple[bytes, bytes]]) -> None:
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    decoder.header_table_size = 0
    decoded = decoder.decode(encode_headers(fields), raw=True)
    assert [(bytes(name), bytes(value)) for name, value in decoded] == fields
    assert [
        tuple(map(bytes, field)) for field in HeadCache().decode(encode_headers(fields)).headers
    ] == fields


def test_static_fields_take_one_octet_and_static_names_none() -> None:
    assert encode_headers([(b":status", b"200")]) == b"\x88"
    assert encode_headers([(b":path", b"/x")]) == b"\x04\x02/x"
    assert encode_headers([(b"x", b"y")]) == b"\x00\x01x\x01y"


@pytest.mark.parametrize("length", [126, 127, 128, 254, 255, 16_000])
def test_long_lengths_are_written_as_hpack_integers(length: int) -> None:
    value = b"v" * length
    (field,) = hpack.Decoder().decode(encode_headers([(b"name", value)]), raw=True)
    assert field[1] == value


def test_a_block_is_decoded_once() -> None:
    heads = HeadCache()
    block = encode_headers(REQUEST)
    assert heads.get(block) is None
    head = heads.decode(block)
    assert heads.get(block) is head
    assert head.path == "/a"


@pytest.mark.parametrize("size", [0, 9, 16_385, 1 << 30])
@pytest.mark.parametrize("known", [False, True])
def test_a_known_block_with_a_length_behind_it_means_what_a_full_decode_says(
    size: int, known: bool
) -> None:
    heads = HeadCache()
    block = encode_headers(REQUEST)
    length = (b"content-length", str(size).encode())
    sized = encode_headers([*REQUEST, length])
    if known:
        heads.decode(block)
    for _ in range(2):
        head = heads.decode(sized)
        assert head.headers == (*REQUEST, length)
        assert (head.content_length, head.path, head.malformed) == (size, "/a", None)
        assert not head.plain
        assert not head.is_request
        assert heads.get(sized) is None, "sizes hardly ever come twice"
    base = heads.get(block)
    assert base is not None, "the block without its length is known from now on"
    assert head.base is base
    assert base.is_request


@pytest.mark.parametrize(
    "tail", [b"\x0f\x0d", b"\x0f\x0d\x02a", b"\x0f\x0d\x02-1", b"\x0f\x0d\x011"]
)
def test_what_only_looks_like_a_length_is_decoded_in_full(tail: bytes) -> None:
    heads = HeadCache()
    block = encode_headers(REQUEST)
    heads.decode(block)
    fresh = HeadCache()
    try:
        expected = fresh.decode(block + tail)
    except CompressionFault:
        with pytest.raises(CompressionFault):
            heads.decode(block + tail)
    else:
        head = heads.decode(block + tail)
        assert head.headers == expected.headers
        assert head.malformed == expected.malformed


def test_the_cache_is_bounded_in_number_and_size() -> None:
    heads = HeadCache(max_heads=4)
    blocks = [encode_headers([*REQUEST, (b"n", str(n).encode())]) for n in range(6)]
    for block in blocks:
        heads.decode(block)
    assert [heads.get(block) is not None for block in blocks] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    long = encode_headers([*REQUEST, (b"long", b"x" * 2000)])
    sized = encode_headers([*REQUEST, (b"content-length", b"12")])
    assert heads.decode(long).headers[-1][0] == b"long"
    assert heads.decode(sized).content_length == 12
    assert heads.get(long) is None
    assert heads.get(sized) is None


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff\xff\xff\x7f",  # index far beyond the tables
        b"\xbe",  # index 62: the dynamic table, which is empty
        b"\xff" + b"\xff" * 40,  # an integer that never ends
        b"\xff" + b"\x80" * 16_000 + b"\x01",
        b"\x40\x81\xff\x00",  # bad Huffman code
        b"\x00\x05ab",  # cut off
        b"\x00",
        b"\x3f\xe1\x1f",  # table size update beyond what we allow
        b"\x82\x20",  # table size update behind a field (RFC 7541 4.2)
        b"\x82" * 16_000,  # a list far longer than its block
    ],
)
def test_what_cannot_be_decoded_is_a_compression_error_and_costs_little(block: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(CompressionFault) as caught:
        HeadCache().decode(block)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR
    assert time.perf_counter() - started < 0.5


def test_a_table_size_update_to_zero_in_front_is_fine() -> None:
    assert HeadCache().decode(b"\x20\x88").status == 200


def test_a_field_for_the_dynamic_table_is_read_and_not_kept() -> None:
    heads = HeadCache()
    block = b"\x40\x01a\x01b"
    assert heads.decode(block).headers == ((b"a", b"b"),)
    assert heads.decode(block).headers == ((b"a", b"b"),)


@given(st.binary(max_size=200))
def test_arbitrary_blocks_give_a_head_or_a_compression_error(block: bytes) -> None:
    try:
        head = HeadCache().decode(block)
    except CompressionFault:
        return
    assert isinstance(head, Head)


def head_of(*fields: tuple[str, str], request: bool = True) -> Head:
    first = list(REQUEST) if request else []
    return Head(
        [*first, *((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields)]
    )


def test_a_request_head_says_what_was_asked() -> None:
    head = head_of(("pulsing-buffer", "16"))
    assert (head.method, head.path, head.status, head.malformed) == ("POST", "/a", 0, None)
    assert head.stream_buffer == 16
    assert head.plain
    assert not head.is_trailers


def test_a_response_head_says_its_kind() -> None:
    plain = Head([(b":status", b"204")])
    assert plain.plain
    assert plain.status == 204
    items = Head([(b":status", b"200"), (b"pulsing-stream", b"256")])
    assert items.stream_items == 256
    assert not items.plain
    sized = Head([(b":status", b"200"), (b"content-length", b"70000")])
    assert sized.content_length == 70_000
    assert not sized.plain
    assert Head([(b"pulsing-status", b"failed")]).final_status == "failed"
    assert Head([(b"pulsing-status", b"ok")]).is_trailers


MALFORMED_FIELDS = [
    ("empty field name (8.2.1)", ("", "v")),
    ("empty field name (8.2.1)", (":", "v")),
    ("field name with forbidden octets (8.2.1)", ("Upper", "v")),
    ("field name with forbidden octets (8.2.1)", ("a b", "v")),
    ("field name with forbidden octets (8.2.1)", ("a:b", "v")),
    ("field name with forbidden octets (8.2.1)", ("caf\xe9", "v")),
    ("field name with forbidden octets (8.2.1)", ("a\x7f", "v")),
    ("field value with forbidden octets (8.2.1)", ("a", "x\0y")),
    ("field value with forbidden octets (8.2.1)", ("a", "x\ry")),
    ("field value with forbidden octets (8.2.1)", ("a", "x\ny")),
    ("field value with forbidden octets (8.2.1)", ("a", " x")),
    ("field value with forbidden octets (8.2.1)", ("a", "x\t")),
    ("connection-specific field (8.2.2)", ("connection", "close")),
    ("connection-specific field (8.2.2)", ("transfer-encoding", "chunked")),
    ("connection-specific field (8.2.2)", ("te", "gzip")),
    ("pseudo-header after a regular field (8.3)", ("a", "b"), (":authority", "x")),
    ("pseudo-header repeated (8.3)", (":path", "/b")),
    ("unknown pseudo-header (8.3)", (":protocol", "x")),
    ("bad :status or a request pseudo-header in a response (8.3.2)", (":status", "200")),
    ("bad content-length (8.1.1)", ("content-length", "-1")),
    ("bad content-length (8.1.1)", ("content-length", "1e3")),
    ("bad content-length (8.1.1)", ("content-length", "")),
    ("bad content-length (8.1.1)", ("content-length", "1"), ("content-length", "2")),
    ("bad content-length (8.1.1)", ("content-length", "9" * 16)),
    ("bad pulsing-stream", ("pulsing-stream", "0")),
    ("bad pulsing-stream", ("pulsing-stream", "many")),
    ("bad pulsing-buffer", ("pulsing-buffer", "0")),
    ("content-length of an item stream", ("content-length", "1"), ("pulsing-stream", "1")),
]


@pytest.mark.parametrize("row", MALFORMED_FIELDS, ids=lambda row: f"{row[1][0]}={row[1][1][:9]!r}")
def test_a_malformed_field_is_named(row: tuple[str, tuple[str, str]]) -> None:
    text, *fields = row
    head = head_of(*fields)
    assert head.malformed == text
    assert not head.plain


@pytest.mark.parametrize("field", [("te", "trailers"), ("a", ""), ("a", "x y"), ("a", "caf\xe9")])
def test_unusual_fields_are_fine(field: tuple[str, str]) -> None:
    assert head_of(field).malformed is None


def test_a_length_said_twice_is_one_length() -> None:
    assert head_of(("content-length", "3"), ("content-length", "3")).content_length == 3


MALFORMED_PSEUDO = [
    ("request without :method, :scheme or :path (8.3.1)", [(b":method", b"GET"), (b":path", b"/")]),
    (
        "request without :method, :scheme or :path (8.3.1)",
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"")],
    ),
    (
        "request without :method, :scheme or :path (8.3.1)",
        [(b":scheme", b"http"), (b":path", b"/")],
    ),
    ("bad :status or a request pseudo-header in a response (8.3.2)", [(b":status", b"20")]),
    ("bad :status or a request pseudo-header in a response (8.3.2)", [(b":status", b"abc")]),
    ("bad :status (8.3.2)", [(b":status", b"999")]),
    ("bad :status (8.3.2)", [(b":status", b"099")]),
]


@pytest.mark.parametrize(("text", "fields"), MALFORMED_PSEUDO)
def test_malformed_pseudo_headers_are_named(text: str, fields: list[tuple[bytes, bytes]]) -> None:
    assert Head(fields).malformed == text
