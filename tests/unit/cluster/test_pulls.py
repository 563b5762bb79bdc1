"""Pulls: which parts of the registry come from whom, how many at a time, and what is passed on."""

from __future__ import annotations

import pytest

from pulsing.cluster.members import MemberStatus
from pulsing.cluster.messages import Ack, Exchange, NameChange, Page, Pull, RegistryDelta
from pulsing.cluster.pulls import MAX_IN_FLIGHT
from pulsing.cluster.registry_core import Applied
from tests.unit.cluster.sync_world import Node, World, compare_now, info_of, pair

DEAD = MemberStatus.DEAD


@pytest.mark.parametrize("asker", [0, 1])
def test_names_that_one_side_missed_are_pulled(asker: int) -> None:
    first, second, world = pair()
    second.registry.register("actors/x", 1, "C")
    compare_now(world, (first, second)[asker])
    world.turn(first, 1.0)
    assert [each.node_id for each in first.registry.lookup("actors/x")] == [second.node_id]
    assert first.sync.root() == second.sync.root()


def test_a_newcomer_gets_the_names_of_members_it_did_not_know() -> None:
    first, second, world = pair()
    others = [Node(number) for number in range(10, 60)]
    second.knows(*(each.info for each in others))
    for each in others:
        each.registry.register("actors/x", 1, "C")
        delta = each.registry.take_delta(1000)
        assert delta is not None
        assert second.registry.apply(delta) is Applied.NEWS
    compare_now(world, first)
    assert len(first.registry.lookup("actors/x")) == 50
    assert len(world.requests(Pull)) == 50


def test_only_a_few_pulls_are_under_way_at_a_time() -> None:
    first, _, _ = pair()
    others = [info_of(number) for number in range(10, 60)]
    first.knows(*others)
    begun = [
        first.sync.pull(each.node_id, each.node_id, 0.0, version=1) is not None for each in others
    ]
    assert sum(begun) == MAX_IN_FLIGHT
    first.sync.tick(0.0)
    assert first.sync.next_deadline() > 0, "nothing to do before one has ended"
    first.sync.failed(others[0].node_id, Pull(others[0].node_id, 0), 1.0)
    step = first.sync.tick(1.0)
    assert step is not None
    assert isinstance(step[1], Pull)


def test_a_part_is_pulled_once_however_often_news_tell_of_it() -> None:
    first, second, _ = pair()
    begun = first.sync.pull(second.node_id, second.node_id, 0.0, version=3)
    assert begun == (second.node_id, Pull(second.node_id, 0))
    assert first.sync.pull(second.node_id, second.node_id, 0.0, version=4) is None
    assert first.sync.pull(second.node_id, second.node_id, 0.0) is None
    tick = first.sync.tick(0.0)
    assert tick is None or not isinstance(tick[1], Pull)


def test_what_became_known_meanwhile_is_not_pulled() -> None:
    first, second, _ = pair()
    second.registry.register("actors/x", 1, "C")
    delta = second.registry.take_delta(1000)
    assert delta is not None
    first.registry.apply(delta)
    assert first.sync.pull(second.node_id, second.node_id, 0.0, version=1) is None


def test_a_dead_owner_is_not_pulled() -> None:
    first, second, _ = pair()
    third = info_of(3)
    first.knows(third, status=DEAD)
    assert first.sync.pull(third.node_id, second.node_id, 0.0, version=1) is None


def three_nodes() -> tuple[Node, Node, Node, World]:
    """The third one owns a name, of which the first has heard from the second, which lacks it."""
    first, second, third = Node(1), Node(2), Node(3)
    world = World(first, second, third)
    world.introduce()
    third.registry.register("actors/x", 1, "C")
    return first, second, third, world


def test_the_owner_is_asked_when_the_teller_has_no_more_itself() -> None:
    first, second, third, world = three_nodes()
    begun = first.sync.pull(third.node_id, second.node_id, 0.0, version=1)
    assert begun is not None
    world.ask(first, *begun, 0.0)
    assert first.registry.lookup("actors/x") == ()
    world.turn(first, 0.0)
    assert len(first.registry.lookup("actors/x")) == 1


def test_the_owner_is_asked_when_the_teller_is_silent() -> None:
    first, second, third, world = three_nodes()
    world.silent.add(second.node_id)
    begun = first.sync.pull(third.node_id, second.node_id, 0.0, version=1)
    assert begun is not None
    world.ask(first, *begun, 0.0)
    world.turn(first, 0.0)
    assert len(first.registry.lookup("actors/x")) == 1


def test_an_owner_that_does_not_have_it_either_is_not_asked_for_ever() -> None:
    first, second, third, world = three_nodes()
    begun = first.sync.pull(third.node_id, second.node_id, 0.0, version=99)
    assert begun is not None
    world.ask(first, *begun, 0.0)
    for now in range(5):
        world.turn(first, float(now))
    assert len(world.requests(Pull)) <= 4
    assert len(first.registry.lookup("actors/x")) == 1


def test_pages_of_the_wrong_owner_and_other_answers_end_a_pull() -> None:
    first, second, third, _ = three_nodes()
    for answer in (Ack(), Page(second.node_id, 0, 5, (NameChange("actors/evil", 1, "C"),))):
        begun = first.sync.pull(third.node_id, third.node_id, 0.0, version=1)
        assert begun is not None
        assert first.sync.answered(*begun, answer, 0.0) == ((), (), ())
        assert dict(first.registry.names()) == {}


def test_what_news_told_of_is_passed_on_once_it_is_here() -> None:
    first, _, third, world = three_nodes()
    begun = first.sync.pull(third.node_id, third.node_id, 0.0, version=1)
    assert begun is not None
    world.ask(first, *begun, 0.0)
    assert first.news == [
        RegistryDelta(third.node_id, 0, 1, (NameChange("actors/x", 1, "C"),)),
    ]


def test_what_is_too_large_to_pass_on_is_passed_on_as_a_hint() -> None:
    first, second, third, world = three_nodes()
    for each in range(5000):
        third.registry.register(f"actors/{each}", each, "C")
    begun = first.sync.pull(third.node_id, third.node_id, 0.0, version=5001)
    assert begun is not None
    world.ask(first, *begun, 0.0)
    assert first.news == [RegistryDelta(third.node_id, 0, 5001)]
    assert second.registry.apply(first.news[0]) is Applied.GAP
    begun = second.sync.pull(third.node_id, first.node_id, 0.0, version=5001)
    assert begun is not None
    world.ask(second, *begun, 0.0)
    assert len(second.registry.names()) == 5001


def test_what_comparing_found_is_not_news() -> None:
    first, second, world = pair()
    second.registry.register("actors/x", 1, "C")
    compare_now(world, first)
    assert first.news == []


def test_a_hostile_exchange_is_answered_and_wants_nothing_for_strangers() -> None:
    first, second, _ = pair()
    strangers = tuple((info_of(number).node_id, 5) for number in range(100, 1100))
    request = Exchange((0, 0, 63, 64, 1023), (), ((first.node_id, 77), *strangers))
    answer = first.sync.answer(request, second.node_id, 0.0)
    assert isinstance(answer, Exchange)
    assert answer.complete
    assert set(answer.buckets) == {0, 63}
    step = first.sync.tick(0.0)
    assert step is None or not isinstance(step[1], Pull)
    assert first.registry.version_of(first.node_id) == 78, "a lie about the own names is refuted"
