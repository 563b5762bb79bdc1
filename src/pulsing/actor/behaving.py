"""The actor that follows a behaviour."""

from __future__ import annotations

import inspect
import types
from asyncio import CancelledError
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing import clock
from pulsing.actor.behaviors import (
    SAME,
    STOP,
    UNHANDLED,
    Become,
    Behavior,
    BehaviorAction,
    BehaviorContext,
    ReceiveTimeout,
    Setup,
    Stateful,
    is_behavior,
)
from pulsing.actor.deadline import SCOPE
from pulsing.actor.exits import Terminated
from pulsing.actor.lifecycle import LEAVE_S
from pulsing.actor.methods import Executor
from pulsing.actor.scheduling import MessageTimer, check_interval
from pulsing.actor.stash import Postponed, Stash
from pulsing.actor.threads import ThreadCall
from pulsing.errors import PulsingUnsupportedError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.invocation import Invocation
    from pulsing.actor.message_types import Accepts
    from pulsing.actor.steps import Wait
    from pulsing.ids import ActorId

_SIGNALS: Final = (ReceiveTimeout, Terminated)
"""Messages of the runtime: they reach the handler whatever its annotation says."""
_MAX_SETUPS: Final = 100
"""Behaviours that only make others, one after another, before that is taken for an error."""


