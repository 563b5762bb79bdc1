from itertools import pairwise

import pytest

from pulsing.cluster.claims import Claim
from pulsing.cluster.effects import Severity
from pulsing.cluster.members import Member, MemberStatus
from pulsing.cluster.messages import RejectCode, Rejected, Same, Welcome
from pulsing.cluster.stimuli import Failure
from tests.unit.cluster.joining_world import Driver, addr_of, info_of

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus


# --- finding a cluster


def test_without_seeds_nobody_is_asked_and_nothing_is_looked_up() -> None:
    driver = Driver()
    driver.start()
    driver.run_for(60)
    assert driver.asked == []
    assert driver.resolved_at == []


def test_all_seeds_are_asked_at_once() -> None:
    seeds = [addr_of(n) for n in range(2, 7)]
    driver = Driver(*seeds)
    driver.start()
    driver.run_for(0)
    assert sorted(driver.asked_addrs()) == seeds
    assert driver.joining.next_deadline() is not None


def test_many_seeds_are_asked_eight_at_a_time_and_each_has_its_turn() -> None:
    seeds = [addr_of(n) for n in range(2, 32)]
    driver = Driver(*seeds)
    driver.start()
    driver.run_for(0.5)
    by_time: dict[float, int] = {}
    for at, _ in driver.asked:
        by_time[at] = by_time.get(at, 0) + 1
    assert max(by_time.values()) == 8
    assert sorted(driver.asked_addrs()[:30]) == sorted(seeds), "each once before any is asked again"


def test_silent_seeds_are_tried_with_growing_pauses_for_ever() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(600)
    times = [at for at, _ in driver.asked]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert 0.075 <= pauses[0] <= 0.1
    assert all(0.7 <= pause <= 1.0 for pause in pauses[5:]), "half of reprobe_interval_s, jittered"
    assert times[-1] > driver.now - 1.01
    assert len({round(pause, 6) for pause in pauses[5:]}) > 10, "without jitter nodes march in step"


def test_a_seed_that_starts_late_is_found_within_a_second() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(60)
    driver.welcomes(2, 3, 4)
    driver.run_for(1)
    assert driver.joined == [addr_of(2)]
    assert [line.text for line in driver.logged if line.key == "joined"] == [
        "joined the cluster through 10.0.0.2:7000: it names 3 members"
    ]


def test_after_the_first_answer_the_other_seeds_are_tried_once_more_and_then_rarely() -> None:
    driver = Driver(*[addr_of(n) for n in range(2, 6)])
    driver.welcomes(2)
    driver.start()
    driver.run_for(0)
    joined_at = driver.now
    driver.run_for(0.2)
    others = [addr_of(3), addr_of(4), addr_of(5)]
    after_that = driver.asked_addrs(since=joined_at + 0.01)
    assert sorted(after_that) == others
    driver.asked.clear()
    driver.run_for(200)
    assert 100 <= len(driver.asked) <= 134, "one each reprobe_interval_s, of 2 s"
    assert set(driver.asked_addrs()) == set(others), "a seed that is a member is left alone"


def test_two_halves_that_started_apart_merge_through_the_seed_that_was_down() -> None:
    driver = Driver(addr_of(2), addr_of(3))
    driver.welcomes(2)
    driver.start()
    driver.run_for(30)
    driver.welcomes(3, 4, 5)
    driver.run_for(2)
    assert driver.joined == [addr_of(2), addr_of(3)]
    assert info_of(5).node_id in driver.table.members


def test_being_joined_by_others_ends_the_hurry_as_well() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(10)
    driver.table.put(9)
    driver.run_for(3)
    driver.asked.clear()
    driver.run_for(100)
    assert 50 <= len(driver.asked) <= 67


def test_losing_everybody_brings_the_hurry_back() -> None:
    driver = Driver(addr_of(2))
    driver.welcomes(2)
    driver.start()
    driver.run_for(10)
    driver.table.put(2, DEAD, since=driver.now)
    driver.outcome.clear()
    driver.asked.clear()
    driver.run_for(10)
    assert len(driver.asked) >= 9


def test_an_address_is_never_asked_while_it_is_being_asked() -> None:
    driver = Driver(addr_of(2))
    driver.outcome[addr_of(2)] = None
    driver.start()
    driver.run_for(20)
    assert driver.asked_addrs() == [addr_of(2)]
    driver.joining.failed(addr_of(2), Failure.TIMEOUT, "", driver.now)
    driver.run_for(2)
    assert len(driver.asked) == 2


