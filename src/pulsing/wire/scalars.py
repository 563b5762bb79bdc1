"""Leaf values that msgpack has no form for: each is one extension.

Packing works by the name of the class, so that nothing is imported for it: when a value of a class
exists, its module is imported already. Unpacking may import these modules of the standard library:
``decimal``, ``uuid``, ``pathlib``, ``zoneinfo``; never one that a peer names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from pulsing.errors import WireError
from pulsing.wire import _msgpack, tags
from pulsing.wire._msgpack import Ext
from pulsing.wire.refusal import UnsupportedType

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import PurePath
    from uuid import UUID

_COMPLEX: Final = Struct(">dd")
_TIMEDELTA: Final = Struct(">iii")
_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+\-]+(?:/[A-Za-z0-9_+\-]+)*")
_LONGEST_NUMBER: Final = 1 << 20


def pack_int(value: int) -> Ext:
    """Any integer beyond 64 bits: two's complement, big-endian."""
    size = value.bit_length() // 8 + 1
    return _msgpack.ext(tags.BIG_INT, value.to_bytes(size, "big", signed=True))


def _unpack_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _pack_complex(value: complex) -> Ext:
    return _msgpack.ext(tags.COMPLEX, _COMPLEX.pack(value.real, value.imag))


def _unpack_complex(data: bytes) -> complex:
    return complex(*_COMPLEX.unpack(data))


# Dates and times are their ISO text, the fold (PEP 495) before it and the name of the zone after.


def _pack_datetime(value: datetime) -> Ext:
    naive = value.replace(tzinfo=None).isoformat()
    return _msgpack.ext(tags.DATETIME, f"{value.fold}{naive} {_zone(value.tzinfo)}".encode())


def _unpack_datetime(data: bytes) -> datetime:
    text, _, zone = data.decode().partition(" ")
    return datetime.fromisoformat(text[1:]).replace(fold=int(text[0]), tzinfo=_unzone(zone))


def _pack_date(value: date) -> Ext:
    return _msgpack.ext(tags.DATE, value.isoformat().encode())


def _unpack_date(data: bytes) -> date:
    return date.fromisoformat(data.decode("ascii"))


def _pack_time(value: time) -> Ext:
    naive = value.replace(tzinfo=None).isoformat()
    return _msgpack.ext(tags.TIME, f"{value.fold}{naive} {_zone(value.tzinfo)}".encode())


def _unpack_time(data: bytes) -> time:
    text, _, zone = data.decode().partition(" ")
    return time.fromisoformat(text[1:]).replace(fold=int(text[0]), tzinfo=_unzone(zone))


def _pack_timedelta(value: timedelta) -> Ext:
    parts = _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)
    return _msgpack.ext(tags.TIMEDELTA, parts)


def _unpack_timedelta(data: bytes) -> timedelta:
    return timedelta(*_TIMEDELTA.unpack(data))


def _pack_zone(value: tzinfo) -> Ext:
    return _msgpack.ext(tags.TIMEZONE, _zone(value).encode())


def _unpack_zone(data: bytes) -> tzinfo | None:
    return _unzone(data.decode())


def _zone(zone: tzinfo | None) -> str:
    """A zone as text: empty for none, ``=IANA/Key``, ``microseconds`` or ``microseconds|name``."""
    if zone is None:
        return ""
    if type(zone) is timezone:
        offset, name = zone.utcoffset(None), zone.tzname(None)
        unnamed = name == timezone(offset).tzname(None)
        return f"{offset // timedelta(microseconds=1)}{'' if unnamed else '|' + name}"
    key = getattr(zone, "key", None)
    if _by_name(type(zone)) == "zoneinfo.ZoneInfo" and isinstance(key, str):
        return f"={key}"
    raise UnsupportedType(
        f"time zone of type {type(zone).__name__}; use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _unzone(text: str) -> tzinfo | None:
    if not text:
        return None
    if text[0] == "=":
        return _named_zone(text[1:])
    microseconds, named, name = text.partition("|")
    offset = timedelta(microseconds=int(microseconds[:24]))
    return timezone(offset, name) if named else timezone(offset)


def _named_zone(key: str) -> tzinfo:
    """A zone from the files of this system. ``ZoneInfo`` alone would import a package by key."""
    import zoneinfo

    if _ZONE_NAME.fullmatch(key) and any(_is_file(root, key) for root in zoneinfo.TZPATH):
        return zoneinfo.ZoneInfo(key)
    raise WireError(f"time zone {key[:80]!r} is not in the zone files of this system")


def _is_file(root: str, key: str) -> bool:
    import os.path

    return os.path.isfile(os.path.join(root, key))  # noqa: PTH113, PTH118 - root is a string


def _pack_decimal(value: Decimal) -> Ext:
    return _msgpack.ext(tags.DECIMAL, str(value).encode())


def _unpack_decimal(data: bytes) -> Decimal:
    from decimal import Decimal

    if len(data) > _LONGEST_NUMBER:
        raise WireError(f"a Decimal of {len(data)} characters is too long")
    return Decimal(data.decode("ascii"))


def _pack_uuid(value: UUID) -> Ext:
    return _msgpack.ext(tags.UUID, value.bytes)


def _unpack_uuid(data: bytes) -> UUID:
    from uuid import UUID

    return UUID(bytes=data)


def _pack_path(value: PurePath) -> Ext:
    # First the class: a concrete path of this system, or a pure one of either flavour.
    flavour = {"PurePosixPath": "p", "PureWindowsPath": "w"}.get(type(value).__name__, "c")
    return _msgpack.ext(tags.PATH, (flavour + str(value)).encode())


def _unpack_path(data: bytes) -> PurePath:
    import pathlib

    classes = {"p": pathlib.PurePosixPath, "w": pathlib.PureWindowsPath, "c": pathlib.Path}
    text = data.decode()
    return classes[text[0]](text[1:])


def _by_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


PACKERS: Final[dict[type, Callable[[Any], Ext]]] = {
    int: pack_int,
    complex: _pack_complex,
    datetime: _pack_datetime,
    date: _pack_date,
    time: _pack_time,
    timedelta: _pack_timedelta,
    timezone: _pack_zone,
}
PACKERS_BY_NAME: Final[dict[str, Callable[[Any], Ext]]] = {
    "decimal.Decimal": _pack_decimal,
    "uuid.UUID": _pack_uuid,
    "zoneinfo.ZoneInfo": _pack_zone,
    **{
        f"{module}.{name}": _pack_path
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}
UNPACKERS: Final[dict[int, Callable[[bytes], object]]] = {
    tags.BIG_INT: _unpack_int,
    tags.BYTEARRAY: bytearray,
    tags.COMPLEX: _unpack_complex,
    tags.DATETIME: _unpack_datetime,
    tags.DATE: _unpack_date,
    tags.TIME: _unpack_time,
    tags.TIMEDELTA: _unpack_timedelta,
    tags.TIMEZONE: _unpack_zone,
    tags.DECIMAL: _unpack_decimal,
    tags.UUID: _unpack_uuid,
    tags.PATH: _unpack_path,
}
