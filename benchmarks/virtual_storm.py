"""Five real nodes in virtual time, with actors, load and faults, for many seeds.

``python -m benchmarks.virtual_storm --seeds 0-99 --minutes 10`` prints a line for each seed: its
digest, what was called, and the processor time it took. It ends with the seeds that failed: after
every storm the network heals, and then all nodes must agree on members and names within a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import statistics
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import pulsing as pul
from pulsing.errors import PulsingError
from pulsing.testing.handle import NodeState
from pulsing.testing.virtual_cluster import VirtualCluster, run_virtual_cluster

NODES = 5
AGREE_S = 60.0


@pul.remote
class Tally:
    def __init__(self) -> None:
        self.total = 0

    async def add(self, number: int) -> int:
        self.total += number
        return self.total

    def twice(self, number: int) -> int:
        return number * 2


@dataclass(frozen=True)
class Storm:
    seed: int
    digest: str
    octets: int
    calls: int
    failed: int
    faults: dict[str, int]
    cpu_s: float
    error: str = ""


class Weather:
    """Faults one after another, one of them at a time."""

    def __init__(self, cluster: VirtualCluster, dice: random.Random) -> None:
        self.cluster = cluster
        self.dice = dice
        self.counts: Counter[str] = Counter()

    async def blow(self) -> None:
        storms = (self.kill, self.stop, self.partition, self.freeze, self.lose, self.cut)
        while True:
            await asyncio.sleep(self.dice.uniform(5, 25))
            storm = self.dice.choice(storms)
            self.counts[storm.__name__] += 1
            await storm(self.dice.randrange(NODES))

    async def kill(self, index: int) -> None:
        self.cluster.kill(index)
        await asyncio.sleep(self.dice.uniform(0, 10))
        await start(self.cluster, index)

    async def stop(self, index: int) -> None:
        await self.cluster.stop(index)
        await asyncio.sleep(self.dice.uniform(0, 10))
        await start(self.cluster, index)

    async def partition(self, index: int) -> None:
        order = self.dice.sample(range(NODES), NODES)
        split = self.dice.randrange(1, NODES)
        self.cluster.partition(order[:split], order[split:])
        await asyncio.sleep(self.dice.uniform(1, 30))
        self.cluster.heal()

    async def freeze(self, index: int) -> None:
        self.cluster.freeze(index)
        await asyncio.sleep(self.dice.uniform(0.5, 20))
        self.cluster.thaw(index)

    async def lose(self, index: int) -> None:
        for other in range(NODES):
            if other != index:
                self.cluster.drop(index, other, self.dice.uniform(0.05, 0.3))
        await asyncio.sleep(self.dice.uniform(5, 20))
        self.cluster.heal()

    async def cut(self, index: int) -> None:
        self.cluster.cut([index], [self.dice.randrange(NODES)])
        await asyncio.sleep(self.dice.uniform(5, 20))
        self.cluster.heal()


async def start(cluster: VirtualCluster, index: int) -> None:
    node = await cluster.restart(index)
    await populate(node.system, index)


async def populate(system: pul.ActorSystem, index: int) -> None:
    await system.spawn(Tally, name="tally")
    await system.spawn(Tally, name=f"own/{index}")


class Load:
    """Each node calls a service once a second."""

    def __init__(self, cluster: VirtualCluster) -> None:
        self.cluster = cluster
        self.calls = 0
        self.failed = 0

    async def run(self, index: int) -> None:
        node_id, tally = "", None
        while True:
            await asyncio.sleep(1)
            node = self.cluster[index]
            if node.state is not NodeState.RUNNING:
                continue
            try:
                if node.node_id != node_id or tally is None:
                    tally = await node.system.resolve("tally", cls=Tally)
                    node_id = node.node_id
                await tally.add(1).with_timeout(2)
                self.calls += 1
            except PulsingError:
                self.failed += 1


async def live(cluster: VirtualCluster, seed: int, seconds: float) -> tuple[int, int, Counter[str]]:
    dice = random.Random(f"{seed} storm")
    for node in cluster:
        await populate(node.system, node.index)
    load, weather = Load(cluster), Weather(cluster, dice)
    callers = [asyncio.create_task(load.run(index), name=f"load {index}") for index in range(NODES)]
    storm = asyncio.create_task(weather.blow(), name="weather")
    await asyncio.wait([storm, *callers], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in (storm, *callers):
        if task.done():
            task.result()
        task.cancel()
    await asyncio.wait([storm, *callers])
    cluster.heal()
    for node in cluster:
        cluster.thaw(node.index)
        if node.state is NodeState.ENDED:
            await start(cluster, node.index)
    await cluster.converged(within_s=AGREE_S)
    wanted = {"actors/tally": NODES, **{f"own/{index}": 1 for index in range(NODES)}}
    await cluster.eventually(lambda: agree_on_names(cluster, wanted), within_s=AGREE_S)
    return load.calls, load.failed, weather.counts


async def agree_on_names(cluster: VirtualCluster, wanted: dict[str, int]) -> bool:
    for node in cluster:
        names = {
            each["name"]: len(each["instances"]) for each in await node.system.all_named_actors()
        }
        if names != wanted:
            return False
    return True


def storm_of(seed: int, seconds: float) -> Storm:
    began = time.process_time()
    try:
        run = run_virtual_cluster(
            NODES, lambda cluster: live(cluster, seed, seconds), seed=seed, limit_s=seconds + 600
        )
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        text = "\n".join((f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())))
        return Storm(seed, "", 0, 0, 0, {}, time.process_time() - began, text)
    calls, failed, faults = run.result
    spent = time.process_time() - began
    return Storm(seed, run.digest, run.octets, calls, failed, dict(faults), spent)


def seeds_of(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=seeds_of, default=range(10), help="such as 7 or 0-99")
    parser.add_argument("--minutes", type=float, default=10.0, help="virtual ones")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    run = partial(storm_of, seconds=options.minutes * 60)
    began = time.perf_counter()
    storms: list[Storm] = []
    with ProcessPoolExecutor(options.processes, initializer=logging.disable) as pool:
        for storm in pool.map(run, options.seeds):
            storms.append(storm)
            outcome = storm.digest or "FAILED"
            print(
                f"seed {storm.seed:4d}  {outcome:32}  {storm.calls} calls, {storm.failed} failed, "
                f"{storm.octets} octets, {sum(storm.faults.values())} faults, "
                f"{storm.cpu_s:.2f} s of processor time",
                flush=True,
            )
    failed = [storm for storm in storms if storm.error]
    for storm in failed:
        print(f"\nseed {storm.seed}: {storm.error}")
    print(
        f"{len(storms)} seeds of {options.minutes:g} virtual minutes in "
        f"{time.perf_counter() - began:.1f} s; processor time per seed: median "
        f"{statistics.median(storm.cpu_s for storm in storms):.2f} s; {len(failed)} failed"
    )
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
