"""Distributed ping-pong, the pong: answers whoever sends itself along.

``python -m pulsing node --addr 127.0.0.1:7051 --import examples.pong``
"""

from __future__ import annotations

from typing import Any

import pulsing as pul


class Pong(pul.Actor):
    """Sends a pong to the sender of each ping, wherever that is."""

    async def receive(self, message: Any) -> None:
        """A ping is ``("ping", number, who)``, where ``who`` is a reference."""
        match message:
            case ("ping", int(number), pul.ActorRef() as who):
                print(f"ping {number} from {who.actor_id.node[:8]}", flush=True)
                who.tell(("pong", number))
            case "finished":
                print("ping has finished", flush=True)


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """Spawning it with a name makes it known in the whole cluster."""
    await system.spawn(Pong(), name="pong")
