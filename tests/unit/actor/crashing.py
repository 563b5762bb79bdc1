"""An actor that fails on demand, and is restarted without waiting."""

from __future__ import annotations

import asyncio

import pulsing as pul
from pulsing.actor.lifecycle import CellState

AT_ONCE = {"restart_policy": "on_failure", "min_backoff": 0.0, "max_backoff": 0.0}


class Crashed(Exception):
    pass


@pul.remote(**AT_ONCE)
class Counter:
    def __init__(self, value=0, log=None):
        self.value = value
        self.log = [] if log is None else log
        self.log.append("made")

    async def on_start(self, actor_id):
        self.log.append("start")

    async def on_restart(self, error, attempt):
        self.log.append(("restart", str(error), attempt))

    async def on_stop(self):
        self.log.append("stop")

    async def incr(self):
        self.value += 1
        return self.value

    def incr_in_thread(self):
        self.value += 1
        return self.value

    async def fail(self, text="broken"):
        raise Crashed(text)

    def fail_in_thread(self):
        raise Crashed("in a thread")

    async def items(self, n):
        for item in range(n):
            yield item
        raise Crashed("in a stream")

    async def fail_with(self, error):
        raise error

    async def nap(self, seconds):
        await asyncio.sleep(seconds)
        return "slept"

    async def identity(self):
        return id(self)

    async def end(self):
        pul.current().stop()


def cell_of(system, proxy):
    return system.numbered(proxy.actor_id.local)


async def settled(system, proxy, until):
    """Wait until a restart is over."""
    cell = cell_of(system, proxy)
    await until(lambda: cell.state is not CellState.RESTARTING)
    return cell
