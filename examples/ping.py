"""Distributed ping-pong, the ping: finds pong by name, wherever in the cluster it is.

``python -m examples.ping HOST:PORT`` with the address of any node of pong's cluster;
``python -m examples.ping`` alone starts that other process, too.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pulsing as pul
from examples.launching import process


class Ping(pul.Actor):
    """Sends pings, each when the one before came back. ``finished`` is set after the last."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.finished = asyncio.Event()

    async def receive(self, message: Any) -> None:
        """``"start"``, and then what pong answers."""
        pong = await pul.resolve("pong", timeout=10)
        match message:
            case "start":
                number = 1
            case ("pong", int(number)):
                print(f"pong {number}", flush=True)
                number += 1
            case _:
                return
        if number <= self.rounds:
            pong.tell(("ping", number, pul.current().self_ref))  # pong answers this reference
        else:
            await pong.tell("finished")
            self.finished.set()


async def main(seed: str) -> None:
    """Be a node of the cluster that pong is in, and play."""
    async with pul.running(seeds=[seed]):
        ping = Ping(rounds=3)
        ref = await pul.spawn(ping, name="ping")
        ref.tell("start")
        async with asyncio.timeout(30):
            await ping.finished.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        pul.run(main(sys.argv[1]))
    else:
        node = ("pulsing", "node", "--addr", "127.0.0.1:0", "--import", "examples.pong")
        with process("pong", *node) as address:
            pul.run(main(address))
