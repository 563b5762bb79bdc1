"""What other processes host for the tests of watches and links: ``--import`` this module."""

from __future__ import annotations

import pulsing as pul


@pul.remote
class Sentry:
    """Watches whoever it is told, and says what it heard."""

    def __init__(self) -> None:
        self.heard: list[pul.Terminated] = []

    async def on_terminated(self, event: pul.Terminated) -> None:
        self.heard.append(event)

    async def watch(self, whom: pul.ActorRef) -> None:
        await pul.current().watch(whom)

    async def link(self, whom: pul.ActorRef) -> None:
        await pul.current().link(whom)

    async def events(self) -> list[pul.Terminated]:
        return self.heard

    async def ping(self) -> str:
        return "pong"


async def pulsing_setup(system: pul.ActorSystem) -> None:
    await Sentry.spawn(name="sentry", system=system)
