"""A node whose actors watch each other, and other nodes' actors.

`WatchingHost` is the part of `pulsing.actor.system.ActorSystem` that tells who has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pulsing.actor.clustering import ClusteredHost
from pulsing.actor.watch_server import WatchedSide
from pulsing.actor.watching import Watching

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.exits import Terminated
    from pulsing.actor.place import Reference
    from pulsing.actor.system import ActorSystem
    from pulsing.config import SystemConfig


class WatchingHost(ClusteredHost):
    """The actors of one node, and who hears of their end."""

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, loop)
        self._watching: Watching | None = None
        self._watched_side: WatchedSide | None = None

    @property
    def watching(self) -> Watching:
        """What actors and other code of this node watch."""
        if self._watching is None:
            self._watching = Watching(cast("ActorSystem", self))
        return self._watching

    @property
    def watched_side(self) -> WatchedSide:
        """What other nodes watch here."""
        if self._watched_side is None:
            self._watched_side = WatchedSide(cast("ActorSystem", self))
        return self._watched_side

    def watch(self, actor: Reference) -> asyncio.Future[Terminated]:
        """Wait for the end of an actor, wherever it lives: ``event = await system.watch(ref)``.

        It comes exactly once: when the actor is gone for good (a restart is no end), when its
        node is dead or has left, or soon, with `ExitReason.NOT_FOUND`, when there is no such actor
        any more. A connection that is lost alone is no end. Of a reference to a name, the actor
        that got the latest call, or would get the next one, is watched. An actor of another node
        that ends before that node knows of the watch, within a round trip, is not found.

        Cancellation: cancelling what this gives ends the watch.

        Args:
            actor: a reference or proxy.

        Returns:
            A future of the `Terminated`. Fails with PulsingRuntimeError when this system is shut
            down before.

        Raises:
            TypeError: ``actor`` is no reference.
            ActorNotFound: nothing is registered by the name it stands for.
        """
        return self.watching.watch_outside(actor).future

    async def _end_watch_sessions(self) -> None:
        """Other nodes hear what there is to tell, and nothing more."""
        if self._watched_side is not None:
            await self._watched_side.finish()

    def _end_watching(self) -> None:
        if self._watching is not None:
            self._watching.close()
