"""What the head answers, one request at a time."""

from __future__ import annotations

from random import Random

import pytest

from pulsing.cluster.claims import Claim
from pulsing.cluster.effects import SendAnswer, SendRequest, WriteLog
from pulsing.cluster.head_core import HeadCore
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.message_codec import decode, encode
from pulsing.cluster.messages import (
    Ack,
    Compare,
    Gossip,
    Heartbeat,
    Join,
    NameChange,
    News,
    NotMe,
    Page,
    Ping,
    Probe,
    Pull,
    PullAll,
    Register,
    Registered,
    RegistryDelta,
    RejectCode,
    Rejected,
    Table,
    Unknown,
)
from pulsing.cluster.settings import HeadSettings
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    RequestFailed,
    RequestReceived,
    SeedsResolved,
)
from pulsing.cluster.worker_core import WorkerCore
from tests.unit.cluster.head_world import HEAD_ADDR, World

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus
HEAD = NodeInfo("f" * 32, "10.0.0.1:7000", "head")


def info_of(number: int, *, name: str | None = None, addr: str | None = None) -> NodeInfo:
    addr = addr or f"10.0.1.{number}:7000"
    return NodeInfo(f"{number:032x}", addr, name or f"node-{number}", {"zone": "a"})


def claim_of(number: int, incarnation: int = 0, **options) -> Claim:
    info = info_of(number, **options)
    return Claim(ALIVE, info.node_id, incarnation, info)


class Asked:
    """A head, and what it says to each request."""

    def __init__(self, settings: HeadSettings | None = None) -> None:
        self.core = HeadCore(HEAD, settings or HeadSettings(), Random(1))
        self.now = 100.0
        self.core.start(now=self.now)
        self.exchange = 0
        self.effects: list = []

    def ask(self, peer: int, message):
        return self.ask_bytes(peer, encode(message))

    def ask_bytes(self, peer: int, body: bytes):
        self.exchange += 1
        request = RequestReceived(self.exchange, info_of(peer).node_id, body)
        answer, *self.effects = self.core.handle(request, now=self.now)
        assert isinstance(answer, SendAnswer)
        assert answer.exchange == self.exchange
        return decode(answer.body)

    def register(self, *numbers: int) -> None:
        for number in numbers:
            assert self.ask(number, Register(claim_of(number), 0, ())) == Registered(0)

    def status_of(self, number: int) -> str:
        return self.core.members[info_of(number).node_id].shown_status

    def requests(self) -> list[tuple[str, object]]:
        return [
            (each.addr, decode(each.body)) for each in self.effects if isinstance(each, SendRequest)
        ]


def test_a_worker_registers_with_its_names() -> None:
    head = Asked()
    names = (NameChange("actors/a", 1, "A"), NameChange("actors/b", 2, "B"))
    assert head.ask(1, Register(claim_of(1), 2, names)) == Registered(2)
    assert [each.local for each in head.core.lookup("actors/b")] == [2]


def test_names_that_did_not_fit_are_pulled_from_the_worker() -> None:
    head = Asked()
    assert head.ask(1, Register(claim_of(1), 9, (), more=True)) == Registered(0)
    node_id = info_of(1).node_id
    assert head.requests() == [(info_of(1).addr, Pull(node_id, 0))]
    page = Page(node_id, 0, 9, (NameChange("actors/a", 1, "A"),))
    answer = AnswerReceived(1, node_id, encode(page))
    head.core.handle(answer, now=head.now)
    assert head.core.registry.version_of(node_id) == 9


def test_a_pull_of_names_is_not_repeated_while_one_is_under_way_and_is_after_it_failed() -> None:
    head = Asked()
    head.register(1)
    heartbeat = Heartbeat(info_of(1).node_id, 5)
    head.ask(1, heartbeat)
    assert len(head.requests()) == 1
    head.ask(1, heartbeat)
    assert head.requests() == []
    head.core.handle(RequestFailed(1, Failure.TIMEOUT), now=head.now)
    head.ask(1, heartbeat)
    assert len(head.requests()) == 1


def test_a_page_by_another_node_or_about_another_one_is_not_taken_in() -> None:
    head = Asked()
    one, two = info_of(1).node_id, info_of(2).node_id
    for number, (peer, owner) in enumerate(((two, one), (one, two)), 1):
        head.register(1, 2)
        head.ask(1, Heartbeat(one, 5))
        page = Page(owner, 0, 5, (NameChange("actors/x", 1, "X"),))
        head.core.handle(AnswerReceived(number, peer, encode(page)), now=head.now)
        assert head.core.lookup("actors/x") == ()


