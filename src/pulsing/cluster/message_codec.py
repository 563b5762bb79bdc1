"""Messages between nodes of a cluster as bytes: msgpack, ``[kind, fields...]``, strictly checked.

Purpose: `encode` and `decode`. Any bytes either are a message or raise `errors.WireError`; what
they make is bounded by their length, and every text, number and list is checked (`fields`).

A message without news is as short as its fields; pings and answers without news, nearly all of
an idle cluster's traffic, skip msgpack altogether.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pulsing.errors import WireError

from . import fields
from .claim_codec import (
    MAX_ITEMS,
    decode_claim,
    decode_delta,
    encode_claim,
    encode_delta,
    flat_changes,
    pack,
    read_changes,
    unpack,
)
from .claims import Claim
from .fields import MAX_DIGEST, BadField, bad
from .messages import (
    NO_NEWS,
    Ack,
    Answer,
    Buckets,
    Compare,
    Exchange,
    Gossip,
    Heartbeat,
    Join,
    Nack,
    News,
    NotMe,
    Page,
    Ping,
    Probe,
    Pull,
    PullAll,
    Register,
    Registered,
    Rejected,
    Request,
    Same,
    Table,
    Unknown,
    Welcome,
)

MAX_BODY_BYTES: Final = 1 << 20
"""No message is longer, whatever the settings say."""
MAX_BUCKETS: Final = 1024

_MAX_REASON_CHARS: Final = 1024
_PING_PREFIX: Final = b"\x92\x01\xc4\x10"
_PING_SIZE: Final = len(_PING_PREFIX) + 16
_ACK_BYTES: Final = b"\x91\x04"
_ACK: Final = Ack()


def encode(message: Request | Answer) -> bytes:
    """A message as bytes.

    Raises:
        WireError: it exceeds a bound that every node checks.
    """
    if type(message) is Ping and not message.news[0] and not message.news[1]:
        return _PING_PREFIX + bytes.fromhex(message.target)
    if type(message) is Ack and not message.news[0] and not message.news[1]:
        return _ACK_BYTES
    body = pack([_KINDS[type(message)], *_WRITERS[type(message)](message)])
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"a {type(message).__name__} of {len(body)} bytes is too long")
    return body


def decode(body: bytes) -> Request | Answer:
    """The message in bytes that another node sent.

    Raises:
        WireError: they are none, or break a bound.
    """
    if body == _ACK_BYTES:
        return _ACK
    if len(body) == _PING_SIZE and body.startswith(_PING_PREFIX):
        return Ping(body[len(_PING_PREFIX) :].hex(), NO_NEWS)
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"a cluster message of {len(body)} bytes is too long")
    try:
        parts = fields.items(unpack(body), 8)
        if not parts or type(parts[0]) is not int or parts[0] not in _READERS:
            bad("unknown kind", parts[:1])
        least, most, read = _READERS[parts[0]]
        if not least < len(parts) <= most + 1:
            bad("wrong number of fields", len(parts))
        return read(parts)
    except BadField as error:
        raise WireError(f"not a cluster message: {error}") from None


def encoded_size(message: Request | Answer) -> int:
    """How many bytes a message takes."""
    return len(encode(message))


# --- fields of more than one message -------------------------------------------------------------


def _pack_news(news: News) -> tuple[object, ...]:
    claims, deltas = news
    if not claims and not deltas:
        return ()
    if not deltas:
        return ([encode_claim(each) for each in claims],)
    return ([encode_claim(each) for each in claims], [encode_delta(each) for each in deltas])


def _news(parts: list[Any], at: int) -> News:
    if len(parts) <= at:
        return NO_NEWS
    deltas = fields.items(parts[at + 1], MAX_ITEMS) if len(parts) > at + 1 else ()
    return News(_claims(parts[at]), tuple([decode_delta(each) for each in deltas]))


def _claims(value: Any) -> tuple[Claim, ...]:
    return tuple([_claim(each) for each in fields.items(value, MAX_ITEMS)])


def _claim(value: Any) -> Claim:
    return decode_claim(value) if type(value) is bytes else bad("not a claim", value)


def _pack_claims(claims: tuple[Claim, ...]) -> list[bytes]:
    return [encode_claim(each) for each in claims]


def _pack_versions(versions: tuple[tuple[str, int], ...]) -> list[object]:
    return [part for owner, version in versions for part in (bytes.fromhex(owner), version)]


def _versions(value: Any) -> tuple[tuple[str, int], ...]:
    flat = fields.items(value, MAX_ITEMS)
    if len(flat) % 2:
        bad("not versions", value)
    return tuple(
        [(fields.node_id(flat[at]), fields.number(flat[at + 1])) for at in range(0, len(flat), 2)]
    )


def _numbers(value: Any, most: int) -> tuple[int, ...]:
    return tuple([fields.number(each, most) for each in fields.items(value, MAX_BUCKETS)])


def _base(value: Any) -> int:
    return -1 if type(value) is int and value == -1 else fields.number(value)


def _own_claim(value: Any) -> Claim:
    """A claim by which a node introduces itself."""
    claim = _claim(value)
    return claim if claim.info is not None else bad("not an introduction", claim)


# --- every kind ----------------------------------------------------------------------------------

# kind: (fewest fields, most fields, how to read them); and how each is written.
_READERS: Final[dict[int, tuple[int, int, Callable[[list[Any]], Request | Answer]]]] = {
    1: (1, 3, lambda m: Ping(fields.node_id(m[1]), _news(m, 2))),
    2: (2, 4, lambda m: Probe(fields.node_id(m[1]), fields.addr(m[2]), _news(m, 3))),
    3: (0, 2, lambda m: Gossip(_news(m, 1))),
    4: (0, 2, lambda m: Ack(_news(m, 1))),
    5: (0, 2, lambda m: Nack(_news(m, 1))),
    6: (1, 1, lambda m: NotMe(_own_claim(m[1]))),
    7: (1, 1, lambda m: Join(_own_claim(m[1]))),
    8: (1, 1, lambda m: Welcome(_claims(m[1]))),
    9: (2, 2, lambda m: Rejected(fields.number(m[1]), fields.text(m[2], _MAX_REASON_CHARS))),
    10: (1, 1, lambda m: Compare(fields.number(m[1], MAX_DIGEST))),
    11: (0, 0, lambda _: Same()),
    12: (1, 1, lambda m: Buckets(_numbers(m[1], MAX_DIGEST))),
    13: (
        4,
        4,
        lambda m: Exchange(
            _numbers(m[1], MAX_BUCKETS), _claims(m[2]), _versions(m[3]), fields.flag(m[4])
        ),
    ),
    14: (
        4,
        4,
        lambda m: Pull(
            fields.node_id(m[1]),
            fields.number(m[2]),
            fields.number(m[3]),
            "" if m[4] == "" else fields.actor_name(m[4]),
        ),
    ),
    15: (
        5,
        5,
        lambda m: Page(
            fields.node_id(m[1]),
            _base(m[2]),
            fields.number(m[3]),
            read_changes(m[4]),
            fields.flag(m[5]),
        ),
    ),
    16: (
        4,
        4,
        lambda m: Register(
            _own_claim(m[1]), fields.number(m[2]), read_changes(m[3]), fields.flag(m[4])
        ),
    ),
    17: (
        3,
        3,
        lambda m: Heartbeat(
            fields.node_id(m[1]),
            fields.number(m[2]),
            None if m[3] is None else decode_delta(m[3]),
        ),
    ),
    18: (1, 1, lambda m: Registered(fields.number(m[1]))),
    19: (0, 0, lambda _: Unknown()),
    20: (2, 2, lambda m: PullAll(fields.number(m[1]), fields.number(m[2]))),
    21: (
        5,
        5,
        lambda m: Table(
            fields.number(m[1]),
            fields.number(m[2]),
            _claims(m[3]),
            _versions(m[4]),
            fields.flag(m[5]),
        ),
    ),
}

_WRITERS: Final[dict[type, Callable[[Any], tuple[object, ...]]]] = {
    Ping: lambda m: (bytes.fromhex(m.target), *_pack_news(m.news)),
    Probe: lambda m: (bytes.fromhex(m.target), m.addr, *_pack_news(m.news)),
    Gossip: lambda m: _pack_news(m.news),
    Ack: lambda m: _pack_news(m.news),
    Nack: lambda m: _pack_news(m.news),
    NotMe: lambda m: (encode_claim(m.claim),),
    Join: lambda m: (encode_claim(m.claim),),
    Welcome: lambda m: (_pack_claims(m.claims),),
    Rejected: lambda m: (int(m.code), m.reason[:_MAX_REASON_CHARS]),
    Compare: lambda m: (m.root,),
    Same: lambda _: (),
    Buckets: lambda m: (m.digests,),
    Exchange: lambda m: (
        m.buckets,
        _pack_claims(m.claims),
        _pack_versions(m.versions),
        m.complete,
    ),
    Pull: lambda m: (bytes.fromhex(m.owner), m.have, m.version, m.after),
    Page: lambda m: (bytes.fromhex(m.owner), m.base, m.version, flat_changes(m.changes), m.more),
    Register: lambda m: (encode_claim(m.claim), m.version, flat_changes(m.names), m.more),
    Heartbeat: lambda m: (
        bytes.fromhex(m.node_id),
        m.version,
        None if m.delta is None else encode_delta(m.delta),
    ),
    Registered: lambda m: (m.known,),
    Unknown: lambda _: (),
    PullAll: lambda m: (m.epoch, m.version),
    Table: lambda m: (
        m.epoch,
        m.version,
        _pack_claims(m.claims),
        _pack_versions(m.versions),
        m.more,
    ),
}
_KINDS: Final = {kind: number for number, kind in enumerate(_WRITERS, 1)}
