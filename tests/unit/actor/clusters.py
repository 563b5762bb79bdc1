"""Several systems in one process that see each other through a cluster without a protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pulsing as pul
from pulsing.cluster.agent import MemberEvent
from pulsing.cluster.members import Member, MemberStatus, NodeInfo, Registration


class World:
    """What everybody knows at once; tests change it as if the network had."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.registered: dict[str, tuple[Registration, ...]] = {}
        self.views: list[View] = []

    def change(self, node_id: str, **facts: Any) -> None:
        """Let a member be something else, and tell everybody."""
        before = self.members.get(node_id)
        assert before is not None
        after = Member(
            before.info,
            facts.get("status", before.status),
            before.incarnation + 1,
            facts.get("busy", before.busy),
        )
        self.members[node_id] = after
        if not after.is_present:
            for name, found in list(self.registered.items()):
                self.registered[name] = tuple(each for each in found if each.node_id != node_id)
        self.tell(MemberEvent(after, before.status))

    def tell(self, event: MemberEvent) -> None:
        for view in self.views:
            for callback in list(view.callbacks):
                callback(event)

    def put(self, registration: Registration) -> None:
        others = [
            each
            for each in self.registered.get(registration.name, ())
            if each.node_id != registration.node_id
        ]
        found = sorted([*others, registration], key=lambda each: each.node_id)
        self.registered[registration.name] = tuple(found)


class View:
    """A `ClusterView` onto the world."""

    def __init__(self, world: World, info: NodeInfo) -> None:
        self.world = world
        self.info = info
        self.callbacks: list[Callable[[MemberEvent], None]] = []
        self.waiters: list[Any] = []
        self.left = self.closed = 0
        self.last_stall: dict[str, Any] | None = None
        world.members[info.node_id] = Member(info, MemberStatus.ALIVE, 0)
        world.views.append(self)

    def members(self) -> list[Member]:
        everybody = self.world.members.values()
        return sorted(everybody, key=lambda each: each.node_id != self.info.node_id)

    def member(self, node: str) -> Member | None:
        named = [each for each in self.world.members.values() if each.info.name == node]
        return self.world.members.get(node) or (named[0] if len(named) == 1 else None)

    def lookup(self, name: str) -> Sequence[Registration]:
        return self.world.registered.get(name, ())

    def names(self) -> Mapping[str, Sequence[Registration]]:
        return {name: found for name, found in self.world.registered.items() if found}

    async def wait_for_name(self, name: str, timeout_s: float) -> Sequence[Registration]:
        import asyncio

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.lookup(name):
                    await asyncio.sleep(0.002)
        return self.lookup(name)

    def register(self, name: str, local: int, class_name: str) -> None:
        self.world.put(Registration(name, self.info.node_id, local, class_name))

    def unregister(self, name: str) -> None:
        found = self.world.registered.get(name, ())
        self.world.registered[name] = tuple(
            each for each in found if each.node_id != self.info.node_id
        )

    def subscribe(self, callback: Callable[[MemberEvent], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback) if callback in self.callbacks else None

    async def leave(self) -> None:
        self.left += 1
        if self.world.members[self.info.node_id].is_present:
            self.world.change(self.info.node_id, status=MemberStatus.LEFT)

    async def close(self) -> None:
        self.closed += 1
        self.callbacks.clear()


async def start(world: World, **settings: Any) -> pul.ActorSystem:
    """One more system of the world; the caller shuts it down."""
    system = await pul.ActorSystem.create(pul.SystemConfig(addr="127.0.0.1:0", **settings))
    if system.cluster is not None:
        await system.cluster.close()
    system.join(View(world, system.node_info))
    return system


@contextlib.asynccontextmanager
async def systems(*settings: dict[str, Any]) -> AsyncIterator[list[pul.ActorSystem]]:
    """Systems that are members of one cluster, ``system.cluster.world``; shut down at the end."""
    world = World()
    made: list[pul.ActorSystem] = []
    try:
        for each in settings:
            made.append(await start(world, **each))  # noqa: PERF401 - those made are ended
        yield made
    finally:
        for system in made:
            await system.shutdown()
