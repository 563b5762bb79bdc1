"""News waiting to be passed on."""

from __future__ import annotations

from pulsing.cluster.claims import Claim
from pulsing.cluster.dissemination import MAX_DELTAS, Dissemination
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.message_codec import encode
from pulsing.cluster.messages import NO_NEWS, Gossip, NameChange, RegistryDelta

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus
PLENTY = 10_000


def alive(number: int, incarnation: int = 0, labels: int = 0) -> Claim:
    node_id = f"{number:032x}"
    more = {f"label{at}": "v" * 200 for at in range(labels)}
    info = NodeInfo(node_id, f"10.0.0.{number}:1", f"n{number}", more)
    return Claim(ALIVE, node_id, incarnation, info)


def suspect(number: int, accuser: int, incarnation: int = 0) -> Claim:
    return Claim(SUSPECT, f"{number:032x}", incarnation, accuser=f"{accuser:032x}")


def dead(number: int, incarnation: int = 0) -> Claim:
    return Claim(DEAD, f"{number:032x}", incarnation)


def delta(owner: int, version: int) -> RegistryDelta:
    return RegistryDelta(f"{owner:032x}", version - 1, version, (NameChange("a/b", version, "C"),))


def test_without_news_there_is_nothing_to_say() -> None:
    news = Dissemination()
    assert news.take(PLENTY, 8) is NO_NEWS
    assert not len(news)
    assert not news.is_fresh


def test_a_piece_is_passed_on_a_bounded_number_of_times() -> None:
    news = Dissemination()
    news.put_claim(dead(1))
    assert news.is_fresh
    for _ in range(4):
        assert news.take(PLENTY, 4).claims == (dead(1),)
    assert news.take(PLENTY, 4) is NO_NEWS
    assert not len(news)


def test_copies_of_a_message_count_each() -> None:
    news = Dissemination()
    news.put_claim(dead(1))
    assert news.take(PLENTY, 6, copies=3).claims
    assert news.take(PLENTY, 6, copies=3).claims
    assert not len(news)


def test_pieces_that_were_sent_least_go_first_when_not_all_fit() -> None:
    news = Dissemination()
    news.put_claim(dead(1))
    room = 35  # for one
    assert news.take(room, 8).claims == (dead(1),)
    news.put_claim(dead(2))
    assert news.take(room, 8).claims == (dead(2),)
    assert {news.take(room, 8).claims[0] for _ in range(2)} == {dead(1), dead(2)}


def test_a_newer_claim_replaces_an_older_one() -> None:
    news = Dissemination()
    news.put_claim(alive(1))
    news.put_claim(suspect(1, 7))
    assert news.take(PLENTY, 8).claims == (suspect(1, 7),)
    news.put_claim(alive(1, 1))
    assert news.take(PLENTY, 8).claims == (alive(1, 1),)


def test_accusers_of_one_suspicion_are_pieces_of_their_own_until_it_is_over() -> None:
    news = Dissemination()
    news.put_claim(suspect(1, 7))
    news.put_claim(suspect(1, 8))
    news.put_claim(suspect(1, 8))
    assert set(news.take(PLENTY, 8).claims) == {suspect(1, 7), suspect(1, 8)}
    news.put_claim(dead(1))
    assert news.take(PLENTY, 8).claims == (dead(1),)
    assert len(news) == 1


def test_what_was_said_about_a_member_can_be_dropped() -> None:
    news = Dissemination()
    news.put_claim(suspect(1, 7))
    news.put_claim(dead(2))
    news.drop_member(f"{1:032x}")
    assert news.take(PLENTY, 8).claims == (dead(2),)


def test_claims_go_before_changes_of_names() -> None:
    news = Dissemination()
    for version in range(1, 40):
        news.put_delta(delta(9, version))
    news.put_claim(dead(1))
    said = news.take(200, 8)
    assert said.claims == (dead(1),)
    assert 0 < len(said.deltas) < 39


def test_news_of_some_members_can_be_left_out() -> None:
    news = Dissemination()
    news.put_claim(dead(1))
    news.put_claim(suspect(2, 7))
    news.put_delta(delta(2, 1))
    news.put_delta(delta(3, 1))
    said = news.take(PLENTY, 8, skip={f"{1:032x}", f"{2:032x}"})
    assert said.claims == ()
    assert said.deltas == (delta(3, 1),)
    everything = news.take(PLENTY, 8)
    assert len(everything.claims) == 2
    assert news.take(PLENTY, 8, skip={f"{n:032x}" for n in (1, 2, 3)}) is NO_NEWS


def test_news_fit_the_bytes_they_are_given() -> None:
    news = Dissemination()
    for number in range(1, 200):
        news.put_claim(alive(number))
        news.put_delta(delta(number, 1))
    for room in (100, 500, 1200, 5000):
        assert len(encode(Gossip(news.take(room, 1000)))) <= room + 16


def test_a_piece_larger_than_any_room_travels_alone() -> None:
    news = Dissemination()
    news.put_claim(alive(1, labels=10))
    news.put_claim(dead(2))
    sizes = [len(news.take(200, 2).claims) for _ in range(4)]
    assert sum(sizes) == 4
    assert not len(news)


def test_changes_of_names_are_bounded() -> None:
    news = Dissemination()
    for version in range(1, MAX_DELTAS + 100):
        news.put_delta(delta(1, version))
    assert len(news) == MAX_DELTAS
