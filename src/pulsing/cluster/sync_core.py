"""Anti-entropy: from time to time two nodes compare what they know, and exchange what differs.

Gossip reaches nearly everybody; this finds the rest, and merges partitions. Once per interval one
digest goes to a random member (Compare). If it has another, the digests of its buckets come back,
and the members of the buckets that differ are exchanged, both ways, in as many rounds as the bound
of messages asks for (Exchange). Parts of the registry that are behind are pulled (`pulls`).

In: `Sync.tick` at `Sync.next_deadline`; what others ask (`Sync.answer`); what came of own requests
(`Sync.answered`, `Sync.failed`); that something may differ (`Sync.hurry`), or does (`Sync.pull`).
Out: requests and answers, claims to learn, news to pass on.

Invariants: one comparison of this node at a time; no message above ``max_message_bytes``; when
nothing differs, a comparison costs the same whatever the number of members. While comparisons find
differences, the pause before the next one is short, and grows up to the interval.

Source: push-pull and its place beside rumours: Demers et al., Epidemic Algorithms (1987) 1.3.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple

from .claims import Claim
from .exchanges import Exchanges
from .member_table import MemberTable
from .messages import (
    Answer,
    Buckets,
    Compare,
    Exchange,
    Page,
    Pull,
    RegistryDelta,
    Request,
    Same,
)
from .pulls import Pulls
from .registry_core import Registry
from .settings import SwimSettings
from .table_digest import TableDigest

_FIRST_PAUSE_S: Final = 0.5
_PAUSE_GROWTH: Final = 1.5
_SHORTEST_PAUSE_S: Final = 0.2
_JITTER: Final = 0.25
_MAX_ROUNDS: Final = 512


class SyncStep(NamedTuple):
    """What follows from an answer.

    Attributes:
        claims: to learn, before anything else.
        follow_ups: to ask the same node next.
        news: to pass on: parts of the registry that were pulled because news told of them.
    """

    claims: tuple[Claim, ...] = ()
    follow_ups: tuple[Request, ...] = ()
    news: tuple[RegistryDelta, ...] = ()


_NOTHING: Final = SyncStep()


@dataclass(slots=True)
class _Comparison:
    """The comparison under way.

    Attributes:
        peer: with whom.
        request: what it was asked last.
        remaining: the buckets that differ and were not exchanged yet, in order.
        rounds: how many requests it took so far.
    """

    peer: str
    request: Request
    remaining: list[int]
    rounds: int = 1


class Sync:
    """Anti-entropy of one node."""

    def __init__(
        self, table: MemberTable, registry: Registry, settings: SwimSettings, rng: random.Random
    ) -> None:
        """Nothing is due before the first `hurry` or `tick`.

        Args:
            table: the members; its ``touched`` belongs to this object.
            registry: the names; likewise.
            settings: intervals and bounds.
            rng: for the choice of members and moments.
        """
        self._table = table
        self._registry = registry
        self._rng = rng
        self._interval_s = settings.sync_interval_s
        self._max_bytes = settings.max_message_bytes
        self._own_id = table.self_member.node_id
        self._digest = TableDigest(table, registry)
        self._exchanges = Exchanges(
            table, registry, self._digest, max_bytes=settings.max_message_bytes, rng=rng
        )
        self._pulls = Pulls(table, registry, settings.max_piggyback_bytes // 2)
        self._comparison: _Comparison | None = None
        self._compare_at: float | None = None
        self._compared_at = -inf
        self._pause_s = _FIRST_PAUSE_S
        self._next_peer: str | None = None

    def root(self) -> int:
        """The digest of all that is compared: equal on nodes that agree."""
        return self._digest.root()

    # --- when

    def next_deadline(self) -> float:
        """When `tick` has something to do: -inf at the very first; inf while it waits."""
        if self._comparison is not None:
            return self._pulls.due
        compare_at = -inf if self._compare_at is None else self._compare_at
        return min(self._pulls.due, compare_at)

    def tick(self, now: float) -> tuple[str, Request] | None:
        """Whom to ask what. To be called until it is None."""
        if self._pulls.due <= now and (begun := self._pulls.begin(now)) is not None:
            return begun
        if self._compare_at is None:
            self._compare_at = now + self._interval_s * self._rng.random()
        if self._comparison is not None or self._compare_at > now:
            return None
        peer = self._pick_peer()
        if peer is None:
            self._compare_later(now, self._interval_s)
            return None
        request = Compare(self._digest.root())
        self._comparison = _Comparison(peer, request, [])
        self._compared_at = now
        self._compare_at = inf
        return peer, request

    def hurry(self, now: float, peer: str | None = None) -> None:
        """Compare soon: this node joined, two clusters merged, or something was missed.

        Args:
            now: the time.
            peer: with whom, if it is present then.
        """
        self._pause_s = _FIRST_PAUSE_S
        self._next_peer = peer if peer is not None else self._next_peer
        soon = max(now, self._compared_at + _SHORTEST_PAUSE_S)
        if self._compare_at is None or soon < self._compare_at:
            self._compare_at = soon

    def _pick_peer(self) -> str | None:
        peer, self._next_peer = self._next_peer, None
        member = self._table.get(peer) if peer is not None and peer != self._own_id else None
        if member is not None and member.is_present:
            return peer
        others = self._table.alive_others()
        return self._rng.choice(others) if others else None

    def _compare_later(self, now: float, pause_s: float) -> None:
        jitter = 1 + _JITTER * (2 * self._rng.random() - 1)
        self._compare_at = now + pause_s * jitter

    def _finish(self, now: float, *, differed: bool) -> None:
        """The comparison is over; when the next one is."""
        self._comparison = None
        if self._compare_at != inf:
            return  # it was hurried meanwhile
        if differed and self._pause_s < self._interval_s:
            self._compare_later(now, self._pause_s)
            self._pause_s *= _PAUSE_GROWTH
        else:
            self._compare_later(now, self._interval_s)
            if not differed:
                self._pause_s = _FIRST_PAUSE_S

    # --- what others ask

    def answer(self, request: Request, peer_id: str, now: float) -> Answer:
        """The answer to a Compare, an Exchange (whose claims were learned before) or a Pull."""
        if isinstance(request, Compare):
            return (
                Same() if request.root == self._digest.root() else Buckets(self._digest.buckets())
            )
        if isinstance(request, Pull):
            return self._registry.page(request, self._max_bytes)
        assert isinstance(request, Exchange), f"not of anti-entropy: {type(request).__name__}"
        self._versions_heard(request.versions, peer_id, now)
        return self._exchanges.answer(request)

    def _versions_heard(self, versions: Iterable[tuple[str, int]], source: str, now: float) -> None:
        """Whether a member may have names is known only when its claims are learned: later."""
        for owner, version in versions:
            if owner == self._own_id:
                self._registry.heard_version(owner, version)
            elif version > self._registry.version_of(owner):
                self._pulls.want(owner, source, version, now, gossip=False)

    # --- what came of own requests

    def pull(
        self, owner: str, from_peer: str, now: float, *, version: int = 0
    ) -> tuple[str, Request] | None:
        """News told that ``from_peer`` has more of an owner's part.

        Args:
            owner: whose part.
            from_peer: who told it.
            now: the time.
            version: what it told of; 0: unknown.

        Returns:
            Whom to ask what now; None: nothing, or `tick` will say it.
        """
        version = version or self._registry.version_of(owner) + 1
        self._pulls.want(owner, from_peer, version, now, gossip=True)
        return self._pulls.begin(now, from_peer)

    def answered(self, peer_id: str, request: Request, answer: Answer, now: float) -> SyncStep:
        """The answer to one of the requests. One that does not fit it counts as none."""
        if isinstance(request, Pull):
            return self._pull_answered(peer_id, request, answer, now)
        comparison = self._comparison
        if comparison is None or comparison.request != request:
            return _NOTHING
        if isinstance(request, Compare) and isinstance(answer, Buckets):
            return self._buckets_received(comparison, answer, now)
        if isinstance(request, Exchange) and isinstance(answer, Exchange):
            return self._exchange_received(comparison, answer, now)
        self._finish(now, differed=False)
        return _NOTHING

    def failed(self, peer_id: str, request: Request, now: float) -> None:
        """There is no answer to one of the requests: try others."""
        if isinstance(request, Pull):
            self._pulls.answered(request, None, now)
        elif self._comparison is not None and self._comparison.request == request:
            self._finish(now, differed=True)

    def _pull_answered(self, peer: str, request: Pull, answer: Answer, now: float) -> SyncStep:
        page = answer if isinstance(answer, Page) else None
        result = self._pulls.answered(request, page, now)
        if isinstance(result, Pull):
            return SyncStep(follow_ups=(result,))
        begun = self._pulls.begin(now, peer)
        return SyncStep(
            follow_ups=() if begun is None else (begun[1],),
            news=() if result is None else (result,),
        )

    def _buckets_received(self, comparison: _Comparison, answer: Buckets, now: float) -> SyncStep:
        ours = self._digest.buckets()
        if len(answer.digests) == len(ours):
            differ = [at for at, digest in enumerate(answer.digests) if digest != ours[at]]
            if differ:
                # Not always from the front: what does not fit at once is served in fair turns.
                turn = self._rng.randrange(len(differ))
                comparison.remaining = differ[turn:] + differ[:turn]
                return self._exchange(comparison)
        self._finish(now, differed=False)
        return _NOTHING

    def _exchange_received(self, comparison: _Comparison, answer: Exchange, now: float) -> SyncStep:
        self._versions_heard(answer.versions, comparison.peer, now)
        covered = set(answer.buckets)
        request = comparison.request
        assert isinstance(request, Exchange)
        if not answer.complete and not covered:
            covered.add(request.buckets[0])  # more of it next time, when these claims are learned
        remaining = [each for each in comparison.remaining if each not in covered]
        progress = len(remaining) < len(comparison.remaining)
        comparison.remaining = remaining
        comparison.rounds += 1
        if remaining and progress and comparison.rounds <= _MAX_ROUNDS:
            return self._exchange(comparison)._replace(claims=answer.claims)
        self._finish(now, differed=True)
        return SyncStep(answer.claims)

    def _exchange(self, comparison: _Comparison) -> SyncStep:
        comparison.request = self._exchanges.ask(comparison.remaining)
        return SyncStep(follow_ups=(comparison.request,))