def test_an_answer_after_the_seeds_own_gossip_still_counts_as_joining() -> None:
    driver = Driver(addr_of(2))
    driver.outcome[addr_of(2)] = None
    driver.start()
    driver.run_for(0)
    driver.table.put(2)  # it spread the news faster than its answer came
    welcome = Welcome((Claim(ALIVE, info_of(2).node_id, 0, info_of(2)),))
    step = driver.joining.answered(addr_of(2), info_of(2).node_id, welcome, driver.now)
    assert step.joined
    assert [each.key for each in step.effects] == ["joined"]


def test_the_own_address_is_left_out_of_the_seeds() -> None:
    driver = Driver(addr_of(1), addr_of(2))
    driver.start()
    driver.run_for(30)
    assert set(driver.asked_addrs()) == {addr_of(2)}


def test_a_seed_that_turns_out_to_be_this_node_is_said_once_and_tried_rarely() -> None:
    driver = Driver("10.9.9.9:7000")
    reply = (info_of(1).node_id, Rejected(RejectCode.SELF, "you"))
    driver.outcome["10.9.9.9:7000"] = reply
    driver.start()
    driver.run_for(100)
    assert [line.text for line in driver.logged] == ["seed 10.9.9.9:7000 leads to this node itself"]
    assert len(driver.asked) <= 11
    assert driver.joining.rejection is None


def test_seeds_are_looked_up_again_every_10_s_alone_and_every_30_s_with_others() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(59)
    assert len(driver.resolved_at) == 6
    driver.table.put(2)
    driver.run_for(60)
    driver.resolved_at.clear()
    driver.run_for(90)
    assert len(driver.resolved_at) == 3


def test_a_new_address_of_a_seed_is_tried_at_once_and_a_gone_one_no_more() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(30.5)
    driver.seeds = (addr_of(3),)
    driver.run_for(10)
    asked_at = driver.now
    assert addr_of(3) in driver.asked_addrs(since=asked_at - 10)
    driver.asked.clear()
    driver.run_for(30)
    assert set(driver.asked_addrs()) == {addr_of(3)}


def test_seeds_that_do_not_resolve_are_looked_up_again_soon_and_the_old_ones_kept() -> None:
    driver = Driver(addr_of(2))
    driver.seeds = ()
    driver.start()
    driver.run_for(8)
    assert len(driver.resolved_at) >= 4
    driver.seeds = (addr_of(2),)
    driver.run_for(8)
    driver.seeds = ()
    driver.run_for(30)
    driver.asked.clear()
    driver.run_for(5)
    assert set(driver.asked_addrs()) == {addr_of(2)}


def test_a_thousand_addresses_are_cut_to_a_bound() -> None:
    driver = Driver(*[f"seed-{n}:1" for n in range(1000)])
    driver.start()
    driver.run_for(60)
    assert len(set(driver.asked_addrs())) == 256


# --- finding it again


def test_dead_members_are_tried_again_and_left_ones_are_not() -> None:
    driver = Driver()
    driver.table.put(2)
    driver.table.put(3, DEAD)
    driver.table.put(4, LEFT)
    driver.table.put(5, SUSPECT)
    driver.start()
    driver.run_for(100)
    assert set(driver.asked_addrs()) == {addr_of(3)}
    assert 50 <= len(driver.asked) <= 67
    assert driver.logged == [], "that a dead member does not answer is no news"


def test_every_dead_member_has_its_turn_and_the_latest_more_often() -> None:
    driver = Driver()
    driver.table.put(250)
    for number in range(2, 202):
        driver.table.put(number, DEAD, since=float(number))
    driver.start()
    driver.run_for(6000)
    asked = driver.asked_addrs()
    assert len(set(asked)) > 190
    latest = {addr_of(number) for number in range(186, 202)}
    assert sum(each in latest for each in asked) / len(asked) > 0.45


def test_a_partition_heals_through_a_member_believed_dead() -> None:
    driver = Driver()
    driver.table.put(2)
    driver.start()
    driver.run_for(20)
    driver.table.put(3, DEAD, since=driver.now)
    driver.welcomes(3, 4)
    driver.run_for(2.5)
    assert addr_of(3) in driver.joined


def test_a_dead_member_that_came_back_is_not_asked() -> None:
    driver = Driver()
    driver.table.put(2, DEAD)
    driver.table.put(3, DEAD)
    driver.start()
    driver.run_for(20)
    driver.table.put(2)
    driver.asked.clear()
    driver.run_for(100)
    assert set(driver.asked_addrs()) == {addr_of(3)}


def test_a_new_process_at_the_address_of_a_dead_member_is_left_alone() -> None:
    driver = Driver()
    driver.table.put(2, DEAD)
    successor = Member(info_of(9, addr=addr_of(2)), ALIVE, 0)
    driver.table.members[successor.node_id] = successor
    driver.start()
    driver.run_for(100)
    assert driver.asked == []


