"""One `Joining`, with a member table and answers made up by the test."""

from random import Random

import pytest

from pulsing.cluster.claims import Claim
from pulsing.cluster.effects import ResolveSeeds, WriteLog
from pulsing.cluster.joining_core import Joining
from pulsing.cluster.members import Member, MemberStatus, NodeInfo
from pulsing.cluster.messages import Welcome
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.stimuli import Failure

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus


def info_of(number: int, *, name: str | None = None, addr: str | None = None) -> NodeInfo:
    return NodeInfo(f"{number:032x}", addr or addr_of(number), name or f"node-{number}")


def addr_of(number: int) -> str:
    return f"10.0.0.{number}:7000"


class Table:
    """What joining reads of a member table."""

    def __init__(self, *members: Member) -> None:
        self.members = {each.node_id: each for each in members}

    @property
    def present_count(self) -> int:
        return sum(each.is_present for each in self.members.values())

    def present_at(self, addr: str) -> Member | None:
        found = [m for m in self.members.values() if m.is_present and m.info.addr == addr]
        return found[0] if found else None

    def claim_about(self, node_id: str) -> Claim:
        member = self.members[node_id]
        is_alive = member.status is ALIVE
        return Claim(
            member.status,
            node_id,
            member.incarnation,
            member.info if is_alive else None,
            member.busy,
        )

    def put(self, number: int, status: MemberStatus = ALIVE, *, since: float = 0.0) -> Member:
        member = Member(info_of(number), status, 0, since=since)
        self.members[member.node_id] = member
        return member


class Driver:
    """One `Joining` in a world where each address does what ``outcome`` says."""

    def __init__(self, *seeds: str, seed: int = 1, settings: SwimSettings | None = None) -> None:
        self.settings = settings or SwimSettings()
        self.table = Table()
        me = self.table.put(1)
        self.seeds = seeds
        self.joining = Joining(me.info, self.table, self.settings, Random(seed), bool(seeds))
        self.now = 100.0
        self.asked: list[tuple[float, str]] = []
        self.logged: list[WriteLog] = []
        self.resolved_at: list[float] = []
        self.joined: list[str] = []
        self.outcome: dict[str, object] = {}

    def start(self) -> None:
        self._effects(self.joining.start(self.now))

    def _effects(self, effects) -> None:
        for each in effects:
            if isinstance(each, ResolveSeeds):
                self.resolved_at.append(self.now)
                self.joining.seeds_resolved(self.seeds, self.now)
            else:
                assert isinstance(each, WriteLog)
                self.logged.append(each)

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(100_000):
            due = self.joining.next_deadline()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            attempts = self.joining.tick(self.now)
            for addr, join in attempts.joins:
                assert join.claim.node_id == self.table.members[f"{1:032x}"].node_id
                self.asked.append((self.now, addr))
                self._outcome_of(addr)
            self._effects(attempts.effects)
        else:
            pytest.fail("a storm of deadlines")
        self.now = end

    def _outcome_of(self, addr: str) -> None:
        match self.outcome.get(addr, Failure.REFUSED):
            case Failure() as failure:
                self._effects(self.joining.failed(addr, failure, "said so", self.now))
            case (str() as peer_id, answer):
                step = self.joining.answered(addr, peer_id, answer, self.now)
                self._effects(step.effects)
                if step.joined:
                    self.joined.append(addr)
                for claim in step.claims:
                    if claim.info is not None:
                        member = Member(claim.info, claim.status, claim.incarnation)
                        self.table.members.setdefault(claim.node_id, member)
            case None:
                pass  # still under way

    def welcomes(self, number: int, *others: int) -> None:
        claims = tuple(Claim(ALIVE, info_of(n).node_id, 0, info_of(n)) for n in (number, *others))
        self.outcome[addr_of(number)] = (info_of(number).node_id, Welcome(claims))

    def asked_addrs(self, since: float = 0.0) -> list[str]:
        return [addr for at, addr in self.asked if at >= since]
