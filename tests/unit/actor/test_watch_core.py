"""The watches of one node on another: what is said to it, and when it is down."""

import collections

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.watch_core import LINGER_S, LONGEST_PAUSE_S, MAX_ORDERS, Phase, WatchCore
from pulsing.actor.watch_terms import (
    CloseSession,
    DeadlineReached,
    End,
    EndsHeard,
    LinkDropped,
    LinkWanted,
    Loss,
    NodeDied,
    OpenSession,
    Orders,
    OrdersDone,
    SendOrders,
    SessionEnded,
    SessionOpened,
    TellEnds,
    TellPlaced,
    WatchDropped,
    WatchWanted,
)

GIVE_UP_S = 10.0


class Desk:
    """A core with a clock."""

    def __init__(self):
        self.core = WatchCore(give_up_s=GIVE_UP_S)
        self.now = 100.0

    def __call__(self, stimulus):
        return self.core.handle(stimulus, now=self.now)

    def wait(self):
        deadline = self.core.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self(DeadlineReached())


def opened(*wanted):
    desk = Desk()
    for local in wanted:
        desk(WatchWanted(local))
    effects = desk(SessionOpened(7))
    if wanted:
        assert effects == [SendOrders(7, Orders(watch=wanted))]
        desk(OrdersDone())
    return desk


def down(*locals_):
    return [TellEnds(tuple(End(each, ExitReason.NODE_DOWN) for each in locals_))]


def test_the_first_watch_opens_a_session_and_the_next_ones_go_together():
    desk = Desk()
    assert desk(WatchWanted(1)) == [OpenSession()]
    assert desk(WatchWanted(2)) == []
    assert desk(WatchWanted(2)) == []
    assert desk(SessionOpened(7)) == [SendOrders(7, Orders(watch=(1, 2)))]
    assert desk(WatchWanted(3)) == []  # a batch is under way
    assert not desk.core.is_placed(1)
    assert desk(OrdersDone()) == [
        TellPlaced((1, 2)),
        SendOrders(7, Orders(watch=(3,))),
    ]
    assert desk.core.is_placed(1)


def test_a_batch_has_a_bound():
    desk = Desk()
    for local in range(MAX_ORDERS + 5):
        desk(WatchWanted(local))
    (first,) = desk(SessionOpened(1))
    assert len(first.orders.watch) == MAX_ORDERS
    _, second = desk(OrdersDone())
    assert second.orders.watch == tuple(range(MAX_ORDERS, MAX_ORDERS + 5))


def test_actors_that_are_gone_already_are_told_with_the_answer():
    desk = Desk()
    desk(WatchWanted(1))
    desk(WatchWanted(2))
    desk(SessionOpened(7))
    gone = End(1, ExitReason.NOT_FOUND)
    assert desk(OrdersDone((gone,))) == [TellPlaced((2,)), TellEnds((gone,))]
    assert desk(EndsHeard((End(1, ExitReason.NORMAL),))) == []


def test_an_end_is_told_once_and_of_watched_actors_only():
    desk = opened(1, 2)
    end = End(1, ExitReason.ERROR, "ValueError: broken")
    assert desk(EndsHeard((end, End(9, ExitReason.NORMAL)))) == [TellEnds((end,))]
    assert desk(EndsHeard((end,))) == []


def test_a_dropped_watch_is_taken_back_and_hears_nothing():
    desk = opened(1, 2)
    assert desk(WatchDropped(1)) == [SendOrders(7, Orders(drop=(1,)))]
    assert desk(EndsHeard((End(1, ExitReason.NORMAL),))) == []
    assert desk(WatchDropped(1)) == []


def test_a_watch_that_is_dropped_and_wanted_again_is_ordered_again():
    desk = opened(1, 2)
    desk(WatchDropped(1))
    assert desk(WatchWanted(1)) == []
    assert desk(OrdersDone()) == [SendOrders(7, Orders(watch=(1,)))]


def test_a_watch_dropped_before_there_is_a_session_is_never_ordered():
    desk = Desk()
    desk(WatchWanted(1))
    desk(WatchWanted(2))
    desk(WatchDropped(1))
    assert desk(SessionOpened(7)) == [SendOrders(7, Orders(watch=(2,)))]


