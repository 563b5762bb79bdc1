"""A system, or a cluster of them, for one test."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pulsing.actor.system import ActorSystem
    from pulsing.config import SystemConfig
    from pulsing.testing.cluster import LocalCluster
    from pulsing.testing.processes import ProcessCluster


@asynccontextmanager
async def pulsing_system(
    addr: str | None = None,
    *,
    passphrase: str | None = None,
    config: SystemConfig | None = None,
) -> AsyncGenerator[ActorSystem]:
    """The node of this process for the block, which must leave nothing behind.

    It ignores the environment and configuration files, so that tests run everywhere alike.

    Args:
        addr: where it listens; default: standalone.
        passphrase: the secret of the cluster.
        config: everything; the others win over it.

    Raises:
        AssertionError: the process has a node already, or a task, a thread or a socket is left.
    """
    # Late: every pytest run where Pulsing is installed imports this package.
    from pulsing.actor import api
    from pulsing.config import SystemConfig
    from pulsing.testing import reports
    from pulsing.testing.leaks import Leaks

    assert not api.is_initialized(), "this process has a node already; a test left it running"
    config = config if config is not None else SystemConfig()
    leaks = Leaks()
    system = await api.init(addr, passphrase=passphrase, config=config)

    def report() -> str:
        lines = [f"the node {system.node_id[:8]} of this process"]
        return "\n".join(lines + reports.actor_lines(system.actors()))

    try:
        with reports.reported(report):
            yield system
    except Exception:
        reports.FAILED.append(report())
        raise
    finally:
        await api.shutdown()
    await leaks.assert_none()


@overload
def pulsing_cluster(
    nodes: int, *, processes: Literal[False] = False, **options: Any
) -> LocalCluster: ...
@overload
def pulsing_cluster(nodes: int, *, processes: Literal[True], **options: Any) -> ProcessCluster: ...
def pulsing_cluster(
    nodes: int, *, processes: bool = False, **options: Any
) -> LocalCluster | ProcessCluster:
    """A cluster for the block of ``async with``, which has converged when the block begins.

        async with pulsing_cluster(3) as cluster:
            counter = await cluster[0].system.spawn(Counter, name="counter")
            cluster.partition([0], [1, 2])

    Args:
        nodes: how many.
        processes: False: systems on the running loop, started in milliseconds. True: a process
            each, with relays between them.
        options: of `LocalCluster` or `ProcessCluster`.
    """
    if processes:
        from pulsing.testing.processes import ProcessCluster

        options.setdefault("faults", True)
        return ProcessCluster(nodes, **options)
    from pulsing.testing.cluster import LocalCluster

    return LocalCluster(nodes, **options)
