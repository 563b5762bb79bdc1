"""Actor classes that other nodes can find by their import path."""

from __future__ import annotations

import asyncio
from enum import Enum

import pulsing as pul


@pul.remote
class Where:
    def __init__(self, value=0, fail=False):
        if fail:
            raise ValueError("init failed")
        self.value = value

    async def node(self):
        return pul.current().actor_id.node

    async def get(self):
        return self.value

    async def slow(self, seconds):
        await asyncio.sleep(seconds)
        return self.value

    async def count(self, n):
        for each in range(n):
            yield each

    async def gather(self, items):
        return [each async for each in items]

    async def call(self, other):
        return await other.node()

    async def echo(self, other):
        return other

    async def lie(self):
        raise pul.ActorNotFound("somebody else, not this one")

    def put(self, value):
        self.value = value


class Derived(pul.Actor):
    @pul.method
    async def node(self):
        return pul.current().actor_id.node


class Plain:
    """No actor class."""


class Colour(Enum):
    RED = 1