def test_a_heartbeat_brings_changes_of_names() -> None:
    head = Asked()
    head.register(1)
    node_id = info_of(1).node_id
    delta = RegistryDelta(node_id, 0, 1, (NameChange("actors/a", 1, "A"),))
    assert head.ask(1, Heartbeat(node_id, 1, delta)) == Registered(1)
    assert len(head.core.lookup("actors/a")) == 1


def test_an_unknown_worker_is_asked_to_register() -> None:
    head = Asked()
    assert head.ask(1, Heartbeat(info_of(1).node_id, 0)) == Unknown()
    assert head.ask(1, PullAll(0, 0)) == Unknown()
    assert head.ask(1, Gossip(News((claim_of(1),)))) == Unknown()


def test_a_dead_worker_is_let_in_only_with_a_higher_incarnation() -> None:
    head = Asked()
    head.register(1)
    for _ in range(40):
        head.now += 1
        head.core.handle(DeadlineReached(), now=head.now)
    assert head.status_of(1) == "Dead"
    assert head.ask(1, Heartbeat(info_of(1).node_id, 0)) == Unknown()
    assert head.ask(1, Register(claim_of(1), 0, ())) == Unknown()
    assert head.status_of(1) == "Dead"
    assert head.ask(1, Register(claim_of(1, 1), 0, ())) == Registered(0)
    assert head.status_of(1) == "Alive"


def test_a_worker_is_told_what_changed_and_nothing_else() -> None:
    head = Asked()
    head.register(1, 2)
    everything = head.ask(1, PullAll(0, 0))
    assert isinstance(everything, Table)
    assert [each.node_id[-1] for each in everything.claims] == ["f", "1", "2"]
    assert everything.claims[1] == claim_of(1)
    nothing = head.ask(1, PullAll(everything.epoch, everything.version))
    assert nothing == Table(everything.epoch, everything.version, (), ())
    head.register(3)
    head.core.handle(NameRegistered("actors/h", 1, "H"), now=head.now)
    some = head.ask(1, PullAll(everything.epoch, everything.version))
    assert isinstance(some, Table)
    assert [each.node_id[-1] for each in some.claims] == ["3", "f"]
    assert some.versions == ((HEAD.node_id, 1),)


@pytest.mark.parametrize(("epoch", "version"), [(5, 3), (None, 10**9)])
def test_a_worker_that_read_another_head_begins_anew(epoch: int | None, version: int) -> None:
    head = Asked()
    head.register(1)
    now = head.ask(1, PullAll(0, 0))
    assert isinstance(now, Table)
    answer = head.ask(1, PullAll(now.epoch if epoch is None else epoch, version))
    assert answer == Table(now.epoch, 0, (), (), more=True)


def test_another_heartbeat_than_ones_own_is_invalid() -> None:
    head = Asked()
    head.register(1, 2)
    other = info_of(2).node_id
    delta = RegistryDelta(other, 0, 1, (NameChange("actors/a", 1, "A"),))
    for message in (Heartbeat(other, 0), Heartbeat(info_of(1).node_id, 1, delta)):
        answer = head.ask(1, message)
        assert isinstance(answer, Rejected)
        assert answer.code == RejectCode.INVALID
    assert head.core.names() == {}


def test_registering_for_others_is_invalid() -> None:
    head = Asked()
    answer = head.ask(1, Register(claim_of(2), 0, ()))
    assert isinstance(answer, Rejected)
    assert answer.code == RejectCode.INVALID
    assert len(head.core.members) == 1


@pytest.mark.parametrize(
    "message",
    [Join(claim_of(1)), Compare(7), Probe(info_of(2).node_id, "10.0.0.9:1"), Ack(), Unknown()],
    ids=lambda message: type(message).__name__,
)
def test_messages_of_the_other_mode_are_refused_with_what_to_do(message) -> None:
    answer = Asked().ask(1, message)
    assert isinstance(answer, Rejected)
    assert answer.code == RejectCode.MODE
    assert f"head_addr={HEAD_ADDR!r}" in answer.reason


def test_a_ping_tells_who_is_here() -> None:
    head = Asked()
    assert head.ask(1, Ping(HEAD.node_id)) == Ack()
    assert head.ask(1, Ping(info_of(5).node_id)) == NotMe(Claim(ALIVE, HEAD.node_id, 0, HEAD))


