"""Which claim prevails: a row for every cell."""

from __future__ import annotations

import itertools
import random

import pytest

from pulsing.cluster.claims import (
    OWN_PRECEDENCE,
    PRECEDENCE,
    UNKNOWN_PRECEDENCE,
    Claim,
    Order,
    Verdict,
    order_of,
)
from pulsing.cluster.member_table import MemberTable
from pulsing.cluster.members import MemberStatus, NodeInfo

ALIVE, SUSPECT, DEAD, LEFT = MemberStatus
ME = NodeInfo("00" * 16, "10.0.0.1:1", "me")
OTHER = NodeInfo("11" * 16, "10.0.0.2:1", "other")
BELIEVED = 5  # the incarnation of every belief below
CLAIMED = {Order.OLDER: 4, Order.SAME: 5, Order.NEWER: 6}

# believed, claimed, order, verdict. Source: SWIM 4.2, Lifeguard 4.B.
OTHERS = """
    ALIVE   ALIVE   older ignore
    ALIVE   ALIVE   same  ignore
    ALIVE   ALIVE   newer apply
    ALIVE   SUSPECT older stale
    ALIVE   SUSPECT same  apply
    ALIVE   SUSPECT newer apply
    ALIVE   DEAD    older stale
    ALIVE   DEAD    same  apply
    ALIVE   DEAD    newer apply
    ALIVE   LEFT    older ignore
    ALIVE   LEFT    same  apply
    ALIVE   LEFT    newer apply
    SUSPECT ALIVE   older ignore
    SUSPECT ALIVE   same  ignore
    SUSPECT ALIVE   newer apply
    SUSPECT SUSPECT older ignore
    SUSPECT SUSPECT same  confirm
    SUSPECT SUSPECT newer apply
    SUSPECT DEAD    older stale
    SUSPECT DEAD    same  apply
    SUSPECT DEAD    newer apply
    SUSPECT LEFT    older ignore
    SUSPECT LEFT    same  apply
    SUSPECT LEFT    newer apply
    DEAD    ALIVE   older stale
    DEAD    ALIVE   same  stale
    DEAD    ALIVE   newer apply
    DEAD    SUSPECT older stale
    DEAD    SUSPECT same  ignore
    DEAD    SUSPECT newer apply
    DEAD    DEAD    older ignore
    DEAD    DEAD    same  ignore
    DEAD    DEAD    newer apply
    DEAD    LEFT    older ignore
    DEAD    LEFT    same  apply
    DEAD    LEFT    newer apply
    LEFT    ALIVE   older stale
    LEFT    ALIVE   same  stale
    LEFT    ALIVE   newer apply
    LEFT    SUSPECT older stale
    LEFT    SUSPECT same  stale
    LEFT    SUSPECT newer apply
    LEFT    DEAD    older ignore
    LEFT    DEAD    same  ignore
    LEFT    DEAD    newer apply
    LEFT    LEFT    older ignore
    LEFT    LEFT    same  ignore
    LEFT    LEFT    newer apply
"""
OWN = """
    ALIVE   ALIVE   older ignore
    ALIVE   ALIVE   same  ignore
    ALIVE   ALIVE   newer refute
    ALIVE   SUSPECT older stale
    ALIVE   SUSPECT same  refute
    ALIVE   SUSPECT newer refute
    ALIVE   DEAD    older stale
    ALIVE   DEAD    same  refute
    ALIVE   DEAD    newer refute
    ALIVE   LEFT    older stale
    ALIVE   LEFT    same  refute
    ALIVE   LEFT    newer refute
    LEFT    ALIVE   older stale
    LEFT    ALIVE   same  stale
    LEFT    ALIVE   newer ignore
    LEFT    SUSPECT older stale
    LEFT    SUSPECT same  stale
    LEFT    SUSPECT newer ignore
    LEFT    DEAD    older ignore
    LEFT    DEAD    same  ignore
    LEFT    DEAD    newer ignore
    LEFT    LEFT    older ignore
    LEFT    LEFT    same  ignore
    LEFT    LEFT    newer ignore
"""


