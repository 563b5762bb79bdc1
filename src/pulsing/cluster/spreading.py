"""When news leave, to whom, and what every message must say to its receiver.

What is new here goes out soon, to a few random members, and again at each gossip interval until
every piece was passed on often enough; then there is silence. Probes and answers carry news, too. A
receiver that is suspected, or believed gone, is told so with every message, so that it can refute.

Source: SWIM 4.1; Lifeguard 4.C (buddy system).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from .claims import Claim
from .dissemination import Dissemination
from .member_table import MemberTable
from .members import MemberStatus
from .messages import NO_NEWS, Gossip, News
from .outbox import Ask, Outbox, Purpose
from .registry_core import Registry
from .settings import SwimSettings
from .swim_core import Swim

_ALIVE, _SUSPECT, _DEAD, _LEFT = MemberStatus
GOSSIP_TIMEOUT_S: Final = 2.0
_REST_SHARE: Final = 0.25
"""Between two rounds there is at least this share of the gossip interval, however much happens."""
_DELTA_HEAD_BYTES: Final = 64


class Spreading:
    """Sends news.

    Args:
        table: what is believed.
        registry: whose changes are news.
        news: what else is to be passed on.
        swim: knows whom to pick.
        settings: how often, to how many, how much.
        out: takes what is to be sent.

    Attributes:
        names_changed: the own part of the registry changed since the last round.
        due: when the next round is.
    """

    def __init__(
        self,
        table: MemberTable,
        registry: Registry,
        news: Dissemination,
        swim: Swim,
        settings: SwimSettings,
        out: Outbox,
    ) -> None:
        self._table = table
        self._registry = registry
        self._news = news
        self._swim = swim
        self._settings = settings
        self._out = out
        self._own_id: Final = table.self_member.node_id
        self._round_bytes = max(settings.max_piggyback_bytes, settings.max_message_bytes // 4)
        self._limit_for = 0
        self._limit = 0
        self.names_changed = False
        self.due = math.inf
        self._last_round = -math.inf

    def wake(self, now: float) -> None:
        """There may be news: see that they leave."""
        if self.names_changed or self._news.is_fresh:
            settings = self._settings
            rested = self._last_round + settings.gossip_interval_s * _REST_SHARE
            soon = max(now + settings.eager_gossip_s, rested)
            if soon < self.due and self._table.alive_others():
                self.due = soon

    def shift(self, by_s: float) -> None:
        """This node stood still."""
        self.due += by_s

    def tick(self, now: float) -> None:
        """Pass news on to a few members."""
        self.due = math.inf
        settings = self._settings
        peers = self._swim.whom_to_tell(settings.gossip_nodes)
        if not peers:
            return
        if self.names_changed:
            self.names_changed = False
            delta = self._registry.take_delta(self._round_bytes // 2 - _DELTA_HEAD_BYTES)
            if delta is not None:
                self._news.put_delta(delta)
        self._last_round = now
        self._news.is_fresh = False
        news = self._news.take(self._round_bytes, self.limit, copies=len(peers))
        if news is NO_NEWS:
            return
        request = Gossip(news)
        for peer in peers:
            addr = self._table.members[peer].info.addr
            self._out.asks.append(Ask(Purpose.GOSSIP, peer, addr, request, GOSSIP_TIMEOUT_S))
        if len(self._news):
            self.due = now + settings.gossip_interval_s

    @property
    def limit(self) -> int:
        """How often each member passes a piece on: lambda log n of SWIM 4.1."""
        present = self._table.present_count
        if present != self._limit_for:
            self._limit_for = present
            self._limit = self._settings.retransmit_mult * math.ceil(math.log10(present + 1))
        return self._limit

    def news_for(
        self, peer_id: str, about: Collection[str] = (), heard: Collection[str] = ()
    ) -> News:
        """News for a message that leaves anyway.

        Args:
            peer_id: who receives it.
            about: members it must be told about.
            heard: members it has just told about: no need to repeat that.
        """
        news = self._news.take(self._settings.max_piggyback_bytes, self.limit, skip=heard)
        peer = self._table.members.get(peer_id)
        doubted = peer is not None and peer.status is not _ALIVE and peer_id != self._own_id
        if not about and not doubted:
            return news
        wanted = dict.fromkeys((peer_id, *about) if doubted else about)
        claims = tuple(self.told(each, peer_id) for each in wanted if each in self._table.members)
        return News(claims + news.claims, news.deltas)

    def told(self, node_id: str, peer_id: str) -> Claim:
        """What is believed of a member, for somebody who believes something else.

        That a third one is dead is told as a suspicion: if it was cut off from here only, it
        refutes that before anybody closes a connection to it.
        """
        claim = self._table.claim_about(node_id)
        if claim.status is _DEAD and node_id != peer_id:
            return Claim(_SUSPECT, node_id, claim.incarnation, accuser=self._own_id)
        return claim
