"""What a network does to octets, as values, and the decision when which of them arrive.

Pure: `Lane` takes ``now`` and dice as arguments. ``relay`` moves the octets.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

SEGMENT_BYTES: Final = 1400
"""What one packet carries, for the share of them that is lost."""
RETRANSMISSION_S: Final = 0.2
"""The shortest retransmission timeout of TCP on Linux (RFC 6298 2.4 allows it); it doubles."""
_MAX_RETRANSMISSIONS: Final = 6


class Direction(Enum):
    """Which way octets go through a proxy."""

    TO_TARGET = "to the target"
    FROM_TARGET = "from the target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What happens to octets in one direction.

    Attributes:
        delay_s: each arrives so much later.
        jitter_s: and up to so much later still, at random; the order is kept.
        bytes_per_s: no more than so many pass; ``None``: as many as come.
        lost: share of packets that are lost. TCP sends a lost packet again, so what an application
            sees of it is a delay of 0.2 s and more.
        corrupted: share of the pieces that arrive with one bit turned over.
        cut: nothing arrives, the end of the connection neither; what was sent meanwhile arrives
            once it is over. A partition, as two applications see it.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    lost: float = 0.0
    corrupted: float = 0.0
    cut: bool = False

    def __post_init__(self) -> None:
        for name in ("delay_s", "jitter_s"):
            if not 0 <= getattr(self, name) < 1e6:
                raise ValueError(f"{name}: {getattr(self, name)} is not a number of seconds")
        if self.bytes_per_s is not None and not self.bytes_per_s > 0:
            raise ValueError(f"bytes_per_s: {self.bytes_per_s} lets nothing pass; cut=True does so")
        for name in ("lost", "corrupted"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is no share; expected 0 to 1")
        if self.lost == 1:
            raise ValueError("lost: 1 loses everything; cut=True does so")


NO_FAULTS: Final = Faults()


class Lane:
    """Decides when the octets of one direction of one connection arrive, and as what.

    Octets arrive in the order in which they came, each once. An empty piece is the end.

    Args:
        dice: for jitter, loss and corruption.
    """

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0
        self.waiting_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Nothing waits."""
        return not self._waiting

    def put(self, data: bytes, faults: Faults, now: float) -> None:
        """Octets came in; an empty piece says that there will be no more."""
        due = now + faults.delay_s
        if faults.jitter_s:
            due += self._dice.uniform(0.0, faults.jitter_s)
        if data:
            due += self._retransmissions_s(len(data), faults.lost)
        due = max(due, self._last_due)
        if faults.bytes_per_s is not None:
            due += len(data) / faults.bytes_per_s
        if data and faults.corrupted and self._dice.random() < faults.corrupted:
            data = self._corrupted(data)
        self._last_due = due
        self._waiting.append((due, data))
        self.waiting_bytes += len(data)

    def take(self, faults: Faults, now: float) -> list[bytes]:
        """What arrives now."""
        arrived: list[bytes] = []
        if not faults.cut:
            while self._waiting and self._waiting[0][0] <= now:
                arrived.append(self._waiting.popleft()[1])
                self.waiting_bytes -= len(arrived[-1])
        return arrived

    def next_due(self, faults: Faults) -> float | None:
        """When `take` has something next, in the clock of ``now``; None: not by itself."""
        return self._waiting[0][0] if self._waiting and not faults.cut else None

    def _retransmissions_s(self, size: int, lost: float) -> float:
        """How much later a piece is complete because some of its packets had to be sent again."""
        if not lost:
            return 0.0
        late = 0.0
        for _ in range(-(-size // SEGMENT_BYTES)):
            wait, packet = RETRANSMISSION_S, 0.0
            for _ in range(_MAX_RETRANSMISSIONS):
                if self._dice.random() >= lost:
                    break
                packet += wait
                wait *= 2
            late = max(late, packet)
        return late

    def _corrupted(self, data: bytes) -> bytes:
        position = self._dice.randrange(len(data))
        turned = data[position] ^ (1 << self._dice.randrange(8))
        return data[:position] + bytes((turned,)) + data[position + 1 :]
