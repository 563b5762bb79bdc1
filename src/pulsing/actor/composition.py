"""A node's part in its cluster, put together: the core of its mode, the wire, the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pulsing import chance
from pulsing.actor.culprit import culprit_of
from pulsing.cluster.agent import ClusterAgent
from pulsing.cluster.guard import StallGuard
from pulsing.cluster.seeds import Seeds
from pulsing.cluster.settings import HeadSettings, SwimSettings
from pulsing.config import NetworkKind, SystemConfig

if TYPE_CHECKING:
    from pulsing.actor.network import Network
    from pulsing.cluster.members import NodeInfo
    from pulsing.cluster.wire import ClusterCore

_TIMINGS: Final[Mapping[NetworkKind, Callable[[], SwimSettings]]] = {
    NetworkKind.LOCAL: SwimSettings.local,
    NetworkKind.LAN: SwimSettings.lan,
    NetworkKind.WAN: SwimSettings.wan,
}


def member_of_cluster(
    config: SystemConfig, info: NodeInfo, network: Network, loop: asyncio.AbstractEventLoop
) -> ClusterAgent:
    """The part of a node in its cluster, not started yet.

    Args:
        config: says which mode: by gossip, the head, or a worker of a head.
        info: what the node says about itself.
        network: listens already.
        loop: of the node.

    Raises:
        ValueError: a seed is no address to connect to.
    """
    settings = _TIMINGS[config.network]()
    seeds = Seeds(config.seeds)
    agent = ClusterAgent(
        _core(config, info, settings), network.cluster_wire(), loop=loop, resolve=seeds.resolve
    )
    network.cluster_handler = agent.request_received
    network.on_link_lost = agent.link_lost
    threadless = getattr(loop, "threadless", False)  # in a simulation nothing watches from outside
    if config.stall_threshold_s is not None and not threadless:
        agent.guard = StallGuard(
            loop,
            threshold_s=config.stall_threshold_s,
            lease_s=settings.busy_lease_s,
            wire=network.guard_wire(),
            peers=agent.peers,
            incarnation=agent.incarnation,
            claim=agent.core.busy_claim,
            on_stall_ended=agent.stall_ended,
            culprit=culprit_of,
        )
    return agent


def _core(config: SystemConfig, info: NodeInfo, settings: SwimSettings) -> ClusterCore:
    head = HeadSettings(
        sync_interval_s=config.head_sync_interval_s,
        heartbeat_interval_s=config.head_heartbeat_interval_s,
        heartbeat_timeout_s=config.head_heartbeat_timeout_s,
    )
    if config.is_head_node:
        from pulsing.cluster.head_core import HeadCore

        return HeadCore(info, head, chance.dice())
    if config.head_addr is not None:
        from pulsing.cluster.worker_core import WorkerCore

        return WorkerCore(info, config.head_addr, head, chance.dice())
    from pulsing.cluster.gossip_core import GossipCore

    return GossipCore(info, settings, chance.dice(), seeds_configured=bool(config.seeds))
