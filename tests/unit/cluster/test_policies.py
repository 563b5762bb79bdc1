"""Policies: who gets the next call, how evenly, and who is spared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest

from pulsing.cluster.members import Registration
from pulsing.cluster.policies import (
    POLICIES,
    C,
    LeastInFlight,
    LocalFirst,
    Policy,
    PowerOfTwoChoices,
    RandomChoice,
    RendezvousHash,
    RoundRobin,
    choose,
    name_of,
    policy_of,
)


@dataclass(eq=False)
class Instance:
    """A candidate."""

    number: int
    in_flight: int = 0
    is_local: bool = False
    busy: bool = False
    suspect: bool = False

    @property
    def node_id(self) -> str:
        return f"{self.number:032x}"

    @property
    def registration(self) -> Registration:
        return Registration("actors/x", self.node_id, 1, "Counter")


def instances(*loads: int) -> list[Instance]:
    return [Instance(number, load) for number, load in enumerate(loads)]


def picks(
    policy: Policy, candidates: Sequence[Instance], count: int, seed: int = 0
) -> Counter[int]:
    dice = Random(seed)
    return Counter(choose(policy, candidates, dice).number for _ in range(count))


def every_policy() -> list[Policy]:
    return [*(make() for name, make in POLICIES.items() if name != "hash"), RendezvousHash("key")]


# --- each policy ---------------------------------------------------------------------------------


def test_round_robin_takes_each_in_turn() -> None:
    policy, candidates, dice = RoundRobin(), instances(0, 0, 0), Random(1)
    turn = [policy.pick(candidates, dice).number for _ in range(7)]
    assert [(each - turn[0]) % 3 for each in turn] == [0, 1, 2, 0, 1, 2, 0]


def test_round_robin_goes_on_when_instances_come_and_go() -> None:
    policy, dice = RoundRobin(), Random(1)
    counts: Counter[int] = Counter()
    for step in range(3000):
        candidates = instances(*[0] * (3 + step % 3))
        counts[policy.pick(candidates, dice).number] += 1
    assert all(counts[number] > 400 for number in range(3))


def test_callers_with_round_robin_of_their_own_do_not_all_begin_with_the_first() -> None:
    dice = Random(1)
    firsts = Counter(RoundRobin().pick(instances(0, 0, 0), dice).number for _ in range(300))
    assert min(firsts.values()) > 60


def test_random_choice_is_even() -> None:
    counts = picks(RandomChoice(), instances(0, 0, 0, 0), 4000)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 850


def test_local_first_takes_the_local_one_and_else_each_in_turn() -> None:
    candidates = instances(5, 0, 0)
    assert picks(LocalFirst(), candidates, 30) == {0: 10, 1: 10, 2: 10}
    candidates[0].is_local = True
    assert picks(LocalFirst(), candidates, 30) == {0: 30}


def test_least_in_flight_takes_the_least_loaded_and_breaks_ties_evenly() -> None:
    assert set(picks(LeastInFlight(), instances(3, 1, 2), 20)) == {1}
    tied = picks(LeastInFlight(), instances(1, 3, 1, 2, 1), 3000)
    assert set(tied) == {0, 2, 4}
    assert min(tied.values()) > 850


def test_power_of_two_never_takes_the_most_loaded_and_reaches_the_others() -> None:
    counts = picks(PowerOfTwoChoices(), instances(2, 9, 1, 2), 3000)
    assert set(counts) == {0, 2, 3}
    assert counts[2] > counts[0]
    assert set(picks(PowerOfTwoChoices(), instances(0, 0, 0), 300)) == {0, 1, 2}


def test_power_of_two_is_more_even_than_chance() -> None:
    def worst(policy: Policy) -> int:
        candidates, dice = instances(*[0] * 50), Random(2)
        for _ in range(500):
            policy.pick(candidates, dice).in_flight += 1
        return max(each.in_flight for each in candidates)

    assert worst(PowerOfTwoChoices()) <= 12
    assert worst(RandomChoice()) >= 15


# --- rendezvous hashing --------------------------------------------------------------------------


def winners(candidates: Sequence[Instance], keys: int = 2000) -> dict[int, int]:
    dice = Random(0)
    return {key: RendezvousHash(str(key)).pick(candidates, dice).number for key in range(keys)}


def test_a_key_always_goes_to_the_same_instance_in_whatever_order_they_are() -> None:
    candidates = instances(*[0] * 7)
    assert winners(candidates) == winners(candidates[::-1])


def test_keys_are_spread_evenly() -> None:
    counts = Counter(winners(instances(*[0] * 4)).values())
    assert min(counts.values()) > 430


def test_when_an_instance_goes_only_its_keys_move() -> None:
    candidates = instances(*[0] * 5)
    before, after = winners(candidates), winners(candidates[:2] + candidates[3:])
    assert all(after[key] == number for key, number in before.items() if number != 2)
    moved = Counter(after[key] for key, number in before.items() if number == 2)
    assert set(moved) == {0, 1, 3, 4}


def test_hashing_is_the_same_in_every_release() -> None:
    assert [winners(instances(0, 0, 0), 12)[key] for key in range(12)] == [
        2, 1, 0, 1, 0, 2, 1, 1, 0, 2, 1, 0,
    ]  # fmt: skip


def test_an_overloaded_instance_is_passed_over_until_it_has_caught_up() -> None:
    candidates, dice = instances(0, 0, 0, 0), Random(0)
    policy = RendezvousHash("key")
    favourite = policy.pick(candidates, dice)
    for each in candidates:
        each.in_flight = 8
    assert policy.pick(candidates, dice) is favourite
    favourite.in_flight = 20
    second = policy.pick(candidates, dice)
    assert second is not favourite
    others = [each for each in candidates if each is not favourite]
    assert policy.pick(others, dice) is second
    favourite.in_flight = 8
    assert policy.pick(candidates, dice) is favourite


def test_one_hot_key_loads_nobody_above_the_bound() -> None:
    candidates, dice = instances(*[0] * 10), Random(0)
    policy = RendezvousHash("hot", load_factor=1.5)
    for total in range(1, 500):
        policy.pick(candidates, dice).in_flight += 1
        assert max(each.in_flight for each in candidates) <= -(-1.5 * total // 10)


def test_without_a_bound_a_hot_key_stays_where_it_is() -> None:
    candidates, dice = instances(*[0] * 10), Random(0)
    policy = RendezvousHash("hot", load_factor=None)
    for _ in range(100):
        policy.pick(candidates, dice).in_flight += 1
    assert sorted(each.in_flight for each in candidates)[-2:] == [0, 100]


def test_a_hash_without_a_key_says_how_to_give_one() -> None:
    with pytest.raises(ValueError, match="with_key"):
        RendezvousHash().pick(instances(0), Random(0))
    assert RendezvousHash(load_factor=2.0).with_key("k").load_factor == 2.0
    RendezvousHash("\ud800").pick(instances(0), Random(0))


@pytest.mark.parametrize("factor", [1.0, 0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_that_cannot_hold_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="load_factor"):
        RendezvousHash("k", load_factor=factor)


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", every_policy(), ids=lambda each: type(each).__name__)
def test_one_candidate_is_always_taken(policy: Policy) -> None:
    for load in (0, 1, 1000):
        candidates = instances(load)
        assert policy.pick(candidates, Random(0)) is candidates[0]


@pytest.mark.parametrize("policy", every_policy(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("seed", range(3))
def test_any_mix_of_loads_gives_one_of_the_candidates(policy: Policy, seed: int) -> None:
    dice = Random(seed)
    for _ in range(300):
        candidates = instances(*(dice.randrange(50) for _ in range(dice.randrange(1, 9))))
        assert policy.pick(candidates, dice) in candidates


@pytest.mark.parametrize("policy", every_policy(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("what", ["busy", "suspect"])
def test_busy_and_suspect_instances_are_spared_when_there_are_others(
    policy: Policy, what: str
) -> None:
    candidates = instances(0, 0, 0)
    for each in candidates[:2]:
        setattr(each, what, True)
    assert picks(policy, candidates, 30) == {2: 30}


@pytest.mark.parametrize("policy", every_policy(), ids=lambda each: type(each).__name__)
def test_when_none_is_well_one_of_them_is_taken_all_the_same(policy: Policy) -> None:
    candidates = instances(0, 0)
    candidates[0].busy = candidates[1].suspect = True
    assert sum(picks(policy, candidates, 30).values()) == 30


@pytest.mark.parametrize("policy", every_policy(), ids=lambda each: type(each).__name__)
def test_equal_dice_give_equal_picks(policy: Policy) -> None:
    make = type(policy)
    again = RendezvousHash("key") if make is RendezvousHash else make()
    fresh = RendezvousHash("key") if make is RendezvousHash else make()
    candidates = instances(0, 1, 0, 1)
    first = [choose(again, candidates, dice).number for dice in [Random(5)] for _ in range(20)]
    second = [choose(fresh, candidates, dice).number for dice in [Random(5)] for _ in range(20)]
    assert first == second


# --- what users say ------------------------------------------------------------------------------


class Last:
    """A user's own."""

    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        return candidates[-1]


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_may_be_named(name: str) -> None:
    policy = policy_of(name)
    assert name_of(policy) == name
    assert type(policy_of(name.replace("_", "-"))) is type(policy)
    assert policy_of(name) is not policy, "each has its own state"


def test_the_default_is_round_robin() -> None:
    assert isinstance(policy_of(None), RoundRobin)


def test_an_object_of_the_users_own_is_taken_as_it_is() -> None:
    own = Last()
    assert policy_of(own) is own
    assert name_of(own) is None
    assert picks(own, instances(0, 0, 0), 3) == {2: 3}


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'fastest'.*round_robin, random"):
        policy_of("fastest")


@pytest.mark.parametrize("value", [5, object(), Last, RoundRobin])
def test_what_is_no_policy_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="policy="):
        policy_of(value)  # type: ignore[arg-type]


def test_a_policy_that_returns_something_else_is_named_in_the_error() -> None:
    class Broken:
        def pick(self, candidates, rng):  # type: ignore[no-untyped-def]
            return None

    with pytest.raises(TypeError, match=r"Broken\.pick returned None"):
        choose(Broken(), instances(0, 0), Random(0))
