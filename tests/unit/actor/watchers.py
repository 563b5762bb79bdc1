"""Actors that watch and are watched, for tests of one process."""

from __future__ import annotations

import asyncio
import contextlib

import pulsing as pul


class Watcher(pul.Actor):
    """Keeps what it hears; does with its context what it is told."""

    def __init__(self, trap=False):
        self.trap = trap
        self.events = asyncio.Queue()
        self.trace = []
        self.stopped = False

    async def on_start(self, actor_id):
        if self.trap:
            pul.current().trap_exits()

    async def on_terminated(self, event):
        self.trace.append(event)
        self.events.put_nowait(event)

    async def on_stop(self):
        self.stopped = True

    async def do(self, verb, *args):
        given = getattr(pul.current(), verb)(*args)
        if given is not None:
            await given

    async def note(self, value):
        self.trace.append(value)

    def do_in_a_thread(self, verb, *args):
        getattr(pul.current(), verb)(*args)

    async def sender(self):
        return pul.current().sender

    async def ask_sender_of(self, other):
        return await other.sender()


class Worker(pul.Actor):
    """Lives until somebody ends it."""

    async def ping(self):
        return "pong"


@contextlib.asynccontextmanager
async def nodes(count=1, **settings):
    """Systems that listen, each in a cluster of its own."""
    made = []
    try:
        for _ in range(count):
            config = pul.SystemConfig(addr="127.0.0.1:0", **settings)
            made.append(await pul.ActorSystem.create(config))
        yield made if count > 1 else made[0]
    finally:
        for system in made:
            await system.shutdown()


async def started(system, **options):
    """A watcher's object and a reference to it."""
    watcher = Watcher(**options)
    return watcher, await system.spawn(watcher)


async def hears(watcher):
    async with asyncio.timeout(10):
        return await watcher.events.get()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def seen_from(system, ref):
    """A reference to an actor of another system."""
    return await system.resolve(str(ref.address))


def end(system, ref, reason=pul.ExitReason.NORMAL, error=None):
    """Let an actor end in some way."""
    return system.numbered(ref.actor_id.local).stop(reason=reason, error=error)
