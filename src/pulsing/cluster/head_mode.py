"""What a head and its workers have in common: beliefs, names, answers and a goodbye."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Final

from pulsing.errors import WireError

from .asking import Asking
from .claims import Claim, Verdict
from .effects import (
    CloseLinks,
    Effect,
    LeaveFinished,
    SendAnswer,
    Severity,
    TellMemberChange,
    TellNameChange,
    WriteLog,
)
from .member_table import MemberTable
from .members import Member, MemberStatus, NodeInfo, Registration
from .message_codec import decode, encode
from .messages import (
    Ack,
    Answer,
    Gossip,
    News,
    NotMe,
    Ping,
    Pull,
    RejectCode,
    Rejected,
    Request,
)
from .registry_core import Registry
from .settings import HeadSettings
from .stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    RequestReceived,
    StallEnded,
    Stimulus,
)

MESSAGE_RESERVE: Final = 256
_STOOD_STILL_S: Final = 1.0
"""A deadline that is noticed as much too late means that this node stood still."""


class HeadModeCore(ABC):
    """Membership and names of one node of a cluster with a head.

    Args:
        info: this node.
        settings: timings and bounds.
        rng: for jitter and choices.
    """

    def __init__(self, info: NodeInfo, settings: HeadSettings, rng: Random) -> None:
        self.table = MemberTable(info, max_members=settings.max_members)
        self.registry = Registry(info.node_id, self._is_present)
        self._info = info
        self._settings = settings
        self._rng = rng
        self._asking = Asking()
        self._goodbyes: int | None = None
        self._leave_at: float | None = None

    # --- what is known

    @property
    def info(self) -> NodeInfo:
        """This node."""
        return self._info

    @property
    def members(self) -> Mapping[str, Member]:
        """Everybody known, by node id, this node and the remembered dead included."""
        return self.table.members

    def lookup(self, name: str) -> Sequence[Registration]:
        """Instances of a canonical name on present members, in order of node id."""
        return self.registry.lookup(name)

    def names(self) -> Mapping[str, Sequence[Registration]]:
        """Every name that is registered somewhere, with its instances."""
        return self.registry.names()

    def busy_claim(self, incarnation: int) -> bytes:
        """The message by which the guard says on this node's behalf: alive, but busy."""
        node_id = self._info.node_id
        claim = Claim(MemberStatus.ALIVE, node_id, incarnation, self._info, busy=True)
        return encode(Gossip(News((claim,))))

    def _is_present(self, node_id: str) -> bool:
        member = self.table.get(node_id)
        return member is not None and member.is_present

    # --- the one door

    def handle(self, stimulus: Stimulus, *, now: float) -> list[Effect]:
        """Something happened."""
        effects: list[Effect] = []
        deadline = self.next_deadline()
        if deadline is not None and now - deadline > _STOOD_STILL_S:
            effects += self._stood_still(now - deadline)
        match stimulus:
            case DeadlineReached():
                effects += self._tick(now)
            case RequestReceived(exchange, peer_id, body):
                effects += self._request_received(exchange, peer_id, body, now)
            case AnswerReceived():
                effects += self._asking.answer_received(stimulus, now)
            case RequestFailed():
                effects += self._asking.request_failed(stimulus, now)
            case LinkLost(node_id):
                effects += self._link_lost(node_id, now)
            case NameRegistered(name, local, class_name):
                self.registry.register(name, local, class_name)
                effects += self._own_names_changed(now)
            case NameUnregistered(name):
                self.registry.unregister(name)
                effects += self._own_names_changed(now)
            case StallEnded(incarnation):
                self.table.raise_incarnation(incarnation)
                effects += self._own_claim_changed(now)
            case LeaveRequested():
                effects += self._leave(now)
            case _:  # there are no seeds in this mode
                pass
        self.table.touched.clear()  # for digests, which this mode has none of
        self.registry.touched.clear()
        names = self.registry.take_changed_names()
        if names:
            self._names_seen(names)
            effects.append(TellNameChange(names))
        return effects

    @abstractmethod
    def next_deadline(self) -> float | None:
        """When `stimuli.DeadlineReached` is due; None: not at all."""

    @abstractmethod
    def _tick(self, now: float) -> list[Effect]: ...

    @abstractmethod
    def _stood_still(self, for_s: float) -> list[Effect]:
        """This node did nothing for a while: nobody else is to blame for the silence."""

    @abstractmethod
    def _link_lost(self, node_id: str, now: float) -> list[Effect]: ...

    @abstractmethod
    def _own_names_changed(self, now: float) -> list[Effect]: ...

    @abstractmethod
    def _own_claim_changed(self, now: float) -> list[Effect]: ...

    @abstractmethod
    def _names_seen(self, names: Iterable[str]) -> None:
        """Instances of these names changed."""

    # --- beliefs

    def _learn(self, claim: Claim, now: float, why: str = "") -> list[Effect]:
        """Believe a claim about another member, if it prevails.

        Args:
            claim: what is claimed.
            now: for how long it is so.
            why: for those who wait for the member, when it is gone.
        """
        change = self.table.apply(claim, now)
        if change is None:
            return []
        member, before = change
        effects: list[Effect] = []
        if change.removes:
            self.registry.remove_owner(member.node_id)
            if member.status is MemberStatus.DEAD:  # who left still answers what it has begun
                reason = f"node {member.info.name} at {member.info.addr} is dead"
                reason = f"{reason}: {why}" if why else reason
                effects.append(CloseLinks(member.node_id, member.info.addr, reason))
        if change.is_visible:
            effects.append(TellMemberChange(member, before.status if before is not None else None))
        self._believed(member.node_id)
        return effects

    @abstractmethod
    def _believed(self, node_id: str) -> None:
        """The belief about a member changed."""

    def _is_dead(self, node_id: str, why: str, now: float) -> list[Effect]:
        """There is proof that a member is gone."""
        member = self.table.get(node_id)
        if member is None or not member.is_present:
            return []
        claim = Claim(MemberStatus.DEAD, node_id, member.incarnation)
        line = f"{member.info.name} at {member.info.addr} is dead: {why}"
        said = WriteLog(f"dead {node_id}", line, Severity.WARNING)
        return [said, *self._learn(claim, now, why)]

    def _own_claim(self) -> Claim:
        return self.table.claim_about(self._info.node_id)

    # --- answers

    def _request_received(
        self, exchange: int, peer_id: str, body: bytes, now: float
    ) -> list[Effect]:
        try:
            message = decode(body)
        except WireError as error:
            line = f"node {peer_id} sent what is no message of a cluster: {error}"
            said = WriteLog(f"invalid {peer_id}", line, Severity.WARNING)
            rejected = Rejected(RejectCode.INVALID, str(error))
            return [SendAnswer(exchange, encode(rejected)), said]
        effects: list[Effect] = []
        answer = self._answer(peer_id, message, now, effects)
        return [SendAnswer(exchange, encode(answer)), *effects]

    def _answer(
        self, peer_id: str, message: Request | Answer, now: float, effects: list[Effect]
    ) -> Answer:
        """The answer to a request; what else is to be done is added to ``effects``."""
        match message:
            case Ping(target):
                ours = target == self._info.node_id
                return Ack() if ours else NotMe(self._introduction())
            case Gossip(news):
                return self._gossip_received(peer_id, news.claims, now, effects)
            case Pull():
                return self.registry.page(message, self._room)
            case _:
                return Rejected(RejectCode.MODE, self._mode)

    def _gossip_received(
        self, peer_id: str, claims: Iterable[Claim], now: float, effects: list[Effect]
    ) -> Ack:
        """What a peer says about itself counts, and what it has wrong is put right."""
        refuted = False
        for claim in claims:
            if claim.node_id == self._info.node_id:
                refuted |= self._refute(claim)
            elif claim.node_id == peer_id and self._is_present(peer_id):
                effects += self._learn(claim, now, "it said goodbye")
            else:
                effects += self._hearsay(peer_id, claim, now)
        if not refuted:
            return Ack()
        effects += self._own_claim_changed(now)
        return Ack(News((self._own_claim(),)))

    @abstractmethod
    def _hearsay(self, peer_id: str, claim: Claim, now: float) -> list[Effect]:
        """A peer claims something about another member."""

    def _refute(self, claim: Claim) -> bool:
        if self.table.decide(claim) is not Verdict.REFUTE:
            return False
        self.table.raise_incarnation(claim.incarnation)
        return True

    def _introduction(self) -> Claim:
        return self.table.introduction(self._info.node_id)

    @property
    @abstractmethod
    def _mode(self) -> str:
        """What this node is, and what to do for who takes it for something else."""

    @property
    def _room(self) -> int:
        return self._settings.max_message_bytes - MESSAGE_RESERVE

    # --- goodbye

    def _leave(self, now: float) -> list[Effect]:
        if self._goodbyes is not None:
            return []
        self.table.leave(now)
        goodbye = Gossip(News((self._own_claim(),)))
        addrs = self._whom_to_tell()
        self._goodbyes = len(addrs)
        if not addrs:
            return [LeaveFinished()]
        self._leave_at = now + self._settings.leave_timeout_s
        return [
            self._asking.ask(
                addr, goodbye, self._said_goodbye, self._no_goodbye, self._settings.leave_timeout_s
            )
            for addr in addrs
        ]

    @abstractmethod
    def _whom_to_tell(self) -> list[str]:
        """Addresses of those who should hear that this node leaves."""

    @property
    def _leaves(self) -> bool:
        return self._goodbyes is not None

    def _said_goodbye(self, peer_id: str, answer: Request | Answer, now: float) -> list[Effect]:
        return self._goodbye_over()

    def _no_goodbye(self, failure: Failure, text: str, now: float) -> list[Effect]:
        return self._goodbye_over()

    def _goodbye_over(self, *, all_of_them: bool = False) -> list[Effect]:
        if self._leave_at is None or self._goodbyes is None:
            return []
        self._goodbyes -= 1
        if self._goodbyes > 0 and not all_of_them:
            return []
        self._leave_at = None
        return [LeaveFinished()]
