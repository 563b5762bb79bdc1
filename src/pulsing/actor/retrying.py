"""Calls of idempotent methods: repeated, when the connection or the actor was lost on the way.

Only what ``@pul.method(idempotent=True)`` declares is ever sent again after it may have been
delivered. All attempts of a call share its deadline and its key, by which the callee recognises
what it has run already (`pulsing.actor.once`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pulsing import chance, clock
from pulsing.actor.call import DEFAULT_TIMEOUT, Call
from pulsing.actor.deadline import call_deadline
from pulsing.actor.failover import can_be_sent_again
from pulsing.errors import (
    ActorStopped,
    ConnectionLost,
    Delivery,
    NodeUnreachable,
    PulsingRuntimeError,
)
from pulsing.wire.failures import came_from_actor

if TYPE_CHECKING:
    from pulsing.actor.call import Items, Sent, Target, Waiting
    from pulsing.actor.dispatcher import Dispatcher

FIRST_PAUSE_S: Final = 0.05
"""Before the first repetition; each pause is twice the one before, with jitter."""
LONGEST_PAUSE_S: Final = 2.0
_KEY_OCTETS: Final = 12


class KeyedCall(Call[Any]):
    """One attempt of a call, with the key of all its attempts."""

    __slots__ = ("_key",)

    def __init__(self, target: Target, call: Call[Any], key: bytes) -> None:
        super().__init__(target, call.method, call.args, call.kwargs)
        self.buffer = call.buffer
        self._key = key

    @property
    def key(self) -> bytes:
        """See `Call`."""
        return self._key


def may_be_repeated(error: PulsingRuntimeError) -> bool:
    """Whether the same call may go well another time, as its actor or its node may be back."""
    if came_from_actor(error):
        return False
    if isinstance(error, ActorStopped):
        return error.delivered is not Delivery.NO  # a restart; otherwise it has stopped for good
    return isinstance(error, ConnectionLost | NodeUnreachable)


def pause_s(attempt: int, dice: float) -> float:
    """How long to wait after a failed attempt.

    Args:
        attempt: 0 for the first.
        dice: from 0 to 1, so that not all who failed at once come back at once.
    """
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 16))
    return longest * (0.5 + dice / 2)


class RetryingTarget:
    """A target whose asks are repeated. See `pulsing.actor.call.Target`."""

    __slots__ = ("dispatcher", "retries", "target")

    def __init__(self, target: Target, retries: int, dispatcher: Dispatcher) -> None:
        self.target = target
        self.retries = retries
        self.dispatcher = dispatcher

    def start_ask(self, call: Call[Any]) -> RetryingReply:
        """See `Target.start_ask`."""
        return RetryingReply(self, call)

    def start_items(self, call: Call[Any]) -> Items:
        """See `Target.start_items`."""
        return self.target.start_items(call)

    def start_get(self, call: Call[Any]) -> Waiting:
        """See `Target.start_get`."""
        return self.target.start_get(call)

    def tell(self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None) -> Sent:
        """See `Target.tell`. Nobody waits for it, so nobody sends it again."""
        return self.target.tell(method, args, kwargs)


class RetryingReply:
    """The answer to a call that is repeated if need be."""

    __slots__ = ("_call", "_key", "_reply", "_target", "deadline")

    def __init__(self, target: RetryingTarget, call: Call[Any]) -> None:
        timeout = call.timeout
        if timeout is DEFAULT_TIMEOUT:
            timeout = target.dispatcher.default_timeout_s
        self.deadline = call_deadline(timeout)
        self._target = target
        self._call = call
        self._key = bytes.fromhex(chance.token_hex(_KEY_OCTETS))
        self._reply = self._attempt()

    def _attempt(self) -> Waiting:
        call = self._call
        target = self._target.target
        attempt = KeyedCall(target, call, self._key)
        deadline = self.deadline
        attempt.timeout = None if deadline is None else max(0.0, deadline - clock.monotonic())
        return target.start_ask(attempt)

    def wait(self) -> Generator[Any, None, Any]:
        """Sleep until an attempt is answered; raise the error of the last one."""
        target = self._target
        for attempt in range(target.retries):
            try:
                return (yield from self._reply.wait())
            except PulsingRuntimeError as error:
                pause = pause_s(attempt, chance.dice().random())
                if not self._goes_on(error, pause):
                    raise
            target.dispatcher.counters.repeated += 1
            yield from asyncio.sleep(pause).__await__()
            self._reply = self._attempt()
        return (yield from self._reply.wait())

    __await__ = wait

    def _goes_on(self, error: PulsingRuntimeError, pause: float) -> bool:
        deadline = self.deadline
        if deadline is not None and clock.monotonic() + pause >= deadline:
            return False
        call = self._call
        values = call.args if call.kwargs is None else (*call.args, *call.kwargs.values())
        return may_be_repeated(error) and can_be_sent_again(values, error)
