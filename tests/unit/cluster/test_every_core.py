"""What holds for the cores of every mode."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pulsing.cluster.gossip_core import GossipCore
from pulsing.cluster.head_core import HeadCore
from pulsing.cluster.members import MemberStatus, NodeInfo
from pulsing.cluster.settings import HeadSettings, SwimSettings
from pulsing.cluster.wire import ClusterCore
from pulsing.cluster.worker_core import WorkerCore

ME = NodeInfo("0" * 32, "127.0.0.1:1", "me")
CORES: dict[str, Callable[[], ClusterCore]] = {
    "gossip": lambda: GossipCore(ME, SwimSettings(), random.Random(1)),
    "head": lambda: HeadCore(ME, HeadSettings(), random.Random(1)),
    "worker": lambda: WorkerCore(ME, "127.0.0.1:9", HeadSettings(), random.Random(1)),
}


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_a_node_is_alive_to_itself_since_its_start(make: Callable[[], ClusterCore]) -> None:
    core = make()
    core.start(now=42.0)
    own = core.members[ME.node_id]
    assert (own.status, own.incarnation, own.since) == (MemberStatus.ALIVE, 0, 42.0)
    assert own.as_dict(now=43.0)["for_s"] == 1.0
