"""Local health."""

from __future__ import annotations

from pulsing.cluster.local_health import LocalHealth


def test_signs_of_slowness_stretch_timeouts_up_to_a_bound() -> None:
    health = LocalHealth(8)
    assert health.multiplier == 1
    health.worse()
    assert health.multiplier == 2
    health.worse(20)
    assert health.multiplier == 9


def test_answers_in_time_make_it_well_again_and_no_better_than_well() -> None:
    health = LocalHealth(8)
    health.worse(2)
    for expected in (2, 1, 1):
        health.better()
        assert health.multiplier == expected


def test_nothing_happens_when_nothing_is_missing() -> None:
    health = LocalHealth(8)
    health.worse(0)
    assert health.score == 0


def test_it_can_be_switched_off() -> None:
    health = LocalHealth(0)
    health.worse(5)
    assert health.multiplier == 1
