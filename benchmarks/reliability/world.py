"""The clusters that rows are measured on: one at a time, shared by rows that want the same."""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.processes import child_environment
from benchmarks.reliability.rows import Place, Row
from pulsing.testing import NamespaceNetwork, ProcessCluster
from pulsing.testing.processes import ProcessNode


@dataclass(frozen=True, slots=True)
class Scale:
    """How much each row does.

    Attributes:
        repetitions: of what takes moments.
        few: repetitions of what takes many seconds.
        names: that are registered and dropped.
        long_s: how long nothing may happen.
        split_s: how long a partition lasts.
        held_s: how long a loop is held.
        idle_s: how long load is measured.
        settle_s: how long to wait before that.
    """

    repetitions: int
    few: int
    names: int
    long_s: float
    split_s: float
    held_s: float
    idle_s: float
    settle_s: float

    @classmethod
    def full(cls, minutes: float) -> Scale:
        """For figures."""
        return cls(10, 5, 100, minutes * 60, 45.0, 30.0, 60.0, 20.0)

    @classmethod
    def short(cls) -> Scale:
        """For CI."""
        return cls(2, 1, 5, 3.0, 3.0, 3.0, 3.0, 1.0)


class World:
    """What the rows of one run share.

    Args:
        scale: how much each does.
        missing: why there are no network namespaces; None when there are.
    """

    def __init__(self, scale: Scale, missing: str | None) -> None:
        self.scale = scale
        self.missing = missing
        self.network: NamespaceNetwork | None = None
        self._key: tuple[Place, int] | None = None
        self._cluster: ProcessCluster | None = None
        self._stack = AsyncExitStack()

    async def cluster(self, row: Row, *, converge: bool = True) -> ProcessCluster:
        """The converged cluster a row wants."""
        key = (row.place, row.nodes)
        if self._cluster is None or self._key != key or row.fresh:
            await self.close()
            self._key = key
            self._cluster = await self._start(row, converge=converge)
        if converge:
            await self._cluster.converged(within_s=120)
        return self._cluster

    async def _start(self, row: Row, *, converge: bool) -> ProcessCluster:
        prefix: list[str] = []
        network = None
        if row.place.needs_namespaces:
            hosts = 1 if row.place is Place.QUIET else row.nodes
            self.network = self._stack.enter_context(NamespaceNetwork(hosts))
            if row.place is Place.QUIET:
                prefix = self.network.command(0)
            else:
                network = self.network
        cluster = ProcessCluster(
            row.nodes,
            network=network,
            prefix=prefix,
            environ=child_environment(),
            converge=False,
            ready_within_s=120,
        )
        await self._stack.enter_async_context(cluster)
        if converge:
            await cluster.converged(within_s=120)
        return cluster

    async def close(self) -> None:
        """End the cluster."""
        self._cluster, self._key, self.network = None, None, None
        await self._stack.aclose()


def say(text: str) -> None:
    """Show where we are, on one line of a terminal; logs get nothing."""
    if sys.stderr.isatty():
        print(f"\r{text:<78}", end="\n" if not text else "", file=sys.stderr, flush=True)


def deaths(nodes: list[ProcessNode], of: set[str], since: float) -> list[str]:
    """Who of ``nodes`` believed whom of some node ids to be dead since a moment; one line each."""
    names = {each.node_id: each.name for each in nodes}
    return [
        f"{node.name}: {names.get(each.node_id, each.name)} dead at +{each.at - since:.1f} s"
        for node in nodes
        for each in node.sightings
        if each.status == "Dead" and each.node_id in of and each.at >= since
    ]


def now() -> float:
    """In the clock of sightings."""
    return time.monotonic()
