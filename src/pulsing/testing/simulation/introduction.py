"""Nodes that know each other from the start, so that a large world need not be joined first.

Joining costs as much as there are pairs of nodes, many times over. Here the first question of each
node, who is there, is answered at once and completely, as by a seed that has been there for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pulsing.cluster.claims import Claim
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.message_codec import decode, encode
from pulsing.cluster.messages import Join, Welcome

from .process import Call

LASTS_S: Final = 0.05


class Introduction:
    """Answers instead of the seeds, while all nodes start.

    Args:
        everybody: who starts.
        max_message_bytes: an answer may be as large.

    Raises:
        ValueError: they do not fit into one answer.
    """

    __slots__ = ("_asked", "_claims", "_max_message_bytes", "_welcomes")

    def __init__(self, everybody: Sequence[NodeInfo], max_message_bytes: int) -> None:
        self._claims = {
            each.addr: Claim(MemberStatus.ALIVE, each.node_id, 0, each) for each in everybody
        }
        self._max_message_bytes = max_message_bytes
        self._welcomes: dict[str, bytes] = {}
        self._asked: set[int] = set()

    def answer(self, call: Call) -> bytes | None:
        """What the node at an address says of everybody; None: the question is another one."""
        if not isinstance(decode(call.body), Join) or call.addr not in self._claims:
            return None
        if call.sender.serial in self._asked:  # once is enough
            return encode(Welcome((self._claims[call.addr],)))
        self._asked.add(call.sender.serial)
        return self._welcome(call.addr)

    def _welcome(self, addr: str) -> bytes:
        known = self._welcomes.get(addr)
        if known is None:
            others = [claim for each, claim in self._claims.items() if each != addr]
            known = encode(Welcome((self._claims[addr], *others)))
            if len(known) > self._max_message_bytes:
                raise ValueError(
                    f"{len(self._claims)} nodes do not fit into one answer; let them join"
                )
            self._welcomes[addr] = known
        return known
