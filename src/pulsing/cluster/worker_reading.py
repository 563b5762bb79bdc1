"""What a worker asks its head: who is there, and what is registered where.

The half of `worker_core.WorkerCore` that reads; the other half tells the head about this node, and
knows whether the head is there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from random import Random
from typing import Final

from .claims import Claim, Verdict
from .effects import Effect
from .head_mirror import HeadMirror
from .head_mode import HeadModeCore
from .members import MemberStatus, NodeInfo
from .messages import Answer, Page, Pull, PullAll, Request, Table
from .settings import HeadSettings
from .stimuli import Failure

_AFTER_LINK_LOST_S: Final = (0.1, 1.0)
"""When to ask the head after a connection to another member ended: it finds out meanwhile."""
_FIRST_WANTED_S: Final = 0.05
_LONGEST_WANTED_S: Final = 1.0
_WANTED_FOR_S: Final = 60.0
_MAX_WANTED: Final = 1024


class ReadingWorker(HeadModeCore):
    """A worker that reads its head's table and the registry parts it lacks.

    Args:
        info: this node.
        head_addr: ``HOST:PORT`` of the head.
        settings: timings and bounds.
        rng: for jitter.
    """

    def __init__(self, info: NodeInfo, head_addr: str, settings: HeadSettings, rng: Random) -> None:
        super().__init__(info, settings, rng)
        self._head_addr = head_addr
        self._head_id = ""
        self._is_registered = False
        self._is_away = False
        self._under_way: set[type[Request]] = set()
        self._mirror = HeadMirror(settings.heartbeat_timeout_s)
        self._pull_at: float | None = None
        self._extra_pulls: list[float] = []
        self._disputes: set[str] = set()  # members that the head has, and we took for dead
        self._wanted: dict[str, float] = {}
        self._wanted_pause_s = _FIRST_WANTED_S

    @abstractmethod
    def _head_answered(self, peer_id: str, now: float) -> list[Effect]: ...

    @abstractmethod
    def _pull_failed(self, failure: Failure, text: str, now: float) -> list[Effect]: ...

    @abstractmethod
    def _not_known(self, now: float) -> list[Effect]:
        """The head does not know this node."""

    # --- when

    def _next_reading(self) -> float | None:
        due = (self._pull_at, self._mirror.next_deadline(), *self._extra_pulls)
        return min((at for at in due if at is not None), default=None)

    def _tick_reading(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if any(now >= at for at in self._extra_pulls) or (
            self._pull_at is not None and now >= self._pull_at
        ):
            self._extra_pulls = [at for at in self._extra_pulls if now < at]
            effects += self._pull_table(now)
        if self._is_away:
            self._mirror.keep_all(now)
        for node_id in self._mirror.unlisted(now):
            why = "the head does not know it any more"
            effects += self._is_dead(node_id, why, now)
        return effects

    def _pull_soon(self, now: float) -> None:
        """Another member may be gone: the head finds out about now."""
        if len(self._extra_pulls) <= len(_AFTER_LINK_LOST_S):
            self._extra_pulls += [now + after_s for after_s in _AFTER_LINK_LOST_S]

    def name_wanted(self, name: str, *, now: float) -> list[Effect]:
        """Somebody waits for a name: the head is asked at once, and often for a while."""
        if self.lookup(name) or self._leaves:
            return []
        if len(self._wanted) < _MAX_WANTED or name in self._wanted:
            self._wanted[name] = now + _WANTED_FOR_S
        self._wanted_pause_s = _FIRST_WANTED_S
        return self._pull_table(now)

    def _names_seen(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._wanted and self.lookup(name):
                del self._wanted[name]

    def _pull_table(self, now: float) -> list[Effect]:
        """Ask what is new, and when to ask next."""
        from_now_s = self._settings.sync_interval_s * self._rng.uniform(0.9, 1.0)
        self._wanted = {name: until for name, until in self._wanted.items() if until > now}
        if self._wanted:
            from_now_s = min(from_now_s, self._wanted_pause_s)
            self._wanted_pause_s = min(2 * self._wanted_pause_s, _LONGEST_WANTED_S)
        self._pull_at = now + from_now_s if self._is_registered else None
        if not self._is_registered or self._is_away:
            return []
        return self._pull_page()

    def _pull_page(self) -> list[Effect]:
        if PullAll in self._under_way or self._leaves:
            return []
        self._under_way.add(PullAll)

        def answered(peer_id: str, answer: Request | Answer, now: float) -> list[Effect]:
            self._under_way.discard(PullAll)
            if not isinstance(answer, Table):
                return self._not_known(now)
            return [*self._head_answered(peer_id, now), *self._table_received(answer, now)]

        def failed(failure: Failure, text: str, now: float) -> list[Effect]:
            self._under_way.discard(PullAll)
            return self._pull_failed(failure, text, now)

        return [self._asking.ask(self._head_addr, self._mirror.next_pull(), answered, failed)]

    def _table_received(self, table: Table, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for claim in table.claims:
            if claim.node_id == self._info.node_id:
                effects += self._own_record(claim, now)
            else:
                effects += self._record(claim, now)
        for owner, version in table.versions:
            if self.registry.heard_version(owner, version):
                self._mirror.behind[owner] = version
        others = [each.node_id for each in self.table.present_others()]
        if self._head_id in others:
            others.remove(self._head_id)
        more = self._mirror.table_received(table, others, now)
        return [*effects, *self._fetch(), *(self._pull_page() if more else ())]

    def _record(self, claim: Claim, now: float) -> list[Effect]:
        """The head's record of another node."""
        member = self.table.get(claim.node_id)
        is_gone = claim.status >= MemberStatus.DEAD
        if member is not None and member.incarnation > claim.incarnation and is_gone:
            # It told us of itself, and not the head; the head knows its end.
            claim = claim._replace(incarnation=member.incarnation)
        elif self.table.decide(claim) is Verdict.STALE:
            self._disputes.add(claim.node_id)
        return self._learn(claim, now, "the head says so")

    def _own_record(self, claim: Claim, now: float) -> list[Effect]:
        """The head's record of this node: as the guard left it, perhaps, or outdated."""
        own = self.table.self_member
        if self._refute(claim):
            return self._own_claim_changed(now)
        if claim.status is MemberStatus.ALIVE and claim.incarnation < own.incarnation:
            return self._own_claim_changed(now)
        return []

    def _fetch(self) -> list[Effect]:
        """Fetch parts of the registry that the head has and this node lacks."""
        effects: list[Effect] = []
        for owner in self._mirror.next_fetches():
            effects += self._fetch_page(owner, self.registry.next_pull(owner))
        return effects

    def _fetch_page(self, owner: str, pull: Pull) -> list[Effect]:
        def answered(_peer_id: str, answer: Request | Answer, _now: float) -> list[Effect]:
            further: Pull | None = None
            if isinstance(answer, Page) and answer.owner == owner:
                further = self.registry.page_received(answer)
            return self._fetch_page(owner, further) if further is not None else over()

        def failed(_failure: Failure, _text: str, _now: float) -> list[Effect]:
            return over()

        def over() -> list[Effect]:
            lacks = self.registry.heard_version(owner, self._mirror.behind.get(owner, 0))
            self._mirror.fetched(owner, is_complete=not lacks)
            return self._fetch()

        return [self._asking.ask(self._head_addr, pull, answered, failed)]
