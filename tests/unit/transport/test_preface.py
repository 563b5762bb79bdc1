from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsing.errors import NotAuthenticated, ProtocolMismatch
from pulsing.transport.frames import (
    GOAWAY,
    HEADERS,
    PREFACE,
    PROTOCOL_VERSION,
    SETTINGS,
    ErrorCode,
    Setting,
    frame_header,
    unpack_frame_header,
)
from pulsing.transport.preface import (
    MAX_FIRST_SETTINGS_BYTES,
    MAX_REASON_BYTES,
    Refusal,
    Verdict,
    classify,
    cluster_digest,
    explain_refusal,
    introduction_settings,
    read_introduction,
    refusal_frames,
    settings_frame,
    speaks_http2,
)

NODE_ID = "00112233445566778899aabbccddeeff"
INTRODUCTION = introduction_settings(NODE_ID, "pulsing")
LONGEST = len(PREFACE) + 9 + MAX_FIRST_SETTINGS_BYTES

DECIDED = {
    "peer": (PREFACE + settings_frame(INTRODUCTION), Verdict.PEER),
    "peer, introduced last": (
        PREFACE + settings_frame([(Setting.MAX_FRAME_SIZE, 1 << 20), *INTRODUCTION]),
        Verdict.PEER,
    ),
    "h2 without introduction": (PREFACE + settings_frame([(3, 100)]), Verdict.FOREIGN),
    "h2 with empty settings": (PREFACE + settings_frame([]), Verdict.FOREIGN),
    "h2 with other private settings": (PREFACE + settings_frame([(0xF051, 1)]), Verdict.FOREIGN),
    "h2 without settings": (PREFACE + frame_header(5, HEADERS, 0, 1), Verdict.FOREIGN),
    "h2 with crooked settings": (PREFACE + frame_header(7, SETTINGS, 0, 0), Verdict.FOREIGN),
    "h2 with endless settings": (
        PREFACE + frame_header(MAX_FIRST_SETTINGS_BYTES + 2, SETTINGS, 0, 0),
        Verdict.FOREIGN,
    ),
    "http/1.1": (b"GET ", Verdict.FOREIGN),
    "any method": (b"X-propfind! ", Verdict.FOREIGN),
    "a longest method": (b"M" * 32 + b" ", Verdict.FOREIGN),
    "P like PRI": (b"POST ", Verdict.FOREIGN),
    "TLS": (b"\x16", Verdict.TLS),
    "zeros": (b"\0", Verdict.GARBAGE),
    "a space": (b" ", Verdict.GARBAGE),
    "a line": (b"EHLO\r", Verdict.GARBAGE),
    "a word too long": (b"M" * 33, Verdict.GARBAGE),
    "nearly the preface": (PREFACE[:-1] + b"x", Verdict.GARBAGE),
    "another version of HTTP": (b"PRI * HTTP/2.1", Verdict.GARBAGE),
}


@pytest.mark.parametrize(("data", "verdict"), DECIDED.values(), ids=DECIDED)
def test_a_verdict_needs_the_last_octet_and_no_more(data: bytes, verdict: Verdict) -> None:
    assert classify(data) is verdict
    assert classify(bytearray(data)) is verdict
    for tail in (b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000):
        assert classify(data + tail) is verdict
    for length in range(len(data) - 1):
        assert classify(data[:length]) is Verdict.NEED_MORE


@given(st.binary(max_size=100), st.sampled_from([b"", PREFACE, PREFACE[:10], b"G"]))
def test_any_bytes_get_a_verdict_that_stands(data: bytes, start: bytes) -> None:
    data = start + data
    verdicts = [classify(data[:length]) for length in range(len(data) + 1)]
    decided = [verdict for verdict in verdicts if verdict is not Verdict.NEED_MORE]
    assert len(set(decided)) <= 1
    assert verdicts[len(verdicts) - len(decided) :] == decided


