"""Head and workers together, in a network in memory."""

from __future__ import annotations

import pytest

from pulsing.cluster.effects import Severity
from pulsing.cluster.messages import RejectCode
from pulsing.cluster.settings import HeadSettings
from pulsing.cluster.stimuli import LinkLost, RequestReceived, StallEnded
from tests.unit.cluster.head_world import HEAD_ADDR, World, agree, cluster

# --- coming and going


def test_everybody_knows_everybody_within_two_pulls() -> None:
    world = World()
    world.head()
    for _ in range(10):
        world.worker()
    assert world.run_until(lambda: agree(world), 11) <= 10


def test_a_worker_that_starts_before_its_head_registers_soon_after_it() -> None:
    world = World()
    worker = world.worker()
    world.run_for(60)
    head = world.head()
    assert world.run_until(lambda: agree(world), 10) <= 5.1
    assert worker.status_of(head) == "Alive"
    lines = worker.lines("head")
    assert lines[0].startswith(f"the head at {HEAD_ADDR} does not answer (refused")
    assert lines[1] == f"registered with the head at {HEAD_ADDR}"
    assert len(lines) == 2, "once, however often it was tried"


def test_a_worker_that_dies_is_dead_at_once_at_the_head_and_soon_elsewhere() -> None:
    world, head, (one, two, three) = cluster()
    world.kill(two)
    assert world.run_until(lambda: head.status_of(two) == "Dead", 1) < 0.01
    world.run_until(lambda: one.status_of(two) == three.status_of(two) == "Dead", 5)
    assert head.closed == one.closed == [two.id]


def test_a_lost_link_to_a_dead_worker_makes_another_worker_ask_the_head_soon() -> None:
    world, head, (one, two, _) = cluster()
    world.kill(two)
    world.feed(one, LinkLost(two.id))
    assert world.run_until(lambda: one.status_of(two) == "Dead", 1) < 0.2
    assert head.status_of(two) == "Dead"


def test_a_lost_link_to_a_living_worker_means_nothing() -> None:
    world, head, (one, two, _) = cluster()
    world.feed(head, LinkLost(two.id))
    world.feed(one, LinkLost(two.id))
    world.run_for(60)
    assert agree(world)
    assert head.changes == [each for each in head.changes if each[3] == "Alive"]


def test_a_silent_worker_is_dead_after_the_timeout_and_not_before() -> None:
    world, head, (one, two, _) = cluster()
    world.freeze(two)
    world.run_for(19)
    assert head.status_of(two) == "Alive", "it was heard at most 10 s before"
    world.run_for(13)
    assert head.status_of(two) == "Dead"
    world.run_for(6)
    assert one.status_of(two) == "Dead"
    assert "was not heard for 30 s" in head.lines(f"dead {two.id}")[0]


def test_a_worker_taken_for_dead_comes_back_with_all_its_names() -> None:
    world, head, (one, two, _) = cluster()
    world.register(two, "actors/a", "actors/b")
    world.run_for(10)
    world.freeze(two)
    world.run_for(60)
    assert one.finds("actors/a") == []
    world.thaw(two)
    world.run_for(12)
    assert agree(world)
    assert one.finds("actors/a") == one.finds("actors/b") == [two.id]
    assert head.core.members[two.id].incarnation > 0, "nobody is revived at the old incarnation"
    assert len(two.lines("head unknown")) == 1


def test_a_new_process_at_the_address_of_a_worker_replaces_it_at_once() -> None:
    world, head, (one, two, _) = cluster()
    world.links.clear()  # nobody notices the end of the old process
    world.kill(two)
    again = world.worker(addr=two.addr, name=two.core.info.name)
    world.run_for(0.1)
    assert head.status_of(two) == "Dead"
    assert head.status_of(again) == "Alive"
    world.run_for(6)
    assert one.status_of(two) == "Dead"
    assert one.status_of(again) == "Alive"


def test_a_worker_that_leaves_is_known_to_have_left_everywhere_at_once() -> None:
    world, head, (one, two, three) = cluster()
    world.register(two, "actors/a")
    world.run_for(6)
    world.leave(two)
    world.run_for(0.01)
    assert two.has_left
    assert {node.status_of(two) for node in (head, one, three)} == {"Left"}
    assert one.finds("actors/a") == []
    world.kill(two)
    world.run_for(60)
    assert {node.status_of(two) for node in (head, one, three)} == {"Left"}


def test_leaving_takes_no_longer_than_its_timeout() -> None:
    world, head, (one, *_) = cluster()
    world.freeze(head)
    world.leave(one)
    took_s = world.run_until(lambda: one.has_left, 3)
    assert took_s == pytest.approx(2.0)


def test_a_lone_head_leaves_at_once() -> None:
    world = World()
    head = world.head()
    world.leave(head)
    assert head.has_left


def test_a_deadline_stays_quiet_after_leaving() -> None:
    world, head, (one, *_) = cluster()
    world.leave(one)
    world.run_for(10)
    assert one.core.next_deadline() is None
    world.leave(head)
    world.run_for(10)
    assert head.core.next_deadline() is None


