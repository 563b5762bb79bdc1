"""When a call may be made again elsewhere: only if it certainly has not begun."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Final, cast

from pulsing.actor.message import StreamMessage
from pulsing.errors import (
    ActorNotFound,
    ActorStopped,
    ConnectionLost,
    Delivery,
    NodeUnreachable,
)
from pulsing.wire.failures import came_from_actor

_ELSEWHERE: Final = (NodeUnreachable, ConnectionLost, ActorNotFound, ActorStopped)
_DEPTH: Final = 4


def nothing_was_delivered(error: BaseException) -> bool:
    """Whether a call failed before its actor got it, in a way in which another one may not fail.

    An error that the code of an actor raised is none of these, whatever its class: the code ran.
    """
    return (
        isinstance(error, _ELSEWHERE)
        and error.delivered is Delivery.NO
        and not came_from_actor(error)
    )


def can_be_sent_again(arguments: Iterable[Any], error: BaseException) -> bool:
    """Whether the arguments of a failed call are still whole: a stream may have been begun."""
    return isinstance(error, NodeUnreachable) or not any(_streams(each) for each in arguments)


def _streams(value: object, depth: int = _DEPTH) -> bool:
    if isinstance(value, AsyncIterable | StreamMessage):
        return True
    if depth and isinstance(value, Mapping):
        held: Iterable[object] = cast("Mapping[object, object]", value).values()
    elif depth and isinstance(value, list | tuple | set | frozenset):
        held = cast("Iterable[object]", value)
    else:
        return False
    return any(_streams(each, depth - 1) for each in held)