def test_what_has_to_be_kept_is_bounded() -> None:
    longest = settings_frame([(9, 9)] * (MAX_FIRST_SETTINGS_BYTES // 6))
    data = PREFACE + longest
    assert len(data) <= LONGEST
    assert classify(data[:-1]) is Verdict.NEED_MORE
    assert classify(data) is Verdict.FOREIGN


def test_who_reads_http2_gets_http2() -> None:
    assert speaks_http2(PREFACE + b"x")
    assert not speaks_http2(b"GET / HTTP/1.1\r\n")


def test_an_introduction_survives_the_wire() -> None:
    introduction = read_introduction(dict(INTRODUCTION))
    assert introduction.version == PROTOCOL_VERSION
    assert introduction.node_id == NODE_ID
    assert introduction.cluster == cluster_digest("pulsing")
    assert all(0 <= value < 1 << 32 for _, value in INTRODUCTION)


@given(st.integers(0, (1 << 128) - 1), st.text(max_size=20))
def test_every_node_and_cluster_can_be_introduced(node: int, cluster: str) -> None:
    introduction = read_introduction(dict(introduction_settings(f"{node:032x}", cluster)))
    assert int(introduction.node_id, 16) == node
    assert introduction.mismatch(cluster) is None


def test_settings_without_an_introduction_are_no_node() -> None:
    with pytest.raises(ProtocolMismatch, match="not a node"):
        read_introduction({int(Setting.MAX_FRAME_SIZE): 1 << 20})


def test_another_major_version_does_not_fit_and_a_minor_one_does() -> None:
    major, minor = PROTOCOL_VERSION
    settings = dict(INTRODUCTION)
    settings[Setting.PULSING_PROTOCOL] = (major + 1) << 16
    problem = read_introduction(settings).mismatch("pulsing")
    assert problem is not None
    assert f"{major}.{minor} here and {major + 1}.0 there" in problem
    settings[Setting.PULSING_PROTOCOL] = major << 16 | (minor + 7)
    assert read_introduction(settings).mismatch("pulsing") is None


def test_another_cluster_does_not_fit() -> None:
    problem = read_introduction(dict(INTRODUCTION)).mismatch("staging")
    assert problem is not None
    assert "'staging'" in problem
    assert "cluster_name" in problem


def split_frames(data: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while data:
        high, low, kind, _, stream_id = unpack_frame_header(data, 0)
        length = high << 8 | low
        assert stream_id == 0
        frames.append((kind, data[9 : 9 + length]))
        data = data[9 + length :]
    return frames


@pytest.mark.parametrize(
    ("refusal", "code", "error"),
    [
        (Refusal.NOT_AUTHENTICATED, ErrorCode.INADEQUATE_SECURITY, NotAuthenticated),
        (Refusal.MISMATCH, ErrorCode.PROTOCOL_ERROR, ProtocolMismatch),
    ],
)
def test_a_refusal_becomes_the_error_it_means(
    refusal: Refusal, code: ErrorCode, error: type[Exception]
) -> None:
    frames = split_frames(refusal_frames(refusal, "do this instead", INTRODUCTION))
    assert [kind for kind, _ in frames] == [SETTINGS, GOAWAY]
    assert frames[0][1] == settings_frame(INTRODUCTION)[9:]
    payload = frames[1][1]
    assert payload[:8] == bytes(4) + code.to_bytes(4, "big")
    explained = explain_refusal(payload[8:], "10.0.0.7:8000")
    assert type(explained) is error
    assert str(explained) == "10.0.0.7:8000 refused the connection: do this instead"


def test_the_text_of_a_refusal_is_bounded_and_printable() -> None:
    assert len(Refusal.MISMATCH.debug_data("x" * 10_000)) == MAX_REASON_BYTES
    explained = explain_refusal(Refusal.MISMATCH.debug_data("a\x1b[2J\nb\0") + b"\xff" * 9999, "x")
    assert explained is not None
    assert str(explained).isprintable()
    assert len(str(explained)) < 2 * MAX_REASON_BYTES


@given(st.binary(max_size=600))
def test_other_debug_data_explains_nothing(data: bytes) -> None:
    explained = explain_refusal(data, "x")
    assert explained is None or data.startswith(b"pulsing-")
