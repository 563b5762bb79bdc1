"""Runners: long-lived tasks in which the code of actors runs.

A method that returns without waiting costs no task of its own: a runner takes one message after
another. When a method waits, its runner stays with it, and other runners serve the rest.
``asyncio.current_task()`` is thus always a real task for the actor's code, so that
``asyncio.timeout``, task groups and locks work as everywhere.
"""

from __future__ import annotations

import asyncio
import types
from asyncio import (
    _get_running_loop,  # pyright: ignore[reportPrivateUsage]  # documented; None outside loops
)
from collections.abc import Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.invocation import CANCELLED
from pulsing.actor.producers import produce
from pulsing.actor.reply import Awaited, Wakeup
from pulsing.actor.steps import drive

if TYPE_CHECKING:
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.invocation import Invocation

NOT_STARTED: Final = object()
"""Stands for what the work waits for, before its first step."""


class Runner(Awaited):
    """One task that runs messages. While idle, the task waits for the runner itself.

    Attributes:
        task: where the actor's code runs.
        wakeup: makes an idle runner serve what is ready, now; only while no task runs.
        waits_for: what the work it took over from `Dispatcher.run_ready` waits for.
        started: the task has made its first step.
        ending: it serves no more.
    """

    __slots__ = (
        "__weakref__",
        "_asyncio_future_blocking",
        "dispatcher",
        "ending",
        "started",
        "task",
        "waits_for",
        "wakeup",
    )

    wakeup: Wakeup

    def __init__(self, dispatcher: Dispatcher, number: int) -> None:
        self.dispatcher = dispatcher
        self.started = False
        self.ending = False
        self.waits_for: object = None
        # Not loop.create_task: a task factory of the user (eager tasks) must not change this.
        self.task: asyncio.Task[None] = asyncio.Task(
            self._main(),
            loop=dispatcher.loop,
            name=f"pulsing-runner-{number}",
            context=dispatcher.context.copy(),
        )
        self.task.add_done_callback(self._ended)

    async def _main(self) -> None:
        self.started = True
        self.dispatcher.runner_started()
        await self._serve()

    @types.coroutine
    def _serve(self) -> Generator[Any, None, None]:
        dispatcher = self.dispatcher
        run_ready = dispatcher.run_ready
        while dispatcher.rest(self):
            invocation: Invocation | None = None
            while invocation is None:
                dispatcher.idle.append(self)
                self._asyncio_future_blocking = True
                yield self
                invocation = run_ready(self)
            yield from carry(self, invocation)
            del invocation

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.dispatcher.runner_ended(self)

    def add_done_callback(self, wakeup: Wakeup, *, context: Context) -> None:
        """The task is idle. Whoever wakes it need not care for its context: it has none."""
        self.wakeup = wakeup

    def cancel(self, msg: object = None) -> bool:
        """See `Awaited.cancel`; here the task is idle.

        A cancellation that its message did not consume must not hit the next one: it ends here.
        One from outside (the end of ``asyncio.run``) ends the runner.
        """
        if not self.task.cancelling():
            return True
        if not self.ending:
            self.ending = True
            self.dispatcher.runner_leaves(self)
        return False

    def forget_cancellations(self) -> int:
        """After a message: drop cancellations that were meant for it. Returns how many."""
        task = self.task
        count = task.cancelling()
        for _ in range(count):
            task.uncancel()
        return count

    def was_dropped(self) -> bool:
        """Why there is a GeneratorExit: True when the task is being destroyed, unfinished.

        Nothing can be awaited or answered then. False when the actor's code raised it.
        """
        return _get_running_loop() is None or asyncio.current_task() is not self.task


def carry(runner: Runner, invocation: Invocation) -> Generator[Any, None, None]:
    """Stay with a message that waits, or streams, until its code has ended."""
    invocation.runner = runner
    waits_for, runner.waits_for = runner.waits_for, None
    if invocation.stage is CANCELLED:
        runner.task.cancel()
    try:
        if waits_for is NOT_STARTED:
            yield from produce(invocation)
        else:
            invocation.reply((yield from drive(invocation, invocation.work, waits_for)))
    except BaseException as error:  # whatever it is, it stays with its message
        if isinstance(error, GeneratorExit) and runner.was_dropped():
            raise
        runner.dispatcher.code_raised(invocation, error)
    if runner.forget_cancellations() > (invocation.stage is CANCELLED):
        runner.ending = True  # somebody else cancels all tasks
    invocation.cell.left(invocation)
