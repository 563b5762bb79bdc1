"""How soon watchers hear that an actor stopped, that its process was killed, and that many ended.

``python -m benchmarks.watching --kills 50 --stops 500 --actors 100000`` starts nodes that are
members of one cluster with this process, and takes the times from the cause to each `Terminated`:

- of an actor that is stopped on another node (from the order, one way included),
- of an actor on a node that is killed with SIGKILL, as a member and by its address alone,
- of all actors of a node that has many, all of them watched, when it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pulsing as pul
from pulsing.testing import NodeProcess

NODE_S = 30.0


class Idle(pul.Actor):
    """Lives until it is stopped."""

    async def ping(self) -> int:
        return 1


@pul.remote
class Maker:
    """Makes actors on its node."""

    async def make(self, count: int) -> list[int]:
        """Spawn as many, and give their numbers."""
        refs = [await pul.spawn(Idle()) for _ in range(count)]
        return [each.actor_id.local for each in refs]


class Watcher(pul.Actor):
    """Notes when it hears of the end of each."""

    def __init__(self) -> None:
        self.heard: dict[pul.ActorId, list[float]] = {}
        self.reasons: set[pul.ExitReason] = set()

    async def on_terminated(self, event: pul.Terminated) -> None:
        """Called once for each."""
        self.heard.setdefault(event.ref.actor_id, []).append(time.perf_counter())
        self.reasons.add(event.reason)

    async def watch_all(self, refs: list[pul.ActorRef]) -> None:
        """Watch them; returns when all watches are in place."""
        context = pul.current()
        watches = [context.watch(each) for each in refs]
        for each in watches:
            await each


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """What the killed nodes run."""
    await Maker.spawn(name="maker", system=system)


@dataclass
class Figures:
    """Seconds from the cause to the notification."""

    stopped: list[float] = field(default_factory=list)
    killed_member: list[float] = field(default_factory=list)
    killed_address: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    """From the kill to the last of the many."""
    placing: list[float] = field(default_factory=list)
    """To have all of the many watched."""
    wrong: list[str] = field(default_factory=list)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Run:
    """One node of this process, and what it measures."""

    def __init__(self, system: pul.ActorSystem, figures: Figures) -> None:
        self.system = system
        self.figures = figures

    async def node(self, *, member: bool) -> NodeProcess:
        """Start a node with a maker."""
        seeds = ("--seeds", self.system.addr or "") if member else ()
        return await asyncio.to_thread(
            lambda: NodeProcess(
                addr="127.0.0.1:0",
                imports=["benchmarks.watching"],
                arguments=("--network", "local", *seeds),
            )
        )

    async def actors(self, node: NodeProcess, count: int, *, member: bool) -> list[pul.ActorRef]:
        """References to new actors of a node, which is known to this one if it is a member."""
        maker: Any = await self.system.resolve(f"actor://{node.addr}/maker", timeout=NODE_S)
        node_id = maker.actor_id.node
        async with asyncio.timeout(NODE_S):
            while member and self._status(node_id) != "Alive":  # noqa: ASYNC110 - another node's
                await asyncio.sleep(0.01)
        numbers = await maker.make(count).with_timeout(120)
        return [self._reference(pul.ActorId(node_id, each), node.addr) for each in numbers]

    def _reference(self, actor_id: pul.ActorId, addr: str) -> pul.ActorRef:
        place = self.system.arrived(actor_id, name=None, host_port=addr, class_name="Idle")
        return pul.ActorRef(place)

    def _status(self, node_id: str) -> str | None:
        assert self.system.cluster is not None
        member = self.system.cluster.member(node_id)
        return None if member is None else member.shown_status

    async def stops(self, count: int) -> None:
        """Actors of another node are stopped one after the other."""
        node = await self.node(member=True)
        try:
            for ref in await self.actors(node, count, member=True):
                watcher = Watcher()
                mine = await self.system.spawn(watcher)
                await mine.call("watch_all", [ref])
                began = time.perf_counter()
                stopping = asyncio.ensure_future(self.system.stop(ref))
                await self._all_heard(watcher, 1)
                self.figures.stopped.append(watcher.heard[ref.actor_id][0] - began)
                await stopping
                await self.system.stop(mine)
        finally:
            await asyncio.to_thread(node.kill)

    async def kill(self, count: int, into: list[float], *, member: bool) -> None:
        """A node is killed; the time is that of the last of its actors."""
        node = await self.node(member=member)
        try:
            refs = await self.actors(node, count, member=member)
            watcher = Watcher()
            mine = await self.system.spawn(watcher)
            began = time.perf_counter()
            await mine.call("watch_all", refs).with_timeout(120)
            self.figures.placing.append(time.perf_counter() - began)
            began = time.perf_counter()
            node.send_signal(signal.SIGKILL)
            await self._all_heard(watcher, count)
            into.append(max(max(each) for each in watcher.heard.values()) - began)
            again = sum(len(each) for each in watcher.heard.values()) - count
            if again or watcher.reasons != {pul.ExitReason.NODE_DOWN}:
                self.figures.wrong.append(f"{again} told twice, reasons {watcher.reasons}")
            await self.system.stop(mine)
        finally:
            await asyncio.to_thread(node.kill)

    async def _all_heard(self, watcher: Watcher, count: int) -> None:
        async with asyncio.timeout(60):
            while len(watcher.heard) < count:  # noqa: ASYNC110 - no event for each of them
                await asyncio.sleep(0.001)


async def measure(*, kills: int, stops: int, actors: int) -> Figures:
    """All of it."""
    figures = Figures()
    config = pul.SystemConfig(addr="127.0.0.1:0", network="local")
    system = await pul.ActorSystem.create(config)
    try:
        run = Run(system, figures)
        await run.stops(stops)
        for _ in range(kills):
            await run.kill(3, figures.killed_member, member=True)
            await run.kill(3, figures.killed_address, member=False)
        figures.placing.clear()
        await run.kill(actors, figures.many, member=True)
    finally:
        await system.shutdown()
    return figures


def show(name: str, values: Sequence[float]) -> str:
    """One line."""
    p50, p99 = quantile(values, 0.5) * 1000, quantile(values, 0.99) * 1000
    return f"{name:44} n={len(values):<5} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms"


def main() -> int:
    """Measure and print; 1 when something was told twice, or wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--actors", type=int, default=100_000)
    given = parser.parse_args()
    figures = pul.run(lambda: measure(kills=given.kills, stops=given.stops, actors=given.actors))
    print(show("stopped actor (target 20 ms)", figures.stopped))
    print(show("killed process, a member (target p99 50 ms)", figures.killed_member))
    print(show("killed process, by its address", figures.killed_address))
    print(show(f"{given.actors} watched, killed: the last (3 s)", figures.many))
    print(show(f"{given.actors} watches in place", figures.placing))
    for each in figures.wrong:
        print(f"WRONG: {each}")
    return bool(figures.wrong)


if __name__ == "__main__":
    raise SystemExit(main())
