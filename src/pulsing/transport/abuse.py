"""An allowance for frames that make work without carrying any (RFC 9113 10.5)."""

from __future__ import annotations

from .faults import FloodFault


class ControlBudget:
    """A token bucket: every control frame costs one; time and answered requests give them back.

    Two things cost more, because honest peers hardly do them: breaking a rule on a stream so that
    we reset it (CVE-2025-8671), and resetting more requests than were ever open at one time
    (CVE-2023-44487). A twentieth of the capacity, 1,000 by default, is allowed of each.

    Attributes:
        spent: tokens used since the last check.
    """

    __slots__ = ("_at", "_capacity", "_left", "_most_open", "_per_s", "_resets", "spent")

    def __init__(self, capacity: int, per_s: float, now: float) -> None:
        self._capacity = capacity
        self._per_s = per_s
        self._left = float(capacity)
        self._at = now
        self._resets = 0.0
        self._most_open = 0
        self.spent = 0

    def spend(self, tokens: int = 1) -> None:
        """One frame. Raises FloodFault when even a full bucket could not pay."""
        self.spent += tokens
        if self.spent > self._capacity:
            raise FloodFault("too many control frames (10.5)")

    def spend_fault(self) -> None:
        """A broken rule that cost the peer one stream. Raises FloodFault."""
        self.spend(20)

    def spend_reset(self, open_streams: int) -> None:
        """The peer reset one of ``open_streams`` streams. Raises FloodFault.

        Giving up everything that is open is honest, at any size. Opening streams only to reset
        them is not.
        """
        self._resets += 1
        self._most_open = max(self._most_open, open_streams)
        if self._resets > self._capacity / 20 + self._most_open:
            raise FloodFault("too many streams opened and reset (10.5)")

    def check(self, now: float, useful: int) -> None:
        """Settle what was spent. Raises FloodFault when the bucket is empty.

        Args:
            now: in seconds, on the clock of all calls.
            useful: requests answered since the last check.
        """
        earned = (now - self._at) * self._per_s + max(0, useful)
        self._left = min(self._capacity, self._left + earned) - self.spent
        self._at = now
        self.spent = 0
        self._resets = max(0.0, self._resets - earned)
        if not self._resets:
            self._most_open = 0
        if self._left < 0:
            raise FloodFault("too many control frames (10.5)")
