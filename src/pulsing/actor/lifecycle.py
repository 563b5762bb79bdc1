"""The life of a cell: starting, running, stopping, stopped, and the hooks in between."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.exits import ExitReason
from pulsing.actor.invocation import INVOCATION_SLOTS, RUNNING, Invocation
from pulsing.actor.methods import Executor, Method, MethodKind
from pulsing.actor.producers import exclusively
from pulsing.actor.steps import DONE, Wait, begin, call, drive, finish
from pulsing.errors import ActorStopped, Delivery

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell

_log = logging.getLogger(__name__)

LEAVE_S: Final = 5.0
"""How long cancelled code may take to leave before the actor is given up."""


class CellState(Enum):
    """How far the life of an actor has come."""

    __hash__ = object.__hash__  # that of enums is slow

    STARTING = "starting"
    """``on_start`` runs; messages wait."""
    RUNNING = "running"
    """Messages are handled."""
    RESTARTING = "restarting"
    """Its code has failed: messages wait until another instance runs."""
    STOPPING = "stopping"
    """New messages are refused; the rest is finished or cancelled, then ``on_stop`` runs."""
    STOPPED = "stopped"
    """None of its code will run again."""


class CellEvent(Enum):
    """What moves a cell from one state to the next."""

    __hash__ = object.__hash__

    STARTED = "started"
    START_FAILED = "start_failed"
    FAILED = "failed"
    STOP_ASKED = "stop_asked"
    ENDED = "ended"


_NEXT: Final = {
    (CellState.STARTING, CellEvent.STARTED): CellState.RUNNING,
    (CellState.STARTING, CellEvent.START_FAILED): CellState.STOPPED,
    (CellState.STARTING, CellEvent.STOP_ASKED): CellState.STOPPING,
    (CellState.RUNNING, CellEvent.STOP_ASKED): CellState.STOPPING,
    (CellState.RUNNING, CellEvent.FAILED): CellState.RESTARTING,
    (CellState.RESTARTING, CellEvent.STARTED): CellState.RUNNING,
    (CellState.RESTARTING, CellEvent.STOP_ASKED): CellState.STOPPING,
    # ``on_start`` failed while a stop waited for it to end.
    (CellState.STOPPING, CellEvent.START_FAILED): CellState.STOPPING,
    (CellState.STOPPING, CellEvent.ENDED): CellState.STOPPED,
}


def next_state(state: CellState, event: CellEvent) -> CellState:
    """The state that follows. Raises RuntimeError for an event that cannot happen there."""
    try:
        return _NEXT[state, event]
    except KeyError:
        raise RuntimeError(f"a {state.value} cell cannot be told {event.value}") from None


class _HookRun(Invocation):
    """A hook that runs. There is no caller: what it raises goes to whoever runs it."""

    __slots__ = (*INVOCATION_SLOTS, "value")

    def __init__(self, cell: Cell, hook: Method, args: tuple[Any, ...]) -> None:
        self.prepare_invocation(cell, hook, args, None, None)
        self.stage = RUNNING
        self.context = cell.context
        self.value: Any = None

    def reply(self, value: Any) -> None:
        """What the hook returned."""
        self.value = value


async def run_hook(cell: Cell, name: str, *args: Any) -> Any:
    """Run a hook of the actor, if it has it: async on the loop, ``def`` in a worker thread.

    Returns what the hook returns.

    Raises whatever the hook raises. The hook runs in the context every message starts with.
    """
    hook = _hook(cell.table.owner, name)
    if hook is None:
        return None
    run = _HookRun(cell, hook, args)
    cell.active += 1
    try:
        await _run(run)
    finally:
        cell.active -= 1
        run.drop()
    return run.value


@lru_cache(maxsize=1024)
def _hook(owner: type[Any], name: str) -> Method | None:
    if not callable(getattr(owner, name, None)):
        return None
    return Method(owner, name, inspect.getattr_static(owner, name), Executor.THREAD)


@types.coroutine
def _run(run: _HookRun) -> Wait:
    assert run.context is not None
    if run.method.kind is not MethodKind.ASYNC:
        result = yield from exclusively(run, call, run)
        if inspect.iscoroutine(result):
            result = yield from finish(run, result)
        run.reply(result)
        return
    waits_for = run.context.run(begin, run)
    if waits_for is not DONE:
        run.reply((yield from drive(run, run.work, waits_for)))


async def start(cell: Cell) -> None:
    """Run ``on_start`` and let messages in.

    Raises:
        ActorStopped: it was stopped meanwhile.
        Exception: what ``on_start`` raised. The cell is stopped, messages that waited are refused.
    """
    try:
        await run_hook(cell, "on_start", cell.actor_id)
    except BaseException as raised:
        cell.doom(ExitReason.ERROR, raised)
        cell.advance(CellEvent.START_FAILED)
        cell.evict()
        cell.reschedule()
        if cell.children:
            await cell.stop_children()
        raise
    if cell.state is not CellState.STARTING:
        cell.reschedule()
        error = f"actor {cell.label} was stopped while it started"
        raise ActorStopped(error, delivered=Delivery.NO)
    cell.advance(CellEvent.STARTED)
    cell.reschedule()


async def run_on_stop(cell: Cell, seconds: float) -> None:
    """Run ``on_stop``, for so long at most. What becomes of it stops nothing; it is logged."""
    if _hook(cell.table.owner, "on_stop") is None:
        return
    work = run_hook(cell, "on_stop")
    task = cell.dispatcher.keep(work, name=f"pulsing-on-stop-{cell.label}")
    _, late = await asyncio.wait((task,), timeout=seconds)
    if late:
        task.cancel()
        _log.error(
            "actor %s: on_stop did not end within %g s; the actor stops all the same",
            cell.label, seconds,
        )  # fmt: skip
    elif not task.cancelled() and (error := task.exception()) is not None:
        _log.error(
            "actor %s: on_stop failed; the actor stops all the same", cell.label, exc_info=error
        )


class Stopping:
    """The end of a cell, from the first request to stop it.

    Attributes:
        ended: done once the actor has stopped.
        is_kill: ``on_stop`` is not to run.
    """

    __slots__ = ("_children_grace", "_grace", "_idle", "ended", "is_kill")

    def __init__(self, cell: Cell, grace_s: float) -> None:
        dispatcher = cell.dispatcher
        self.ended: asyncio.Future[None] = dispatcher.loop.create_future()
        self.is_kill = False
        self._idle: asyncio.Future[None] | None = None
        self._grace = self._children_grace = grace_s
        if cell.state is CellState.STOPPED:
            self.ended.set_result(None)
            return
        runs = cell.state is CellState.RUNNING
        ran = runs or (cell.keeper is not None and cell.keeper.is_leaving)
        cell.advance(CellEvent.STOP_ASKED)
        if not runs:
            cell.evict()
        dispatcher.keep(self._run(cell, ran), name=f"pulsing-stop-{cell.label}")

    def hurry(self) -> None:
        """Give no more grace."""
        self._children_grace = 0.0
        if self._grace > 0:
            self._grace = 0.0
            self._end_wait()

    def look(self, cell: Cell) -> None:
        """Something ended; perhaps it was the last."""
        if self._idle is not None and cell.is_idle():
            self._end_wait()

    def _end_wait(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _wait_idle(self, cell: Cell, seconds: float) -> None:
        if cell.is_idle():
            return
        self._idle = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._idle,), timeout=seconds)
        self._idle = None

    async def _run(self, cell: Cell, ran: bool) -> None:
        try:
            if cell.keeper is not None:
                await cell.keeper.abandon()
            if self._grace > 0:
                await self._wait_idle(cell, self._grace)
            self._grace = 0.0
            cell.evict()
            await self._wait_idle(cell, LEAVE_S)
            if not cell.is_idle():
                _log.error(
                    "actor %s: %d calls ignored their cancellation for %.0f s and are left behind",
                    cell.label, cell.active + cell.exclusive, LEAVE_S,
                )  # fmt: skip
            if cell.children:
                await cell.stop_children(self._children_grace)
            if ran and not self.is_kill and cell.is_idle():
                await run_on_stop(cell, max(LEAVE_S, self._children_grace))
        finally:
            cell.advance(CellEvent.ENDED)
            if not self.ended.done():
                self.ended.set_result(None)
