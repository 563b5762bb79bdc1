"""Members taken in turn: each once per round, and every round in another order.

Source: SWIM 4.3: probing in turn finds every failure within a round, and on average as soon as
probing at random. News that are passed on in turn miss nobody whose turn comes in time.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from .member_table import MemberTable
from .members import MemberStatus


class Rotation:
    """The order in which present members have their turn.

    Newcomers come at a random time of the present round or the next. A member that is gone is
    skipped when its turn comes, so that removing one costs nothing.

    Args:
        table: who is present.
        rng: for the order.
        most: those that are less present are passed over: ``MemberStatus.ALIVE`` leaves suspects
            out of the turns, not out of the order.
    """

    __slots__ = ("_known", "_most", "_next", "_order", "_rng", "_table")

    def __init__(
        self, table: MemberTable, rng: Random, most: MemberStatus = MemberStatus.SUSPECT
    ) -> None:
        self._table = table
        self._rng = rng
        self._most = most
        self._order: list[str] = []
        self._known: set[str] = set()
        self._next = 0

    def add(self, node_id: str) -> None:
        """Give a member its turns from now on."""
        if node_id in self._known:
            return
        self._known.add(node_id)
        order = self._order
        place = self._rng.randint(self._next, len(order))
        order.append(node_id)
        order[place], order[-1] = order[-1], order[place]

    def next(self, but: Collection[str] = ()) -> str | None:
        """Whose turn it is; None: nobody is there, or only those of ``but``."""
        order = self._order
        members = self._table.members
        for _ in range(2 * len(order)):
            if self._next >= len(order):
                self._next = 0
                self._rng.shuffle(order)
                if not order:
                    return None
            node_id = order[self._next]
            member = members.get(node_id)
            if member is None or not member.is_present:
                self._known.discard(node_id)
                order[self._next] = order[-1]
                order.pop()
                continue
            self._next += 1
            if member.status <= self._most and node_id not in but:
                return node_id
        return None

    def take(self, count: int) -> list[str]:
        """As many different members, in their turn; fewer when there are fewer."""
        taken: list[str] = []
        while len(taken) < count and (node_id := self.next(taken)) is not None:
            taken.append(node_id)
        return taken
