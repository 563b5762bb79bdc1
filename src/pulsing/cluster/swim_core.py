"""Membership: who is there, by probing, suspecting, refuting, and passing it on.

Purpose: decides about every member, for `gossip_core`, which sends what is in the `Outbox` and
hands back each outcome, and every claim that arrives.

A suspicion is verified first: a few others are asked to ping the suspect, which tells it, too.
Everybody hears of it when one of them agrees, or when it lasts. Before it comes true, the suspect
and members at random are asked once more whether it was refuted. What proves that a process is gone
needs no suspicion.

Invariants: a member is declared dead only by a suspicion of its present incarnation that lasted,
or by proof; who was declared dead by a proof and came back is never condemned by proof again; this
node never believes itself dead, but says so when others did.

Source: SWIM (Das, Gupta, Motivala 2002) 4.2; Lifeguard (Dadgar, Phillips, Currey 2018) 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from .claims import Claim, Verdict
from .dissemination import Dissemination
from .effects import Severity, WriteLog
from .local_health import LocalHealth
from .member_table import MemberTable
from .members import Member, MemberStatus
from .messages import Answer, News
from .messages import Probe as ProbeRequest
from .outbox import Ask, Outbox, Purpose
from .probing_core import Prober
from .rotation import Rotation
from .settings import SwimSettings
from .stimuli import Failure
from .suspicion import Suspicion, Suspicions

_ALIVE, _SUSPECT, _DEAD, _LEFT = MemberStatus
_CUT_OFF_INTERVALS: Final = 2.5
"""Who hears nobody for as many probe intervals does not trust its own suspicions."""


class Swim:
    """The membership of a gossip core.

    Args:
        table: what is believed.
        settings: timings and bounds.
        rng: whom to probe, and whom to ask.
        news: what is to be passed on.
        out: takes what is to happen.

    Attributes:
        health: how much this node trusts its own view.
        times_dead: how often this node heard that it had been declared dead.
    """

    def __init__(
        self,
        table: MemberTable,
        settings: SwimSettings,
        rng: Random,
        news: Dissemination,
        out: Outbox,
    ) -> None:
        self._table = table
        self._settings = settings
        self._rng = rng
        self._news = news
        self._out = out
        self._own_id: Final = table.self_member.node_id
        self.health = LocalHealth(settings.max_local_health if settings.lifeguard else 0)
        self.times_dead = 0
        self._prober = Prober(table, settings, rng, self.health, out, self)
        self._probed = Rotation(table, rng)
        self._told = Rotation(table, rng, _ALIVE)
        self._suspicions = Suspicions()
        self._busy_until: dict[str, float] = {}
        self._condemned: set[str] = set()  # declared dead by a proof that this node found
        self._doubted: set[str] = set()  # and they came back: such proof is none for them
        self._next_probe = 0.0
        self._heard_at = 0.0

    # --- time

    def start(self, now: float) -> None:
        """Begin, at a random phase of the probe interval."""
        self._heard_at = now
        self._next_probe = now + self._rng.random() * self._settings.probe_interval_s

    def next_deadline(self) -> float:
        """When `tick` is due."""
        due = self._suspicions.next_due()
        return self._next_probe if due is None or due > self._next_probe else due

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now >= self._next_probe:
            self._next_probe = now + self._settings.probe_interval_s * self.health.multiplier
            target = self._probed.next()
            if target is not None:
                self._prober.probe(target)
            self._forget(self._table.reap(now - self._settings.remember_dead_s))
        due = self._suspicions.next_due()
        if due is not None and due <= now:
            for node_id, suspicion in self._suspicions.take_due(now):
                self._suspicion_due(node_id, suspicion, now)

    def shift(self, by_s: float, now: float) -> None:
        """This node stood still: it blames nobody for what it did not hear meanwhile."""
        self._prober.abandon()
        self._suspicions.shift(by_s)
        for node_id in self._busy_until:
            self._busy_until[node_id] += by_s
        self.health.worse()
        # Soon, so that it learns what others believe of it; not all members at the same moment.
        self._next_probe = now + self._rng.random() * self._settings.probe_timeout_s

    def heard(self, now: float) -> None:
        """Another node said something, whatever it is."""
        if len(self._suspicions) and self._is_cut_off(now):
            self._suspicions.grant(now)
            self.health.worse()
        self._heard_at = now

    def _is_cut_off(self, now: float) -> bool:
        """Nothing is heard of anybody: the fault is rather here than with all of them."""
        settings = self._settings
        quiet_s = _CUT_OFF_INTERVALS * settings.probe_interval_s
        several = self._table.present_count > 2
        return settings.lifeguard and several and now - self._heard_at > quiet_s

    def _forget(self, reaped: tuple[str, ...]) -> None:
        for node_id in reaped:
            self._condemned.discard(node_id)
            self._doubted.discard(node_id)

    # --- what happens at the network

    def probe(self, node_id: str) -> None:
        """There is doubt whether a member is still there: find out at once."""
        self._prober.probe(node_id)

    def probe_received(self, exchange: int, peer_id: str, request: ProbeRequest) -> None:
        """Another member asks for a probe; its news are learned already."""
        self._prober.probe_received(exchange, peer_id, request)

    def answered(self, ask: Ask, peer_id: str, answer: Answer, now: float) -> None:
        """A request of this part was answered; the news of the answer are learned already."""
        self._prober.answered(ask, peer_id, answer, now)

    def failed(self, ask: Ask, failure: Failure, now: float) -> None:
        """A request of this part has no answer."""
        self._prober.failed(ask, failure, now)

    def pick(self, count: int) -> Sequence[str]:
        """As many alive members, at random."""
        return self._prober.pick(count)

    def whom_to_tell(self, count: int) -> Sequence[str]:
        """As many alive members, each in its turn."""
        return self._told.take(count)

    # --- what comes of probes (`probing_core.Judge`)

    def accuse(self, node_id: str, now: float) -> None:
        """Nothing is heard of a member: suspect it, or agree with those who do."""
        member = self._table.get(node_id)
        if member is None or self._busy_until.get(node_id, now) > now:
            return
        if member.status is _SUSPECT:
            self.confirm(node_id, self._own_id, now)
        elif member.status is _ALIVE:
            claim = Claim(_SUSPECT, node_id, member.incarnation, accuser=self._own_id)
            self._believe(claim, now, "it does not answer", quietly=self._settings.lifeguard)
            if self._settings.lifeguard:
                timeout_s = self._settings.probe_timeout_s * self.health.multiplier
                self._prober.ask_others(
                    Purpose.VERIFY, member, self._settings.verifiers, timeout_s, News((claim,))
                )

    def confirm(self, node_id: str, accuser: str, now: float) -> None:
        """One more member hears nothing of a suspect."""
        suspicion = self._suspicions.get(node_id)
        if suspicion is None:
            return
        if suspicion.confirm(accuser, now):
            claim = Claim(_SUSPECT, node_id, suspicion.incarnation, accuser=accuser)
            self._news.put_claim(claim)
            self._plan_call(suspicion, now)
        self._publish(node_id, suspicion)
        self._suspicions.put(node_id, suspicion)

    def refused(self, node_id: str, now: float) -> None:
        """Nobody listens at a member's address."""
        self._condemn(node_id, "nobody listens at its address any more", now)

    def replaced(self, node_id: str, now: float) -> None:
        """Another process is at a member's address."""
        self._condemn(node_id, "another process is at its address", now)

    def _condemn(self, node_id: str, reason: str, now: float) -> None:
        member = self._table.get(node_id)
        if member is None or member.status > _SUSPECT or node_id in self._doubted:
            return
        self._condemned.add(node_id)
        self._believe(Claim(_DEAD, node_id, member.incarnation), now, reason)

    # --- claims

    def learn(self, claim: Claim, now: float, *, source: str, quietly: bool = False) -> str | None:
        """Take in what another node says.

        Args:
            claim: what it says.
            now: the time.
            source: who says it.
            quietly: a suspicion that its source wants verified before it is spread.

        Returns:
            About whom the source must be told, because it is wrong; None: nobody.
        """
        verdict = self._table.decide(claim)
        if verdict is Verdict.IGNORE:
            return None
        if verdict is Verdict.APPLY:
            self._believe(claim, now, f"so says node {source}", quietly=quietly)
            if claim.status is _SUSPECT and claim.accuser == source and not quietly:
                self._prober.probe(claim.node_id)  # it is first-hand: verify, and tell the suspect
            return None
        if verdict is Verdict.CONFIRM:
            self.confirm_heard(claim, now)
            return None
        if verdict is Verdict.REFUTE:
            self._refute(claim, source)
        return claim.node_id

    def confirm_heard(self, claim: Claim, now: float) -> None:
        """An accuser of a known suspicion."""
        if claim.accuser:
            self.confirm(claim.node_id, claim.accuser, now)

    def _believe(self, claim: Claim, now: float, reason: str, *, quietly: bool = False) -> None:
        node_id = claim.node_id
        change = self._table.apply(claim, now)
        if change is None:
            return
        self._out.changes.append((change, reason))  # told before what follows from it
        if change.member.is_present:
            self._probed.add(node_id)
            self._told.add(node_id)
        if change.revives and node_id in self._condemned:
            self._condemned.discard(node_id)
            self._doubted.add(node_id)
        self._suspicions.drop(node_id)
        if claim.status is _SUSPECT:
            self._news.drop_member(node_id)
            self._suspect(claim, now, quietly=quietly)
        else:
            self._news.put_claim(claim)
        if claim.status is _ALIVE:
            self._believe_alive(change.member, now)
        elif claim.status is not _SUSPECT:
            self._prober.drop(node_id)
            self._busy_until.pop(node_id, None)

    def _believe_alive(self, member: Member, now: float) -> None:
        node_id = member.info.node_id
        if member.busy:
            self._busy_until[node_id] = now + self._settings.busy_lease_s
        else:
            self._busy_until.pop(node_id, None)
        if node_id in self._doubted:
            return
        for other in self._table.all_present_at(member.info.addr):
            if other == self._own_id:
                self.replaced(node_id, now)  # this process is at its address
            elif other != node_id:
                self._prober.probe(other)

    def _refute(self, claim: Claim, source: str) -> None:
        """SWIM 4.2: only this node can say that it is alive, at a higher incarnation."""
        self._table.raise_incarnation(claim.incarnation)
        self._news.put_claim(self._table.claim_about(self._own_id))
        if claim.status is _ALIVE:
            return
        self.health.worse()
        if claim.status is not _SUSPECT:
            self.times_dead += 1
            said = "had left" if claim.status is _LEFT else "was dead"
            text = f"node {source} believed that this node {said}; said that it is alive"
            self._out.effects.append(WriteLog("was-dead", text, Severity.WARNING))

    def announce(self, above: int) -> None:
        """Say that this node is alive, at an incarnation above one that was claimed for it."""
        self._table.raise_incarnation(above)
        self._news.put_claim(self._table.claim_about(self._own_id))

    def leave(self, now: float) -> Claim:
        """Say goodbye; the claim that says so."""
        self._table.leave(now)
        claim = self._table.claim_about(self._own_id)
        self._news.put_claim(claim)
        return claim

    # --- suspicions

    def _suspect(self, claim: Claim, now: float, *, quietly: bool) -> None:
        node_id = claim.node_id
        suspicion = Suspicion(
            claim.incarnation, claim.accuser, now, self._settings, self._table.present_count
        )
        if quietly:
            suspicion.released = now + self._settings.probe_timeout_s
        else:
            self._publish(node_id, suspicion)
        self._plan_call(suspicion, now)
        self._suspicions.put(node_id, suspicion)

    def _publish(self, node_id: str, suspicion: Suspicion) -> None:
        if suspicion.is_public:
            return
        suspicion.publish()
        for accuser in sorted(suspicion.accusers):
            self._news.put_claim(Claim(_SUSPECT, node_id, suspicion.incarnation, accuser=accuser))

    def _plan_call(self, suspicion: Suspicion, now: float) -> None:
        if self._settings.lifeguard:
            suspicion.next_call = max(now, suspicion.expires - self._settings.probe_timeout_s)

    def _suspicion_due(self, node_id: str, suspicion: Suspicion, now: float) -> None:
        if now >= suspicion.expires:
            if self._is_cut_off(now) and suspicion.prolong(now):
                self._suspicions.put(node_id, suspicion)
                return
            count = len(suspicion.accusers)
            reason = (
                f"nothing was heard of it for {now - suspicion.started:.1f} s by {count} members"
            )
            self._believe(Claim(_DEAD, node_id, suspicion.incarnation), now, reason)
            return
        if now >= suspicion.released:
            self._publish(node_id, suspicion)
        if now >= suspicion.next_call:
            suspicion.next_call = now + self._settings.gossip_interval_s
            self._call(node_id, suspicion)
        self._suspicions.put(node_id, suspicion)

    def _call(self, node_id: str, suspicion: Suspicion) -> None:
        """Ask the suspect, and who may know better: a refutation may have been lost."""
        self._prober.call(self._table.members[node_id])
        if not suspicion.is_called:
            suspicion.is_called = True
            self._news.put_claim(self._table.claim_about(node_id))
