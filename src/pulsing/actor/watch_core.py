"""The watches of one node on actors of another: decides what to say to it, and when it is down.

There is one session between the two, a stream on which the other node tells who has ended. Orders
(watch, drop, link, unlink) go beside it, one batch at a time. A session that is lost is opened anew
and everything is ordered again, so that a lost connection costs nothing; what ended meanwhile is in
the answer.

Stimuli: what is wanted, what became of the session, what it told, and what the cluster says.
Effects: open and close the session, send orders, tell who has ended, and what is in place.

Invariants: of each actor that is watched one end is told, then it is forgotten; nobody is told
down for a lost connection alone, only for a proof (nobody listens, another process answers, the
cluster says so, it said goodbye) or, where no cluster looks after the node, for `give_up_s` without
a session. At most one batch of orders is under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Final, TypeVar

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.watch_terms import (
    CloseSession,
    DeadlineReached,
    Effect,
    End,
    EndsHeard,
    LinkDropped,
    LinkWanted,
    Loss,
    NodeDied,
    OpenSession,
    Orders,
    OrdersDone,
    SendOrders,
    SessionEnded,
    SessionOpened,
    Stimulus,
    TellEnds,
    TellPlaced,
    WatchDropped,
    WatchWanted,
)

_Key = TypeVar("_Key")

MAX_ORDERS: Final = 1000
"""In one batch."""
FIRST_PAUSE_S: Final = 0.005
"""Short: a process that is being killed may still accept a connection, and drop it."""
LONGEST_PAUSE_S: Final = 2.0
LINGER_S: Final = 30.0
"""For as long a session is kept that nobody needs."""
_PROOFS: Final = frozenset({Loss.REFUSED, Loss.FOREIGN, Loss.CLOSED})


class Phase(Enum):
    """Whether there is a session."""

    IDLE = "idle"
    """None is needed."""
    OPENING = "opening"
    OPEN = "open"
    PAUSED = "paused"
    """None could be opened; it is tried again later."""


class WatchCore:
    """The watches on the actors of one node.

    Args:
        give_up_s: where no cluster looks after the node: without a session for as long, it is
            taken for dead.

    Attributes:
        phase: whether there is a session.
    """

    def __init__(self, *, give_up_s: float) -> None:
        self.phase = Phase.IDLE
        self._give_up_s = give_up_s
        self._session = 0
        self._watches: dict[int, bool] = {}
        """By number: whether the node has ever confirmed the watch."""
        self._links: dict[tuple[int, int], None] = {}
        self._changed: dict[int, None] = {}
        self._changed_links: dict[tuple[int, int], None] = {}
        self._under_way: Orders | None = None
        self._failures = 0
        self._failing_since: float | None = None
        self._deadline: float | None = None

    def next_deadline(self) -> float | None:
        """When to hand over `DeadlineReached`; None: not before something else happens."""
        return self._deadline

    def is_placed(self, local: int) -> bool:
        """Whether the node has confirmed the watch on an actor."""
        return self._watches.get(local, False)

    def handle(self, stimulus: Stimulus, *, now: float) -> list[Effect]:
        """Take what happened, and say what to do."""
        match stimulus:
            case WatchWanted(local):
                return self._want(local)
            case WatchDropped(local):
                return self._drop(local, now)
            case LinkWanted(local, ours):
                self._links[local, ours] = None
                self._changed_links[local, ours] = None
                return self._send()
            case LinkDropped(local, ours):
                self._links.pop((local, ours), None)
                self._changed_links[local, ours] = None
                return self._send()
            case SessionOpened(number):
                return self._opened(number, now)
            case SessionEnded(loss, guarded):
                return self._ended(loss, guarded, now)
            case OrdersDone(missing):
                return self._done(missing, now)
            case EndsHeard(ends):
                return self._tell(ends, now)
            case NodeDied():
                return self._node_died()
            case DeadlineReached():
                return self._deadline_reached(now)

    # --- what is wanted

    def _want(self, local: int) -> list[Effect]:
        if local in self._watches:
            return []
        self._watches[local] = False
        self._changed[local] = None
        if self.phase is Phase.IDLE:
            return self._open()
        if self.phase is Phase.OPEN:
            self._deadline = None
        return self._send()

    def _drop(self, local: int, now: float) -> list[Effect]:
        if self._watches.pop(local, None) is None:
            return []
        if self.phase is Phase.OPEN:
            self._changed[local] = None
            self._linger(now)
            return self._send()
        self._changed.pop(local, None)
        if self.phase is Phase.PAUSED and not self._watches:
            self._forget()
        return []

    def _linger(self, now: float) -> None:
        if self.phase is Phase.OPEN and not self._watches:
            self._deadline = now + LINGER_S

    # --- the session

    def _open(self) -> list[Effect]:
        self.phase = Phase.OPENING
        self._deadline = None
        return [OpenSession()]

    def _opened(self, number: int, now: float) -> list[Effect]:
        self.phase = Phase.OPEN
        self._session = number
        self._under_way = None
        self._changed = dict.fromkeys(self._watches)
        self._changed_links = dict.fromkeys(self._links)
        self._deadline = None
        self._linger(now)
        return self._send()

    def _ended(self, loss: Loss, guarded: bool, now: float) -> list[Effect]:
        self._under_way = None
        if not self._watches:
            self._forget()
            return []
        if loss in _PROOFS:
            return self._down()
        if self._failing_since is None:
            self._failing_since = now
        elif not guarded and now - self._failing_since >= self._give_up_s:
            return self._down()
        self._failures += 1
        if self._failures == 1 and loss is Loss.LOST:
            return self._open()
        self.phase = Phase.PAUSED
        pause_s: float = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 16), LONGEST_PAUSE_S)
        self._deadline = now + pause_s
        return []

    def _node_died(self) -> list[Effect]:
        open_now = self.phase in (Phase.OPENING, Phase.OPEN)
        told = self._down()
        return [CloseSession(), *told] if open_now else told

    def _down(self) -> list[Effect]:
        ends = tuple(End(local, ExitReason.NODE_DOWN) for local in self._watches)
        self._forget()
        return [TellEnds(ends)] if ends else []

    def _forget(self) -> None:
        self.phase = Phase.IDLE
        self._watches.clear()
        self._links.clear()
        self._changed.clear()
        self._changed_links.clear()
        self._under_way = None
        self._failures = 0
        self._failing_since = self._deadline = None

    def _deadline_reached(self, now: float) -> list[Effect]:
        if self._deadline is None or now < self._deadline:
            return []
        self._deadline = None
        if self.phase is Phase.PAUSED:
            return self._open()
        if self.phase is Phase.OPEN and not self._watches:
            self._forget()
            return [CloseSession()]
        return []

    # --- orders

    def _send(self) -> list[Effect]:
        if self.phase is not Phase.OPEN or self._under_way is not None:
            return []
        if not self._changed and not self._changed_links:
            return []
        watch: list[int] = []
        again: list[int] = []
        drop: list[int] = []
        for local in _taken(self._changed):
            placed = self._watches.get(local)
            (drop if placed is None else again if placed else watch).append(local)
        link: list[tuple[int, int]] = []
        unlink: list[tuple[int, int]] = []
        for pair in _taken(self._changed_links):
            (link if pair in self._links else unlink).append(pair)
        self._under_way = Orders(
            tuple(watch), tuple(again), tuple(drop), tuple(link), tuple(unlink)
        )
        return [SendOrders(self._session, self._under_way)]

    def _done(self, missing: tuple[End, ...], now: float) -> list[Effect]:
        orders, self._under_way = self._under_way, None
        if orders is None:
            return []
        self._failures = 0
        self._failing_since = None
        gone = {each.local for each in missing}
        placed: list[int] = []
        for local in orders.watch:
            if local in self._watches and local not in gone:
                self._watches[local] = True
                placed.append(local)
        effects: list[Effect] = [TellPlaced(tuple(placed))] if placed else []
        return [*effects, *self._tell(missing, now), *self._send()]

    def _tell(self, ends: Iterable[End], now: float) -> list[Effect]:
        told = tuple(each for each in ends if self._watches.pop(each.local, None) is not None)
        if not told:
            return []
        for each in told:
            self._changed.pop(each.local, None)
        if self._links:
            gone = {each.local for each in told}
            self._links = {pair: None for pair in self._links if pair[0] not in gone}
        self._linger(now)
        return [TellEnds(told)]


def _taken(changed: dict[_Key, None]) -> list[_Key]:
    """Take as many as a batch may have out of what has changed, the oldest first."""
    taken = list(islice(changed, MAX_ORDERS))
    for key in taken:
        del changed[key]
    return taken
