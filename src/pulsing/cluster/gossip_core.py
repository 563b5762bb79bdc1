"""A node of a cluster without a head: members and names, spread by gossip.

Purpose: puts the parts together. `swim_core` decides about members, `dissemination` and `spreading`
pass news on, `joining_core` finds the cluster, `sync_core` finds what gossip missed, and
`registry_core` knows the names. `gossip_requests` has what other nodes ask, `gossip_outcomes` what
became of own requests.

Stimuli and effects: all of `stimuli` and `effects`.

Invariants: every request of another node is answered once; the outcome of every own request is
heard by one part; without news nothing but probes is sent; no bytes from a peer raise anything.

A node that stood still (its process was stopped, its machine slept) notices by its own deadline: it
is handed something much later than that. Whatever it waits for is put off by as much.

Source: SWIM 4.1 (piggybacking); Lifeguard 4.C (telling the suspect first).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

from .claims import Claim
from .effects import (
    CloseLinks,
    Effect,
    SendAnswer,
    Severity,
    TellMemberChange,
    TellNameChange,
    WriteLog,
)
from .gossip_outcomes import Outcomes
from .gossip_parts import Parts
from .gossip_requests import Requests
from .joining_core import JOIN_TIMEOUT_S
from .member_table import Change
from .members import Member, MemberStatus, NodeInfo, Registration
from .message_codec import decode, encode
from .messages import NO_NEWS, Ack, Gossip, Nack, News, NotMe, Rejected
from .outbox import Ask, Purpose, Reply
from .settings import SwimSettings
from .stimuli import (
    AnswerReceived,
    DeadlineReached,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    RequestReceived,
    SeedsResolved,
    StallEnded,
    Stimulus,
)

_STILL_S: Final = 0.25
"""Handed something as much later than due, and half a probe interval: this node stood still."""
_NO_NEWS_ACK: Final = encode(Ack())


class GossipCore:
    """Membership and registry of one node, by gossip: a `wire.ClusterCore`.

    Args:
        info: this node.
        settings: timings and bounds.
        rng: all its dice.
        seeds_configured: ask for their addresses (`effects.ResolveSeeds`).
        own_addrs: addresses of this node besides that in ``info``.

    Raises:
        errors.WireError: other nodes would not accept ``info``.
    """

    def __init__(
        self,
        info: NodeInfo,
        settings: SwimSettings,
        rng: Random,
        seeds_configured: bool = False,
        own_addrs: Iterable[str] = (),
    ) -> None:
        self._parts = parts = Parts(info, settings, rng, seeds_configured, own_addrs)
        decode(encode(NotMe(parts.table.claim_about(info.node_id))))
        self._outcomes, self._requests = Outcomes(parts), Requests(parts)
        self._request: Final = self._outcomes.request
        self._deadline: float | None = None
        self._still_s = max(_STILL_S, settings.probe_interval_s / 2)
        self._times_dead = 0
        self._refused = 0
        self._handlers: Final[Mapping[type, Callable[[Any, float], None]]] = {
            DeadlineReached: self._deadline_reached,
            RequestReceived: self._request_received,
            AnswerReceived: self._answer_received,
            RequestFailed: self._outcomes.request_failed,
            LinkLost: self._link_lost,
            SeedsResolved: self._seeds_resolved,
            NameRegistered: self._name_registered,
            NameUnregistered: self._name_unregistered,
            StallEnded: self._stall_ended,
            LeaveRequested: self._leave_requested,
        }

    # --- asking

    @property
    def info(self) -> NodeInfo:
        """This node."""
        return self._parts.table.self_member.info

    @property
    def members(self) -> Mapping[str, Member]:
        """Everybody known, by node id."""
        return self._parts.table.members

    @property
    def rejection(self) -> Rejected | None:
        """Why a seed does not let this node in; None: none says so."""
        return self._parts.joining.rejection

    def next_deadline(self) -> float | None:
        """When `stimuli.DeadlineReached` is due."""
        return self._deadline

    def lookup(self, name: str) -> Sequence[Registration]:
        """Instances of a canonical name, in order of node id."""
        return self._parts.registry.lookup(name)

    def names(self) -> Mapping[str, Sequence[Registration]]:
        """Every name with its instances."""
        return self._parts.registry.names()

    def name_wanted(self, name: str, *, now: float) -> list[Effect]:
        """Nobody can be asked: every name there is comes by itself."""
        return []

    def busy_claim(self, incarnation: int) -> bytes:
        """The message by which the guard says on this node's behalf: alive, but busy."""
        own = self.info
        claim = Claim(MemberStatus.ALIVE, own.node_id, incarnation, own, busy=True)
        return encode(Gossip(News((claim,))))

    # --- the door

    def start(self, *, now: float) -> list[Effect]:
        """Begin."""
        parts = self._parts
        parts.table.started(now)
        parts.swim.start(now)
        parts.out.effects += parts.joining.start(now)
        self._tick_sync(now)
        return self._flush(now)

    def handle(self, stimulus: Stimulus, *, now: float) -> list[Effect]:
        """Something happened."""
        deadline = self._deadline
        if deadline is not None and now - deadline > self._still_s:
            self._stood_still(now - deadline, now)
        self._handlers[type(stimulus)](stimulus, now)
        return self._flush(now)

    def _stood_still(self, by_s: float, now: float) -> None:
        if self._parts.settings.lifeguard:
            self._parts.swim.shift(by_s, now)
            self._parts.spreading.shift(by_s)
            self._parts.joining.shift(by_s)

    # --- time

    def _deadline_reached(self, _: DeadlineReached, now: float) -> None:
        parts = self._parts
        leaving = parts.leaving.due
        if leaving is None:
            if parts.swim.next_deadline() <= now:
                parts.swim.tick(now)
            self._tick_joining(now)
            self._tick_sync(now)
        elif leaving <= now:
            parts.leaving.tick(now)
        if parts.spreading.due <= now:
            parts.spreading.tick(now)

    def _tick_joining(self, now: float) -> None:
        parts = self._parts
        due = parts.joining.next_deadline()
        if due is not None and due <= now:
            attempts = parts.joining.tick(now)
            parts.out.effects += attempts.effects
            for addr, join in attempts.joins:
                parts.out.asks.append(Ask(Purpose.JOIN, "", addr, join, JOIN_TIMEOUT_S))

    def _tick_sync(self, now: float) -> None:
        sync = self._parts.sync
        while sync.next_deadline() <= now and (due := sync.tick(now)) is not None:
            self._parts.ask_sync(*due)

    def _next_deadline(self) -> float:
        parts = self._parts
        leaving = parts.leaving.due
        if leaving is not None:
            return min(leaving, parts.spreading.due)
        due = min(parts.swim.next_deadline(), parts.spreading.due, parts.sync.next_deadline())
        joining = parts.joining.next_deadline()
        return due if joining is None or joining > due else joining

    # --- other nodes

    def _request_received(self, stimulus: RequestReceived, now: float) -> None:
        self._parts.swim.heard(now)
        self._requests.received(stimulus, now)

    def _answer_received(self, stimulus: AnswerReceived, now: float) -> None:
        self._parts.swim.heard(now)
        self._outcomes.answer_received(stimulus, now)

    def _link_lost(self, stimulus: LinkLost, _: float) -> None:
        self._parts.swim.probe(stimulus.node_id)

    # --- this node

    def _name_registered(self, stimulus: NameRegistered, _: float) -> None:
        self._parts.registry.register(stimulus.name, stimulus.local, stimulus.class_name)
        self._parts.spreading.names_changed = True

    def _name_unregistered(self, stimulus: NameUnregistered, _: float) -> None:
        self._parts.registry.unregister(stimulus.name)
        self._parts.spreading.names_changed = True

    def _stall_ended(self, stimulus: StallEnded, _: float) -> None:
        self._parts.swim.announce(stimulus.incarnation)

    def _seeds_resolved(self, stimulus: SeedsResolved, now: float) -> None:
        self._parts.joining.seeds_resolved(stimulus.addresses, now)
        self._tick_joining(now)

    def _leave_requested(self, _: LeaveRequested, now: float) -> None:
        self._parts.joining.stop()
        self._parts.leaving.begin(now)

    # --- out

    def _flush(self, now: float) -> list[Effect]:
        """Everything that is to happen, and when this node wants to be woken."""
        parts, out = self._parts, self._parts.out
        if out.changes:
            for change, reason in out.changes:
                self._changed(change, reason, now)
            out.changes.clear()
        if parts.swim.times_dead != self._times_dead:
            self._times_dead = parts.swim.times_dead
            parts.announce_names()
        if parts.table.refused != self._refused:
            self._refused = parts.table.refused
            text = f"max_members = {parts.settings.max_members} are known; others are ignored"
            out.effects.append(WriteLog("full", text, Severity.ERROR))
        changed_names = parts.registry.take_changed_names()
        if changed_names:
            out.effects.append(TellNameChange(changed_names))
        effects, out.effects = out.effects, []
        if out.replies:
            effects += map(self._answer, out.replies)
            out.replies.clear()
        if out.asks:
            effects += map(self._request, out.asks)
            out.asks.clear()
        parts.spreading.wake(now)
        self._deadline = self._next_deadline()
        return effects

    def _answer(self, reply: Reply) -> SendAnswer:
        answer = reply.answer
        if isinstance(answer, Ack | Nack):
            news = self._parts.spreading.news_for(reply.peer_id, reply.about, reply.heard)
            if news is not NO_NEWS:
                return SendAnswer(reply.exchange, encode(type(answer)(news)))
            if isinstance(answer, Ack):
                return SendAnswer(reply.exchange, _NO_NEWS_ACK)
        return SendAnswer(reply.exchange, encode(answer))

    def _changed(self, change: Change, reason: str, now: float) -> None:
        member, before = change.member, change.before
        out = self._parts.out
        if change.is_visible:
            out.effects.append(TellMemberChange(member, None if before is None else before.status))
        if change.removes:
            self._parts.registry.remove_owner(member.info.node_id)
            if member.status is MemberStatus.DEAD:
                closing = f"node {member.info.name} at {member.info.addr} is dead: {reason}"
                out.effects.append(CloseLinks(member.info.node_id, member.info.addr, closing))
        elif change.revives:
            # Its names went with it, and it may not know that it had been believed dead.
            self._parts.sync.hurry(now, member.info.node_id)
