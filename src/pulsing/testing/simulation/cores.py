"""Which cores a simulated cluster is made of, and where its nodes are."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from pulsing.cluster.members import NodeInfo
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.wire import ClusterCore

CoreFactory = Callable[[NodeInfo, SwimSettings, Random], ClusterCore]
"""Makes the core of a node from what the node is, the settings of all, and its own dice."""

SEED_SLOTS: Final = 3
_IN_A_NETWORK: Final = 250


def gossip_core(info: NodeInfo, settings: SwimSettings, dice: Random) -> ClusterCore:
    """A node of a cluster that gossips; the default."""
    from pulsing.cluster.gossip_core import GossipCore

    return GossipCore(info, settings, dice, seeds_configured=True)


def address(slot: int) -> str:
    """Where the process of a slot listens."""
    network, host = divmod(slot, _IN_A_NETWORK)
    return f"10.{network // _IN_A_NETWORK}.{network % _IN_A_NETWORK}.{host + 1}:7000"


def seed_addresses() -> tuple[str, ...]:
    """What every node is given to find the others: the first slots."""
    return tuple(address(slot) for slot in range(SEED_SLOTS))
