"""Suspicions: how long each may last, by how many accusers there are.

Alone, an accuser waits long: it may be the one with a problem. Each independent accuser shortens
the wait, the first most, down to a minimum with ``confirmations`` of them:

    max - (max - min) * log(accusers + 1) / log(confirmations + 1)

Source: Lifeguard (Dadgar, Phillips, Currey 2018) 4.B, "Local Health Aware Suspicion".
"""

from __future__ import annotations

import heapq
import math
from typing import Final

from .settings import SwimSettings

_PATIENCE: Final = 4.0
"""Who hears nobody waits up to as many times longer."""


class Suspicion:
    """Doubt about one incarnation of one member.

    Attributes:
        incarnation: of the member.
        started: when.
        accusers: who did not hear from it, the first included.
        expires: when the member is dead, unless it refutes.
        released: when everybody is told; until then only those that verify it.
        is_public: everybody was told.
        next_call: when to ask again before it expires.
        is_called: that was begun.
    """

    __slots__ = (
        "_last_chance_s",
        "_longest_s",
        "_needed",
        "_shortest_s",
        "accusers",
        "expires",
        "incarnation",
        "is_called",
        "is_public",
        "next_call",
        "released",
        "started",
    )

    def __init__(
        self, incarnation: int, accuser: str, now: float, settings: SwimSettings, present: int
    ) -> None:
        self.incarnation = incarnation
        self.started = now
        self.accusers = {accuser}
        self.is_public = self.is_called = False
        self._last_chance_s = settings.probe_timeout_s
        self.released = self.next_call = math.inf
        scale = max(1.0, math.log10(max(1, present)))
        self._shortest_s = settings.suspicion_min_mult * scale * settings.probe_interval_s
        self._longest_s = self._shortest_s * settings.suspicion_max_mult
        # Of two members nobody else can accuse: then the first accuser is all there can be.
        self._needed = min(settings.confirmations, present - 2) if settings.lifeguard else 0
        self.expires = now + self.wait_s

    @property
    def wait_s(self) -> float:
        """How long it may last with the accusers there are."""
        if self._needed < 1:
            return self._shortest_s
        confirmed = min(len(self.accusers) - 1, self._needed)
        share = math.log(confirmed + 1) / math.log(self._needed + 1)
        return self._longest_s - (self._longest_s - self._shortest_s) * share

    def confirm(self, accuser: str, now: float) -> bool:
        """Count an accuser; False if it changes nothing: it is known, or there are enough.

        The member keeps a probe timeout to refute, however long ago it all began.
        """
        if accuser in self.accusers or len(self.accusers) > self._needed:
            return False
        self.accusers.add(accuser)
        earliest = min(self.expires, now + self._last_chance_s)
        self.expires = max(self.started + self.wait_s, earliest)
        return True

    def prolong(self, now: float) -> bool:
        """Wait on: nothing is heard of anybody. False: it has waited long enough for that, too."""
        latest = self.started + _PATIENCE * self._longest_s
        if now >= latest:
            return False
        self.expires = min(now + self._shortest_s, latest)
        return True

    def grant(self, now: float) -> None:
        """Let it last the shortest time from now at least: others are heard again."""
        self.expires = max(self.expires, now + self._shortest_s)

    def publish(self) -> None:
        """Everybody is told now."""
        self.is_public = True
        self.released = math.inf

    @property
    def due(self) -> float:
        """When something is to be done about it next."""
        return min(self.expires, self.released, self.next_call)


class Suspicions:
    """All suspicions of this node, by node id, and which is due next."""

    def __init__(self) -> None:
        self._of: dict[str, Suspicion] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._of)

    def get(self, node_id: str) -> Suspicion | None:
        """The suspicion about a member."""
        return self._of.get(node_id)

    def put(self, node_id: str, suspicion: Suspicion) -> None:
        """Keep a suspicion, or note that what is due about it changed."""
        self._of[node_id] = suspicion
        heapq.heappush(self._heap, (suspicion.due, node_id))

    def drop(self, node_id: str) -> None:
        """It is refuted, or came true."""
        self._of.pop(node_id, None)

    def next_due(self) -> float | None:
        """When the first is due; None: there are none."""
        heap = self._heap
        while heap:
            due, node_id = heap[0]
            suspicion = self._of.get(node_id)
            if suspicion is not None and suspicion.due == due:
                return due
            heapq.heappop(heap)
        return None

    def take_due(self, now: float) -> list[tuple[str, Suspicion]]:
        """Those that are due; each is put again, or dropped, by who takes it."""
        taken: list[tuple[str, Suspicion]] = []
        while (due := self.next_due()) is not None and due <= now:
            _, node_id = heapq.heappop(self._heap)
            taken.append((node_id, self._of[node_id]))
        return taken

    def grant(self, now: float) -> None:
        """Others are heard again: whoever is suspected can refute now."""
        for node_id, suspicion in list(self._of.items()):
            suspicion.grant(now)
            self.put(node_id, suspicion)

    def shift(self, by_s: float) -> None:
        """This node stood still for as long: nobody could refute anything meanwhile."""
        for suspicion in self._of.values():
            suspicion.started += by_s
            suspicion.expires += by_s
            suspicion.released += by_s
            suspicion.next_call += by_s
        self._heap = [(each.due, node_id) for node_id, each in self._of.items()]
        heapq.heapify(self._heap)