class Behaving:
    """An actor that does what its behaviour says. Its cell takes one message at a time."""

    def __init__(self, behavior: Behavior[Any]) -> None:
        self.accepts: Accepts | None = behavior.accepts
        self._behavior: Behavior[Any] = behavior.fresh()
        self._idle: IdleTimer | None = None
        self._stopping = False

    stash: Stash

    async def on_start(self, actor_id: ActorId) -> None:
        """Make the behaviour, if it is made by a `setup`."""
        scope = SCOPE.get()
        assert scope is not None
        assert scope.cell is not None
        cell = scope.cell
        self.stash = cell.stash = Stash(cell)
        ctx: BehaviorContext[Any] = BehaviorContext(cell, None, self, None)
        self._behavior = await self._made(cell, self._behavior, ctx)
        if self.accepts is None:
            self.accepts = self._behavior.accepts

    async def receive(self, msg: Any) -> Any:
        """Handle one message; gives the reply."""
        invocation = _message_in_hand()
        cell = invocation.cell
        behavior = self._behavior_for(cell, msg)
        ctx: BehaviorContext[Any] = BehaviorContext(cell, invocation, self, msg)
        try:
            action = await self._call(cell, behavior.handler, behavior.state, msg, ctx)
        except BaseException:
            ctx.close()
            raise
        return await self._conclude(behavior, action, ctx, invocation, msg)

    def _behavior_for(self, cell: Cell, msg: object) -> Stateful[Any]:
        """The behaviour of now. Raises PulsingUnsupportedError for a message it does not take."""
        behavior = cast("Stateful[Any]", self._behavior)
        accepts = behavior.accepts
        if accepts is not None and not accepts.allows(msg) and not isinstance(msg, _SIGNALS):
            raise _unhandled(cell, behavior, msg)
        if self._idle is not None:
            self._idle.last = clock.monotonic()
        return behavior

    async def _conclude(
        self,
        behavior: Stateful[Any],
        action: Any,
        ctx: BehaviorContext[Any],
        invocation: Invocation,
        msg: object,
    ) -> Any:
        """On the loop: do what the handler returned, and what it asked of the context."""
        try:
            if inspect.isawaitable(action):
                action = await action
            if action is not None and action is not SAME:
                await self._follow(invocation.cell, behavior, action, ctx, msg)
        finally:
            answer = ctx.close()
            if self._idle is not None:
                self._idle.last = clock.monotonic()
        if ctx.unstashing:
            self.stash.restore()
        if ctx.stashing and self.stash.put(invocation, (msg,)):
            raise Postponed
        return answer

    async def _follow(
        self,
        cell: Cell,
        behavior: Stateful[Any],
        action: object,
        ctx: BehaviorContext[Any],
        msg: object,
    ) -> None:
        """Do what the handler returned."""
        if isinstance(action, Become):
            self._behavior = await self._made(cell, action.behavior, ctx)
        elif action is STOP:
            cell.finish(grace_s=LEAVE_S)  # for this message, which has yet to be answered
            if cell.stopping is not None:  # else it is restarted, and keeps what waits
                cell.refuse_waiting()
        elif action is UNHANDLED:
            raise _unhandled(cell, behavior, msg)
        elif is_behavior(action):
            raise TypeError(f"{behavior.name} returned {action!r}; did you mean Become(...)?")
        elif not isinstance(action, BehaviorAction):
            raise TypeError(
                f"{behavior.name} returned {action!r}, which is no BehaviorAction; answers are "
                "given with ctx.reply(...)"
            )

    async def _made(
        self, cell: Cell, behavior: Behavior[Any], ctx: BehaviorContext[Any]
    ) -> Behavior[Any]:
        """The behaviour itself, when this one makes it."""
        for _ in range(_MAX_SETUPS):
            if not isinstance(behavior, Setup):
                return behavior
            made = await self._call(cell, behavior.factory, ctx)
            if not is_behavior(made):
                raise TypeError(f"{behavior!r} is to make a behaviour, and made {made!r}")
            behavior = made
        raise TypeError(f"{behavior!r} makes behaviours that only make others, without end")

    async def _call(self, cell: Cell, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the user's function where it belongs: async on the loop, ``def`` in a thread."""
        if cell.options.executor is Executor.LOOP or _is_async(function):
            result = function(*arguments)
        else:
            job = ThreadCall(cell, copy_context(), function, arguments)
            cell.occupy(job)
            try:
                await _ended(job)
            except CancelledError:
                # Whoever asked is gone, but the function has run to its end: what it decided
                # counts. One that has a coroutine to run yet is cancelled like any other.
                result = job.outcome()
                if inspect.isawaitable(result):
                    raise
            else:
                result = job.outcome()
        if inspect.isawaitable(result):
            return await result
        return result

    def set_receive_timeout(self, cell: Cell, seconds: float | None) -> None:
        """See `BehaviorContext.set_receive_timeout`."""
        checked = None if seconds is None else check_interval(seconds)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if checked is not None:
            self._idle = IdleTimer(cell, checked)
            cell.dispatcher.timers.submit(self._idle)


class BehavingInThreads(Behaving):
    """The same for behaviours with a ``def`` handler: consecutive messages are one job.

    What a handler returned besides `BehaviorAction.Same` is done on the loop, before the next
    message: the rest of the job is given back until then.
    """

    def receive(self, msg: Any) -> Any:
        """See `Behaving.receive`. Runs in a worker thread; may give a coroutine for the loop."""
        invocation = _message_in_hand()
        cell = invocation.cell
        behavior = self._behavior_for(cell, msg)
        if _is_async(behavior.handler):
            _end_job(cell)
            return super().receive(msg)
        ctx: BehaviorContext[Any] = BehaviorContext(cell, invocation, self, msg)
        try:
            action = behavior.handler(behavior.state, msg, ctx)
        except BaseException:
            ctx.close()
            raise
        if (action is None or action is SAME) and not (ctx.stashing or ctx.unstashing):
            if self._idle is not None:
                self._idle.last = clock.monotonic()
            return ctx.close()
        _end_job(cell)
        return self._conclude(behavior, action, ctx, invocation, msg)


def actor_class(behavior: Behavior[Any], executor: Executor | None) -> type[Behaving]:
    """The class of actors that follow the behaviour, as it is at first, in the cheapest way."""
    if executor is Executor.LOOP or not isinstance(behavior, Stateful):
        return Behaving
    return Behaving if _is_async(behavior.handler) else BehavingInThreads


def _message_in_hand() -> Invocation:
    scope = SCOPE.get()
    assert scope is not None
    assert scope.invocation is not None
    return scope.invocation


def _end_job(cell: Cell) -> None:
    """Let no other message of the job in this thread begin before the loop had its turn."""
    if cell.job is not None:
        cell.job.interrupted = True


class IdleTimer(MessageTimer):
    """Sends `ReceiveTimeout` when no message came for a while.

    Messages do not touch the heap of timers: they leave the time here, and the timer looks at it
    when it is due.

    Attributes:
        last: when the latest message was dealt with.
    """

    __slots__ = ("_seconds", "last")

    def __init__(self, cell: Cell, seconds: float) -> None:
        self.last = clock.monotonic()
        receive = cell.table.receive
        assert receive is not None
        super().__init__(cell, self.last + seconds, (receive, (ReceiveTimeout(seconds),), None))
        self._seconds = seconds

    def due(self, now: float) -> None:
        """See `Timer.due`."""
        if not self.cell.is_idle():
            self.last = now
        if self.last + self._seconds <= now:
            self.send()
        else:
            self._wait()

    def dealt_with(self) -> None:
        """See `MessageTimer.dealt_with`."""
        super().dealt_with()
        if self.active:
            self.last = clock.monotonic()
            self._wait()

    def _wait(self) -> None:
        self.when = self.last + self._seconds
        self.cell.dispatcher.timers.add(self)


@types.coroutine
def _ended(job: ThreadCall) -> Wait:
    yield from job.wait()


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - not whether it can be called
    )


def _unhandled(cell: Cell, behavior: Behavior[Any], msg: object) -> PulsingUnsupportedError:
    shown = repr(msg)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    takes = "" if behavior.accepts is None else f", which takes {behavior.accepts}"
    return PulsingUnsupportedError(
        f"{cell.label} has no use for {type(msg).__qualname__} {shown} as {behavior.name}{takes}"
    )
