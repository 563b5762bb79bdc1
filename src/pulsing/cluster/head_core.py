"""The head of a cluster with a head node: the one place where members and names are recorded.

Workers register, say every now and then that they live, and ask what changed. The head asks
nobody whether it lives: a worker that is silent for ``heartbeat_timeout_s`` is dead; one whose
connection ends is dead at once if its address refuses the next one.

Every record has the version of the table at its last change, so a worker is told what is new to it
and nothing else. A worker that asks with the epoch of a former head, or after records were
forgotten, is told to begin anew.

Invariants: records are in order of version; the dead come back only above their incarnation; time
in which the head itself stood still is held against nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from .admission import judge, size_of_claim
from .claims import Claim
from .effects import Effect, Severity, WriteLog
from .head_mode import HeadModeCore
from .members import MemberStatus, NodeInfo
from .messages import (
    Ack,
    Answer,
    Gossip,
    Heartbeat,
    NotMe,
    Page,
    Ping,
    Pull,
    PullAll,
    Register,
    Registered,
    RegistryDelta,
    RejectCode,
    Rejected,
    Request,
    Table,
    Unknown,
)
from .registry_core import Applied
from .settings import HeadSettings
from .stimuli import Failure

_TICK_S: Final = 1.0
_VERIFY_TIMEOUT_S: Final = 2.0
_VERIFY_AGAIN_S: Final = 0.2
_VERIFY_ATTEMPTS: Final = 3
_VERSION_BYTES: Final = 27


class HeadCore(HeadModeCore):
    """Decisions of the head.

    Args:
        info: this node.
        settings: timings and bounds.
        rng: makes the epoch, by which workers know this head from a former one.
    """

    def __init__(self, info: NodeInfo, settings: HeadSettings, rng: Random) -> None:
        super().__init__(info, settings, rng)
        self._epoch = rng.getrandbits(62) | 1
        self._version = 0
        self._changed_at: dict[str, int] = {}  # in order of version
        self._forgotten = 0
        self._heard_at: dict[str, float] = {}
        self._verify_at: dict[str, tuple[float, int]] = {}  # when, and how often yet
        self._pulling: set[str] = set()
        self._to_refute: set[str] = set()
        self._tick_at: float | None = None
        self._believed(info.node_id)

    def start(self, *, now: float) -> list[Effect]:
        """Begin."""
        self.table.started(now)
        self._tick_at = now + _TICK_S
        return []

    def name_wanted(self, name: str, *, now: float) -> list[Effect]:
        """Nobody knows more than the head: it is waited for."""
        return []

    # --- time

    def next_deadline(self) -> float | None:
        """When `stimuli.DeadlineReached` is due."""
        if self._leaves:
            return self._leave_at
        if not self._verify_at:
            return self._tick_at
        due = min(at for at, _ in self._verify_at.values())
        return due if self._tick_at is None else min(due, self._tick_at)

    def _tick(self, now: float) -> list[Effect]:
        if self._leaves:
            due = self._leave_at is not None and now >= self._leave_at
            return self._goodbye_over(all_of_them=True) if due else []
        effects: list[Effect] = []
        for node_id, (at, attempts) in list(self._verify_at.items()):
            if now >= at:
                del self._verify_at[node_id]
                effects += self._verify(node_id, attempts)
        if self._tick_at is None or now < self._tick_at:
            return effects
        self._tick_at = now + _TICK_S
        silent_since = now - self._settings.heartbeat_timeout_s
        silent = [node_id for node_id, at in self._heard_at.items() if at <= silent_since]
        for node_id in silent:
            del self._heard_at[node_id]
            why = f"it was not heard for {self._settings.heartbeat_timeout_s:g} s"
            effects += self._is_dead(node_id, why, now)
        self.table.reap(now - self._settings.remember_dead_s)
        if len(self._changed_at) > len(self.table.members):
            self._forget()
        return effects

    def _forget(self) -> None:
        for node_id in [each for each in self._changed_at if each not in self.table.members]:
            self._forgotten = max(self._forgotten, self._changed_at.pop(node_id))

    def _stood_still(self, for_s: float) -> list[Effect]:
        for node_id in self._heard_at:
            self._heard_at[node_id] += for_s
        if self._tick_at is not None:
            self._tick_at += for_s
        self._verify_at = {key: (at + for_s, n) for key, (at, n) in self._verify_at.items()}
        if self._leave_at is not None:
            self._leave_at += for_s
        line = f"this node stood still for {for_s:.1f} s; its workers get as much more time"
        return [WriteLog("stood still", line, Severity.WARNING)]

    # --- records

    def _believed(self, node_id: str) -> None:
        self._version += 1
        self._changed_at.pop(node_id, None)
        self._changed_at[node_id] = self._version
        if not self._is_present(node_id):
            self._heard_at.pop(node_id, None)
            self._verify_at.pop(node_id, None)
            self._to_refute.discard(node_id)

    def _names_seen(self, names: Iterable[str]) -> None:
        """Nobody waits for a pull here."""

    def _own_names_changed(self, now: float) -> list[Effect]:
        self._believed(self._info.node_id)
        return []

    def _own_claim_changed(self, now: float) -> list[Effect]:
        self._believed(self._info.node_id)
        return []

    def _whom_to_tell(self) -> list[str]:
        return [member.info.addr for member in self.table.present_others()]

    # --- what workers ask

    @property
    def _mode(self) -> str:
        return (
            f"{self._info.addr} is the head of a cluster with a head node: join it with "
            f"head_addr={self._info.addr!r}, not with seeds"
        )

    def _answer(
        self, peer_id: str, message: Request | Answer, now: float, effects: list[Effect]
    ) -> Answer:
        if peer_id in self._heard_at:
            self._heard_at[peer_id] = now
        match message:
            case Gossip() if peer_id not in self._heard_at:
                return Unknown()
            case Register():
                return self._register(peer_id, message, now, effects)
            case Heartbeat():
                return self._heartbeat(peer_id, message, now, effects)
            case PullAll(epoch, version):
                if peer_id not in self._heard_at or peer_id in self._to_refute:
                    return Unknown()
                return self._table_since(epoch, version)
            case _:
                return super()._answer(peer_id, message, now, effects)

    def _register(
        self, peer_id: str, message: Register, now: float, effects: list[Effect]
    ) -> Answer:
        if self._leaves:
            return Rejected(RejectCode.FULL, f"the head at {self._info.addr} is shutting down")
        claim = message.claim
        verdict = judge(peer_id, claim, self._info, self.table.members, self._settings.max_members)
        if isinstance(verdict, Rejected):
            return verdict
        for node_id in verdict:
            why = f"node {peer_id} has its address now"
            effects += self._is_dead(node_id, why, now)
        known = self.table.get(peer_id)
        must_rise = known is not None and (not known.is_present or peer_id in self._to_refute)
        if known is not None and must_rise and claim.incarnation <= known.incarnation:
            return Unknown()
        self._to_refute.discard(peer_id)
        effects += self._learn(claim, now)
        if not self._is_present(peer_id):
            return Rejected(RejectCode.FULL, f"the head at {self._info.addr} has no room")
        self._heard_at[peer_id] = now
        names = RegistryDelta(peer_id, 0, message.version, message.names)
        self._take_names(peer_id, names, message.version, effects)
        return Registered(self.registry.version_of(peer_id))

    def _heartbeat(
        self, peer_id: str, message: Heartbeat, now: float, effects: list[Effect]
    ) -> Answer:
        delta = message.delta
        if message.node_id != peer_id or (delta is not None and delta.owner != peer_id):
            reason = f"the heartbeat of {peer_id} speaks for another node"
            return Rejected(RejectCode.INVALID, reason)
        if peer_id not in self._heard_at or peer_id in self._to_refute:
            return Unknown()
        self._take_names(peer_id, delta, message.version, effects)
        return Registered(self.registry.version_of(peer_id))

    def _take_names(
        self, owner: str, delta: RegistryDelta | None, version: int, effects: list[Effect]
    ) -> None:
        """Take in what a worker says of its names, and ask it for what is missing."""
        if delta is not None and self.registry.apply(delta) is Applied.NEWS:
            self._believed(owner)
        if self.registry.version_of(owner) < version and owner not in self._pulling:
            self._pulling.add(owner)
            effects += self._pull(owner, self.registry.next_pull(owner))

    def _pull(self, owner: str, pull: Pull) -> list[Effect]:
        member = self.table.get(owner)
        if member is None or not member.is_present:
            self._pulling.discard(owner)
            return []

        def answered(peer_id: str, answer: Request | Answer, _now: float) -> list[Effect]:
            before = self.registry.version_of(owner)
            further: Pull | None = None
            if isinstance(answer, Page) and answer.owner == owner == peer_id:
                further = self.registry.page_received(answer)
            if self.registry.version_of(owner) != before:
                self._believed(owner)
            if further is not None:
                return self._pull(owner, further)
            self._pulling.discard(owner)
            return []

        def failed(_failure: Failure, _text: str, _now: float) -> list[Effect]:
            self._pulling.discard(owner)  # the next heartbeat shows that something is missing
            return []

        return [self._asking.ask(member.info.addr, pull, answered, failed)]

    def _hearsay(self, peer_id: str, claim: Claim, now: float) -> list[Effect]:
        """A worker passes on that another one is busy, or took it for dead.

        The latter registered here, so only it can refute that: it does when it is told that it is
        not known.
        """
        node_id = claim.node_id
        member = self.table.get(node_id)
        if member is None or peer_id not in self._heard_at or node_id not in self._heard_at:
            return []
        if claim.busy and claim.incarnation > member.incarnation:
            self._heard_at[node_id] = now
            return self._learn(claim, now)
        if claim.status >= MemberStatus.DEAD and claim.incarnation >= member.incarnation:
            self._to_refute.add(node_id)
        return []

    def _table_since(self, epoch: int, version: int) -> Table:
        begun = version > 0
        if begun and (epoch != self._epoch or not self._forgotten <= version <= self._version):
            return Table(self._epoch, 0, (), (), more=True)
        newer: list[str] = []
        for node_id, changed_at in reversed(self._changed_at.items()):
            if changed_at <= version:
                break
            newer.append(node_id)
        newer.reverse()
        return self._table_of(newer)

    def _table_of(self, node_ids: Sequence[str]) -> Table:
        """As many of the records as fit, in order of version."""
        room = self._room
        claims: list[Claim] = []
        versions: list[tuple[str, int]] = []
        reached = self._version
        for node_id in node_ids:
            if node_id not in self.table.members:
                continue
            claim = self.table.claim_about(node_id)
            room -= size_of_claim(claim) + _VERSION_BYTES
            if room < 0:
                return Table(self._epoch, reached, tuple(claims), tuple(versions), more=True)
            claims.append(claim)
            names_version = self.registry.version_of(node_id)
            if names_version:
                versions.append((node_id, names_version))
            reached = self._changed_at[node_id]
        return Table(self._epoch, self._version, tuple(claims), tuple(versions))

    # --- proof of death

    def _link_lost(self, node_id: str, now: float) -> list[Effect]:
        if node_id not in self._heard_at or node_id in self._verify_at or self._leaves:
            return []
        return self._verify(node_id, _VERIFY_ATTEMPTS)

    def _verify(self, node_id: str, attempts: int) -> list[Effect]:
        """Ask whether a worker whose connection ended is there: by a new connection."""
        member = self.table.get(node_id)
        if member is None or not member.is_present or attempts <= 0:
            return []

        def answered(peer_id: str, answer: Request | Answer, now: float) -> list[Effect]:
            if isinstance(answer, Ack) and peer_id == node_id:
                return []
            if isinstance(answer, Ack | NotMe):
                return self._is_dead(node_id, f"node {peer_id} is at its address now", now)
            return []

        def failed(failure: Failure, _text: str, now: float) -> list[Effect]:
            if failure is Failure.REFUSED:
                why = "its connection ended, and nobody listens at its address any more"
                return self._is_dead(node_id, why, now)
            if failure is Failure.LOST and not self._leaves:
                self._verify_at[node_id] = (now + _VERIFY_AGAIN_S, attempts - 1)
            return []

        ping = Ping(node_id)
        return [self._asking.ask(member.info.addr, ping, answered, failed, _VERIFY_TIMEOUT_S)]
