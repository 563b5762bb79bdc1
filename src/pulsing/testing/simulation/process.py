"""Simulated processes, and the requests between them."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Any

from pulsing.cluster.wire import ClusterCore

UNKNOWN = 255
"""In `Process.believed`: never heard of."""

Held = tuple[Callable[[Any], None], Any]
"""An event that waits for its process: what to call, with what."""


class Ended(Enum):
    """How a process came to its end."""

    KILLED = "killed"
    """Its operating system says so: links are reset, connections refused."""
    SILENCED = "silenced"
    """With its machine: nobody says anything."""
    LEFT = "left"
    """After a goodbye."""


class Process:
    """One life of a node.

    Attributes:
        serial: number in the order of starts, over the whole simulation.
        slot: its place: the number of its address.
        core: decides for it.
        node_id: of its core.
        addr: of its slot.
        offset: its clock minus the world's.
        clock: what it last saw on its clock.
        deadline: the next one of its core, in its own clock, after its last step.
        timer: when its timer fires, in the world's clock; `math.inf`: not set.
        ended: how it ended; None while it runs.
        is_frozen: nothing of it runs; its operating system still accepts connections.
        is_clogged: messages wait on their way in and out; its timers run.
        is_leaving: it was asked to say goodbye.
        is_unwell: marked as slow for the whole run: believing it dead is no mistake.
        well_at: since when nothing was wrong with it or its network; `math.inf` while it is.
        waiting: events that wait for it, in their order.
        late_timers: its own timeouts that came due while it was frozen.
        outgoing: messages that wait to leave it.
        links: by slot: the serial of the process there that it has a connection with.
        calls: its requests without an answer yet, by their number.
        inbound: requests to it without an answer yet, by the number they were given here.
        guarding: the guard speaks for it while its loop stands still.
        incarnation: its own, after its last step.
        issued: the highest incarnation that it, or its guard, has claimed.
        storms: how often in a row its next deadline had passed when it handled the last.
        believed: by serial: the status it believes that process to have, or `UNKNOWN`.
        believed_incarnation: by serial: and the incarnation.
        alive_at: how many running others believe that it is alive.
        present_at: how many running others believe that it is alive or suspect.
        names: what is registered on it: the number and the class of each name.
        found: what it finds by each name: node ids and numbers of actors; of small worlds only.
        disappeared: by node id: actors that it did not find any more, while their node was there.
        next_local: the number of the next actor on it.
    """

    __slots__ = (
        "addr",
        "alive_at",
        "believed",
        "believed_incarnation",
        "bytes_sent",
        "calls",
        "clock",
        "core",
        "deadline",
        "disappeared",
        "ended",
        "found",
        "guarding",
        "inbound",
        "incarnation",
        "is_clogged",
        "is_frozen",
        "is_leaving",
        "is_unwell",
        "issued",
        "late_timers",
        "links",
        "messages_sent",
        "names",
        "next_local",
        "node_id",
        "offset",
        "outgoing",
        "present_at",
        "serial",
        "slot",
        "started_at",
        "storms",
        "timer",
        "waiting",
        "well_at",
    )

    def __init__(
        self, serial: int, slot: int, core: ClusterCore, *, offset: float, now: float
    ) -> None:
        self.serial = serial
        self.slot = slot
        self.core = core
        self.node_id = core.info.node_id
        self.addr = core.info.addr
        self.offset = offset
        self.clock = now + offset
        self.started_at = now
        self.deadline: float | None = None
        self.timer = inf
        self.ended: Ended | None = None
        self.is_frozen = False
        self.is_clogged = False
        self.is_leaving = False
        self.is_unwell = False
        self.well_at = now
        self.waiting: list[Held] = []
        self.late_timers: list[Held] = []
        self.outgoing: list[Held] = []
        self.links: dict[int, int] = {}
        self.calls: dict[int, Call] = {}
        self.inbound: dict[int, Call] = {}
        self.guarding = False
        self.incarnation = 0
        self.issued = 0
        self.storms = 0
        self.believed = bytearray()
        self.believed_incarnation = array("q")
        self.alive_at = 0
        self.present_at = 0
        self.names: dict[str, tuple[int, str]] = {}
        self.found: dict[str, frozenset[tuple[str, int]]] = {}
        self.disappeared: dict[str, set[int]] = {}
        self.next_local = 1
        self.messages_sent = 0
        self.bytes_sent = 0

    def __str__(self) -> str:
        return f"node {self.slot} (process {self.serial}, {self.node_id[:8]})"

    def belief(self, serial: int) -> int:
        """The status it believes another process to have, or `UNKNOWN`."""
        return self.believed[serial] if serial < len(self.believed) else UNKNOWN

    def believe(self, serial: int, status: int, incarnation: int) -> None:
        """Note what it believes of another process now."""
        if (missing := serial + 1 - len(self.believed)) > 0:
            self.believed.extend([UNKNOWN] * missing)
            self.believed_incarnation.extend([-1] * missing)
        self.believed[serial] = status
        self.believed_incarnation[serial] = incarnation


class Call:
    """One request and its answer.

    Attributes:
        sender: who asks.
        number: of the exchange, the sender's; negative: the guard's, whose answers go nowhere.
        addr: whom it asks.
        slot: the number of that address.
        body: the question, later the answer.
        deadline: when the sender gives up, in the world's clock.
        receiver: the serial of the process whose connection it arrived on; -1 before.
        is_over: the sender knows how it ended.
        has_timeout: the end of the sender's patience is among the events.
    """

    __slots__ = (
        "addr",
        "body",
        "deadline",
        "has_timeout",
        "is_over",
        "number",
        "receiver",
        "sender",
        "slot",
    )

    def __init__(
        self, sender: Process, number: int, addr: str, body: bytes, deadline: float
    ) -> None:
        self.sender = sender
        self.number = number
        self.addr = addr
        self.slot = -1
        self.body = body
        self.deadline = deadline
        self.receiver = -1
        self.is_over = False
        self.has_timeout = False
