"""Claims and registry deltas as bytes: what messages carry, and what is passed on as it came.

Both directions remember what they did last: news comes several times, and leaves several times.
Every function is pure, so what is remembered is never wrong.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast

import msgpack

from pulsing.errors import WireError

from . import fields
from .claims import Claim
from .fields import MAX_INCARNATION, BadField, bad
from .members import MemberStatus, NodeInfo
from .messages import NameChange, RegistryDelta

MAX_ITEMS: Final = 8192
"""No list in a message is longer."""

_module = cast(Any, msgpack)
_BUSY: Final = 4
"""On the wire: ALIVE, and busy."""
_ALIVE, _SUSPECT, _DEAD, _LEFT = MemberStatus
_REMEMBERED: Final = 2048


def pack(value: object) -> bytes:
    """One value as msgpack."""
    return cast(bytes, _module.packb(value))


def unpack(body: bytes) -> Any:
    """One value; lists and texts no longer than the body, no maps, no extensions.

    Raises:
        BadField: not msgpack, or not one value.
    """
    try:
        return _module.unpackb(body, max_array_len=MAX_ITEMS, max_map_len=0, max_ext_len=0)
    except Exception as error:  # noqa: BLE001 - msgpack raises several kinds, each says the same
        raise BadField(f"not msgpack: {error!r}") from None


# --- nodes and claims ----------------------------------------------------------------------------


def encode_claim(claim: Claim) -> bytes:
    """One claim. ALIVE needs ``info``."""
    known = _encoded.get(id(claim))
    if known is not None:
        return known[1]
    body = _encode_claim(claim)
    if len(_encoded) >= _REMEMBERED:
        _encoded.clear()
    _encoded[id(claim)] = (claim, body)
    return body


# By identity, which costs less than comparing: what is remembered here cannot become another claim.
_encoded: Final[dict[int, tuple[Claim, bytes]]] = {}


@lru_cache(maxsize=_REMEMBERED)
def _encode_claim(claim: Claim) -> bytes:
    status, node_id, incarnation, info, busy, accuser = claim
    raw_id = bytes.fromhex(node_id)
    if status is _ALIVE:
        if info is None:
            raise WireError(f"a claim that {node_id} is alive needs what it says about itself")
        return pack([_BUSY if busy else 0, raw_id, incarnation, _encode_info(info)])
    incarnation = min(incarnation, MAX_INCARNATION - 1)
    if status is _SUSPECT:
        return pack([int(status), raw_id, incarnation, bytes.fromhex(accuser)])
    return pack([int(status), raw_id, incarnation])


@lru_cache(maxsize=_REMEMBERED)
def decode_claim(body: bytes) -> Claim:
    """What `encode_claim` made. Raises BadField."""
    parts = fields.items(unpack(body), 4)
    if len(parts) < 3:
        bad("not a claim", parts)
    kind = fields.number(parts[0], _BUSY)
    node_id = fields.node_id(parts[1])
    incarnation = fields.number(parts[2], MAX_INCARNATION)
    if kind in (_ALIVE, _BUSY):
        if len(parts) != 4:
            bad("not a claim", parts)
        if type(parts[3]) is not bytes:
            bad("not a description of a node", parts[3])
        info = _decode_info(node_id, parts[3])
        return Claim(_ALIVE, node_id, incarnation, info, kind == _BUSY)
    if incarnation == MAX_INCARNATION:
        bad("a claim that cannot be refuted", incarnation)
    if kind == _SUSPECT:
        if len(parts) != 4:
            bad("not a claim", parts)
        accuser = "" if parts[3] == b"" else fields.node_id(parts[3])
        return Claim(_SUSPECT, node_id, incarnation, accuser=accuser)
    if len(parts) != 3:
        bad("not a claim", parts)
    return Claim(_DEAD if kind == _DEAD else _LEFT, node_id, incarnation)


@lru_cache(maxsize=_REMEMBERED)
def _encode_info(info: NodeInfo) -> bytes:
    flat = [part for pair in info.labels.items() for part in pair]
    return pack([info.addr, info.name, flat] if flat else [info.addr, info.name])


@lru_cache(maxsize=_REMEMBERED)
def _decode_info(node_id: str, body: bytes) -> NodeInfo:
    parts = fields.items(unpack(body), 3)
    if len(parts) < 2:
        bad("not a description of a node", parts)
    name = fields.text(parts[1], fields.MAX_NODE_NAME_CHARS)
    if not name:
        bad("a node without a name", name)
    return NodeInfo(
        node_id,
        fields.addr(parts[0]),
        name,
        fields.labels(parts[2]) if len(parts) == 3 else {},
    )


# --- the registry --------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def encode_delta(delta: RegistryDelta) -> bytes:
    """What an owner changed."""
    return pack(
        [bytes.fromhex(delta.owner), delta.base, delta.version, flat_changes(delta.changes)]
    )


def decode_delta(body: bytes) -> RegistryDelta:
    """What `encode_delta` made. Raises BadField."""
    if type(body) is not bytes:
        bad("not a registry delta", body)
    parts = fields.items(unpack(body), 4)
    if len(parts) != 4:
        bad("not a registry delta", parts)
    base, version = fields.number(parts[1]), fields.number(parts[2])
    if base > version:
        bad("a registry delta backwards", parts)
    return RegistryDelta(fields.node_id(parts[0]), base, version, read_changes(parts[3]))


def flat_changes(changes: tuple[NameChange, ...]) -> list[object]:
    """Changes as they travel: name, number and class of each in turn."""
    return [
        part
        for name, local, class_name in changes
        for part in (name, local, class_name[: fields.MAX_TEXT_CHARS])
    ]


def read_changes(value: Any) -> tuple[NameChange, ...]:
    """What `flat_changes` made. Raises BadField."""
    flat = fields.items(value, MAX_ITEMS)
    if len(flat) % 3:
        bad("not changes of names", value)
    return tuple(
        NameChange(
            fields.actor_name(flat[at]),
            None if flat[at + 1] is None else fields.number(flat[at + 1]),
            fields.text(flat[at + 2]),
        )
        for at in range(0, len(flat), 3)
    )


def change_size(change: NameChange) -> int:
    """At most how many bytes a change takes in a message."""
    return 15 + len(change.name) + 4 * len(change.class_name)
