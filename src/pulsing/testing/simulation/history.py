"""What happened, as a hash that tells two runs apart, and the last of it in words."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b

from pulsing.cluster.effects import Effect
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    RequestReceived,
    SeedsResolved,
    StallEnded,
    Stimulus,
)

from .process import Process

_CODES: dict[type, int] = {
    kind: code
    for code, kind in enumerate(
        (
            DeadlineReached,
            RequestReceived,
            AnswerReceived,
            RequestFailed,
            LinkLost,
            SeedsResolved,
            NameRegistered,
            NameUnregistered,
            StallEnded,
            LeaveRequested,
        )
    )
}
Step = tuple[float, Process, Stimulus | str, Sequence[Effect]]
"""When, who, what happened to it, and what it decided."""
_REMEMBERED = 40
_CHUNKS = 2048
_pack = struct.Struct("<dII").pack


class SafetyViolation(AssertionError):
    """Something happened in a simulation that never must.

    Attributes:
        rule: what was broken.
        at_s: when, in simulated seconds.
        replay: the command that shows it again.
    """

    def __init__(self, rule: str, at_s: float, replay: str, recent: Sequence[str] = ()) -> None:
        lines = [f"at {at_s:.6f} s: {rule}", f"again: {replay}"]
        if recent:
            lines += ["what happened last:", *(f"  {line}" for line in recent)]
        super().__init__("\n".join(lines))
        self.rule = rule
        self.at_s = at_s
        self.replay = replay


class History:
    """Everything that was given to a core and everything that was sent, in order.

    Args:
        replay: gives the command that runs the same again.
    """

    __slots__ = ("_chunks", "_hash", "_recent", "_replay", "events")

    def __init__(self, replay: Callable[[], str]) -> None:
        self._replay = replay
        self._hash = blake2b(digest_size=16)
        self._chunks: list[bytes] = []
        self._recent: deque[Step] = deque(maxlen=_REMEMBERED)
        self.events = 0

    def handled(self, at: float, process: Process, stimulus: Stimulus) -> None:
        """A core is about to be told something."""
        self.events += 1
        self._chunks.append(_pack(at, process.serial, _CODES[type(stimulus)]))
        if len(self._chunks) >= _CHUNKS:
            self._flush()

    def sent(self, body: bytes) -> None:
        """A message leaves."""
        self._chunks.append(body)

    def decided(self, step: Step) -> None:
        """Remember a step for a while, so that a violation can tell what led to it."""
        self._recent.append(step)

    def digest(self) -> str:
        """Of the history so far; equal for equal seeds, in every process."""
        self._flush()
        return self._hash.hexdigest()

    def violation(self, rule: str, at: float) -> SafetyViolation:
        """The error that says what was broken and how to see it again."""
        recent = [
            f"{when:.6f} {process}: {_short(stimulus)} -> {', '.join(map(_short, effects)) or '-'}"
            for when, process, stimulus, effects in self._recent
        ]
        return SafetyViolation(rule, at, self._replay(), recent)

    def _flush(self) -> None:
        self._hash.update(b"".join(self._chunks))
        self._chunks.clear()


def _short(what: object) -> str:
    text = str(what)
    return text if len(text) <= 160 else f"{text[:150]}... ({len(text)} characters)"