def test_a_worker_speaks_for_itself_only() -> None:
    head = Asked()
    head.register(1, 2)
    lies = (
        Claim(DEAD, info_of(2).node_id, 7),
        Claim(LEFT, info_of(2).node_id, 7),
        claim_of(3),
        claim_of(2, 9),
    )
    assert head.ask(1, Gossip(News(lies))) == Ack()
    assert head.status_of(2) == "Alive"
    assert head.core.members[info_of(2).node_id].incarnation == 0
    assert info_of(3).node_id not in head.core.members
    assert head.ask(1, Gossip(News((Claim(LEFT, info_of(1).node_id, 0),)))) == Ack()
    assert head.status_of(1) == "Left"


def test_a_worker_that_others_took_for_dead_must_rise_above_it() -> None:
    head = Asked()
    head.register(1, 2)
    two = info_of(2).node_id
    head.ask(1, Gossip(News((Claim(DEAD, two, 0),))))
    assert head.ask(2, PullAll(0, 0)) == Unknown()
    assert head.ask(2, Heartbeat(two, 0)) == Unknown()
    assert head.ask(2, Register(claim_of(2), 0, ())) == Unknown()
    assert head.ask(2, Register(claim_of(2, 1), 0, ())) == Registered(0)
    assert head.ask(2, Heartbeat(two, 0)) == Registered(0)
    assert head.core.members[two].incarnation == 1


@pytest.mark.parametrize("status", [SUSPECT, DEAD, LEFT])
def test_a_head_refutes_its_own_death(status: MemberStatus) -> None:
    head = Asked()
    head.register(1)
    answer = head.ask(1, Gossip(News((Claim(status, HEAD.node_id, 4),))))
    assert answer == Ack(News((Claim(ALIVE, HEAD.node_id, 5, HEAD),)))
    assert head.core.members[HEAD.node_id].incarnation == 5


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Failure.REFUSED, "Dead"),
        (Failure.TIMEOUT, "Alive"),
        (Failure.UNREACHABLE, "Alive"),
        (Failure.FOREIGN, "Alive"),
        (Ack(), "Alive"),
        (NotMe(claim_of(9)), "Dead"),
        (Unknown(), "Alive"),
    ],
)
def test_what_a_lost_link_and_one_more_try_prove(outcome, status: str) -> None:
    head = Asked()
    head.register(1)
    node_id = info_of(1).node_id
    (request,) = head.core.handle(LinkLost(node_id), now=head.now)
    assert isinstance(request, SendRequest)
    assert decode(request.body) == Ping(node_id)
    if isinstance(outcome, Failure):
        stimulus = RequestFailed(request.exchange, outcome)
    else:
        peer = node_id if isinstance(outcome, Ack) else info_of(9).node_id
        stimulus = AnswerReceived(request.exchange, peer, encode(outcome))
    head.core.handle(stimulus, now=head.now)
    assert head.status_of(1) == status


def test_a_new_connection_that_is_lost_as_well_is_tried_three_times() -> None:
    head = Asked()
    head.register(1)
    effects = head.core.handle(LinkLost(info_of(1).node_id), now=head.now)
    asked = 0
    for _ in range(10):
        requests = [each for each in effects if isinstance(each, SendRequest)]
        if not requests:
            break
        asked += 1
        failed = RequestFailed(requests[0].exchange, Failure.LOST)
        assert head.core.handle(failed, now=head.now) == []
        deadline = head.core.next_deadline()
        assert deadline is not None
        head.now = deadline
        effects = head.core.handle(DeadlineReached(), now=head.now)
    assert asked == 3
    assert head.status_of(1) == "Alive", "it is silent at worst"


def test_a_lost_link_to_a_stranger_means_nothing() -> None:
    head = Asked()
    assert head.core.handle(LinkLost(info_of(1).node_id), now=head.now) == []
    assert head.core.handle(LinkLost(HEAD.node_id), now=head.now) == []


def test_a_head_that_leaves_registers_nobody() -> None:
    head = Asked()
    head.register(1)
    goodbye, *_ = head.core.handle(LeaveRequested(), now=head.now)
    assert isinstance(goodbye, SendRequest)
    assert decode(goodbye.body) == Gossip(News((Claim(LEFT, HEAD.node_id, 0),)))
    answer = head.ask(2, Register(claim_of(2), 0, ()))
    assert isinstance(answer, Rejected)
    assert head.core.handle(LeaveRequested(), now=head.now) == []