# --- names


def test_a_name_is_known_to_the_head_at_once_and_to_all_after_a_pull() -> None:
    world, head, (one, two, three) = cluster()
    world.register(one, "actors/a")
    world.run_for(0.01)
    assert head.finds("actors/a") == [one.id]
    world.run_for(5.1)
    assert two.finds("actors/a") == three.finds("actors/a") == [one.id]
    world.unregister(one, "actors/a")
    world.run_for(5.1)
    assert two.finds("actors/a") == head.finds("actors/a") == []


def test_names_of_the_head_are_known_to_workers() -> None:
    world, head, (one, *_) = cluster()
    world.register(head, "actors/h")
    world.run_for(5.1)
    assert one.finds("actors/h") == [head.id]


def test_who_waits_for_a_name_gets_it_at_once() -> None:
    world, _, (one, two, _) = cluster()
    world.register(one, "actors/a")
    world.run_for(0.003)
    world.wants(two, "actors/a")
    assert world.run_until(lambda: two.finds("actors/a"), 1) < 0.01
    assert "actors/a" in [name for _, name in two.woken]


def test_who_waits_for_a_name_that_comes_later_gets_it_within_a_second() -> None:
    world, _, (one, two, _) = cluster()
    for wait_s in (0.3, 3.0, 20.0):
        name = f"actors/after-{wait_s}"
        world.wants(two, name)
        world.run_for(wait_s)
        world.register(one, name)
        assert world.run_until(lambda name=name: two.finds(name), 2) < 1.1


def test_a_name_nobody_has_is_asked_for_less_and_less_often() -> None:
    world, _, (_, two, _) = cluster()
    world.wants(two, "actors/none")
    before = world.messages
    world.run_for(60)
    busy = world.messages - before
    world.run_for(120)
    before = world.messages
    world.run_for(60)
    assert busy < 400
    assert world.messages - before < 180, "12 pulls and 6 heartbeats of each worker, with answers"


def test_a_thousand_names_registered_in_a_row_travel_in_few_messages() -> None:
    world, head, (one, two, _) = cluster()
    before = world.messages
    names = [f"actors/n{number}" for number in range(1000)]
    world.register(one, *names)
    world.run_for(0.1)
    assert all(head.finds(name) == [one.id] for name in names)
    assert world.messages - before < 20
    world.run_for(5.1)
    assert all(two.finds(name) == [one.id] for name in names)


def test_many_thousands_of_names_arrive_in_bounded_messages() -> None:
    world, head, (one, two, _) = cluster()
    for number in range(30_000):  # all before anything is sent
        one.core.registry.register(f"actors/n{number}", number, "Thing")
    world.register(one, "actors/last")
    world.run_for(12)  # `World` checks the size of every message
    assert len(head.core.names()) == len(two.core.names()) == 30_001


def test_a_worker_with_many_names_registers_with_all_of_them() -> None:
    world = World()
    worker = world.worker()
    other = world.worker()
    for number in range(20_000):
        worker.core.registry.register(f"actors/n{number}", number, "Thing")
    head = world.head()
    world.run_for(20)
    assert len(head.core.names()) == len(other.core.names()) == 20_000


def test_a_lost_heartbeat_loses_no_name() -> None:
    world, head, (one, two, _) = cluster()
    world.cut.add(frozenset((one.addr, head.addr)))
    world.register(one, "actors/a", "actors/b")
    world.run_for(4)
    world.unregister(one, "actors/b")
    world.cut.clear()
    world.run_for(12)
    assert head.finds("actors/a") == two.finds("actors/a") == [one.id]
    assert head.finds("actors/b") == two.finds("actors/b") == []


def test_names_of_a_dead_worker_go_at_once() -> None:
    world, head, (one, two, _) = cluster()
    world.register(one, "actors/a")
    world.register(two, "actors/a")
    world.run_for(6)
    assert head.finds("actors/a") == [one.id, two.id]
    world.kill(one)
    world.run_for(0.01)
    assert head.finds("actors/a") == [two.id]


# --- busy


def test_a_busy_worker_is_shown_as_busy_until_it_says_otherwise() -> None:
    world, head, (one, two, _) = cluster()
    world.freeze(one)
    for incarnation in range(1, 21):  # its guard, on connections of its own
        claim = one.core.busy_claim(incarnation)
        world.feed(head, RequestReceived(_exchange(head), one.id, claim))
        world.run_for(2)
    assert head.status_of(one) == two.status_of(one) == "Busy", "after 40 s: it is not dead"
    world.thaw(one)
    world.feed(one, StallEnded(20))
    world.run_for(0.1)
    assert head.status_of(one) == "Alive"
    world.run_for(6)
    assert agree(world)


