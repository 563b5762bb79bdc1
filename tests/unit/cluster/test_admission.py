from dataclasses import replace

from pulsing.cluster.claims import Claim
from pulsing.cluster.members import MemberStatus
from pulsing.cluster.messages import Join, RejectCode, Rejected, Welcome
from pulsing.cluster.settings import SwimSettings
from tests.unit.cluster.joining_world import Driver, addr_of, info_of

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus


def asks(number: int, *, name: str | None = None, addr: str | None = None) -> Join:
    info = info_of(number, name=name, addr=addr)
    return Join(Claim(ALIVE, info.node_id, 0, info))


def test_a_node_is_let_in_and_told_who_is_there_this_one_first() -> None:
    driver = Driver()
    for number in (2, 3):
        driver.table.put(number)
    driver.table.put(4, DEAD)
    reply = driver.joining.join_received(info_of(9).node_id, asks(9), driver.now)
    assert isinstance(reply.answer, Welcome)
    told = [each.node_id for each in reply.answer.claims]
    assert told[0] == info_of(1).node_id
    assert set(told) == {info_of(number).node_id for number in (1, 2, 3)}
    assert reply.claims == (asks(9).claim,)
    assert reply.supplanted == ()


def test_a_node_believed_dead_is_told_so_that_it_can_refute() -> None:
    driver = Driver()
    driver.table.put(9, DEAD)
    reply = driver.joining.join_received(info_of(9).node_id, asks(9), driver.now)
    assert isinstance(reply.answer, Welcome)
    assert reply.answer.claims[1] == Claim(DEAD, info_of(9).node_id, 0)


def test_a_large_cluster_is_named_in_part_and_each_time_another() -> None:
    driver = Driver()
    for number in range(2, 3000):
        driver.table.put(number)
    answers = []
    for _ in range(2):
        reply = driver.joining.join_received(info_of(5000).node_id, asks(5000), driver.now)
        assert isinstance(reply.answer, Welcome)
        answers.append({each.node_id for each in reply.answer.claims})
        assert 400 < len(answers[-1]) < 1200
    assert answers[0] != answers[1]


def test_a_name_of_a_present_member_is_not_given_twice() -> None:
    driver = Driver()
    driver.table.put(2)
    reply = driver.joining.join_received(info_of(9).node_id, asks(9, name="node-2"), driver.now)
    assert isinstance(reply.answer, Rejected)
    assert reply.answer.code == RejectCode.NAME_TAKEN
    assert info_of(2).node_id in reply.answer.reason
    assert reply.claims == ()
    driver.table.put(2, DEAD)
    reply = driver.joining.join_received(info_of(9).node_id, asks(9, name="node-2"), driver.now)
    assert isinstance(reply.answer, Welcome), "a dead member's name is free"


def test_our_own_name_is_not_given_to_others() -> None:
    driver = Driver()
    reply = driver.joining.join_received(info_of(9).node_id, asks(9, name="node-1"), driver.now)
    assert isinstance(reply.answer, Rejected)
    assert reply.answer.code == RejectCode.NAME_TAKEN


def test_a_restarted_node_takes_over_its_name_and_address_at_once() -> None:
    driver = Driver()
    driver.table.put(2)
    join = asks(9, name="node-2", addr=addr_of(2))
    reply = driver.joining.join_received(info_of(9).node_id, join, driver.now)
    assert isinstance(reply.answer, Welcome)
    assert reply.supplanted == (info_of(2).node_id,)


def test_a_member_that_joins_again_is_no_conflict_with_itself() -> None:
    driver = Driver()
    driver.table.put(2)
    reply = driver.joining.join_received(info_of(2).node_id, asks(2), driver.now)
    assert isinstance(reply.answer, Welcome)
    assert reply.supplanted == ()


def test_our_own_join_comes_back_as_our_own() -> None:
    driver = Driver()
    reply = driver.joining.join_received(info_of(1).node_id, asks(1), driver.now)
    assert isinstance(reply.answer, Rejected)
    assert reply.answer.code == RejectCode.SELF


def test_a_join_on_behalf_of_others_or_of_nobody_is_invalid() -> None:
    driver = Driver()
    no_info = Join(Claim(ALIVE, info_of(9).node_id, 0))
    dead = Join(replace_status(asks(9).claim, DEAD))
    at_our_address = asks(9, addr=addr_of(1))
    for peer, join in ((8, asks(9)), (9, no_info), (9, dead), (9, at_our_address)):
        reply = driver.joining.join_received(info_of(peer).node_id, join, driver.now)
        assert isinstance(reply.answer, Rejected), join
        assert reply.answer.code == RejectCode.INVALID
        assert reply.claims == ()


def replace_status(claim: Claim, status: MemberStatus) -> Claim:
    return claim._replace(status=status)


def test_members_beyond_the_bound_are_refused_and_known_ones_are_not() -> None:
    settings = replace(SwimSettings(), max_members=3)
    driver = Driver(settings=settings)
    driver.table.put(2)
    driver.table.put(3, DEAD)
    reply = driver.joining.join_received(info_of(9).node_id, asks(9), driver.now)
    assert isinstance(reply.answer, Rejected)
    assert reply.answer.code == RejectCode.FULL
    reply = driver.joining.join_received(info_of(3).node_id, asks(3), driver.now)
    assert isinstance(reply.answer, Welcome)
