"""A membership protocol of fifty lines, so that the world has its tests without the real one.

Everybody tells a random member all it knows each second; whoever refuses a connection is dead.
Names ride along. ``flaw`` plants one mistake for the checks to find.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random

from pulsing.cluster.effects import (
    CloseLinks,
    Effect,
    LeaveFinished,
    ResolveSeeds,
    SendAnswer,
    SendRequest,
    TellMemberChange,
    TellNameChange,
)
from pulsing.cluster.members import Member, MemberStatus, NodeInfo, Registration
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
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

TICK_S = 1.0
SLACK_S = 0.5


class ToyCore:
    def __init__(self, info: NodeInfo, dice: Random, flaw: str = "") -> None:
        self.info = info
        self.flaw = flaw
        self.handled: list[tuple[float, Stimulus]] = []
        self.members: dict[str, Member] = {}
        self._parts: dict[str, tuple[int, dict[str, int]]] = {info.node_id: (0, {})}
        self._dice = dice
        self._due = 0.0
        self._numbers = 0
        self._asked: dict[int, str] = {}
        self._seeds: tuple[str, ...] = ()
        self._leaving = False
        self._effects: list[Effect] = []

    def start(self, *, now: float) -> list[Effect]:
        self._due = now + TICK_S * self._dice.random()
        self._note(Member(self.info, MemberStatus.ALIVE, 1))
        return [ResolveSeeds()]

    def next_deadline(self) -> float | None:
        return self._due

    def handle(self, stimulus: Stimulus, *, now: float) -> list[Effect]:
        self.handled.append((now, stimulus))
        self._effects = []
        self._react(stimulus, now)
        if self._leaving and not self._asked:
            self._effects.append(LeaveFinished())
        return self._effects

    def _react(self, stimulus: Stimulus, now: float) -> None:
        match stimulus:
            case DeadlineReached():
                assert now >= self._due
                self._due = now if self.flaw == "storm" else now + TICK_S
                if (others := self._present()) and self.flaw != "silent":
                    self._ask(self._dice.choice(others).info.addr)
                elif self._seeds:
                    self._ask(self._dice.choice(self._seeds))
            case SeedsResolved(addresses):
                self._seeds = tuple(each for each in addresses if each != self.info.addr)
                for each in self._seeds:
                    self._ask(each)
            case RequestReceived(exchange, _, body):
                self._learn(body)
                for _ in range(2 if self.flaw == "answers twice" else 1):
                    self._effects.append(SendAnswer(exchange, self._body()))
            case AnswerReceived(exchange, peer_id, body):
                self._bury(self._asked.pop(exchange), survivor=peer_id)
                self._learn(body)
            case RequestFailed(exchange, failure, _):
                addr = self._asked.pop(exchange)
                if failure is Failure.REFUSED:
                    self._bury(addr)
            case LinkLost(node_id):
                if (member := self.members.get(node_id)) and member.is_present:
                    self._ask(member.info.addr)
            case NameRegistered(name, local, _):
                version, names = self._parts[self.info.node_id]
                self._parts[self.info.node_id] = (version + 1, {**names, name: local})
            case NameUnregistered(name):
                version, names = self._parts[self.info.node_id]
                left = {each: local for each, local in names.items() if each != name}
                self._parts[self.info.node_id] = (version + 1, left)
            case StallEnded(incarnation):
                self._note(Member(self.info, MemberStatus.ALIVE, incarnation + 1))
            case LeaveRequested():
                own = self.members[self.info.node_id]
                self._note(Member(self.info, MemberStatus.LEFT, own.incarnation))
                for each in self._present():
                    self._ask(each.info.addr)
                self._leaving = True

    def lookup(self, name: str) -> Sequence[Registration]:
        return tuple(
            Registration(name, owner, names[name], "simulated.Actor")
            for owner, (_, names) in sorted(self._parts.items())
            if name in names
            and (self.members[owner].is_present or self.flaw == "finds the names of the dead")
        )

    def names(self) -> Mapping[str, Sequence[Registration]]:
        everything = {name for _, names in self._parts.values() for name in names}
        found = {name: self.lookup(name) for name in everything}
        return {name: instances for name, instances in found.items() if instances}

    def name_wanted(self, name: str, *, now: float) -> list[Effect]:
        return []

    def busy_claim(self, incarnation: int) -> bytes:
        row = (self.info.node_id, self.info.addr, 0, incarnation, 0, {})
        return json.dumps([row]).encode()

    # --- inside

    def _present(self) -> list[Member]:
        return [
            each
            for node_id, each in self.members.items()
            if each.is_present and node_id != self.info.node_id
        ]

    def _ask(self, addr: str) -> None:
        if self.flaw != "same number":
            self._numbers += 1
        self._asked[self._numbers] = addr
        body = b" " * 70_000 if self.flaw == "long message" else self._body()
        self._effects.append(SendRequest(self._numbers, addr, body, SLACK_S))

    def _body(self) -> bytes:
        rows: list[object] = []
        for node_id, member in self.members.items():
            status = int(member.status)
            incarnation = member.incarnation + (self.flaw == "makes up incarnations")
            version, names = self._parts.get(node_id, (0, {}))
            rows.append((node_id, member.info.addr, status, incarnation, version, names))
        return json.dumps(rows).encode()

    def _learn(self, body: bytes) -> None:
        for node_id, addr, status, incarnation, version, names in json.loads(body):
            old = self.members.get(node_id)
            if node_id == self.info.node_id:
                old = self.members[node_id]
                if (
                    old.is_present
                    and status >= MemberStatus.DEAD
                    and incarnation >= old.incarnation
                ):
                    alive = self.flaw != "believes its death"
                    claimed = MemberStatus.ALIVE if alive else MemberStatus.DEAD
                    self._note(Member(self.info, claimed, incarnation + 1))
                continue
            newer = old is None or (incarnation, status) > (old.incarnation, old.status)
            revived = self.flaw == "revives" and old is not None and status < old.status
            if newer or revived:
                info = NodeInfo(node_id, addr, node_id[:8])
                self._note(Member(info, MemberStatus(status), incarnation))
            if version > self._parts.get(node_id, (0, {}))[0]:
                self._parts[node_id] = (version, names)
                if names:
                    self._effects.append(TellNameChange(tuple(names)))

    def _bury(self, addr: str, survivor: str = "") -> None:
        for member in self._present():
            if member.info.addr == addr and member.node_id != survivor:
                self._note(Member(member.info, MemberStatus.DEAD, member.incarnation))

    def _note(self, member: Member) -> None:
        node_id = member.node_id
        old = self.members.get(node_id)
        self.members[node_id] = member
        before = old.status if old is not None else None
        if before == member.status:
            return
        if self.flaw != "keeps silent about members":
            self._effects.append(TellMemberChange(member, before))
        if member.status >= MemberStatus.DEAD and node_id != self.info.node_id:
            if self.flaw != "finds the names of the dead":
                self._parts.pop(node_id, None)
            if self.flaw != "leaves links open":
                self._effects.append(CloseLinks(node_id, member.info.addr, "dead"))


def toy(flaw: str = "") -> object:
    """For ``Simulation(make_core=...)``."""

    def make(info: NodeInfo, _settings: SwimSettings, dice: Random) -> ToyCore:
        return ToyCore(info, dice, flaw)

    return make
