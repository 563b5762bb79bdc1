"""Messages as bytes: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import random
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsing.cluster import fields
from pulsing.cluster.claims import Claim
from pulsing.cluster.fields import MAX_INCARNATION, is_node_address
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.message_codec import MAX_BODY_BYTES, decode, encode, encoded_size
from pulsing.cluster.messages import (
    Ack,
    Answer,
    Buckets,
    Compare,
    Exchange,
    Gossip,
    Heartbeat,
    Join,
    Nack,
    NameChange,
    News,
    NotMe,
    Page,
    Ping,
    Probe,
    Pull,
    PullAll,
    Register,
    Registered,
    RegistryDelta,
    RejectCode,
    Rejected,
    Request,
    Same,
    Table,
    Unknown,
    Welcome,
)
from pulsing.errors import WireError

A, B = "0a" * 16, "b1" * 16
INFO = NodeInfo(A, "127.0.0.1:7000", "alpha", {"gpu": "2", "spot": ""})
PLAIN = NodeInfo(B, "[2001:db8::7]:7000", "beta")
ALIVE = Claim(MemberStatus.ALIVE, A, 3, INFO)
BUSY = Claim(MemberStatus.ALIVE, B, MAX_INCARNATION, PLAIN, busy=True)
SUSPECT = Claim(MemberStatus.SUSPECT, A, 3, accuser=B)
CLAIMS = (
    ALIVE,
    BUSY,
    SUSPECT,
    Claim(MemberStatus.SUSPECT, A, 0),
    Claim(MemberStatus.DEAD, B, 7),
    Claim(MemberStatus.LEFT, B, MAX_INCARNATION - 1),
)
CHANGES = (NameChange("actors/counter", 7, "Counter"), NameChange("actors/gone", None))
DELTA = RegistryDelta(A, 4, 6, CHANGES)
NEWS = News(CLAIMS, (DELTA, RegistryDelta(B, 0, 9)))
MESSAGES: tuple[Request | Answer, ...] = (
    Ping(A),
    Ping(A, NEWS),
    Ping(A, News(CLAIMS)),
    Ping(A, News((), (DELTA,))),
    Probe(A, "node-7.example.org:7000"),
    Probe(A, "10.0.0.1:1", NEWS),
    Gossip(),
    Gossip(NEWS),
    Ack(),
    Ack(NEWS),
    Nack(),
    Nack(News((SUSPECT,))),
    NotMe(ALIVE),
    Join(ALIVE),
    Welcome(CLAIMS),
    Rejected(RejectCode.NAME_TAKEN, "another node is called 'alpha'"),
    Compare((1 << 64) - 1),
    Same(),
    Buckets((0, 1 << 63, 5)),
    Exchange((3, 9), CLAIMS, ((A, 4), (B, 0)), complete=False),
    Pull(A, 4),
    Pull(A, 4, 9, "actors/last"),
    Page(A, -1, 9, CHANGES, more=True),
    Page(A, 4, 9, CHANGES),
    Register(ALIVE, 4, CHANGES, more=True),
    Heartbeat(A, 4),
    Heartbeat(A, 6, DELTA),
    Registered(4),
    Unknown(),
    PullAll(1 << 60, 4),
    Table(1 << 60, 5, CLAIMS, ((A, 4),), more=True),
)


def body_of(*parts: Any) -> bytes:
    return msgpack.packb(list(parts))


def raw(claim: list[Any]) -> bytes:
    return msgpack.packb(claim)


RAW_A = bytes.fromhex(A)
RAW_INFO = msgpack.packb(["127.0.0.1:7000", "alpha"])


def gossip(*claim: Any) -> bytes:
    return body_of(3, [raw(list(claim))])


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_what_is_encoded_is_decoded(message: Request | Answer) -> None:
    body = encode(message)
    again = decode(body)
    assert type(again) is type(message)
    assert again == message
    assert encoded_size(message) == len(body)


def test_every_kind_of_message_is_in_the_round_trip() -> None:
    assert {type(each) for each in MESSAGES} == {*get_args(Request), *get_args(Answer)}


def test_a_ping_and_its_answer_are_tiny_when_there_is_no_news() -> None:
    assert len(encode(Ping(A))) == 20
    assert len(encode(Ack())) == 2


def test_a_ping_without_news_is_the_msgpack_it_claims_to_be() -> None:
    assert encode(Ping(A)) == body_of(1, RAW_A)
    assert encode(Ack()) == body_of(4)


def test_long_class_names_and_reasons_are_cut_instead_of_refused_by_the_other_side() -> None:
    page = decode(encode(Page(A, 0, 1, (NameChange("a", 1, "C" * 999),))))
    assert isinstance(page, Page)
    assert page.changes[0].class_name == "C" * 256
    rejected = decode(encode(Rejected(RejectCode.FULL, "x" * 5000)))
    assert isinstance(rejected, Rejected)
    assert len(rejected.reason) == 1024


def test_a_claim_against_a_member_at_the_last_incarnation_stays_refutable() -> None:
    accusation = Claim(MemberStatus.DEAD, A, MAX_INCARNATION)
    message = decode(encode(Gossip(News((accusation,)))))
    assert isinstance(message, Gossip)
    assert message.news.claims[0].incarnation == MAX_INCARNATION - 1


def test_an_alive_claim_without_a_description_is_not_sent() -> None:
    with pytest.raises(WireError, match="what it says about itself"):
        encode(Gossip(News((Claim(MemberStatus.ALIVE, A, 1),))))


# --- hostile bytes -------------------------------------------------------------------------------

BAD = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "a number": msgpack.packb(7),
    "an empty list": body_of(),
    "a map": msgpack.packb({1: 2}),
    "a map inside": body_of(3, [{1: 2}]),
    "an extension": body_of(msgpack.ExtType(1, b"x")),
    "a timestamp": body_of(3, [msgpack.Timestamp(1)]),
    "an unknown kind": body_of(99),
    "a kind that is no number": body_of("ping"),
    "a kind that is a list": body_of([1]),
    "a kind that is true": body_of(True, RAW_A),
    "a tail": encode(Ping(A)) + b"\x00",
    "a missing field": body_of(1),
    "a field too many": body_of(10, 1, 2),
    "a nested tower": b"\x91" * 5000,
    "wide lists in each other": b"\xdc\x1f\xff" * 900,
    "a length beyond the body": b"\xdd\xff\xff\xff\xff",
    "an id too short": body_of(1, RAW_A[:15]),
    "an id as text": body_of(1, A),
    "a digest of 65 bits": b"\x92\x0a\xcf" + b"\xff" * 7,
    "a negative digest": body_of(10, -1),
    "a float digest": body_of(10, 1.0),
    "news that are no list": body_of(3, 7),
    "claims that are no bytes": body_of(3, [[0, RAW_A, 1, RAW_INFO]]),
    "incarnation -1": gossip(0, RAW_A, -1, RAW_INFO),
    "incarnation 2^63": gossip(0, RAW_A, 1 << 63, RAW_INFO),
    "incarnation beyond the last": gossip(0, RAW_A, MAX_INCARNATION + 1, RAW_INFO),
    "a death that cannot be refuted": gossip(2, RAW_A, MAX_INCARNATION),
    "incarnation NaN": gossip(0, RAW_A, float("nan"), RAW_INFO),
    "incarnation true": gossip(0, RAW_A, True, RAW_INFO),
    "status 99": gossip(99, RAW_A, 1),
    "status 5": gossip(5, RAW_A, 1),
    "alive without description": gossip(0, RAW_A, 1),
    "alive with a list for a description": gossip(0, RAW_A, 1, [1]),
    "alive with broken description": gossip(0, RAW_A, 1, b"\xc1"),
    "alive with half a description": gossip(0, RAW_A, 1, msgpack.packb(["127.0.0.1:1"])),
    "suspect without accuser": gossip(1, RAW_A, 1),
    "dead with too much": gossip(2, RAW_A, 1, b""),
    "a claim of two parts": gossip(2, RAW_A),
    "no name": gossip(0, RAW_A, 1, msgpack.packb(["127.0.0.1:7", ""])),
    "a name of a megabyte": gossip(0, RAW_A, 1, msgpack.packb(["127.0.0.1:7", "x" * 1_000_000])),
    "a name with a line break": gossip(0, RAW_A, 1, msgpack.packb(["127.0.0.1:7", "a\nb"])),
    "odd labels": gossip(0, RAW_A, 1, msgpack.packb(["127.0.0.1:7", "a", ["k"]])),
    "one label twice": gossip(0, RAW_A, 1, msgpack.packb(["h:7", "a", ["k", "", "k", ""]])),
    "33 labels": gossip(
        0, RAW_A, 1, msgpack.packb(["h:7", "a", [s for i in range(33) for s in (f"k{i}", "")]])
    ),
    "a long label": gossip(0, RAW_A, 1, msgpack.packb(["h:7", "a", ["k" * 65, ""]])),
    "a long value": gossip(0, RAW_A, 1, msgpack.packb(["h:7", "a", ["k", "v" * 257]])),
    "address 0.0.0.0": gossip(0, RAW_A, 1, msgpack.packb(["0.0.0.0:7", "a"])),
    "a delta backwards": body_of(3, [], [raw([RAW_A, 5, 4, []])]),
    "a delta with half a change": body_of(3, [], [raw([RAW_A, 4, 5, ["a", 1]])]),
    "a delta with a bad name": body_of(3, [], [raw([RAW_A, 4, 5, ["a b", 1, ""]])]),
    "a delta with a name of a megabyte": body_of(3, [], [raw([RAW_A, 4, 5, ["a" * 9**6, 1, ""]])]),
    "a delta in three parts": body_of(3, [], [raw([RAW_A, 4, 5])]),
    "a delta that is no bytes": body_of(3, [], [[RAW_A, 4, 5, []]]),
    "odd versions": body_of(13, [], [], [RAW_A], True),
    "complete as a number": body_of(13, [], [], [], 1),
    "too many buckets": body_of(12, [1] * 1025),
    "a listing of base -2": body_of(15, RAW_A, -2, 3, [], False),
    "an introduction by an accusation": body_of(7, raw([2, RAW_A, 1])),
    "a body too long": body_of(9, 1, "x" * MAX_BODY_BYTES),
    "text that is no UTF-8": b"\x93\x09\x01\xa2\xff\xff",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_bytes_that_are_no_message_raise_one_error(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode(body)
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_or_an_error(body: bytes) -> None:
    try:
        message = decode(body)
    except WireError:
        return
    assert decode(encode(message)) == message


def test_mutated_messages_are_a_message_or_an_error() -> None:
    rng = random.Random(11)
    for message in MESSAGES:
        body = encode(message)
        for _ in range(200):
            mutated = bytearray(body)
            for _ in range(rng.randint(1, 3)):
                mutated[rng.randrange(len(mutated))] = rng.randrange(256)
            try:
                again = decode(bytes(mutated[: rng.randint(1, len(mutated))]))
            except WireError:
                continue
            assert decode(encode(again)) == again


def test_too_many_claims_in_a_message_are_refused() -> None:
    dead = raw([2, RAW_A, 1])
    with pytest.raises(WireError):
        decode(body_of(3, [dead] * 8193))


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addr",
    [
        "127.0.0.1:1",
        "10.1.2.3:65535",
        "localhost:8000",
        "node_1.example.org:8000",
        "7up.example:80",
        "[::1]:8000",
        "[2001:db8::1]:8000",
        "[fe80::1:2]:8000",
        "[1:2:3:4:5:6:7:8]:1",
        "[::ffff:10.0.0.1]:9",
    ],
)
def test_addresses_of_nodes_are_accepted(addr: str) -> None:
    assert is_node_address(addr)


@pytest.mark.parametrize(
    "addr",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:080",
        "127.0.0.1:-1",
        "127.0.0.1:٣",
        ":8000",
        "0.0.0.0:8000",
        "0.1.2.3:8000",
        "224.0.0.1:8000",
        "239.255.255.250:1900",
        "255.255.255.255:8000",
        "256.1.1.1:8000",
        "1.2.3:80",
        "0:80",
        "0x7f.1:80",
        "2130706433:80",
        "a.b.0x0:80",
        "[::]:8000",
        "[0:0:0:0:0:0:0:0]:8000",
        "[ff02::1]:8000",
        "[FF02::1]:8000",
        "[::ffff:0.0.0.0]:9",
        "[1:2:3:4:5:6:7]:1",
        "[1:2:3:4:5:6:7:8:9]:1",
        "[1::2::3]:1",
        "[fe80::1%eth0]:1",
        "[::1:8000",
        "[12345::]:1",
        "::1:8000",
        "a b:80",
        "-a:80",
        "a" * 300 + ":80",
        "a/b:80",
        "user@host:80",
        "höst:80",
    ],
)
def test_addresses_that_mean_no_single_node_are_refused(addr: str) -> None:
    assert not is_node_address(addr)
    with pytest.raises(fields.BadField):
        fields.addr(addr)