def test_a_seed_that_is_a_member_under_another_address_is_left_alone() -> None:
    driver = Driver("seed.example:7000")
    driver.welcomes(2)
    driver.outcome["seed.example:7000"] = driver.outcome[addr_of(2)]
    driver.start()
    driver.run_for(100)
    assert driver.asked_addrs() == ["seed.example:7000"]


def test_a_seed_is_not_starved_by_many_dead_members() -> None:
    driver = Driver(addr_of(250))
    driver.table.put(249)
    for number in range(2, 202):
        driver.table.put(number, DEAD, since=float(number))
    driver.start()
    driver.run_for(400)
    share = driver.asked_addrs().count(addr_of(250)) / len(driver.asked)
    assert 0.35 < share < 0.65


# --- what goes wrong


@pytest.mark.parametrize("failure", [each for each in Failure if each is not Failure.FOREIGN])
def test_a_silent_seed_is_said_once_until_it_answers(failure: Failure) -> None:
    driver = Driver(addr_of(2))
    driver.outcome[addr_of(2)] = failure
    driver.start()
    driver.run_for(60)
    (line,) = driver.logged
    assert line.severity is Severity.INFO
    assert line.text.startswith(f"seed 10.0.0.2:7000 does not answer ({failure.value}: said so)")
    driver.welcomes(2)
    driver.run_for(2)
    driver.outcome[addr_of(2)] = failure
    driver.table.put(2, DEAD)
    driver.run_for(10)
    assert len([each for each in driver.logged if each.key == "seed 10.0.0.2:7000"]) == 2


@pytest.mark.parametrize(
    "outcome", [Failure.FOREIGN, (info_of(2).node_id, Same())], ids=["refused", "nonsense"]
)
def test_a_seed_of_another_cluster_is_an_error_said_once_and_tried_rarely(outcome) -> None:
    driver = Driver(addr_of(2))
    driver.outcome[addr_of(2)] = outcome
    driver.start()
    driver.run_for(100)
    (line,) = driver.logged
    assert line.severity is Severity.ERROR
    assert "passphrase" in line.text
    assert "take 10.0.0.2:7000 out of the seeds" in line.text
    assert len(driver.asked) <= 11


def test_a_taken_name_is_an_error_and_ends_when_its_holder_is_gone() -> None:
    driver = Driver(addr_of(2))
    said = Rejected(RejectCode.NAME_TAKEN, "the name 'a' belongs to somebody")
    driver.outcome[addr_of(2)] = (info_of(2).node_id, said)
    driver.start()
    driver.run_for(20)
    assert driver.joining.rejection == said
    (line,) = driver.logged
    assert line.severity is Severity.ERROR
    assert "does not let this node in: the name 'a' belongs to somebody" in line.text
    assert len(driver.asked) <= 14, "no loop: once each reprobe_interval_s"
    driver.welcomes(2)
    driver.run_for(3.1)
    assert driver.joining.rejection is None
    assert driver.joined == [addr_of(2)]


@pytest.mark.parametrize("code", [RejectCode.FULL, RejectCode.MODE, RejectCode.INVALID])
def test_a_seed_that_refuses_is_said_once_and_tried_rarely(code: RejectCode) -> None:
    driver = Driver(addr_of(2))
    driver.outcome[addr_of(2)] = (info_of(2).node_id, Rejected(code, "because"))
    driver.start()
    driver.run_for(100)
    assert [line.severity for line in driver.logged] == [Severity.ERROR]
    assert len(driver.asked) <= 11


def test_a_bad_seed_does_not_slow_down_the_good_one() -> None:
    driver = Driver(addr_of(2), addr_of(3))
    driver.outcome[addr_of(2)] = Failure.FOREIGN
    driver.start()
    driver.run_for(30)
    driver.welcomes(3)
    driver.run_for(1)
    assert driver.joined == [addr_of(3)]


def test_a_node_that_leaves_asks_nobody_any_more() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(1)
    driver.joining.stop()
    assert driver.joining.next_deadline() is None
    driver.joining.seeds_resolved([addr_of(3)], driver.now)
    assert driver.joining.next_deadline() is None
    assert driver.joining.tick(driver.now + 100) == ([], [])


def test_standing_still_moves_what_is_due() -> None:
    driver = Driver(addr_of(2))
    driver.start()
    driver.run_for(5)
    due = driver.joining.next_deadline()
    assert due is not None
    driver.joining.shift(60.0)
    assert driver.joining.next_deadline() == due + 60.0
