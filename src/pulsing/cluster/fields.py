"""What a field of a message may be: strict, bounded checks of what another node wrote.

Each function takes whatever msgpack made of the bytes and returns the value, or raises `BadField`.
The bounds are for hostile and broken peers: what our own nodes send is well within.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NoReturn, cast

MAX_INCARNATION: Final = 1 << 62
"""Incarnations end here. A claim against a member refers to a lower one, so it can be refuted."""
MAX_NUMBER: Final = 1 << 62
MAX_DIGEST: Final = (1 << 64) - 1
MAX_LABELS: Final = 32
MAX_LABEL_CHARS: Final = 64
MAX_TEXT_CHARS: Final = 256
MAX_NODE_NAME_CHARS: Final = 64
MAX_ADDR_CHARS: Final = 264

_ID_BYTES: Final = 16
_ACTOR_NAME: Final = re.compile(r"[A-Za-z0-9_.\-/]{1,256}")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,251}[A-Za-z0-9_.])?")
_IPV4: Final = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")
# A host whose last part looks like a number is read as an IPv4 address by resolvers, in any base.
_NUMERIC_END: Final = re.compile(r"(.*\.)?(0[xX][0-9a-fA-F]*|\d+)\.?")
_PORT: Final = re.compile(r"[1-9]\d{0,4}")
_GROUP: Final = re.compile(r"[0-9a-fA-F]{1,4}")


class BadField(ValueError):
    """A field of a message is not what it must be."""


def bad(what: str, value: object) -> NoReturn:
    """Refuse a value; says which, but never more of it than fits on a line."""
    raise BadField(f"{what}: {repr(value)[:60]}")


def node_id(value: Any) -> str:
    """A node id; 16 raw bytes on the wire."""
    if type(value) is not bytes or len(value) != _ID_BYTES:
        bad("not a node id", value)
    return value.hex()


def number(value: Any, most: int = MAX_NUMBER) -> int:
    """A whole number from 0."""
    if type(value) is not int or not 0 <= value <= most:
        bad("not a number in range", value)
    return value


def flag(value: Any) -> bool:
    """True or False."""
    if type(value) is not bool:
        bad("not a truth value", value)
    return value


def text(value: Any, most: int = MAX_TEXT_CHARS) -> str:
    """A line of text for people."""
    if type(value) is not str or len(value) > most or not value.isprintable():
        bad("not a line of text", value)
    return value


def actor_name(value: Any) -> str:
    """The name of an actor."""
    if type(value) is not str or not _ACTOR_NAME.fullmatch(value):
        bad("not an actor's name", value)
    return value


def items(value: Any, most: int) -> list[Any]:
    """A list of bounded length."""
    if type(cast(object, value)) is not list:
        bad("not a list", value)
    if len(value) > most:
        bad("too long a list", len(value))
    return cast(list[Any], value)


def labels(value: Any) -> dict[str, str]:
    """Labels of a node: keys and values in turn."""
    flat = items(value, 2 * MAX_LABELS)
    found = {
        text(key, MAX_LABEL_CHARS): text(each)
        for key, each in zip(flat[::2], flat[1::2], strict=False)
    }
    if 2 * len(found) != len(flat) or "" in found:
        bad("not labels", value)
    return found


def addr(value: Any) -> str:
    """``HOST:PORT`` of one node: no port 0, no wildcard, broadcast or multicast address."""
    if type(value) is not str or len(value) > MAX_ADDR_CHARS or not is_node_address(value):
        bad("not an address of a node", value)
    return value


@lru_cache(maxsize=2048)
def is_node_address(value: str) -> bool:
    """Whether one node can be meant by ``HOST:PORT``."""
    host, _, port = value.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535 or not host.isascii():
        return False
    if host.startswith("["):
        return host.endswith("]") and _is_ipv6_host(host[1:-1])
    if _NUMERIC_END.fullmatch(host):
        return _is_ipv4_host(host)
    return _HOST_NAME.fullmatch(host) is not None


def _is_ipv4_host(host: str) -> bool:
    match = _IPV4.fullmatch(host)
    if match is None:
        return False
    first, *rest = (int(part) for part in match.groups())
    # 0/8 is "this network", 224/4 multicast, 240/4 reserved, with the broadcast address.
    return 0 < first < 224 and all(part <= 255 for part in rest)


def _is_ipv6_host(host: str) -> bool:
    """RFC 4291 2.2, without the unspecified address and multicast (2.5.2, 2.7)."""
    head, colons, tail = host.rpartition(":")
    if colons and "." in tail:  # the last 32 bits as an IPv4 address
        if not _is_ipv4_host(tail):
            return False
        host = f"{head}:1:1"
    left, gap, right = host.partition("::")
    groups = [each for side in (left, right) if side for each in side.split(":")]
    if not all(_GROUP.fullmatch(each) for each in groups):
        return False
    if (gap and len(groups) > 7) or (not gap and len(groups) != 8):
        return False
    is_multicast = bool(left) and int(groups[0], 16) >> 8 == 0xFF
    return any(int(each, 16) for each in groups) and not is_multicast
