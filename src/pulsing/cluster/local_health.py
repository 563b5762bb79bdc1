"""How much a member trusts its own view: Lifeguard's local health multiplier.

A member that is slow itself misses answers that came in time, and would blame others. Each sign
of that raises a counter, each answer in time lowers it, and its own timeouts are stretched by it.

Source: Lifeguard (Dadgar, Phillips, Currey 2018) 4.A, "Local Health Aware Probe".
"""

from __future__ import annotations


class LocalHealth:
    """A counter from 0, healthy, to a bound.

    Attributes:
        score: the counter.
    """

    __slots__ = ("_most", "score")

    def __init__(self, most: int) -> None:
        """At ``most`` no further sign makes it worse; 0 switches it off."""
        self._most = most
        self.score = 0

    @property
    def multiplier(self) -> int:
        """By what to stretch timeouts: from 1 on."""
        return self.score + 1

    def better(self) -> None:
        """An answer came in time."""
        if self.score:
            self.score -= 1

    def worse(self, by: int = 1) -> None:
        """A sign that this node itself is slow: a nack is missing, or it had to refute."""
        self.score = min(self.score + by, self._most)
