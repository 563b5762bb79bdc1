"""Which instance of a service gets a call: policies, as users name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import Any, Protocol


class Policy(Protocol):
    """Picks one of many."""

    def pick(self, candidates: Sequence[Any], rng: Random) -> Any:
        """The one that gets a call."""
        ...


class RoundRobin:
    """Each in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def pick(self, candidates: Sequence[Any], rng: Random) -> Any:
        """See `Policy.pick`."""
        self._turn += 1
        well = [each for each in candidates if not (each.busy or each.suspect)] or candidates
        return well[self._turn % len(well)]


class RendezvousHash:
    """Always the same for a key."""

    def __init__(self, key: str) -> None:
        self.key = key

    def pick(self, candidates: Sequence[Any], rng: Random) -> Any:
        """See `Policy.pick`."""
        return max(
            candidates,
            key=lambda each: hashlib.blake2b(f"{self.key}/{each.node_id}".encode()).digest(),
        )


def policy_of(policy: Policy | str | None) -> Policy:
    """The policy that is meant."""
    return RoundRobin() if policy is None or isinstance(policy, str) else policy