def test_bytes_that_are_no_message_are_refused_and_said() -> None:
    dice = Random(5)
    head = Asked()
    head.register(1)
    bodies = [b"", b"\xc1", b"\x90", dice.randbytes(1 << 16)]
    bodies += [dice.randbytes(dice.randrange(1, 80)) for _ in range(300)]
    for body in bodies:
        answer = head.ask_bytes(1, body)
        assert isinstance(answer, Rejected)
        assert answer.code in (RejectCode.INVALID, RejectCode.MODE)
    assert head.status_of(1) == "Alive"
    head.ask_bytes(1, b"\xc1")
    assert [each.key for each in head.effects if isinstance(each, WriteLog)] == [
        f"invalid {info_of(1).node_id}"
    ]


def test_outcomes_nobody_waits_for_mean_nothing() -> None:
    head = Asked()
    node_id = info_of(1).node_id
    assert head.core.handle(AnswerReceived(77, node_id, encode(Ack())), now=head.now) == []
    assert head.core.handle(RequestFailed(77, Failure.LOST), now=head.now) == []
    assert head.core.handle(SeedsResolved(("10.0.0.7:1",)), now=head.now) == []


ANSWERS = [
    Ack(),
    Ack(News((Claim(DEAD, HEAD.node_id, 3), claim_of(7)))),
    NotMe(claim_of(7)),
    Rejected(RejectCode.FULL, "no"),
    Page(info_of(1).node_id, -1, 4, (NameChange("actors/z", 1, "Z"),), more=True),
    Registered(12),
    Unknown(),
    Table(7, 0, (), (), more=True),
    Table(7, 9, (claim_of(7), Claim(DEAD, info_of(1).node_id, 2)), ((info_of(7).node_id, 4),)),
    Table(8, 9, (claim_of(1, 99),), ((info_of(1).node_id, 4),), more=True),
]


@pytest.mark.parametrize("seed", range(5))
def test_a_head_that_answers_nonsense_never_breaks_a_worker(seed: int) -> None:
    """Any answer to any request: no exception, one request of a kind, no storm."""
    dice = Random(seed)
    worker = WorkerCore(info_of(1), HEAD.addr, HeadSettings(), Random(seed))
    now = 0.0
    waiting: list[int] = []
    sent = 0

    def take(effects: list) -> None:
        nonlocal sent
        new = [each.exchange for each in effects if isinstance(each, SendRequest)]
        sent += len(new)
        waiting.extend(new)

    take(worker.start(now=now))
    for step in range(3000):
        if dice.random() < 0.1:
            take(worker.handle(NameRegistered(f"actors/{step % 9}", step, "T"), now=now))
        if waiting:
            assert len(waiting) <= 8
            exchange = waiting.pop(dice.randrange(len(waiting)))
            peer = dice.choice((HEAD, info_of(1), info_of(7))).node_id
            answer = AnswerReceived(exchange, peer, encode(dice.choice(ANSWERS)))
            failed = RequestFailed(exchange, dice.choice(list(Failure)))
            take(worker.handle(dice.choice((answer, answer, failed)), now=now))
            now += 0.001
        else:
            deadline = worker.next_deadline()
            assert deadline is not None, "it never gives up"
            now = max(now, deadline)
            take(worker.handle(DeadlineReached(), now=now))
        assert worker.members[info_of(1).node_id].status is ALIVE
    assert now > 1500, "no storm: most of the time it waits"


def test_a_foreign_node_behind_the_head_address_is_an_error_said_once() -> None:
    worker = WorkerCore(info_of(1), HEAD.addr, HeadSettings(), Random(1))
    (request,) = worker.start(now=0.0)
    assert isinstance(request, SendRequest)
    said = worker.handle(RequestFailed(request.exchange, Failure.FOREIGN, "TLS"), now=0.1)
    assert [type(each) for each in said] == [WriteLog]
    assert "passphrase" in said[0].text  # type: ignore[union-attr]


def test_a_worker_refuses_messages_of_the_other_mode_with_what_to_do() -> None:
    world = World()
    world.head()
    worker = world.worker()
    join = RequestReceived(1, info_of(9).node_id, encode(Join(claim_of(9))))
    (answer,) = worker.core.handle(join, now=world.now)
    rejected = decode(answer.body)
    assert isinstance(rejected, Rejected)
    assert rejected.code == RejectCode.MODE
    assert HEAD_ADDR in rejected.reason
