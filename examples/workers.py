"""An actor of which every node hosts one, for the examples of clusters.

``python -m pulsing node --addr 127.0.0.1:8000 --import examples.workers``
"""

from __future__ import annotations

import pulsing as pul


@pul.remote
class Worker:
    """Says where it runs."""

    async def where(self) -> str:
        """The name of its node."""
        return pul.current().system.node_name


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """What a node does with this module: it hosts one worker, as other nodes do."""
    await Worker.spawn(name="worker", system=system)
