"""Head mode while the head is away, and under random faults."""

from __future__ import annotations

from random import Random

import pytest

from pulsing.cluster.settings import HeadSettings
from tests.unit.cluster.head_world import HEAD_ADDR, agree, cluster

QUICK = HeadSettings(sync_interval_s=0.5, heartbeat_interval_s=1.0, heartbeat_timeout_s=3.0)

# --- the head is away


def test_workers_keep_serving_what_they_know_while_the_head_is_away() -> None:
    world, head, (one, two, three) = cluster()
    world.register(one, "actors/a")
    world.run_for(6)
    world.kill(head)
    world.run_for(300)
    for node in (one, two, three):
        assert node.finds("actors/a") == [one.id]
        assert node.status_of(head) == "Dead", "nobody listens at its address"
        others = [each for each in (one, two, three) if each is not node]
        assert [node.status_of(each) for each in others] == ["Alive", "Alive"]
        away = [line for line in node.lines("head") if "does not answer" in line]
        assert len(away) == 1


def test_a_new_head_process_gets_all_members_and_names_back() -> None:
    world, head, (one, two, three) = cluster()
    world.register(one, "actors/a")
    world.register(head, "actors/h")
    world.run_for(6)
    world.kill(head)
    world.run_for(100)
    again = world.head()
    world.run_for(5.5)
    assert {again.status_of(node) for node in (one, two, three)} == {"Alive"}
    assert again.finds("actors/a") == [one.id]
    world.run_for(10)
    assert agree(world)
    assert two.finds("actors/h") == [], "the name went with the old head"
    for node in (one, two, three):
        assert node.status_of(head) == "Dead"
        assert all(each[3] != "Dead" for each in node.changes if each[1] != "node-1")


def test_a_head_restarted_at_once_is_known_as_a_new_one() -> None:
    world, head, (one, two, _) = cluster()
    world.register(one, "actors/a")
    world.run_for(6)
    world.links.clear()
    world.kill(head)
    again = world.head()
    world.run_for(12)
    assert again.finds("actors/a") == two.finds("actors/a") == [one.id]
    assert two.status_of(head) == "Dead"
    assert agree(world)


def test_a_worker_that_died_together_with_the_head_is_dead_after_a_grace() -> None:
    world, head, (one, two, _) = cluster()
    world.kill(head)
    world.kill(two)
    world.run_for(10)
    world.head()
    world.run_for(20)
    assert one.status_of(two) == "Alive", "it may not have found the new head yet"
    world.run_for(25)
    assert one.status_of(two) == "Dead"


def test_a_grace_does_not_run_out_while_the_head_is_away_again() -> None:
    world, head, (one, two, three) = cluster()
    world.kill(head)
    world.cut |= {frozenset((HEAD_ADDR, node.addr)) for node in (two, three)}
    world.run_for(10)
    second = world.head()
    world.run_for(10)
    world.kill(second)
    world.run_for(100)
    assert one.status_of(two) == one.status_of(three) == "Alive"
    world.cut.clear()
    world.head()
    world.run_for(20)
    assert agree(world)


def test_a_silent_head_is_suspect_and_refutes_it_when_it_is_back() -> None:
    world, head, (one, two, _) = cluster()
    world.freeze(head)
    world.run_for(60)
    assert one.status_of(head) == "Suspect"
    assert one.status_of(two) == "Alive"
    world.thaw(head)
    world.run_for(12)
    assert agree(world)
    assert {status for _, _, _, status in head.changes} == {"Alive"}, "it blames nobody"


def test_a_head_that_stood_still_for_minutes_loses_no_worker() -> None:
    world, head, workers = cluster(8)
    world.freeze(head)
    world.run_for(300)
    world.thaw(head)
    world.run_for(60)
    assert agree(world)
    assert all(status == "Alive" for _, _, _, status in head.changes)
    assert head.lines("stood still")[0].startswith("this node stood still for")
    assert len(workers) == 8


def test_a_head_that_leaves_tells_its_workers() -> None:
    world, head, (one, two, _) = cluster()
    world.leave(head)
    world.run_for(0.1)
    assert head.has_left
    assert one.status_of(head) == "Left"
    world.kill(head)
    world.run_for(60)
    assert one.status_of(two) == "Alive"


def test_a_partition_between_a_worker_and_the_head_heals() -> None:
    world, head, (one, two, _) = cluster()
    world.cut.add(frozenset((one.addr, head.addr)))
    world.run_for(100)
    assert head.status_of(one) == "Dead"
    assert two.status_of(one) == "Dead"
    world.cut.clear()
    world.run_for(15)
    assert agree(world)


def test_a_worker_that_others_took_for_dead_too_early_is_seen_again_by_all() -> None:
    world, head, (one, two, three) = cluster()
    world.kill(head)
    world.cut.add(frozenset((HEAD_ADDR, three.addr)))
    world.head()
    world.run_for(45)
    assert one.status_of(three) == two.status_of(three) == "Dead", "the new head never saw it"
    world.cut.clear()
    world.register(three, "actors/c")
    world.run_for(20)
    assert agree(world)
    assert one.finds("actors/c") == [three.id]
    assert one.core.members[three.id].incarnation > 0


# --- everything at once


@pytest.mark.parametrize("seed", range(12))
def test_random_faults_end_in_one_view(seed: int) -> None:
    world, _, _ = cluster(5, seed=seed, settings=QUICK)
    dice = Random(seed)
    owned: dict[str, set[str]] = {}

    def up() -> list:
        return [node for node in world.nodes if node.is_up]

    for _ in range(60):
        node = dice.choice(up())
        match dice.randrange(9):
            case 0 if len(up()) > 3:
                world.kill(node)
                if node.addr == HEAD_ADDR:
                    world.run_for(dice.random() * 5)
                    world.head()
                else:
                    world.worker(addr=node.addr if dice.random() < 0.5 else None)
            case 1:
                world.freeze(node)
                world.run_for(dice.random() * 8)
                world.thaw(node)
            case 2:
                other = dice.choice(up())
                world.cut.add(frozenset((node.addr, other.addr)))
            case 3:
                world.cut.clear()
            case 4:
                world.loss = dice.choice((0.0, 0.0, 0.1, 0.4))
            case 5 | 6:
                name = f"actors/{dice.randrange(5)}"
                owned.setdefault(node.id, set()).add(name)
                world.register(node, name)
            case 7:
                names = owned.get(node.id)
                if names:
                    world.unregister(node, names.pop())
            case _:
                world.run_for(dice.random() * 3)
        for each in up():
            assert each.core.members[each.id].is_present
    world.cut.clear()
    world.loss = 0.0
    world.run_for(20)
    assert agree(world), f"seed {seed}"
    alive = {node.id for node in up()}
    for node in up():
        for name in (f"actors/{number}" for number in range(5)):
            truth = sorted(each for each, names in owned.items() if each in alive and name in names)
            assert node.finds(name) == truth, f"seed {seed}: {name} at {node.core.info.name}"
