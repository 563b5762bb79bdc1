"""Requests of a core that are under way, and what to do with their outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from pulsing.errors import WireError

from .effects import Effect, SendRequest
from .message_codec import decode, encode
from .messages import Answer, Request
from .stimuli import AnswerReceived, Failure, RequestFailed

REQUEST_TIMEOUT_S: Final = 3.0

Answered: TypeAlias = Callable[[str, Request | Answer, float], list[Effect]]
"""Gets the node id of the peer, its answer, and now."""
Failed: TypeAlias = Callable[[Failure, str, float], list[Effect]]
"""Gets why there is no answer, for programs and for people, and now."""


class Asking:
    """Numbers requests, and calls back with each outcome: exactly once for each request."""

    __slots__ = ("_last", "_under_way")

    def __init__(self) -> None:
        self._last = 0
        self._under_way: dict[int, tuple[Answered, Failed]] = {}

    def ask(
        self,
        addr: str,
        message: Request,
        answered: Answered,
        failed: Failed,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> SendRequest:
        """Send a message to an address."""
        self._last += 1
        self._under_way[self._last] = (answered, failed)
        return SendRequest(self._last, addr, encode(message), timeout_s)

    def answer_received(self, stimulus: AnswerReceived, now: float) -> list[Effect]:
        """A request was answered. What is no message is as good as from a foreign node."""
        callbacks = self._under_way.pop(stimulus.exchange, None)
        if callbacks is None:
            return []
        answered, failed = callbacks
        try:
            message = decode(stimulus.body)
        except WireError as error:
            return failed(Failure.FOREIGN, str(error), now)
        return answered(stimulus.peer_id, message, now)

    def request_failed(self, stimulus: RequestFailed, now: float) -> list[Effect]:
        """A request has no answer."""
        callbacks = self._under_way.pop(stimulus.exchange, None)
        return [] if callbacks is None else callbacks[1](stimulus.failure, stimulus.text, now)
