"""The network between the nodes of a test cluster: a relay in front of each, which knows who dials.

Every node advertises the address of its relay. Who dials is read from the introduction in the first
octets of its connection, so it works between nodes without TLS; with TLS all that can be done to
them is what concerns one node as a whole.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Collection
from typing import Any

from pulsing.transport.frames import FRAME_HEADER_BYTES, PREFACE
from pulsing.transport.preface import Verdict, classify, read_introduction

from .faults import NO_FAULTS, Direction, Faults
from .relay import Relay

_CUT = Faults(cut=True)
_STRANGER = -1


class Fabric:
    """Relays in front of nodes, by number, and what happens between them.

    Args:
        seed: of the dice for loss and jitter.
    """

    def __init__(self, *, seed: int) -> None:
        self.seed = seed
        self.relays: list[Relay] = []
        self._number_of: dict[str, int] = {}
        self._faults: dict[tuple[int, int], Faults] = {}
        self._cuts: set[tuple[int, int]] = set()
        self._frozen: set[int] = set()
        self._dead: set[str] = set()

    async def add(self) -> int:
        """Put up the relay of one more node; its number. Connections to it wait for `attach`."""
        number = len(self.relays)

        def faults_of(client: str, direction: Direction) -> Faults:
            dialler = self._number_of.get(client, _STRANGER)
            if direction is Direction.TO_TARGET:
                return self._between(dialler, number)
            return self._between(number, dialler)

        relay = Relay(
            faults_of,
            identify=_node_id,
            admits=lambda client: client not in self._dead,
            seed=self.seed * 1000 + number,
        )
        self.relays.append(relay)
        await relay.start()
        return number

    def attach(self, number: int, node_id: str, addr: str) -> None:
        """The node of that number is there: it has this id, and listens here."""
        self._number_of[node_id] = number
        self.relays[number].target = addr

    def detach(self, number: int, node_id: str) -> None:
        """The process is gone: its connections are reset, and who dials it is refused."""
        self._dead.add(node_id)
        own = self.relays[number]
        own.refuse()
        own.reset()
        own.forget_target()
        for relay in self.relays:
            relay.reset(node_id)

    async def reopen(self, number: int) -> None:
        """Let connections wait for the next process at that address."""
        if not self.relays[number].is_listening:
            await self.relays[number].start()

    async def close(self) -> None:
        """Take all relays down."""
        for relay in self.relays:
            await relay.close()

    # --- what happens between nodes

    def partition(self, groups: Collection[Collection[int]]) -> None:
        """Cut between groups; who is in none is alone."""
        group_of = {node: number for number, group in enumerate(groups) for node in group}
        nodes = range(len(self.relays))
        self._cuts = {
            (one, other)
            for one in nodes
            for other in nodes
            if one != other and group_of.get(one, -1 - one) != group_of.get(other, -1 - other)
        }
        self._changed()

    def cut(self, senders: Collection[int], receivers: Collection[int]) -> None:
        """What senders say does not arrive at receivers; the other way it does."""
        self._cuts |= {(one, other) for one in senders for other in receivers if one != other}
        self._changed()

    def heal(self) -> None:
        """No more cuts and faults. Frozen nodes stay frozen."""
        self._cuts.clear()
        self._faults.clear()
        self._changed()

    def set(self, one: int, other: int, **faults: Any) -> None:
        """Change faults between two nodes, both ways."""
        for pair in ((one, other), (other, one)):
            before = self._faults.get(pair, NO_FAULTS)
            self._faults[pair] = dataclasses.replace(before, **faults)
        self._changed()

    def lose(self, one: int, other: int, share: float) -> None:
        """Lose a share of the packets between two nodes, both ways; 1 cuts them off."""
        if share >= 1:
            self._cuts |= {(one, other), (other, one)}
            self._changed()
        else:
            self._cuts -= {(one, other), (other, one)}
            self.set(one, other, lost=share)

    def freeze(self, number: int, *, frozen: bool = True) -> None:
        """Hold everything from and to a node."""
        (self._frozen.add if frozen else self._frozen.discard)(number)
        self._changed()

    @property
    def passed_bytes(self) -> int:
        """Octets that arrived, at whomever."""
        return sum(sum(relay.passed.values()) for relay in self.relays)

    def _between(self, one: int, other: int) -> Faults:
        if (one, other) in self._cuts or one in self._frozen or other in self._frozen:
            return _CUT
        return self._faults.get((one, other), NO_FAULTS)

    def _changed(self) -> None:
        for relay in self.relays:
            relay.changed()


def _node_id(head: bytes) -> str | None:
    """Who opened a connection that began with these octets: see `relay.Identify`."""
    verdict = classify(head)
    if verdict is Verdict.NEED_MORE:
        return None
    if verdict is not Verdict.PEER:
        return ""
    start = len(PREFACE) + FRAME_HEADER_BYTES
    length = int.from_bytes(head[len(PREFACE) : len(PREFACE) + 3], "big")
    settings = dict(struct.iter_unpack(">HI", head[start : start + length]))  # RFC 9113 6.5.1
    return read_introduction(settings).node_id
