"""Tools for testing programs that use Pulsing; Pulsing's own tests use nothing else.

Owns: what a test needs around a system: nodes in processes of their own, systems and whole clusters
in the test's own process, the faults of processes and networks, and the check that nothing stays
behind. Must not know: anything private of the other packages. Read: ``system``, ``leaks`` and
``node``; ``handle`` with its two kinds ``cluster`` and ``processes`` (and ``observer``, which runs
inside those); for faults ``faults``, ``relay``, ``proxy``, ``fabric``, ``namespaces``;
``plugin`` is active wherever Pulsing is installed, which is why everything here is imported at its
first use. Neither time nor sockets: ``virtual_loop``, ``virtual_run``, ``memory_network``,
``virtual_cluster`` (whole systems) and ``simulation`` (cores alone). ``probes`` and ``captures``
look at actors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulsing.testing.captures import assert_loop_free, capture_log, dead_letters
    from pulsing.testing.cluster import LocalCluster
    from pulsing.testing.faults import Direction, Faults
    from pulsing.testing.leaks import assert_no_leaks, assert_nothing_left
    from pulsing.testing.namespaces import NamespaceNetwork, NetworkUnavailable
    from pulsing.testing.node import NodeFailed, NodeProcess
    from pulsing.testing.probes import ActorProbe, Received
    from pulsing.testing.processes import ProcessCluster
    from pulsing.testing.proxy import FaultProxy
    from pulsing.testing.system import pulsing_cluster, pulsing_system
    from pulsing.testing.virtual_cluster import VirtualCluster, VirtualRun, run_virtual_cluster
    from pulsing.testing.virtual_loop import Deadlock, VirtualLoop
    from pulsing.testing.virtual_run import run_virtual, virtual_time

_HOME = {
    "ActorProbe": "probes",
    "Deadlock": "virtual_loop",
    "Direction": "faults",
    "FaultProxy": "proxy",
    "Faults": "faults",
    "LocalCluster": "cluster",
    "NamespaceNetwork": "namespaces",
    "NetworkUnavailable": "namespaces",
    "NodeFailed": "node",
    "NodeProcess": "node",
    "ProcessCluster": "processes",
    "Received": "probes",
    "VirtualCluster": "virtual_cluster",
    "VirtualLoop": "virtual_loop",
    "VirtualRun": "virtual_cluster",
    "assert_loop_free": "captures",
    "assert_no_leaks": "leaks",
    "assert_nothing_left": "leaks",
    "capture_log": "captures",
    "dead_letters": "captures",
    "pulsing_cluster": "system",
    "pulsing_system": "system",
    "run_virtual": "virtual_run",
    "run_virtual_cluster": "virtual_cluster",
    "virtual_time": "virtual_run",
}
__all__ = [
    "ActorProbe",
    "Deadlock",
    "Direction",
    "FaultProxy",
    "Faults",
    "LocalCluster",
    "NamespaceNetwork",
    "NetworkUnavailable",
    "NodeFailed",
    "NodeProcess",
    "ProcessCluster",
    "Received",
    "VirtualCluster",
    "VirtualLoop",
    "VirtualRun",
    "assert_loop_free",
    "assert_no_leaks",
    "assert_nothing_left",
    "capture_log",
    "dead_letters",
    "pulsing_cluster",
    "pulsing_system",
    "run_virtual",
    "run_virtual_cluster",
    "virtual_time",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'pulsing.testing' has no attribute {name!r}")
    value = getattr(import_module(f"pulsing.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