def test_links_are_ordered_dissolved_and_forgotten_with_their_actor():
    desk = opened(1)
    assert desk(LinkWanted(1, 50)) == [SendOrders(7, Orders(link=((1, 50),)))]
    desk(OrdersDone())
    assert desk(LinkDropped(1, 50)) == [SendOrders(7, Orders(unlink=((1, 50),)))]
    desk(OrdersDone())
    desk(LinkWanted(1, 51))
    desk(OrdersDone())
    desk(EndsHeard((End(1, ExitReason.KILLED),)))
    desk(WatchWanted(2))
    desk(OrdersDone())
    desk(SessionEnded(Loss.LOST))
    assert desk(SessionOpened(8)) == [SendOrders(8, Orders(again=(2,)))]


def test_a_lost_session_tells_nobody_and_is_opened_at_once_with_everything_ordered_again():
    desk = opened(1, 2)
    desk(LinkWanted(2, 50))
    desk(OrdersDone())
    desk(WatchWanted(3))
    assert desk(SessionEnded(Loss.LOST)) == [OpenSession()]
    assert desk(SessionOpened(8)) == [
        SendOrders(8, Orders(watch=(3,), again=(1, 2), link=((2, 50),)))
    ]
    known = End(1, ExitReason.NORMAL)
    assert desk(OrdersDone((known,))) == [TellPlaced((3,)), TellEnds((known,))]


@pytest.mark.parametrize("loss", [Loss.REFUSED, Loss.FOREIGN, Loss.CLOSED])
@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("was_open", [True, False])
def test_a_proof_means_that_the_node_is_down(loss, guarded, was_open):
    desk = opened(1, 2)
    if not was_open:
        desk(SessionEnded(Loss.LOST))
    assert desk(SessionEnded(loss, guarded)) == down(1, 2)
    assert desk.core.phase is Phase.IDLE
    assert desk.core.next_deadline() is None


@pytest.mark.parametrize("loss", [Loss.LOST, Loss.UNREACHABLE])
def test_without_a_cluster_silence_for_long_means_that_the_node_is_down(loss):
    desk = opened(1)
    effects = desk(SessionEnded(loss))
    began = desk.now
    while not effects or effects == [OpenSession()]:
        effects = desk(SessionEnded(loss)) if effects else desk.wait()
        assert desk.now - began <= GIVE_UP_S + LONGEST_PAUSE_S
    assert effects == down(1)
    assert desk.now - began >= GIVE_UP_S


def test_where_a_cluster_guards_the_node_only_it_says_that_it_is_down():
    desk = opened(1)
    effects = desk(SessionEnded(Loss.LOST, guarded=True))
    for _ in range(200):
        if effects:
            assert effects == [OpenSession()]
            effects = desk(SessionEnded(Loss.UNREACHABLE, guarded=True))
        else:
            effects = desk.wait()
    assert desk.now > 100 + 10 * GIVE_UP_S
    assert desk.core.phase is Phase.OPENING
    assert desk(NodeDied()) == [CloseSession(), *down(1)]


def test_a_session_that_works_ends_the_count_of_failures():
    desk = opened(1)
    for _ in range(20):
        assert desk(SessionEnded(Loss.LOST)) == [OpenSession()]
        desk.now += 1.0
        desk(SessionOpened(8))
        desk(OrdersDone())


def test_a_session_that_opens_and_never_works_is_not_tried_in_a_loop():
    desk = opened(1)
    attempts = 0
    effects = desk(SessionEnded(Loss.LOST))
    until = desk.now + GIVE_UP_S - 1
    while desk.now < until:
        if effects == [OpenSession()]:
            attempts += 1
            desk(SessionOpened(8))
            effects = desk(SessionEnded(Loss.LOST))
        else:
            assert effects == []
            effects = desk.wait()
    assert attempts < 12


def test_a_dead_node_is_told_at_once_and_can_be_watched_again():
    desk = opened(1, 2)
    assert desk(NodeDied()) == [CloseSession(), *down(1, 2)]
    assert desk(NodeDied()) == []
    assert desk(WatchWanted(3)) == [OpenSession()]


def test_a_session_that_nobody_needs_is_kept_for_a_while_and_closed():
    desk = opened(1)
    desk(WatchDropped(1))
    desk(OrdersDone())
    assert desk.core.next_deadline() == desk.now + LINGER_S
    desk(WatchWanted(2))
    assert desk.core.next_deadline() is None
    desk(OrdersDone())
    desk(EndsHeard((End(2, ExitReason.NORMAL),)))
    assert desk.wait() == [CloseSession()]
    assert desk.core.phase is Phase.IDLE


