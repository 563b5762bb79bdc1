"""A system for one test."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pulsing.actor.system import ActorSystem
    from pulsing.config import SystemConfig


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
        AssertionError: the process has a node already.
    """
    # Late: every pytest run where Pulsing is installed imports this package.
    from pulsing.actor import api
    from pulsing.config import SystemConfig

    assert not api.is_initialized(), "this process has a node already; a test left it running"
    config = config if config is not None else SystemConfig()
    system = await api.init(addr, passphrase=passphrase, config=config)
    try:
        yield system
    finally:
        await api.shutdown()
