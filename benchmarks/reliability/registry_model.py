"""No ghosts: random histories of a registry on a few nodes, checked against the owners' truth.

Run: python -m benchmarks.reliability.registry_model [--steps 1000000] [--seed 7]

News is lost, late, repeated and relayed; logs are short, so that pulls turn into listings; pages
are small; pulls break off; observers take nodes for dead, wrongly or not, each at its own time.
After every step, what one node holds of one owner is compared with the owner's history:

* a name that the owner did not change after the held version has exactly its entry of then;
* a name that it did change later has some entry it once had, never an invented one;
* what is found by name is exactly what is held.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from pulsing.cluster.messages import Page, Pull, RegistryDelta
from pulsing.cluster.registry_core import Applied, Registry

NODES = 5
NAMES = tuple(f"actors/{letter}" for letter in "abcdefghijklmnop")


@dataclass
class Node:
    """One node; ``history`` has, for each of its names, the versions and entries in order."""

    node_id: str
    registry: Registry
    present: set[str]
    history: dict[str, list[tuple[int, int | None]]] = field(
        default_factory=lambda: defaultdict(lambda: [(0, None)])
    )


@dataclass
class Transfer:
    """A pull under way: the request is on its way, then its answer."""

    reader: Node
    source: Node
    request: Pull
    page: Page | None = None


class RegistryModel:
    """Nodes, what travels between them, and the checks."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.nodes: list[Node] = []
        self.news: list[tuple[Node, Node, RegistryDelta]] = []
        self.transfers: dict[tuple[str, str], Transfer] = {}
        self.last_local = 0
        self.counts: dict[str, int] = defaultdict(int)
        for _ in range(NODES):
            self._start_node()

    def run(self, steps: int) -> None:
        choices: list[tuple[int, Callable[[], None]]] = [
            (30, self._change_name),
            (12, self._burst),
            (25, self._tell),
            (60, self._deliver),
            (10, self._begin_pull),
            (60, self._continue_transfer),
            (3, self._break_transfer),
            (4, self._believe_dead),
            (6, self._believe_alive),
            (1, self._restart_node),
        ]
        weights = [weight for weight, _ in choices]
        actions = [action for _, action in choices]
        for action in self.dice.choices(actions, weights, k=steps):
            action()
            self.counts[action.__name__] += 1
            self._check(self.dice.choice(self.nodes), self.dice.choice(self.nodes))

    def converge(self) -> None:
        """Everybody pulls from the owners: all must hold their truth, and nothing else."""
        self.transfers.clear()
        living = {node.node_id for node in self.nodes}
        for reader in self.nodes:
            for gone in reader.present - living:
                reader.registry.remove_owner(gone)
            reader.present.clear()
            reader.present.update(living)
            for owner in self.nodes:
                pull: Pull | None = reader.registry.next_pull(owner.node_id)
                while pull is not None:
                    pull = reader.registry.page_received(owner.registry.page(pull, 4096))
                self._check(reader, owner)
                assert reader.registry.version_of(owner.node_id) == owner.registry.version_of(
                    owner.node_id
                ), f"seed {self.seed}: a pull from the owner did not bring everything"
            owners = {each.node_id for found in reader.registry.names().values() for each in found}
            assert owners <= living, f"seed {self.seed}: ghosts of {owners - living}"

    # --- what happens

    def _start_node(self) -> None:
        node_id = f"{self.dice.getrandbits(128):032x}"
        present: set[str] = set()
        registry = Registry(node_id, present.__contains__, remembered_own=10, remembered_foreign=6)
        node = Node(node_id, registry, present)
        self.nodes.append(node)
        for each in self.nodes:
            each.present.add(node_id)
            present.add(each.node_id)

    def _change_name(self) -> None:
        node, name = self.dice.choice(self.nodes), self.dice.choice(NAMES)
        before = node.history[name][-1][1]
        if self.dice.random() < 0.45:
            node.registry.unregister(name)
            entry = None
        else:
            self.last_local += 1
            entry = self.last_local
            node.registry.register(name, entry, "C")
        if entry != before:
            node.history[name].append((node.registry.version_of(node.node_id), entry))

    def _burst(self) -> None:
        for _ in range(self.dice.randrange(8)):
            self._change_name()

    def _tell(self) -> None:
        node = self.dice.choice(self.nodes)
        if self.dice.random() < 0.1:
            node.registry.announce()
        delta = node.registry.take_delta(self.dice.choice((120, 200, 500, 4096)))
        if delta is not None:
            self._spread(node, delta)

    def _spread(self, teller: Node, delta: RegistryDelta) -> None:
        for node in self.dice.sample(self.nodes, self.dice.randrange(NODES)):
            if len(self.news) < 300:
                self.news.append((teller, node, delta))

    def _deliver(self) -> None:
        if not self.news:
            return
        at = self.dice.randrange(len(self.news))
        teller, node, delta = self.news[at]
        if self.dice.random() < 0.9:  # else it will come again
            self.news[at] = self.news[-1]
            self.news.pop()
        applied = node.registry.apply(delta)
        self.counts[applied.name] += 1
        if applied is Applied.NEWS and self.dice.random() < 0.5:
            self._spread(node, delta)
        elif applied is Applied.GAP:
            self._pull(node, teller, delta.owner)

    def _begin_pull(self) -> None:
        reader, source, owner = (self.dice.choice(self.nodes) for _ in range(3))
        self._pull(reader, source, owner.node_id)

    def _pull(self, reader: Node, source: Node, owner: str) -> None:
        if reader is not source and (reader.node_id, owner) not in self.transfers:
            request = reader.registry.next_pull(owner)
            self.transfers[reader.node_id, owner] = Transfer(reader, source, request)

    def _continue_transfer(self) -> None:
        if not self.transfers:
            return
        key = self.dice.choice(list(self.transfers))
        transfer = self.transfers[key]
        if transfer.page is None:
            room = self.dice.choice((150, 200, 400, 4096))
            transfer.page = transfer.source.registry.page(transfer.request, room)
            self.counts["listing" if transfer.page.base < 0 else "delta page"] += 1
            return
        following = transfer.reader.registry.page_received(transfer.page)
        if following is None:
            del self.transfers[key]
        else:
            transfer.request, transfer.page = following, None

    def _break_transfer(self) -> None:
        if self.transfers:
            del self.transfers[self.dice.choice(list(self.transfers))]

    def _believe_dead(self) -> None:
        observer, node = self.dice.choice(self.nodes), self.dice.choice(self.nodes)
        if observer is not node:
            observer.present.discard(node.node_id)
            observer.registry.remove_owner(node.node_id)

    def _believe_alive(self) -> None:
        self.dice.choice(self.nodes).present.add(self.dice.choice(self.nodes).node_id)

    def _restart_node(self) -> None:
        """A process ends; the next has another id. Others learn of both, some of them later."""
        gone = self.nodes.pop(self.dice.randrange(NODES))
        for node in self.nodes:
            if self.dice.random() < 0.7:
                node.present.discard(gone.node_id)
                node.registry.remove_owner(gone.node_id)
        self.transfers = {
            key: each
            for key, each in self.transfers.items()
            if each.reader is not gone and each.source is not gone
        }
        self.news = [each for each in self.news if gone is not each[0] and gone is not each[1]]
        self._start_node()

    # --- what must hold

    def _check(self, reader: Node, owner: Node) -> None:
        registry, node_id = reader.registry, owner.node_id
        version = registry.version_of(node_id)
        for name in NAMES:
            found = [each for each in registry.lookup(name) if each.node_id == node_id]
            held = found[0].local if found else None
            assert len(found) <= 1
            history = owner.history[name]
            unchanged = history[-1][0] <= version
            allowed = [history[-1][1]] if unchanged else [entry for _, entry in history]
            assert held in allowed, (
                f"seed {self.seed}: {name} of {node_id} at version {version} is {held} on "
                f"{reader.node_id}; the owner's history: {history[-6:]}"
            )
        if node_id not in reader.present:
            assert version == 0, f"seed {self.seed}: a part of {node_id}, which is not present"


def main() -> None:
    parser = argparse.ArgumentParser(description="Random histories of the registry.")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    started = time.perf_counter()
    model = RegistryModel(arguments.seed)
    model.run(arguments.steps)
    model.converge()
    took_s = time.perf_counter() - started
    print(
        f"registry model: {arguments.steps} steps, seed {arguments.seed}: 0 ghosts, {took_s:.0f} s"
        f" ({', '.join(f'{count} {what}' for what, count in sorted(model.counts.items()))})"
    )


if __name__ == "__main__":
    main()