def test_a_busy_worker_whose_word_is_lost_is_not_busy_for_ever() -> None:
    world, head, (one, *_) = cluster()
    world.feed(head, RequestReceived(_exchange(head), one.id, one.core.busy_claim(7)))
    assert head.status_of(one) == "Busy"
    world.run_for(6)
    assert head.status_of(one) == "Alive", "it saw its record and said otherwise"


def test_a_busy_worker_whose_guard_reaches_another_worker_only_is_not_dead() -> None:
    world, head, (one, two, _) = cluster()
    world.freeze(one)
    for incarnation in range(1, 21):
        claim = one.core.busy_claim(incarnation)
        world.feed(two, RequestReceived(_exchange(two), one.id, claim))
        world.run_for(2)
    assert head.status_of(one) == two.status_of(one) == "Busy"


def test_a_busy_worker_that_dies_is_dead_for_all_it_told_of_itself() -> None:
    world, head, (one, two, three) = cluster()
    world.cut.add(frozenset((two.addr, HEAD_ADDR)))  # the head never hears that it is busy
    world.feed(two, RequestReceived(_exchange(two), one.id, one.core.busy_claim(9)))
    assert two.status_of(one) == "Busy"
    world.run_for(4)
    world.kill(one)
    world.cut.clear()
    world.run_for(12)
    assert {node.status_of(one) for node in (head, two, three)} == {"Dead"}


def test_a_busy_head_is_shown_as_busy() -> None:
    world, head, (one, *_) = cluster()
    world.feed(one, RequestReceived(_exchange(one), head.id, head.core.busy_claim(3)))
    assert one.status_of(head) == "Busy"
    world.feed(head, StallEnded(3))
    world.run_for(5.1)
    assert one.status_of(head) == "Alive"


def _exchange(node) -> int:
    node.last_exchange += 1
    node.answered[node.last_exchange] = lambda body: None
    return node.last_exchange


# --- who is not let in


def test_a_worker_with_a_taken_name_is_told_so_and_let_in_when_it_is_free() -> None:
    world = World()
    head = world.head()
    one = world.worker(name="same")
    world.run_for(1)
    two = world.worker(name="same")
    world.run_for(25)
    assert two.core.rejection is not None
    assert two.core.rejection.code == RejectCode.NAME_TAKEN
    (line,) = two.logged
    assert line.severity is Severity.ERROR
    assert one.id in line.text
    assert head.status_of(two) is None
    world.kill(one)
    world.run_for(11)
    assert head.status_of(two) == "Alive"
    assert two.core.rejection is None


def test_a_worker_that_is_told_to_be_its_own_worker_says_so() -> None:
    world = World()
    worker = world.worker(addr=HEAD_ADDR)
    world.run_for(60)
    assert worker.core.rejection is not None
    assert [line.severity for line in worker.logged] == [Severity.ERROR]
    assert world.messages < 20


def test_a_worker_whose_head_is_another_worker_is_told_who_is() -> None:
    world = World()
    head = world.head()
    middle = world.worker()
    world.run_for(1)
    del world.at[head.addr]
    world.at[HEAD_ADDR] = middle
    lost = world.worker()
    world.run_for(10)
    assert lost.core.rejection is not None
    assert lost.core.rejection.code == RejectCode.MODE
    assert f"is a worker of the head at {HEAD_ADDR}" in lost.core.rejection.reason


def test_workers_beyond_the_bound_are_refused() -> None:
    world = World(settings=HeadSettings(max_members=3))
    head = world.head()
    for _ in range(3):
        world.worker()
        world.run_for(1)
    assert len(head.core.members) == 3
    assert world.nodes[3].core.rejection.code == RejectCode.FULL


# --- bounds and storms


def test_members_that_are_gone_are_forgotten_and_late_readers_catch_up() -> None:
    settings = HeadSettings(remember_dead_s=60.0)
    world, head, (one, two, three) = cluster(settings=settings)
    world.cut.add(frozenset((one.addr, head.addr)))
    world.kill(two)
    world.kill(three)
    world.run_for(100)
    assert two.id not in head.core.members
    assert one.status_of(two) == "Alive", "it heard nothing"
    world.cut.clear()
    world.run_for(60)
    assert one.status_of(two) in ("Dead", None)
    assert agree(world)


def test_a_large_cluster_is_told_in_bounded_pages() -> None:
    world = World(settings=HeadSettings(max_message_bytes=4096))
    world.head()
    for _ in range(200):
        world.worker()
    world.run_for(10)  # `World` checks the size of every message
    assert agree(world)


def test_idle_costs_a_pull_and_half_a_heartbeat_each_interval() -> None:
    world, _, _ = cluster(20)
    before = world.messages
    world.run_for(100)
    each_second = (world.messages - before) / 100 / 20
    assert each_second < 0.65, "two messages each 5 s and each 10 s"


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> list:
        world, _, workers = cluster(5, seed=3)
        world.loss = 0.2
        world.register(workers[0], "actors/a")
        world.run_for(100)
        return [node.changes for node in world.nodes] + [world.messages]

    assert run() == run()
