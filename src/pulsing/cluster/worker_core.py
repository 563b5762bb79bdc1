"""A worker of a cluster with a head node.

It registers with the head, tells it at once when its names change and every
``heartbeat_interval_s`` that it lives, and asks every ``sync_interval_s`` what is new; at once when
somebody waits for a name, and soon after a connection to another member ended.

While the head is away the worker goes on with what it knows and keeps trying. When it returns, or
another process takes its place, whatever it does not know is told to it again.

Invariants: at most one registration, heartbeat and pull are under way; the head is dead only when
nobody listens at its address or another process does, and suspect when it is silent.
"""

from __future__ import annotations

from random import Random
from typing import Final

from .claims import Claim
from .effects import Effect, Severity, WriteLog
from .members import MemberStatus, NodeInfo
from .messages import (
    Ack,
    Answer,
    Gossip,
    Heartbeat,
    News,
    Pull,
    Register,
    Registered,
    RejectCode,
    Rejected,
    Request,
    Unknown,
)
from .settings import HeadSettings
from .stimuli import Failure
from .worker_reading import ReadingWorker

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_REFUSED_PAUSE_S: Final = 10.0
_CORRECTION_S: Final = 1.0
"""The head lacks names of ours although it was told: it is told again this soon."""
_SILENT_FAILURES: Final = 3
_MAX_DISPUTES: Final = 64
_GOODBYES: Final = 64


