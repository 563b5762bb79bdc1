"""Whom to let into the cluster: the answer to a `Join`."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final, NamedTuple, Protocol

from .claims import Claim
from .members import Member, MemberStatus, NodeInfo
from .messages import Join, RejectCode, Rejected, Welcome
from .settings import SwimSettings

_CLAIM_BYTES: Final = 64
"""A claim without its texts: node id, incarnation, flags and heads, rounded up."""
_MESSAGE_RESERVE: Final = 256


class Believed(Protocol):
    """What joining needs of the member table."""

    @property
    def members(self) -> dict[str, Member]:
        """Everybody known, by node id."""
        ...

    @property
    def present_count(self) -> int:
        """How many of them are present, this node included."""
        ...

    def present_at(self, addr: str) -> Member | None:
        """The present member at an address."""
        ...

    def claim_about(self, node_id: str) -> Claim:
        """What is believed of a known member, as a claim."""
        ...


class JoinReply(NamedTuple):
    """The answer to another node's Join.

    Attributes:
        answer: to send.
        claims: to learn, and to spread.
        supplanted: members that were at the joining node's address: that process is gone.
    """

    answer: Welcome | Rejected
    claims: tuple[Claim, ...] = ()
    supplanted: tuple[str, ...] = ()


def admit(
    peer_id: str, join: Join, own: NodeInfo, table: Believed, settings: SwimSettings, rng: Random
) -> JoinReply:
    """Let a node in, or say why not.

    Args:
        peer_id: of the node that asks, as its connection was introduced.
        join: what it says about itself.
        own: this node.
        table: what is believed of members.
        settings: bounds.
        rng: which members are named when not all fit into the answer.
    """
    verdict = judge(peer_id, join.claim, own, table.members, settings.max_members)
    if isinstance(verdict, Rejected):
        return JoinReply(verdict)
    return JoinReply(_welcome(peer_id, own, table, settings, rng), (join.claim,), verdict)


def judge(
    peer_id: str,
    claim: Claim,
    own: NodeInfo,
    members: Mapping[str, Member],
    max_members: int,
) -> Rejected | tuple[str, ...]:
    """Whether a node may come in: why not, or the members whose address it has now.

    Args:
        peer_id: of the node that asks, as its connection was introduced.
        claim: what it says about itself.
        own: this node.
        members: everybody known.
        max_members: the bound on them.
    """
    info = claim.info
    if claim.status is not MemberStatus.ALIVE or info is None or info.node_id != peer_id:
        reason = f"node {peer_id} speaks for {claim.node_id}, or does not say who it is"
        return Rejected(RejectCode.INVALID, reason)
    if peer_id == own.node_id:
        reason = f"node {own.node_id} at {own.addr} is the asking node itself"
        return Rejected(RejectCode.SELF, reason)
    if info.addr == own.addr:
        reason = f"the joining node says it is at {own.addr}, where node {own.node_id} is"
        return Rejected(RejectCode.INVALID, reason)
    if peer_id not in members and len(members) >= max_members:
        reason = f"{own.addr} knows max_members = {max_members} members already"
        return Rejected(RejectCode.FULL, reason)
    taken, supplanted = _conflicts(info, members)
    if taken is not None:
        reason = (
            f"the name {info.name!r} belongs to {taken.node_id} at {taken.info.addr}; give one "
            "of the two nodes another name"
        )
        return Rejected(RejectCode.NAME_TAKEN, reason)
    return supplanted


def _conflicts(
    info: NodeInfo, members: Mapping[str, Member]
) -> tuple[Member | None, tuple[str, ...]]:
    """Who has the name of a joining node, and who was at its address before.

    A member at the same address was a former process there: it does not keep its name from this
    one.
    """
    taken: Member | None = None
    supplanted: list[str] = []
    for member in members.values():
        if not member.is_present or member.info.node_id == info.node_id:
            continue
        if member.info.addr == info.addr:
            supplanted.append(member.node_id)
        elif member.info.name == info.name:
            taken = member
    return taken, tuple(supplanted)


def _welcome(
    peer_id: str, own: NodeInfo, table: Believed, settings: SwimSettings, rng: Random
) -> Welcome:
    """This node, what is believed of the joining one, and as many others as fit."""
    members = table.members
    others = [
        each.node_id
        for each in members.values()
        if each.is_present and each.node_id not in (own.node_id, peer_id)
    ]
    rng.shuffle(others)  # so that each answer has another part of a large cluster
    first = [own.node_id, peer_id] if peer_id in members else [own.node_id]
    left = settings.max_message_bytes - _MESSAGE_RESERVE
    claims: list[Claim] = []
    for node_id in (*first, *others):
        claim = table.claim_about(node_id)
        left -= size_of_claim(claim)
        if left < 0:
            break
        claims.append(claim)
    return Welcome(tuple(claims))


def size_of_claim(claim: Claim) -> int:
    """At most as many bytes does a claim take."""
    info = claim.info
    if info is None:
        return _CLAIM_BYTES
    texts = [info.addr, info.name, *info.labels.keys(), *info.labels.values()]
    return _CLAIM_BYTES + sum(len(each.encode()) + 3 for each in texts)
