"""Actors of this node that other nodes watch: one `WatchSession` for each of those nodes.

A session is a stream of the steward (`pulsing.actor.steward`), on which the ends of actors are
told as they happen. What it watches is ordered beside it, in `WatchedSide.order`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.refs import ActorRef
from pulsing.actor.watch import text_for
from pulsing.errors import ActorNotFound, PulsingRuntimeError
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.system import ActorSystem

MAX_REMEMBERED: Final = 10_000
"""Ends that are remembered for watchers whose connection was lost meanwhile."""
MAX_ENDS: Final = 200
"""Told in one item of the stream."""
FINISH_S: Final = 1.0
"""For as long watchers may take to hear of the last ends when the node shuts down."""


class WatchSession:
    """What one other node watches here.

    Attributes:
        number: by which the other node names it.
        node_id: of the other node.
        addr: where it listens, or None.
        closed: done once nobody is told anything any more.
    """

    def __init__(self, number: int, node_id: str, addr: str | None) -> None:
        self.number = number
        self.node_id = node_id
        self.addr = addr
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watched: dict[int, Cell] = {}
        self._ends: deque[list[Any]] = deque()
        self._changed = asyncio.Event()
        self._finishing = False

    def watch(self, cell: Cell) -> None:
        """Tell of the end of an actor."""
        self._watched[cell.actor_id.local] = cell
        cell.on_exit(self._ended)

    def drop(self, local: int) -> None:
        """Tell it no more."""
        cell = self._watched.pop(local, None)
        if cell is not None:
            cell.off_exit(self._ended)

    def _ended(self, cell: Cell, reason: ExitReason, error: BaseException | None) -> None:
        local = cell.actor_id.local
        if self._watched.pop(local, None) is not None:
            self._ends.append([local, reason.value, text_for(reason, error)])
            self._changed.set()

    def finish(self) -> None:
        """Tell what has happened, and end."""
        self._finishing = True
        self._changed.set()

    async def events(self) -> AsyncGenerator[Any, None]:
        """The number of the session, then who has ended, several at a time."""
        try:
            yield self.number
            while True:
                while self._ends:
                    yield [self._ends.popleft() for _ in range(min(len(self._ends), MAX_ENDS))]
                if self._finishing:
                    return
                self._changed.clear()
                await self._changed.wait()
        finally:
            for local in list(self._watched):
                self.drop(local)
            if not self.closed.done():
                self.closed.set_result(None)


class WatchedSide:
    """The sessions of all nodes that watch actors of this one."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._sessions: dict[int, WatchSession] = {}
        self._last = 0
        self._remembered: dict[int, tuple[ExitReason, str | None]] = {}

    async def serve(self, node_id: str, addr: str | None) -> AsyncGenerator[Any, None]:
        """A session with a node: its number, and then who has ended."""
        if not self._system.is_running:
            raise PulsingRuntimeError(f"node {self._system.node_name} is shutting down")
        self._last += 1
        session = self._sessions[self._last] = WatchSession(self._last, node_id, addr)
        try:
            async with aclosing(session.events()) as events:
                async for each in events:
                    yield each
        finally:
            del self._sessions[session.number]

    def order(
        self,
        number: int,
        watch: Iterable[int],
        again: Iterable[int],
        drop: Iterable[int],
        link: Iterable[tuple[int, int]],
        unlink: Iterable[tuple[int, int]],
    ) -> list[list[Any]]:
        """Carry out what a node wants of its session.

        Returns:
            The actors to watch that are gone already: number, reason, error.

        Raises:
            ActorNotFound: there is no such session.
        """
        session = self._sessions.get(number)
        if session is None:
            raise ActorNotFound(f"no watch session {number} on node {self._system.node_name}")
        for local in drop:
            session.drop(local)
        gone = [local for local in watch if not self._watch(session, local)]
        missing: list[list[Any]] = [[local, ExitReason.NOT_FOUND.value, None] for local in gone]
        for local in again:
            if not self._watch(session, local):
                reason, error = self._remembered.get(local, (ExitReason.NOT_FOUND, None))
                missing.append([local, reason.value, error])
        for local, theirs in link:
            self._link(session, local, theirs)
        for local, theirs in unlink:
            cell = self._system.numbered(local)
            if cell is not None:
                self._system.watching.unlink_here(cell, ActorId(session.node_id, theirs))
        return missing

    def _watch(self, session: WatchSession, local: int) -> bool:
        cell = self._system.numbered(local)
        if cell is None:
            return False
        session.watch(cell)
        cell.on_exit(self._remember)
        return True

    def _link(self, session: WatchSession, local: int, theirs: int) -> None:
        """An actor of the other node was linked to one here: the other half of the link."""
        cell = self._system.numbered(local)
        if cell is None:
            return  # it hears that it is gone
        place = self._system.arrived(
            ActorId(session.node_id, theirs),
            name=None,
            host_port=session.addr,
            class_name="actor",
        )
        self._system.watching.link_here(cell, ActorRef(place))

    def _remember(self, cell: Cell, reason: ExitReason, error: BaseException | None) -> None:
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[cell.actor_id.local] = (reason, text_for(reason, error))

    async def finish(self) -> None:
        """Let all sessions end, after what they have to tell; for a bounded time."""
        sessions = list(self._sessions.values())
        for session in sessions:
            session.finish()
        if sessions:
            await asyncio.wait([each.closed for each in sessions], timeout=FINISH_S)