class WorkerCore(ReadingWorker):
    """Decisions of a worker.

    Args:
        info: this node.
        head_addr: ``HOST:PORT`` of the head.
        settings: timings and bounds.
        rng: for jitter.

    Attributes:
        rejection: why the head does not let this node in; None when it does, or is away.
    """

    def __init__(self, info: NodeInfo, head_addr: str, settings: HeadSettings, rng: Random) -> None:
        super().__init__(info, head_addr, settings, rng)
        self.rejection: Rejected | None = None
        self._told_version = 0
        self._register_at: float | None = None
        self._heartbeat_at: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._owes_claim = False
        self._failures = 0
        self._heard_at = 0.0

    def start(self, *, now: float) -> list[Effect]:
        """Begin."""
        self.table.started(now)
        self._heard_at = now
        return self._register(now)

    # --- time

    def next_deadline(self) -> float | None:
        """When `stimuli.DeadlineReached` is due."""
        if self._leaves:
            return self._leave_at
        due = (self._register_at, self._heartbeat_at, self._next_reading())
        return min((at for at in due if at is not None), default=None)

    def _tick(self, now: float) -> list[Effect]:
        if self._leaves:
            due = self._leave_at is not None and now >= self._leave_at
            return self._goodbye_over(all_of_them=True) if due else []
        effects: list[Effect] = []
        if self._register_at is not None and now >= self._register_at:
            effects += self._register(now)
        if self._heartbeat_at is not None and now >= self._heartbeat_at:
            effects += self._beat(now)
        return [*effects, *self._tick_reading(now)]

    def _stood_still(self, for_s: float) -> list[Effect]:
        self._heard_at += for_s
        self._mirror.shift(for_s)
        return []

    def _next_pause(self) -> float:
        pause_s = self._pause_s * self._rng.uniform(0.75, 1.0)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause_s

    # --- telling the head

    def _register(self, now: float) -> list[Effect]:
        self._register_at = None
        if Register in self._under_way or self._leaves:
            return []
        self._under_way.add(Register)
        page = self.registry.page(Pull(self._info.node_id, 0), self._room)
        is_all = page.base == 0 and not page.more
        names = page.changes if is_all else ()  # the head pulls what does not fit
        self.registry.take_delta(self._room)
        self._told_version = version = self.registry.version_of(self._info.node_id)
        message = Register(self._own_claim(), version, names, more=not is_all)

        def answered(peer_id: str, answer: Request | Answer, now: float) -> list[Effect]:
            self._under_way.discard(Register)
            if isinstance(answer, Registered):
                return self._registered(peer_id, answer, now)
            if isinstance(answer, Unknown):  # it remembers our death, at this incarnation
                self.table.raise_incarnation(0)
                self._register_at = now + self._next_pause()
                return []
            self._register_at = now + _REFUSED_PAUSE_S
            return self._refused(peer_id, answer)

        def failed(failure: Failure, text: str, now: float) -> list[Effect]:
            self._under_way.discard(Register)
            self._register_at = now + self._next_pause()
            return self._no_answer(failure, text, now)

        return [self._asking.ask(self._head_addr, message, answered, failed)]

    def _registered(self, peer_id: str, answer: Registered, now: float) -> list[Effect]:
        if peer_id == self._info.node_id:
            self._register_at = now + _REFUSED_PAUSE_S
            return self._refused(peer_id, answer)
        self._is_registered = True
        self._is_away = False
        self.rejection = None
        return [
            WriteLog("head", f"registered with the head at {self._head_addr}"),
            *self._head_answered(peer_id, now),
            *self._told(answer, now),
            *self._pull_table(now),
        ]

    def _refused(self, peer_id: str, answer: Request | Answer) -> list[Effect]:
        where = f"the head at {self._head_addr}"
        if peer_id == self._info.node_id:
            reason = f"{self._head_addr} is this node itself: head_addr must be another node's"
            answer = Rejected(RejectCode.SELF, reason)
        elif not isinstance(answer, Rejected):
            reason = f"{where} answers a registration with {type(answer).__name__}"
            answer = Rejected(RejectCode.MODE, reason)
        before, self.rejection = self.rejection, answer
        if before == answer:
            return []
        line = f"{where} does not let this node in: {answer.reason}"
        return [WriteLog("head", line, Severity.ERROR)]

    def _beat(self, now: float) -> list[Effect]:
        self._heartbeat_at = None
        if not self._is_registered or Heartbeat in self._under_way or self._leaves:
            return []
        self._under_way.add(Heartbeat)
        delta = self.registry.take_delta(self._room)
        own_id = self._info.node_id
        self._told_version = self.registry.version_of(own_id)
        message = Heartbeat(own_id, self._told_version, delta)

        def answered(peer_id: str, answer: Request | Answer, now: float) -> list[Effect]:
            self._under_way.discard(Heartbeat)
            if isinstance(answer, Registered):
                return [*self._head_answered(peer_id, now), *self._told(answer, now)]
            return self._not_known(now)

        def failed(failure: Failure, text: str, now: float) -> list[Effect]:
            self._under_way.discard(Heartbeat)
            self._heartbeat_at = now + self._next_pause()
            return self._no_answer(failure, text, now)

        return [self._asking.ask(self._head_addr, message, answered, failed)]

    def _told(self, answer: Registered, now: float) -> list[Effect]:
        """The head has heard of us; names that changed meanwhile are told at once."""
        version = self.registry.version_of(self._info.node_id)
        if version > self._told_version:
            return self._beat(now)
        in_step = answer.known >= version
        pause_s = self._settings.heartbeat_interval_s if in_step else _CORRECTION_S
        self._heartbeat_at = now + pause_s * self._rng.uniform(0.9, 1.0)
        return []

    def _not_known(self, now: float) -> list[Effect]:
        """The head was started anew, or took this node for dead."""
        if not self._is_registered or self._leaves:
            return []
        self._is_registered = False
        self._heartbeat_at = self._pull_at = None
        self.table.raise_incarnation(0)
        line = (
            f"the head at {self._head_addr} does not know this node: it was started anew, or took "
            "this node for dead; registering again"
        )
        return [WriteLog("head unknown", line, Severity.WARNING), *self._register(now)]

    def _own_names_changed(self, now: float) -> list[Effect]:
        return [] if self._is_away else self._beat(now)

    def _own_claim_changed(self, now: float) -> list[Effect]:
        self._owes_claim = True
        return self._gossip()

    def _gossip(self) -> list[Effect]:
        """Tell the head what it has wrong: about this node, about itself, about others."""
        claims = [self._own_claim()] if self._owes_claim else []
        disputed = sorted(self._disputes)[:_MAX_DISPUTES]
        members = [self.table.get(node_id) for node_id in (self._head_id, *disputed)]
        claims += [
            self.table.claim_about(each.node_id)
            for each in members
            if each is not None and each.status is not MemberStatus.ALIVE
        ]
        if not claims or not self._is_registered or self._leaves or Gossip in self._under_way:
            return []
        self._under_way.add(Gossip)
        told = self._own_claim()

        def answered(peer_id: str, answer: Request | Answer, now: float) -> list[Effect]:
            self._under_way.discard(Gossip)
            if not isinstance(answer, Ack):
                return self._not_known(now)
            self._disputes.difference_update(disputed)
            effects: list[Effect] = []
            for each in answer.news.claims:
                if each.node_id == peer_id:
                    effects += self._learn(each, now)
            self._owes_claim &= told != self._own_claim()
            return [*effects, *self._gossip()] if self._owes_claim else effects

        def failed(_failure: Failure, _text: str, _now: float) -> list[Effect]:
            self._under_way.discard(Gossip)  # again with the next sign of life of the head
            return []

        gossip = Gossip(News(tuple(claims)))
        return [self._asking.ask(self._head_addr, gossip, answered, failed)]

    def _hearsay(self, peer_id: str, claim: Claim, now: float) -> list[Effect]:
        """The head knows better; what others say of each other does not count."""
        return []

    def _answer(
        self, peer_id: str, message: Request | Answer, now: float, effects: list[Effect]
    ) -> Answer:
        answer = super()._answer(peer_id, message, now, effects)
        if isinstance(message, Gossip) and self._is_registered and not self._leaves:
            # The guard of a stalled node tells some peers. The head must not take it for dead.
            busy = [each for each in message.news.claims if each.busy and each.node_id == peer_id]
            if busy and peer_id != self._head_id:
                word = Gossip(News((busy[-1],)))
                effects.append(self._asking.ask(self._head_addr, word, _no_matter, _no_matter))
        return answer

    # --- is the head there

    def _head_answered(self, peer_id: str, now: float) -> list[Effect]:
        self._failures = 0
        self._heard_at = now
        self._pause_s = _FIRST_PAUSE_S
        effects: list[Effect] = []
        if peer_id != self._head_id:
            former, self._head_id = self._head_id, peer_id
            effects += self._is_dead(former, f"node {peer_id} is at its address now", now)
        if self._is_away:
            self._is_away = False
            effects.append(WriteLog("head", f"the head at {self._head_addr} answers again"))
            effects += self._pull_table(now)
        return [*effects, *self._gossip()]

    def _no_answer(self, failure: Failure, text: str, now: float) -> list[Effect]:
        self._failures += 1
        why = f"{failure.value}: {text}" if text else failure.value
        effects: list[Effect] = []
        head = self.table.get(self._head_id)
        if failure is Failure.REFUSED:
            effects += self._is_dead(self._head_id, "nobody listens at its address", now)
        elif (
            head is not None
            and self._failures >= _SILENT_FAILURES
            and now - self._heard_at > self._settings.heartbeat_timeout_s
        ):
            accuser = self._info.node_id
            suspect = MemberStatus.SUSPECT
            suspicion = Claim(suspect, self._head_id, head.incarnation, accuser=accuser)
            effects += self._learn(suspicion, now)
        at_once = failure in (Failure.REFUSED, Failure.FOREIGN) or not self._head_id
        if not self._is_away and (at_once or self._failures > 1):
            self._is_away = True
            effects.append(self._away_line(failure, why))
        return effects

    def _pull_failed(self, failure: Failure, text: str, now: float) -> list[Effect]:
        if self._is_registered:  # heartbeats find out when it is back
            self._heartbeat_at = now + self._next_pause()
        return self._no_answer(failure, text, now)

    def _away_line(self, failure: Failure, why: str) -> WriteLog:
        where = f"the head at {self._head_addr}"
        if failure is Failure.FOREIGN:
            line = (
                f"{where} is no node of this cluster: {why}. Use the same passphrase, cluster name "
                "and version of Pulsing on both"
            )
            return WriteLog("head", line, Severity.ERROR)
        line = f"{where} does not answer ({why}); this node goes on with what it knows, and tries"
        return WriteLog("head", f"{line} again", Severity.WARNING)

    def _link_lost(self, node_id: str, now: float) -> list[Effect]:
        if self._leaves or not self._is_present(node_id):
            return []
        if node_id == self._head_id:
            return self._beat(now)
        self._pull_soon(now)
        return []

    # --- what others ask

    def _believed(self, node_id: str) -> None:
        """What a worker believes is its own business."""

    @property
    def _mode(self) -> str:
        return (
            f"{self._info.addr} is a worker of the head at {self._head_addr}: use "
            f"head_addr={self._head_addr!r} to join its cluster"
        )

    def _whom_to_tell(self) -> list[str]:
        others = [each.info.addr for each in self.table.present_others()]
        if len(others) > _GOODBYES:
            others = self._rng.sample(others, _GOODBYES)
        return list(dict.fromkeys((self._head_addr, *others)))


def _no_matter(_answer_or_failure: object, _text: object, _now: float) -> list[Effect]:
    """Whether it arrived: the guard says it again."""
    return []
