"""Which of the instances of a name gets a call.

Instances on busy and suspect nodes are set aside first, unless there are no others (`choose`); the
policy picks one of the rest. A policy of your own is any object with `Policy.pick`.

Source: power of two choices: Mitzenmacher 2001; rendezvous hashing: Thaler, Ravishankar 1998;
bounded loads: Mirrokni, Thorup, Zadimoghaddam 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import Final, Protocol, TypeVar, runtime_checkable

from .members import Registration


class Candidate(Protocol):
    """One instance, as a policy sees it."""

    @property
    def registration(self) -> Registration:
        """Its name, node, number and class."""
        ...

    @property
    def node_id(self) -> str:
        """The node it lives on."""
        ...

    @property
    def is_local(self) -> bool:
        """It lives on this node."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls of this node it has not answered yet."""
        ...

    @property
    def busy(self) -> bool:
        """Its node said that its loop is stalled."""
        ...

    @property
    def suspect(self) -> bool:
        """Somebody did not hear from its node in time."""
        ...


C = TypeVar("C", bound=Candidate)


@runtime_checkable
class Policy(Protocol):
    """Picks one of several instances. May keep a state; is called on the loop, for every call."""

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """The instance for the next call.

        Args:
            candidates: at least one, in order of node id. Not to be changed or kept.
            rng: for whatever is left to chance, so that a test can repeat it.

        Returns:
            One of the candidates.
        """
        ...


class RoundRobin:
    """Each in turn; the default. Begins anywhere, so that many callers do not begin alike."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = -1

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """See `Policy.pick`."""
        if self._turn < 0:
            self._turn = int(rng.random() * len(candidates))
        else:
            self._turn += 1
        return candidates[self._turn % len(candidates)]


class RandomChoice:
    """Any, each as likely as the others."""

    __slots__ = ()

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """See `Policy.pick`."""
        return candidates[int(rng.random() * len(candidates))]


class LocalFirst:
    """The one on this node; if there is none, the others in turn."""

    __slots__ = ("_others",)

    def __init__(self) -> None:
        self._others = RoundRobin()

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """See `Policy.pick`."""
        for each in candidates:
            if each.is_local:
                return each
        return self._others.pick(candidates, rng)


class LeastInFlight:
    """The one with the fewest unanswered calls of this node; of several such, any."""

    __slots__ = ()

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """See `Policy.pick`."""
        loads = [each.in_flight for each in candidates]
        least = min(loads)
        count = loads.count(least)
        at = loads.index(least)
        for _ in range(int(rng.random() * count) if count > 1 else 0):
            at = loads.index(least, at + 1)
        return candidates[at]


class PowerOfTwoChoices:
    """The less loaded of two taken at random: nearly as even as the least loaded of all.

    With several callers it is steadier: they do not all rush at the same idle instance.
    """

    __slots__ = ()

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """See `Policy.pick`."""
        count = len(candidates)
        if count == 1:
            return candidates[0]
        first = int(rng.random() * count)
        second = int(rng.random() * (count - 1))
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        return one if one.in_flight <= other.in_flight else other


@lru_cache(maxsize=8192)
def _score(key: str, node_id: str) -> bytes:
    """How much a key prefers a node: the same on every node and in every release."""
    text = node_id.encode() + key.encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).digest()


class RendezvousHash:
    """The same instance for the same key, on every node, as long as it is there.

    When an instance comes or goes, only the keys that it wins or had move. One that has much more
    to do than the others is passed over: the key goes to the next in its order of preference.
    """

    __slots__ = ("key", "load_factor")

    def __init__(self, key: str | None = None, *, load_factor: float | None = 1.25) -> None:
        """A policy for one key.

        Args:
            key: what the calls are about: a session, a user, a prefix of a prompt.
            load_factor: how many times the mean of calls in flight an instance may have, this call
                counted. Lower is more even, and moves keys more often; None: no bound.

        Raises:
            ValueError: ``load_factor`` is not above 1.
        """
        if load_factor is not None and not 1 < load_factor < math.inf:
            raise ValueError(
                f"load_factor {load_factor} must be above 1, the mean itself; None for no bound"
            )
        self.key = key
        self.load_factor = load_factor

    def with_key(self, key: str) -> RendezvousHash:
        """The same for another key."""
        return RendezvousHash(key, load_factor=self.load_factor)

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        """See `Policy.pick`.

        Raises:
            ValueError: there is no key.
        """
        if self.key is None:
            raise ValueError(
                "the policy 'hash' needs a key: use RendezvousHash(key), or with_key(key)"
            )
        key = self.key
        best: C | None = None
        best_score = b""
        allowed = self._allowed(candidates)
        for each in candidates:
            if each.in_flight < allowed:
                score = _score(key, each.node_id)
                if score > best_score or best is None:
                    best, best_score = each, score
        assert best is not None, "not all can be above the mean"
        return best

    def _allowed(self, candidates: Sequence[Candidate]) -> float:
        """An instance with as many calls in flight, or more, gets no other one."""
        if self.load_factor is None:
            return math.inf
        total = 1
        for each in candidates:
            total += each.in_flight
        return math.ceil(self.load_factor * total / len(candidates))


DEFAULT_POLICY: Final = "round_robin"

POLICIES: Final[Mapping[str, Callable[[], Policy]]] = {
    "round_robin": RoundRobin,
    "random": RandomChoice,
    "local_first": LocalFirst,
    "least_in_flight": LeastInFlight,
    "power_of_two": PowerOfTwoChoices,
    "hash": RendezvousHash,
}
"""The policies by the names under which arguments and configuration take them."""

_NAMES: Final[Mapping[object, str]] = {kind: name for name, kind in POLICIES.items()}


def policy_of(policy: Policy | str | None) -> Policy:
    """A policy, from whatever users may say.

    Args:
        policy: an object with ``pick``; a name of `POLICIES` (``-`` is as good as ``_``), for a new
            one of that kind; None for the default.

    Raises:
        ValueError: no policy has this name.
        TypeError: it is no policy.
    """
    if policy is None:
        return POLICIES[DEFAULT_POLICY]()
    if isinstance(policy, str):
        make = POLICIES.get(policy.replace("-", "_"))
        if make is None:
            raise ValueError(f"no policy {policy!r}; there are {', '.join(POLICIES)}")
        return make()
    if isinstance(policy, type):
        raise TypeError(f"policy={policy.__name__} is a class; give an object: {policy.__name__}()")
    if not isinstance(policy, Policy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"policy={policy!r} is no policy: it needs pick(candidates, rng), or be one of "
            f"{', '.join(POLICIES)}"
        )
    return policy


def name_of(policy: Policy) -> str | None:
    """The name of `POLICIES` for a policy of ours; None for a user's own."""
    return _NAMES.get(type(policy))


def choose(policy: Policy, candidates: Sequence[C], rng: Random) -> C:
    """The instance for the next call: of those that are well, if any are.

    Args:
        policy: picks.
        candidates: at least one.
        rng: for the policy.

    Raises:
        TypeError: a user's own policy returned something else.
    """
    for each in candidates:
        if each.busy or each.suspect:
            candidates = [one for one in candidates if not (one.busy or one.suspect)] or candidates
            break
    picked = policy.pick(candidates, rng)
    if type(policy) not in _NAMES and not any(each is picked for each in candidates):
        raise TypeError(
            f"{type(policy).__name__}.pick returned {picked!r}, which is none of the "
            f"{len(candidates)} candidates"
        )
    return picked
