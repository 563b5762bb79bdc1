"""One execution for each idempotency key: the callee's half of calls that are repeated.

A call of an idempotent method that another node may repeat has a key. The first message with a key
runs; those that come while it runs wait for its answer, and those that come later get the same one,
byte for byte. A lost connection does not cancel what runs: the caller is expected back. A caller
that takes the call back does.

What is kept is bounded for each actor: in number, in bytes, and in time. An execution that the
framework ended (the actor stopped or was restarted, the deadline passed) is forgotten, so that the
next message with its key runs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from pulsing import clock
from pulsing.actor.local import LocalAsk
from pulsing.actor.message import StreamMessage
from pulsing.errors import PulsingRuntimeError, WireError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.remote_server import RemoteInvocation
    from pulsing.transport.streams import Body

KEY: Final = "k"
"""Where the key travels in the ``meta`` of a call."""
MAX_ANSWERS: Final = 1024
"""Answers kept for one actor."""
MAX_BYTES: Final = 16 << 20
"""Bytes of the answers kept for one actor."""
KEEP_S: Final = 60.0
"""Seconds for which the answer to a call without deadline is kept."""
_MAX_KEY_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered: its status is None when it went well."""

    status: int | None
    body: bytes
    until: float


class Answers:
    """The answers of one actor, by key, the latest used last; and what runs."""

    __slots__ = ("_bytes", "_kept", "running")

    def __init__(self) -> None:
        self.running: dict[tuple[bytes, str], Execution] = {}
        self._kept: OrderedDict[tuple[bytes, str], Answer] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Of all answers that are kept."""
        return self._bytes

    def find(self, key: tuple[bytes, str], now: float) -> Answer | None:
        """The answer that was given before."""
        answer = self._kept.get(key)
        if answer is None:
            return None
        if answer.until <= now:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return answer

    def keep(self, key: tuple[bytes, str], answer: Answer, now: float) -> None:
        """Remember an answer, and forget what is over a bound."""
        self._kept[key] = answer
        self._bytes += len(answer.body)
        for old in [each for each, kept in self._kept.items() if kept.until <= now]:
            self._forget(old)
        while self._kept and (len(self._kept) > MAX_ANSWERS or self._bytes > MAX_BYTES):
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[bytes, str]) -> None:
        self._bytes -= len(self._kept.pop(key).body)


_answers: WeakKeyDictionary[Cell, Answers] = WeakKeyDictionary()


def answers_of(cell: Cell) -> Answers:
    """The answers of an actor."""
    found = _answers.get(cell)
    if found is None:
        found = _answers[cell] = Answers()
    return found


class Execution(LocalAsk):
    """The message that really runs. Its caller are all those that sent its key.

    Attributes:
        followers: who gets the answer.
    """

    __slots__ = ("_key", "followers")

    def __init__(self, first: RemoteInvocation, key: tuple[bytes, str]) -> None:
        super().__init__(first.cell, first.method, first.args, first.kwargs, first.deadline)
        self.meta = first.meta
        self.followers: list[RemoteInvocation] = [first]
        self._key = key

    def reply(self, value: Any) -> None:
        """See `Invocation.reply`."""
        if value.__class__ is StreamMessage:
            error = "the result of an idempotent method is kept, and a stream cannot be"
            self.fail(PulsingRuntimeError(error))
            return
        try:
            body = self.followers[0].connection.app.codec.encode(value) if self.followers else b""
        except WireError as error:
            self.fail(error)
        else:
            self._answer(None, body)

    def settle(self, value: Any) -> None:
        """See `Reply.settle`."""
        self.reply(value)

    def raised(self, error: BaseException) -> None:
        """See `Invocation.raised`."""
        if self.followers:
            self._answer(*self.followers[0].describe_raised(error))
        else:
            self._answer(500, b"")

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `Invocation.fail`: nothing is kept."""
        if self._ends():
            for follower in self.followers:
                follower.refuse(error)

    def left(self, follower: RemoteInvocation, *, comes_back: bool) -> None:
        """One that waited for the answer is gone.

        Args:
            follower: who.
            comes_back: its connection was lost: its caller may send the call again.
        """
        if comes_back:
            return
        self.followers.remove(follower)
        if not self.followers and self._ends():
            self.withdraw()

    def _answer(self, status: int | None, body: Body) -> None:
        if not self._ends():
            return
        whole = body if isinstance(body, bytes) else _joined(body)
        now = clock.monotonic()
        until = now + KEEP_S if self.deadline is None else self.deadline
        answer = Answer(status, whole, until)
        answers_of(self.cell).keep(self._key, answer, now)
        for follower in self.followers:
            give(follower, answer)

    def _ends(self) -> bool:
        """It has its answer now. False when it had one before."""
        self.caller = None
        if self.settled:
            return False
        self.settled = True
        answers_of(self.cell).running.pop(self._key, None)
        return True


def _joined(body: Body) -> bytes:
    """A copy: what is kept must not change with the actor's buffers."""
    return bytes(body if isinstance(body, bytes | bytearray) else b"".join(body))


def give(follower: RemoteInvocation, answer: Answer) -> None:
    """Answer a call as it, or one with its key, was answered."""
    if answer.status is None:
        follower.respond(answer.body)
    else:
        follower.respond_failure(answer.status, answer.body)


def run_once(invocation: RemoteInvocation, key: object) -> None:
    """Run a message from another node, or give it the answer of the one with the same key."""
    if not isinstance(key, bytes) or not 0 < len(key) <= _MAX_KEY_BYTES:
        invocation.refuse(WireError("an idempotency key is 1 to 64 bytes"))
        return
    cell = invocation.cell
    answers = answers_of(cell)
    full_key = (key, invocation.method.name)
    execution = answers.running.get(full_key)
    if execution is not None:
        execution.followers.append(invocation)
        invocation.execution = execution
        return
    answer = answers.find(full_key, clock.monotonic())
    if answer is not None:
        give(invocation, answer)
        return
    execution = answers.running[full_key] = Execution(invocation, full_key)
    invocation.execution = execution
    cell.deliver(execution)
