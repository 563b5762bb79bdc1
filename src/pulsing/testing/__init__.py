"""Tools for testing programs that use Pulsing; Pulsing's own tests use nothing else.

Owns: what a test needs around a system: nodes in processes of their own, systems and whole clusters
in the test's own process, the faults of processes and networks, and the check that nothing stays
behind. Must not know: anything private of the other packages. Read: ``system``, ``leaks`` and
``node``; ``handle`` with its two kinds ``cluster`` and ``processes`` (and ``observer``, which runs
inside those); for faults ``faults``, ``relay``, ``proxy``, ``fabric``, ``namespaces``;
``plugin`` is active wherever Pulsing is installed, which is why everything here is imported at its
first use. ``virtual_run`` and ``simulation`` need neither time nor sockets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulsing.testing.cluster import LocalCluster
    from pulsing.testing.faults import Direction, Faults
    from pulsing.testing.leaks import assert_no_leaks, assert_nothing_left
    from pulsing.testing.namespaces import NamespaceNetwork, NetworkUnavailable
    from pulsing.testing.node import NodeFailed, NodeProcess
    from pulsing.testing.processes import ProcessCluster
    from pulsing.testing.proxy import FaultProxy
    from pulsing.testing.system import pulsing_cluster, pulsing_system

_HOME = {
    "Direction": "faults",
    "FaultProxy": "proxy",
    "Faults": "faults",
    "LocalCluster": "cluster",
    "NamespaceNetwork": "namespaces",
    "NetworkUnavailable": "namespaces",
    "NodeFailed": "node",
    "NodeProcess": "node",
    "ProcessCluster": "processes",
    "assert_no_leaks": "leaks",
    "assert_nothing_left": "leaks",
    "pulsing_cluster": "system",
    "pulsing_system": "system",
}
__all__ = [
    "Direction",
    "FaultProxy",
    "Faults",
    "LocalCluster",
    "NamespaceNetwork",
    "NetworkUnavailable",
    "NodeFailed",
    "NodeProcess",
    "ProcessCluster",
    "assert_no_leaks",
    "assert_nothing_left",
    "pulsing_cluster",
    "pulsing_system",
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
