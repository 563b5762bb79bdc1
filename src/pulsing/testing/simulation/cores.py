"""Which cores a simulated cluster is made of, and where its nodes are."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from pulsing.cluster.members import NodeInfo
from pulsing.cluster.settings import HeadSettings, SwimSettings
from pulsing.cluster.wire import ClusterCore

CoreFactory = Callable[[NodeInfo, SwimSettings, Random], ClusterCore]
"""Makes the core of a node from what the node is, the settings of all, and its own dice."""

SEED_SLOTS: Final = 3
_IN_A_NETWORK: Final = 250


def gossip_core(info: NodeInfo, settings: SwimSettings, dice: Random) -> ClusterCore:
    """A node of a cluster that gossips; the default."""
    from pulsing.cluster.gossip_core import GossipCore

    return GossipCore(info, settings, dice, seeds_configured=True)


def head_cores(head_settings: HeadSettings | None = None) -> CoreFactory:
    """A cluster with a head, on the first slot; the settings of gossip do not matter to it."""
    from pulsing.cluster.head_core import HeadCore
    from pulsing.cluster.worker_core import WorkerCore

    timings = head_settings if head_settings is not None else HeadSettings()
    head_addr = address(0)

    def make(info: NodeInfo, _settings: SwimSettings, dice: Random) -> ClusterCore:
        if info.addr == head_addr:
            return HeadCore(info, timings, dice)
        return WorkerCore(info, head_addr, timings, dice)

    return make


def address(slot: int) -> str:
    """Where the process of a slot listens."""
    network, host = divmod(slot, _IN_A_NETWORK)
    return f"10.{network // _IN_A_NETWORK}.{network % _IN_A_NETWORK}.{host + 1}:7000"


def seed_addresses() -> tuple[str, ...]:
    """What every node is given to find the others: the first slots."""
    return tuple(address(slot) for slot in range(SEED_SLOTS))