def test_a_session_that_is_lost_when_nobody_needs_it_is_not_opened_again():
    desk = opened(1)
    desk(WatchDropped(1))
    assert desk(SessionEnded(Loss.LOST)) == []
    assert desk.core.phase is Phase.IDLE


def test_an_early_deadline_changes_nothing():
    desk = opened(1)
    assert desk(DeadlineReached()) == []
    desk(SessionEnded(Loss.UNREACHABLE))
    assert desk.core.phase is Phase.PAUSED
    assert desk(DeadlineReached()) == []
    assert desk(WatchDropped(1)) == []
    assert desk.core.phase is Phase.IDLE


class Conversation(RuleBasedStateMachine):
    """The core against a node that does what it is told, over sessions that are lost at any time.

    Whoever is watched when its actor ends hears of it, once, with the right reason; whoever is not
    hears nothing.
    """

    def __init__(self):
        super().__init__()
        self.desk = Desk()
        self.alive = dict.fromkeys(range(6), True)
        self.reasons = {}
        self.sessions = 0
        self.there = None  # what the node watches for the session that is open
        self.batch = None
        self.opening = False
        self.heard = collections.Counter()
        self.wanted = set()

    def do(self, effects):
        for effect in effects:
            match effect:
                case OpenSession():
                    assert self.there is None
                    self.opening = True
                case CloseSession():
                    self.opening, self.there, self.batch = False, None, None
                case SendOrders(session, orders):
                    assert session == self.sessions
                    assert self.batch is None
                    self.batch = orders
                case TellEnds(ends):
                    for end in ends:
                        assert end.local in self.wanted
                        assert not self.alive[end.local]
                        self.wanted.discard(end.local)
                        self.heard[end.local] += 1
                        assert end.reason in (self.reasons[end.local], ExitReason.NOT_FOUND)

    @rule(local=st.integers(0, 5))
    def watch(self, local):
        if local not in self.wanted and not self.heard[local]:
            self.wanted.add(local)
            self.do(self.desk(WatchWanted(local)))

    @rule(local=st.integers(0, 5))
    def drop(self, local):
        self.wanted.discard(local)
        self.do(self.desk(WatchDropped(local)))

    @rule(local=st.integers(0, 5), reason=st.sampled_from([ExitReason.NORMAL, ExitReason.ERROR]))
    def end(self, local, reason):
        if self.alive[local]:
            self.alive[local] = False
            self.reasons[local] = reason
            if self.there is not None and local in self.there:
                self.there.discard(local)
                self.do(self.desk(EndsHeard((End(local, reason),))))

    @rule(local=st.integers(0, 5), reason=st.sampled_from([ExitReason.NORMAL, ExitReason.ERROR]))
    def end_while_the_session_breaks(self, local, reason):
        if self.alive[local]:
            self.alive[local] = False
            self.reasons[local] = reason
            if self.there is not None:
                self.lose()

    @precondition(lambda self: self.opening)
    @rule()
    def open(self):
        self.opening, self.there = False, set()
        self.sessions += 1
        self.do(self.desk(SessionOpened(self.sessions)))

    @precondition(lambda self: self.batch is not None)
    @rule()
    def obey(self):
        orders, self.batch = self.batch, None
        self.there -= set(orders.drop)
        missing = []
        for local in (*orders.watch, *orders.again):
            if self.alive[local]:
                self.there.add(local)
            else:
                known = self.reasons[local] if local in orders.again else ExitReason.NOT_FOUND
                missing.append(End(local, known))
        self.do(self.desk(OrdersDone(tuple(missing))))

    @precondition(lambda self: self.opening or self.there is not None)
    @rule()
    def lose(self):
        self.opening, self.there, self.batch = False, None, None
        self.do(self.desk(SessionEnded(Loss.LOST, guarded=True)))

    @precondition(lambda self: self.desk.core.next_deadline() is not None)
    @rule()
    def pass_time(self):
        self.do(self.desk.wait())

    @invariant()
    def nobody_hears_twice(self):
        assert all(count <= 1 for count in self.heard.values())

    def teardown(self):
        for _ in range(100):
            if self.opening:
                self.open()
            elif self.batch is not None:
                self.obey()
            elif self.there is None and self.desk.core.next_deadline() is not None:
                self.pass_time()
        waiting = {local for local in self.wanted if not self.alive[local]}
        assert not waiting, f"these ended and nobody was told: {waiting}"


def test_whoever_is_watched_when_its_actor_ends_hears_once_whatever_sessions_are_lost():
    run_state_machine_as_test(
        Conversation, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )
