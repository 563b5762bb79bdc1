"""The network of dice."""

from __future__ import annotations

from random import Random

import pytest

from pulsing.testing.simulation.network import Network


def network(**options: float) -> Network:
    return Network(Random(1), **options)


def test_a_message_takes_between_the_shortest_and_the_longest_time() -> None:
    delays = [Network(Random(1), latency_s=(0.01, 0.02)).delay(0, 1) for _ in range(100)]
    assert all(delay is not None and 0.01 <= delay <= 0.02 for delay in delays)


def test_as_many_messages_are_lost_as_was_said() -> None:
    wire = network(loss=0.3)
    lost = sum(wire.delay(0, 1) is None for _ in range(10_000))
    assert 2_800 < lost < 3_200


def test_a_partition_lets_only_members_of_one_group_reach_each_other() -> None:
    wire = network()
    wire.partition([{0, 1}, {2, 3}])
    assert wire.delay(0, 1) is not None
    assert wire.delay(2, 3) is not None
    assert wire.delay(0, 2) is None
    assert wire.delay(3, 1) is None


def test_those_in_no_group_form_one_of_their_own() -> None:
    wire = network()
    wire.partition([{0, 1}])
    assert wire.delay(4, 5) is not None
    assert wire.delay(4, 0) is None


def test_a_one_way_cut_loses_only_what_goes_that_way() -> None:
    wire = network()
    wire.cut(0, 1, one_way=True)
    assert wire.delay(0, 1) is None
    assert wire.delay(1, 0) is not None
    assert not wire.is_parted(0, 1)


def test_a_slow_pair_is_slow_both_ways_until_told_otherwise() -> None:
    wire = network()
    wire.slow_down(0, 1, 2.0)
    assert (wire.delay(0, 1) or 0) > 2 < (wire.delay(1, 0) or 0)
    assert (wire.delay(0, 2) or 9) < 1
    wire.slow_down(0, 1, 0)
    assert (wire.delay(0, 1) or 9) < 1


def test_healing_ends_partitions_cuts_and_slow_pairs_but_not_loss() -> None:
    wire = network(loss=0.5)
    wire.partition([{0}, {1}])
    wire.cut(0, 1)
    wire.slow_down(0, 1, 5.0)
    wire.heal()
    delays = [wire.delay(0, 1) for _ in range(100)]
    assert 20 < delays.count(None) < 80
    assert max(each for each in delays if each is not None) < 1


@pytest.mark.parametrize(
    "options", [{"loss": 1.0}, {"loss": -0.1}, {"latency_s": (0.0, 1.0)}, {"latency_s": (2.0, 1.0)}]
)
def test_impossible_networks_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"loss|latency_s"):
        network(**options)
