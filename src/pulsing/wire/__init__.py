"""Values to bytes and back, safe by default.

Owns the format of messages, the types that travel, their limits, and the form in which failures
travel. Must not know connections, actors, event loops or time. Nothing that arrives imports a
module or runs code, unless pickle was allowed.

Reading order: ``container`` (the format), ``tags`` (extensions), ``limits``, ``encoder`` with
``buffers``, ``decoder``, ``codec``; then the types: ``scalars``, ``arrays``, ``kinds``,
``registry``, ``lookup``, ``exceptions``; then ``failures``, ``failure_text`` and ``duals``.
"""

from pulsing.wire.codec import Codec
from pulsing.wire.container import Body, body_size
from pulsing.wire.decoder import StreamSlot
from pulsing.wire.limits import WireLimits
from pulsing.wire.refusal import CALL, UnsupportedType
from pulsing.wire.registry import register, register_reference

__all__ = [
    "CALL",
    "Body",
    "Codec",
    "StreamSlot",
    "UnsupportedType",
    "WireLimits",
    "body_size",
    "register",
    "register_reference",
]
