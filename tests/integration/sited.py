"""One actor of the same name on every node, for tests of clusters: ``--import`` this module."""

from __future__ import annotations

import asyncio
import os
import time

import pulsing as pul


@pul.remote
class Site:
    """Tells in which process it is, and misbehaves on request."""

    async def pid(self) -> int:
        return os.getpid()

    async def slow_pid(self, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return os.getpid()

    async def block_loop(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - on purpose


async def pulsing_setup(system: pul.ActorSystem) -> None:
    await Site.spawn(name="site", system=system)
