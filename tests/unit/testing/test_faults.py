"""When octets arrive, and as what: the pure part of the fault proxy."""

from __future__ import annotations

import random

import pytest

from pulsing.testing.faults import NO_FAULTS, RETRANSMISSION_S, SEGMENT_BYTES, Faults, Lane


def lane(seed: int = 1) -> Lane:
    return Lane(random.Random(seed))


def test_without_faults_octets_arrive_at_once_and_in_order() -> None:
    it = lane()
    it.put(b"one", NO_FAULTS, 10.0)
    it.put(b"two", NO_FAULTS, 10.0)
    it.put(b"", NO_FAULTS, 10.0)
    assert it.waiting_bytes == 6
    assert it.take(NO_FAULTS, 10.0) == [b"one", b"two", b""]
    assert it.waiting_bytes == 0
    assert it.is_empty
    assert it.next_due(NO_FAULTS) is None


def test_delayed_octets_are_under_way_together() -> None:
    faults = Faults(delay_s=1.0)
    it = lane()
    it.put(b"a", faults, 0.0)
    it.put(b"b", faults, 0.25)
    assert it.next_due(faults) == 1.0
    assert it.take(faults, 0.99) == []
    assert it.take(faults, 1.0) == [b"a"]
    assert it.take(faults, 1.25) == [b"b"], "not a second after the first"


def test_what_waits_keeps_its_delay_when_the_faults_are_over() -> None:
    it = lane()
    it.put(b"late", Faults(delay_s=1.0), 0.0)
    it.put(b"prompt", NO_FAULTS, 0.5)
    assert it.take(NO_FAULTS, 0.5) == [], "nothing overtakes"
    assert it.take(NO_FAULTS, 1.0) == [b"late", b"prompt"]


def test_jitter_keeps_the_order_and_its_bound() -> None:
    faults = Faults(delay_s=0.1, jitter_s=0.2)
    it = lane()
    sent = [bytes((number,)) for number in range(100)]
    for number, each in enumerate(sent):
        it.put(each, faults, number * 0.001)
    arrived, times, now = [], [], 0.0
    while (due := it.next_due(faults)) is not None:
        assert due >= now
        now = due
        for each in it.take(faults, now):
            arrived.append(each)
            times.append(now - each[0] * 0.001)
    assert arrived == sent
    assert 0.1 <= min(times) < max(times) <= 0.3


def test_a_narrow_lane_spreads_octets_over_time() -> None:
    faults = Faults(bytes_per_s=1000.0)
    it = lane()
    for _ in range(10):
        it.put(bytes(100), faults, 0.0)
    assert len(it.take(faults, 0.5)) == 5
    assert len(it.take(faults, 1.0)) == 5


def test_a_cut_lane_holds_everything_even_the_end() -> None:
    cut = Faults(cut=True)
    it = lane()
    it.put(b"before", NO_FAULTS, 0.0)
    it.put(b"after", cut, 1.0)
    it.put(b"", cut, 2.0)
    assert it.take(cut, 100.0) == []
    assert it.next_due(cut) is None
    assert it.take(NO_FAULTS, 100.0) == [b"before", b"after", b""]


@pytest.mark.parametrize("lost", [0.1, 0.5])
def test_lost_packets_arrive_by_retransmission(lost: float) -> None:
    faults = Faults(lost=lost)
    late = 0
    for seed in range(2000):
        it = lane(seed)
        it.put(b"x", faults, 0.0)
        due = it.next_due(faults)
        assert due is not None
        assert due == 0.0 or due >= RETRANSMISSION_S
        late += due > 0
    assert abs(late / 2000 - lost) < 0.04


def test_a_long_piece_is_late_if_one_of_its_packets_is_lost() -> None:
    faults = Faults(lost=0.05)
    late = 0
    for seed in range(300):
        it = lane(seed)
        it.put(bytes(40 * SEGMENT_BYTES), faults, 0.0)
        late += it.next_due(faults) != 0.0
    assert late > 225  # 1 - 0.95**40 is 87 %


def test_corruption_turns_one_bit_over() -> None:
    it = lane()
    before = bytes(1000)
    it.put(before, Faults(corrupted=1.0), 0.0)
    it.put(before, Faults(corrupted=0.0), 0.0)
    damaged, sound = it.take(NO_FAULTS, 0.0)
    assert sum(each.bit_count() for each in damaged) == 1
    assert len(damaged) == 1000
    assert sound == before


def test_the_same_seed_has_the_same_faults() -> None:
    faults = Faults(jitter_s=1.0, lost=0.3, corrupted=0.3)

    def history(seed: int) -> list[tuple[float | None, list[bytes]]]:
        it = lane(seed)
        for number in range(50):
            it.put(bytes(3) + bytes((number,)), faults, 0.0)
        seen = []
        while (due := it.next_due(faults)) is not None:
            seen.append((due, it.take(faults, due)))
        return seen

    assert history(7) == history(7)
    assert history(7) != history(8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay_s": -1},
        {"jitter_s": float("nan")},
        {"bytes_per_s": 0},
        {"lost": 1.0},
        {"lost": 1.5},
        {"corrupted": -0.1},
    ],
)
def test_faults_that_make_no_sense_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Faults(**wrong)  # type: ignore[arg-type]
