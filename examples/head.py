"""A cluster with a head: one known address, to which every other node registers.

``python -m examples.head`` starts a head and a worker, and is itself another worker. The head keeps
the list of nodes and names; while it is away, the others go on with what they know.
"""

from __future__ import annotations

import pulsing as pul
from examples.launching import process
from examples.workers import Worker


async def main(head_addr: str) -> None:
    """Register with the head at this address, and use what the others host."""
    async with pul.running(head_addr=head_addr, node_name="program") as system:
        on_worker = await pul.resolve("worker@worker-1", timeout=20)
        print("worker@worker-1: on", await on_worker.where())

        worker = await Worker.resolve("worker", timeout=20)
        seen: set[str] = set()
        while len(seen) < 2:  # until this node has heard of both
            seen.add(await worker.where())
        print("worker: in turn on", ", ".join(sorted(seen)))

        nodes = await system.members()
        print(
            "members:", ", ".join(sorted(f"{each['name']} is {each['status']}" for each in nodes))
        )


if __name__ == "__main__":
    node = ("pulsing", "node", "--import", "examples.workers", "--addr", "127.0.0.1:0")
    with (
        process("head", *node, "--name", "head", "--head") as address,
        process("worker-1", *node, "--name", "worker-1", "--head-addr", address),
    ):
        pul.run(main(address))
