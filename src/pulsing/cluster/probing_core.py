"""Probes: is a member there, as far as this node and a few others can tell?

A probe is a ping; without an answer a second ping and pings by others follow (probe requests). What
comes of it is for a `Judge`: the member is accused, or proven gone, because nobody listens at its
address or another process does. The same is done for others that ask for it.

Invariants: one probe of a member is under way; it ends by an answer, a proof or an accusation,
unless this node stood still meanwhile: then by nothing, because the fault may be its own.

Source: SWIM 3.1 (indirect probes); Lifeguard 4.A (nacks).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from .local_health import LocalHealth
from .member_table import MemberTable
from .members import Member, MemberStatus
from .messages import NO_NEWS, Ack, Answer, Nack, News, NotMe, Ping
from .messages import Probe as ProbeRequest
from .outbox import Ask, Outbox, Purpose, Reply
from .settings import SwimSettings
from .stimuli import Failure

_SUSPECT: Final = MemberStatus.SUSPECT
MAX_PROXIES: Final = 512
"""Probes for others that are under way at most; further ones are answered by Nack."""
_NACK_SHARE: Final = 0.8
"""A ping for another member takes this share of the probe timeout, so that the nack is in time;
the own second ping does not take longer than those of others."""
_PINGS: Final = frozenset({Purpose.DIRECT, Purpose.AGAIN, Purpose.PROXY, Purpose.CALL})


class Judge(Protocol):
    """Draws the conclusions."""

    def accuse(self, node_id: str, now: float) -> None:
        """This node, and those it asked, heard nothing of a member."""
        ...

    def confirm(self, node_id: str, accuser: str, now: float) -> None:
        """Another member verified a suspicion: it hears nothing, either."""
        ...

    def refused(self, node_id: str, now: float) -> None:
        """Nobody listens at a member's address: the operating system there said so."""
        ...

    def replaced(self, node_id: str, now: float) -> None:
        """Another process answered at a member's address."""
        ...


class _Probe:
    """One probe of one member, under way.

    Attributes:
        multiplier: of local health when it began.
        retried: the connection broke once already, and another ping was sent.
        asked: how many others were asked to ping.
        nacks: how many of them answered that they hear nothing either.
        pending: requests of the second stage whose outcome is open; 0 in the first stage.
    """

    __slots__ = ("asked", "multiplier", "nacks", "pending", "retried")

    def __init__(self, multiplier: int) -> None:
        self.multiplier = multiplier
        self.retried = False
        self.asked = 0
        self.nacks = 0
        self.pending = 0


