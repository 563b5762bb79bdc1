"""Tools for testing programs that use Pulsing; Pulsing's own tests use nothing else.

Owns: what a test needs around a system: a node in a process of its own that can be stopped, killed
and frozen, a system in the test's own process, and the check that nothing stays behind. Must not
know: anything private of the other packages. Read: ``node``, ``system``, ``leaks``, ``plugin``
(active wherever Pulsing is installed).
"""

from pulsing.testing.faults import Direction, Faults
from pulsing.testing.leaks import assert_no_leaks, assert_nothing_left
from pulsing.testing.node import NodeFailed, NodeProcess
from pulsing.testing.proxy import FaultProxy
from pulsing.testing.system import pulsing_system

__all__ = [
    "Direction",
    "FaultProxy",
    "Faults",
    "NodeFailed",
    "NodeProcess",
    "assert_no_leaks",
    "assert_nothing_left",
    "pulsing_system",
]