def rows(text: str) -> list[tuple[MemberStatus, MemberStatus, Order, Verdict]]:
    return [
        (MemberStatus[a], MemberStatus[b], Order(order), Verdict(verdict))
        for a, b, order, verdict in (line.split() for line in text.strip().splitlines())
    ]


def claim(status: MemberStatus, info: NodeInfo, incarnation: int) -> Claim:
    about = info if status is ALIVE else None
    return Claim(status, info.node_id, incarnation, about)


def table_believing(status: MemberStatus) -> MemberTable:
    table = MemberTable(ME, max_members=10)
    table.apply(claim(ALIVE, OTHER, BELIEVED), 0.0)
    table.apply(claim(status, OTHER, BELIEVED), 0.0)
    assert table.members[OTHER.node_id].status is status
    return table


@pytest.mark.parametrize(("believed", "claimed", "order", "verdict"), rows(OTHERS))
def test_a_claim_about_another_member(
    believed: MemberStatus, claimed: MemberStatus, order: Order, verdict: Verdict
) -> None:
    table = table_believing(believed)
    before = table.members[OTHER.node_id]
    said = claim(claimed, OTHER, CLAIMED[order])
    assert table.decide(said) is verdict
    change = table.apply(said, 1.0)
    after = table.members[OTHER.node_id]
    if verdict is Verdict.APPLY:
        assert change is not None
        assert (after.status, after.incarnation) == (claimed, CLAIMED[order])
        assert change.member is after
        assert change.before is before
    else:
        assert change is None
        assert after is before


@pytest.mark.parametrize(("believed", "claimed", "order", "verdict"), rows(OWN))
def test_a_claim_about_this_node(
    believed: MemberStatus, claimed: MemberStatus, order: Order, verdict: Verdict
) -> None:
    table = MemberTable(ME, max_members=10)
    table.raise_incarnation(BELIEVED - 1)
    if believed is LEFT:
        table.leave(0.0)
    own = table.self_member
    said = claim(claimed, ME, CLAIMED[order])
    assert table.decide(said) is verdict
    assert table.apply(said, 1.0) is None
    assert table.self_member is own


@pytest.mark.parametrize("claimed", MemberStatus)
def test_of_an_unknown_member_only_its_own_word_counts(claimed: MemberStatus) -> None:
    table = MemberTable(ME, max_members=10)
    said = claim(claimed, OTHER, 7)
    assert UNKNOWN_PRECEDENCE[claimed] is table.decide(said)
    assert (table.apply(said, 0.0) is not None) == (claimed is ALIVE)


def test_every_cell_has_its_row() -> None:
    cells = {(a, b, order) for a, b, order, _ in rows(OTHERS)}
    assert cells == set(PRECEDENCE) == set(itertools.product(MemberStatus, MemberStatus, Order))
    own = {(a, b, order) for a, b, order, _ in rows(OWN)}
    assert own == set(OWN_PRECEDENCE)


def test_incarnations_compare() -> None:
    assert order_of(1, 2) is Order.OLDER
    assert order_of(2, 2) is Order.SAME
    assert order_of(3, 2) is Order.NEWER


def test_members_that_hear_the_same_claims_in_any_order_believe_the_same() -> None:
    dice = random.Random(5)
    for _ in range(300):
        claims = [
            claim(dice.choice(list(MemberStatus)), OTHER, dice.randrange(4)) for _ in range(6)
        ]
        beliefs: set[tuple[MemberStatus, int]] = set()
        for _ in range(5):
            dice.shuffle(claims)
            table = MemberTable(ME, max_members=10)
            table.apply(claim(ALIVE, OTHER, 0), 0.0)
            for each in claims:
                table.apply(each, 0.0)
            member = table.members[OTHER.node_id]
            beliefs.add((member.status, member.incarnation))
        assert len(beliefs) == 1, claims
