"""One `GossipCore` among peers that do what the test says: no network, no latency."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pulsing.cluster.claims import Claim
from pulsing.cluster.effects import (
    CloseLinks,
    Effect,
    SendAnswer,
    SendRequest,
    TellMemberChange,
    WriteLog,
)
from pulsing.cluster.gossip_core import GossipCore
from pulsing.cluster.members import Member, MemberStatus, NodeInfo
from pulsing.cluster.message_codec import decode, encode
from pulsing.cluster.messages import (
    Ack,
    Compare,
    Exchange,
    Gossip,
    Join,
    News,
    Ping,
    Probe,
    Pull,
    Rejected,
    Same,
)
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    RequestFailed,
    RequestReceived,
    Stimulus,
)

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus
ME = 0
T = TypeVar("T")
Outcome = Any
"""What a peer answers, or who answers instead and what, or a `Failure`; None: nothing, ever."""


def id_of(number: int) -> str:
    return f"{number:032x}"


def addr_of(number: int) -> str:
    return f"10.0.0.{number + 1}:7000"


def number_at(addr: str) -> int:
    last = addr.rpartition(":")[0].rpartition(".")[2]
    return int(last) - 1 if last.isdigit() else -1


def info_of(number: int, **changes: Any) -> NodeInfo:
    facts = {"node_id": id_of(number), "addr": addr_of(number), "name": f"node-{number}"}
    return NodeInfo(**(facts | changes))


def alive(number: int, incarnation: int = 0, *, busy: bool = False, **changes: Any) -> Claim:
    return Claim(ALIVE, id_of(number), incarnation, info_of(number, **changes), busy)


def suspect(number: int, incarnation: int = 0, accuser: int = 9) -> Claim:
    return Claim(SUSPECT, id_of(number), incarnation, accuser=id_of(accuser))


def dead(number: int, incarnation: int = 0) -> Claim:
    return Claim(DEAD, id_of(number), incarnation)


def left(number: int, incarnation: int = 0) -> Claim:
    return Claim(LEFT, id_of(number), incarnation)


def usual(message: Any) -> Outcome:
    """What a healthy peer without news answers."""
    if isinstance(message, Compare | Exchange):
        return Same()
    if isinstance(message, Join | Pull):
        return Rejected(5, "not in this test")
    return Ack()


class World:
    """The core is node 0; peers from 1 on are members from the beginning.

    Attributes:
        does: what a peer does with a message, by number; healthy ones are not in it.
        asked: everything the core asked: when, whom, what.
        effects: everything the core wanted.
    """

    def __init__(
        self, peers: int = 3, *, settings: SwimSettings | None = None, seed: int = 1
    ) -> None:
        self.now = 1000.0
        self.settings = settings or SwimSettings(sync_interval_s=1e6, reprobe_interval_s=1e6)
        self.core = GossipCore(info_of(ME), self.settings, random.Random(seed))
        self.does: dict[int, Callable[[Any], Outcome]] = {}
        self.asked: list[tuple[float, int, Any]] = []
        self.effects: list[Effect] = []
        self._later: list[tuple[float, int, Stimulus]] = []
        self._soon: deque[Stimulus] = deque()
        self._exchange = 1_000_000
        self._obey(self.core.start(now=self.now))
        if peers:
            self.tell(1, *(alive(number) for number in range(1, peers + 1)))
        self.run_for(3 * self.settings.gossip_interval_s)
        self.forget()

    # --- doing

    def forget(self) -> None:
        """Begin to take notes anew."""
        self.asked.clear()
        self.effects.clear()

    def receive(self, peer: int, message: Any) -> Any:
        """A peer asks; what it is answered, None: nothing yet."""
        self._exchange += 1
        exchange, start = self._exchange, len(self.effects)
        body = message if isinstance(message, bytes) else encode(message)
        self.handle(RequestReceived(exchange, id_of(peer), body))
        return self.answer_to(exchange, start)

    def answer_to(self, exchange: int, start: int = 0) -> Any:
        answers = [
            decode(each.body)
            for each in self.effects[start:]
            if isinstance(each, SendAnswer) and each.exchange == exchange
        ]
        assert len(answers) <= 1
        return answers[0] if answers else None

    def tell(self, peer: int, *claims: Claim) -> Any:
        """A peer passes claims on."""
        return self.receive(peer, Gossip(News(claims)))

    def handle(self, stimulus: Stimulus) -> None:
        self._obey(self.core.handle(stimulus, now=self.now))
        while self._soon:
            self._obey(self.core.handle(self._soon.popleft(), now=self.now))

    def silence(self, *numbers: int) -> None:
        for number in numbers:
            self.does[number] = lambda _: Failure.TIMEOUT

    def run_for(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            deadline = self.core.next_deadline()
            due = self._later[0][0] if self._later else until + 1
            at = min(due, until + 1 if deadline is None else deadline)
            if at > until:
                break
            self.now = max(self.now, at)
            if due <= self.now:
                self.handle(heapq.heappop(self._later)[2])
            else:
                self.handle(DeadlineReached())
        self.now = until

    def sleep(self, seconds: float) -> None:
        """The core's process is stopped for as long: everything that was due comes at once."""
        self.now += seconds
        deadline = self.core.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.handle(DeadlineReached())

    def _obey(self, effects: list[Effect]) -> None:
        self.effects += effects
        for each in effects:
            if isinstance(each, SendRequest):
                self._sent(each)

    def _sent(self, effect: SendRequest) -> None:
        message: Any = decode(effect.body)
        number = number_at(effect.addr)
        self.asked.append((self.now, number, message))
        outcome = self.does.get(number, usual)(message)
        if outcome is None:
            return
        if isinstance(outcome, Failure):
            stimulus: Stimulus = RequestFailed(effect.exchange, outcome, outcome.value)
            if outcome is Failure.TIMEOUT:
                when = self.now + effect.timeout_s
                heapq.heappush(self._later, (when, effect.exchange, stimulus))
                return
        else:
            answered_by = number
            if type(outcome) is tuple:
                answered_by, outcome = outcome
            stimulus = AnswerReceived(effect.exchange, id_of(answered_by), encode(outcome))
        self._soon.append(stimulus)

    # --- looking

    def member(self, number: int) -> Member:
        return self.core.members[id_of(number)]

    def status(self, number: int) -> MemberStatus | None:
        member = self.core.members.get(id_of(number))
        return None if member is None else member.status

    @property
    def own_incarnation(self) -> int:
        return self.member(ME).incarnation

    def told(self) -> list[tuple[int, MemberStatus | None, MemberStatus]]:
        """Changes that were told: who, before, after."""
        return [
            (int(each.member.node_id, 16), each.before, each.member.status)
            for each in self.of(TellMemberChange)
        ]

    def of(self, kind: type[T]) -> list[T]:
        return [each for each in self.effects if isinstance(each, kind)]

    def log(self) -> str:
        return "\n".join(each.text for each in self.of(WriteLog))

    def closed(self) -> list[int]:
        return [int(each.node_id, 16) for each in self.of(CloseLinks)]

    def pings(self, number: int) -> list[Ping]:
        return [m for _, to, m in self.asked if isinstance(m, Ping) and to == number]

    def probes_of(self, number: int) -> list[tuple[int, Probe]]:
        target = id_of(number)
        return [(to, m) for _, to, m in self.asked if isinstance(m, Probe) and m.target == target]

    def spread(self) -> set[Claim]:
        """Every claim that left with any message."""
        said: set[Claim] = set()
        for _, _, message in self.asked:
            said.update(claims_of(message))
        for each in self.of(SendAnswer):
            said.update(claims_of(decode(each.body)))
        return said


def claims_of(message: Any) -> Iterable[Claim]:
    news = getattr(message, "news", None)
    return () if news is None else news.claims
