"""The parts of a gossip core, and what goes from one to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from .claims import Claim
from .dissemination import Dissemination
from .joining_core import Joining
from .leaving import Leaving
from .member_table import MemberTable
from .members import MemberStatus, NodeInfo
from .messages import NO_NEWS, Gossip, News, RegistryDelta, Request
from .outbox import Ask, Outbox, Purpose
from .registry_core import Applied, Registry
from .settings import SwimSettings
from .spreading import GOSSIP_TIMEOUT_S, Spreading
from .swim_core import Swim
from .sync_core import Sync

_ALIVE: Final = MemberStatus.ALIVE
_DEAD: Final = MemberStatus.DEAD
_SUSPECT: Final = MemberStatus.SUSPECT
_SYNC_TIMEOUT_S: Final = 3.0
_MAX_CORRECTIONS: Final = 256


class Parts:
    """One of each, wired together; the arguments are those of `gossip_core.GossipCore`."""

    def __init__(
        self,
        info: NodeInfo,
        settings: SwimSettings,
        rng: Random,
        seeds_configured: bool,
        own_addrs: Iterable[str],
    ) -> None:
        self.own_id: Final = info.node_id
        self.settings: Final = settings
        self.out: Final = Outbox()
        self.table: Final = MemberTable(info, max_members=settings.max_members)
        self.registry: Final = Registry(info.node_id, self.may_have_names)
        self.news: Final = Dissemination()
        self.swim: Final = Swim(self.table, settings, rng, self.news, self.out)
        self.spreading: Final = Spreading(
            self.table, self.registry, self.news, self.swim, settings, self.out
        )
        self.joining: Final = Joining(info, self.table, settings, rng, seeds_configured, own_addrs)
        self.sync: Final = Sync(self.table, self.registry, settings, rng)
        self.leaving: Final = Leaving(self.table, settings, self.swim, self.out)

    def may_have_names(self, owner: str) -> bool:
        """It is a member, and present."""
        member = self.table.get(owner)
        return member is not None and member.status <= _SUSPECT

    def ask_sync(self, peer_id: str, request: Request) -> None:
        """Send a request of anti-entropy."""
        peer = self.table.get(peer_id)
        assert peer is not None, f"{peer_id} was never a member"
        addr = peer.info.addr
        self.out.asks.append(Ask(Purpose.SYNC, peer_id, addr, request, _SYNC_TIMEOUT_S))

    def announce_names(self) -> None:
        """Others do not know, or forgot, the names of this node."""
        self.registry.announce()
        self.spreading.names_changed = True

    # --- learning

    def learn(
        self, news: News, source: str, now: float, *, quiet_about: str = ""
    ) -> tuple[str, ...]:
        """Take in what a node says; about whom it must be told, because it is wrong.

        Args:
            news: what it says.
            source: who says it.
            now: the time.
            quiet_about: a suspicion of this member is to be verified before it is spread.
        """
        if news is NO_NEWS:
            return ()
        wrong: list[str] = []
        members = self.table.members
        for claim in news.claims:
            known = members.get(claim.node_id)
            if (
                known is not None
                and known.status is _ALIVE is claim.status
                and claim.incarnation <= known.incarnation
            ):
                continue  # nearly all of them in a growing cluster
            quietly = claim.node_id == quiet_about
            about = self.swim.learn(claim, now, source=source, quietly=quietly)
            if about is not None:
                wrong.append(about)
        for delta in news.deltas:
            self._learn_names(delta, source, now)
        return tuple(wrong[:_MAX_CORRECTIONS])

    def learn_table(self, claims: Iterable[Claim], source: str, now: float) -> tuple[str, ...]:
        """Take in what a node's table says: it may be on the other side of a partition.

        What it calls dead is only suspected here, so that it can refute before connections close.
        """
        softened = tuple(
            Claim(_SUSPECT, each.node_id, each.incarnation, accuser=source)
            if each.status is _DEAD and each.node_id != self.own_id
            else each
            for each in claims
        )
        return self.learn(News(softened), source, now)

    def _learn_names(self, delta: RegistryDelta, source: str, now: float) -> None:
        applied = self.registry.apply(delta)
        if applied is Applied.NEWS:
            self.news.put_delta(delta)
        elif applied is Applied.GAP:
            if not self.may_have_names(source):
                self.sync.hurry(now)
                return
            pull = self.sync.pull(delta.owner, source, now, version=delta.version)
            if pull is not None:
                self.ask_sync(*pull)

    def correct(self, peer_id: str, about: Sequence[str]) -> None:
        """Tell a member that answered what it has wrong."""
        peer = self.table.get(peer_id)
        if about and peer is not None:
            request = Gossip(News(tuple(self.spreading.told(each, peer_id) for each in about)))
            addr = peer.info.addr
            ask = Ask(Purpose.CORRECTION, peer_id, addr, request, GOSSIP_TIMEOUT_S)
            self.out.asks.append(ask)
