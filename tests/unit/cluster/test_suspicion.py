"""How long suspicions last."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.suspicion import Suspicion, Suspicions

SETTINGS = SwimSettings()  # shortest 1 s times log10 n, longest 6 times that, 3 confirmations


def suspicion(present: int = 100, settings: SwimSettings = SETTINGS, now: float = 0.0) -> Suspicion:
    return Suspicion(4, "a", now, settings, present)


def test_each_accuser_shortens_the_wait_the_first_most() -> None:
    doubt = suspicion()
    waits = [doubt.wait_s]
    for accuser in "bcd":
        assert doubt.confirm(accuser, 0.1)
        waits.append(doubt.wait_s)
    assert waits[0] == pytest.approx(12.0)
    assert waits[1] == pytest.approx(12 - 10 * math.log(2) / math.log(4))
    assert waits[3] == pytest.approx(2.0)
    steps = [a - b for a, b in pairwise(waits)]
    assert steps == sorted(steps, reverse=True)


def test_an_accuser_counts_once_and_enough_are_enough() -> None:
    doubt = suspicion()
    assert not doubt.confirm("a", 0.1)
    for accuser in "bcd":
        doubt.confirm(accuser, 0.1)
    assert not doubt.confirm("e", 0.1)
    assert doubt.accusers == set("abcd")


@pytest.mark.parametrize(("present", "shortest"), [(2, 1.0), (10, 1.0), (100, 2.0), (1000, 3.0)])
def test_the_wait_grows_with_the_logarithm_of_the_cluster(present: int, shortest: float) -> None:
    doubt = suspicion(present)
    for accuser in "bcd":
        doubt.confirm(accuser, 0.0)
    assert doubt.wait_s == pytest.approx(shortest)


def test_where_nobody_else_could_accuse_the_shortest_wait_holds_at_once() -> None:
    assert suspicion(2).wait_s == pytest.approx(1.0)
    three = suspicion(3)
    assert three.wait_s == pytest.approx(6.0)
    three.confirm("b", 0.0)
    assert three.wait_s == pytest.approx(1.0)


def test_plain_swim_always_waits_the_shortest_time() -> None:
    assert suspicion(100, SwimSettings(lifeguard=False)).wait_s == pytest.approx(2.0)


def test_late_accusers_leave_the_suspect_a_last_chance() -> None:
    doubt = suspicion()
    for accuser in "bcd":
        doubt.confirm(accuser, 8.0)
    assert doubt.expires == pytest.approx(8.0 + SETTINGS.probe_timeout_s)


def test_a_late_accuser_never_lengthens_a_wait() -> None:
    doubt = suspicion()
    doubt.confirm("b", 11.9)
    assert doubt.expires == pytest.approx(12.0)


def test_suspicions_come_due_in_order_and_only_as_they_are_now() -> None:
    all_of_them = Suspicions()
    assert all_of_them.next_due() is None
    first, second, third = suspicion(now=0.0), suspicion(now=1.0), suspicion(now=2.0)
    for name, each in (("third", third), ("first", first), ("second", second)):
        all_of_them.put(name, each)
    assert all_of_them.next_due() == pytest.approx(12.0)
    for accuser in "bcd":
        third.confirm(accuser, 2.0)
    all_of_them.put("third", third)
    assert all_of_them.next_due() == pytest.approx(4.0)
    assert all_of_them.take_due(3.9) == []
    assert [name for name, _ in all_of_them.take_due(4.0)] == ["third"]
    all_of_them.drop("third")
    all_of_them.drop("first")
    assert [name for name, _ in all_of_them.take_due(99.0)] == ["second"]
    assert len(all_of_them) == 1


def test_a_pause_of_this_node_puts_everything_off() -> None:
    all_of_them = Suspicions()
    doubt = suspicion()
    doubt.released, doubt.next_call = 0.5, 11.0
    all_of_them.put("x", doubt)
    all_of_them.shift(60.0)
    assert doubt.released == pytest.approx(60.5)
    assert all_of_them.next_due() == pytest.approx(60.5)
    doubt.publish()
    all_of_them.put("x", doubt)
    assert all_of_them.next_due() == pytest.approx(71.0)
    assert doubt.expires == pytest.approx(72.0)
