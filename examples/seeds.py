"""A cluster that is joined through seeds: no node is special, and any of them can go.

``python -m examples.seeds`` starts two nodes and is itself the third. Elsewhere each would be a pod
or a machine, and ``seeds`` the name of their Service, or the addresses of a few of them.
"""

from __future__ import annotations

import pulsing as pul
from examples.launching import process
from examples.workers import Worker


async def main(seed: str) -> None:
    """Join the cluster of the node at this address, and use it."""
    async with pul.running(seeds=[seed], node_name="program") as system:
        changes = system.events()
        while len(nodes := await system.members()) < 3:
            await anext(changes)
        print(
            "members:", ", ".join(sorted(f"{each['name']} is {each['status']}" for each in nodes))
        )

        for node in ("node-a", "node-b"):  # one actor of a node
            alone = await pul.resolve(f"worker@{node}", timeout=5)
            print(f"worker@{node}: on", await alone.where())

        worker = await Worker.resolve("worker", timeout=5)  # all of that name
        seen: set[str] = set()
        while len(seen) < 2:  # until this node has heard of both
            seen.add(await worker.where())
        print("worker: in turn on", ", ".join(sorted(seen)))

        mine = worker.with_key("user-7")
        print("by key: always on the same", len({await mine.where() for _ in range(4)}), "node")

        placed = await Worker.spawn(name="trainer", placement="label:gpu")
        print("placed: where the GPU is, on", await placed.where())


if __name__ == "__main__":
    node = ("pulsing", "node", "--import", "examples.workers", "--addr", "127.0.0.1:0")
    with (
        process("node-a", *node, "--name", "node-a") as address,
        process("node-b", *node, "--name", "node-b", "--label", "gpu", "--seeds", address),
    ):
        pul.run(main(address))