class Prober:
    """Sends probes, and understands their outcomes.

    Args:
        table: where members are.
        settings: timings.
        rng: whom to ask for help.
        health: by how much this node's own timeouts are stretched.
        out: takes what is to be sent.
        judge: draws the conclusions.
    """

    def __init__(
        self,
        table: MemberTable,
        settings: SwimSettings,
        rng: Random,
        health: LocalHealth,
        out: Outbox,
        judge: Judge,
    ) -> None:
        self._table = table
        self._settings = settings
        self._rng = rng
        self._health = health
        self._out = out
        self._judge = judge
        self._own_id: Final = table.self_member.node_id
        self._probes: dict[str, _Probe] = {}
        self._proxied: dict[int, str] = {}  # exchange to answer: whose it is
        self._epoch = 0

    # --- asking

    def probe(self, node_id: str) -> None:
        """Find out whether a member is there. Without effect while that is under way."""
        member = self._table.get(node_id)
        if member is None or member.status > _SUSPECT or node_id in self._probes:
            return
        probe = self._probes[node_id] = _Probe(self._health.multiplier)
        self._ping(Purpose.DIRECT, member, self._settings.probe_timeout_s * probe.multiplier)

    def call(self, member: Member) -> None:
        """Ping a suspect once more: the ping tells it of the suspicion."""
        self._ping(Purpose.CALL, member, self._settings.probe_timeout_s)

    def ask_others(
        self, purpose: Purpose, member: Member, count: int, timeout_s: float, news: News = NO_NEWS
    ) -> int:
        """Let as many members at random ping one; how many there were to ask."""
        node_id, addr = member.info.node_id, member.info.addr
        others = self.pick(count, node_id)
        request = ProbeRequest(node_id, addr, news)
        for other in others:
            at = self._table.members[other].info.addr
            self._out.asks.append(
                Ask(purpose, other, at, request, timeout_s, node_id, epoch=self._epoch)
            )
        return len(others)

    def pick(self, count: int, but: str = "") -> Sequence[str]:
        """As many alive members at random."""
        alive = self._table.alive_others()
        picked: list[str] = []
        if len(alive) <= count + 1:
            picked = [each for each in alive if each != but]
            self._rng.shuffle(picked)
            return picked[:count]
        while len(picked) < count:
            node_id = alive[int(self._rng.random() * len(alive))]
            if node_id != but and node_id not in picked:
                picked.append(node_id)
        return picked

    def _ping(self, purpose: Purpose, member: Member, timeout_s: float, reply_to: int = 0) -> None:
        node_id = member.info.node_id
        addr = member.info.addr
        self._out.asks.append(
            Ask(purpose, node_id, addr, Ping(node_id), timeout_s, node_id, reply_to, self._epoch)
        )

    def _second_stage(self, node_id: str, probe: _Probe, now: float) -> None:
        member = self._table.members[node_id]
        settings = self._settings
        left_s = (settings.probe_interval_s - settings.probe_timeout_s) * probe.multiplier
        probe.asked = probe.pending = self.ask_others(
            Purpose.INDIRECT, member, settings.indirect_probes, left_s
        )
        if settings.lifeguard:
            probe.pending += 1
            self._ping(Purpose.AGAIN, member, left_s * _NACK_SHARE)
        elif not probe.asked:
            self._failed(node_id, probe, now)

    def _one_less(self, node_id: str, probe: _Probe, now: float) -> None:
        probe.pending -= 1
        if not probe.pending:
            self._failed(node_id, probe, now)

    def _failed(self, node_id: str, probe: _Probe, now: float) -> None:
        del self._probes[node_id]
        # Lifeguard 4.A: nacks that are missing say that the fault may be here.
        self._health.worse(probe.asked - probe.nacks if probe.asked else 1)
        self._judge.accuse(node_id, now)

    def drop(self, node_id: str) -> None:
        """A member is gone: what a probe of it finds is of no interest."""
        self._probes.pop(node_id, None)

    def abandon(self) -> None:
        """This node stood still: outcomes of what is under way prove nothing."""
        self._epoch += 1
        self._probes.clear()

    # --- outcomes; the news of an answer are learned already

    def answered(self, ask: Ask, peer_id: str, answer: Answer, now: float) -> None:
        """A request of this part was answered."""
        node_id = ask.about
        if ask.purpose in _PINGS:
            heard = isinstance(answer, Ack) and peer_id == node_id
            if isinstance(answer, NotMe) or peer_id != node_id:
                self._judge.replaced(node_id, now)
        elif ask.purpose is Purpose.VERIFY:
            if isinstance(answer, Nack) and ask.epoch == self._epoch:
                self._judge.confirm(node_id, peer_id, now)
            return
        else:
            heard = isinstance(answer, Ack)
        if ask.purpose is Purpose.PROXY:
            self._proxied_done(ask, heard)
            return
        probe = self._probes.get(node_id)
        if probe is None or ask.epoch != self._epoch:
            return
        if heard:
            del self._probes[node_id]
            if ask.purpose is Purpose.DIRECT:
                self._health.better()
        elif ask.purpose is Purpose.INDIRECT:
            probe.nacks += isinstance(answer, Nack)
            self._one_less(node_id, probe, now)
        elif ask.purpose is not Purpose.CALL:
            self._unheard(ask, probe, Failure.FOREIGN, now)

    def failed(self, ask: Ask, failure: Failure, now: float) -> None:
        """A request of this part has no answer."""
        current = ask.epoch == self._epoch
        if failure is Failure.REFUSED and ask.purpose in _PINGS and current:
            self._judge.refused(ask.about, now)
        if ask.purpose is Purpose.PROXY:
            self._proxied_done(ask, heard=False)
            member = self._table.get(ask.about)
            if current and member is not None and member.status is _SUSPECT:
                self._judge.accuse(ask.about, now)
            return
        probe = self._probes.get(ask.about)
        if probe is not None and current:
            self._unheard(ask, probe, failure, now)

    def _unheard(self, ask: Ask, probe: _Probe, failure: Failure, now: float) -> None:
        if ask.purpose is Purpose.DIRECT:
            if failure is Failure.LOST and not probe.retried:
                probe.retried = True
                member = self._table.members[ask.about]
                timeout_s = self._settings.probe_timeout_s * probe.multiplier
                self._ping(Purpose.DIRECT, member, timeout_s)
            elif not probe.pending:
                self._second_stage(ask.about, probe, now)
        elif ask.purpose in (Purpose.AGAIN, Purpose.INDIRECT):
            self._one_less(ask.about, probe, now)

    # --- for others

    def probe_received(self, exchange: int, peer_id: str, request: ProbeRequest) -> None:
        """Another member asks for a probe; its news are learned already."""
        member = self._table.get(request.target)
        if request.target == self._own_id:
            self._out.replies.append(Reply(exchange, peer_id, Ack()))
        elif member is None or member.status > _SUSPECT or len(self._proxied) >= MAX_PROXIES:
            # Where nobody known is, nobody is pinged: a peer cannot make this node dial around.
            self._out.replies.append(Reply(exchange, peer_id, Nack()))
        else:
            self._proxied[exchange] = peer_id
            timeout_s = self._settings.probe_timeout_s * _NACK_SHARE
            self._ping(Purpose.PROXY, member, timeout_s, exchange)

    def _proxied_done(self, ask: Ask, heard: bool) -> None:
        peer_id = self._proxied.pop(ask.reply_to, "")
        # What the member said of itself must reach whoever asked: it may suspect it.
        about = (ask.about,) if heard and self._table.get(ask.about) else ()
        answer = Ack() if heard else Nack()
        self._out.replies.append(Reply(ask.reply_to, peer_id, answer, about))
