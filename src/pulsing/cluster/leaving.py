"""Saying goodbye: a few members are told at once and confirm it; their gossip tells the others."""

from __future__ import annotations

from typing import Final

from .effects import LeaveFinished
from .member_table import MemberTable
from .messages import Ack, Answer, Gossip, News
from .outbox import Ask, Outbox, Purpose
from .settings import SwimSettings
from .stimuli import Failure
from .swim_core import Swim

_TOLD_AT_ONCE: Final = 64
_ENOUGH: Final = 3


class Leaving:
    """The goodbye of this node.

    Attributes:
        due: when it is over, or to be said again; None: this node stays.
    """

    def __init__(self, table: MemberTable, settings: SwimSettings, swim: Swim, out: Outbox) -> None:
        self._table = table
        self._settings = settings
        self._swim = swim
        self._out = out
        self._ends_at = 0.0
        self._finished = False
        self._confirmed: set[str] = set()
        self.due: float | None = None

    def begin(self, now: float) -> None:
        """Leave. Without effect when that was begun."""
        if self.due is None:
            self._swim.leave(now)
            self._ends_at = now + self._settings.leave_timeout_s
            self.tick(now)

    def tick(self, now: float) -> None:
        """Say it again to others, or stop waiting."""
        self.due = min(now + self._settings.gossip_interval_s, self._ends_at)
        others = [each for each in self._swim.pick(_TOLD_AT_ONCE) if each not in self._confirmed]
        if now >= self._ends_at or not others:
            self._finish()
        if self._finished:
            return
        claim = self._table.claim_about(self._table.self_member.node_id)
        for node_id in others:
            addr = self._table.members[node_id].info.addr
            timeout_s = self._settings.probe_timeout_s
            request = Gossip(News((claim,)))
            self._out.asks.append(Ask(Purpose.GOODBYE, node_id, addr, request, timeout_s))

    def answered(self, ask: Ask, peer_id: str, answer: Answer, now: float) -> None:
        """A member knows, or is none."""
        if isinstance(answer, Ack):
            self._confirmed.add(ask.peer_id)
            if len(self._confirmed) >= min(_ENOUGH, len(self._table.alive_others())):
                self._finish()

    def failed(self, ask: Ask, failure: Failure, text: str, now: float) -> None:
        """A member was not reached; others are told next."""

    def _finish(self) -> None:
        self.due = float("inf")
        if not self._finished:
            self._finished = True
            self._out.effects.append(LeaveFinished())
