"""The network between simulated nodes: how long a message takes, and whether it arrives.

Ends are numbered by slot: a place with an address, which one process after another may have.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

Cut = tuple[int, int]


class Network:
    """Latency, loss and cuts. Draws from its generator in the order of the calls.

    Args:
        rng: its dice.
        latency_s: the shortest and the longest time of a message, evenly spread.
        loss: the fraction of messages that vanish, each way.

    Attributes:
        loss: as above; may be changed at any time.
    """

    __slots__ = ("_base", "_cuts", "_groups", "_random", "_slow", "_spread", "loss")

    def __init__(
        self, rng: Random, *, latency_s: tuple[float, float] = (0.0002, 0.002), loss: float = 0.0
    ) -> None:
        shortest, longest = latency_s
        if not 0 < shortest <= longest:
            raise ValueError(f"latency_s: {latency_s}; expected 0 < shortest <= longest")
        if not 0 <= loss < 1:
            raise ValueError(f"loss: {loss}; expected a fraction from 0 to below 1")
        self._random = rng.random
        self._base = shortest
        self._spread = longest - shortest
        self.loss = loss
        self._groups: dict[int, int] = {}
        self._cuts: set[Cut] = set()
        self._slow: dict[Cut, float] = {}

    def delay(self, sender: int, receiver: int) -> float | None:
        """Seconds that a message from one slot to another takes; None: it is lost."""
        if self.loss and self._random() < self.loss:
            return None
        taken = self._base + self._spread * self._random()
        if self._groups or self._cuts or self._slow:
            if self.is_cut(sender, receiver):
                return None
            taken += self._slow.get((sender, receiver), 0.0)
        return taken

    def is_cut(self, sender: int, receiver: int) -> bool:
        """Nothing gets from one slot to another, whatever the dice say."""
        return (sender, receiver) in self._cuts or self.is_parted(sender, receiver)

    def is_parted(self, one: int, other: int) -> bool:
        """Two slots are in different groups of a partition: nobody can mediate between them."""
        groups = self._groups
        return bool(groups) and groups.get(one) != groups.get(other)

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        """Let only slots of one group reach each other. Those in none form a group of their own."""
        self._groups = {slot: number for number, group in enumerate(groups, 1) for slot in group}

    def cut(self, sender: int, receiver: int, *, one_way: bool = False) -> None:
        """Lose what goes from one slot to another, and back."""
        self._cuts.add((sender, receiver))
        if not one_way:
            self._cuts.add((receiver, sender))

    def slow_down(self, sender: int, receiver: int, seconds: float) -> None:
        """Let messages between two slots take longer, both ways; 0 ends it."""
        for pair in ((sender, receiver), (receiver, sender)):
            if seconds > 0:
                self._slow[pair] = seconds
            else:
                self._slow.pop(pair, None)

    def heal(self) -> None:
        """End partitions, cuts and slow pairs; loss stays."""
        self._groups.clear()
        self._cuts.clear()
        self._slow.clear()
