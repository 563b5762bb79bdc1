"""Something a task waits for, woken without a turn of the loop.

asyncio lets a task wait for any object that behaves like a future. These here keep the wakeup of
the waiting task, and the dispatcher calls it directly once no other task runs: that saves the
``call_soon`` and the loop turn that a real `asyncio.Future` costs on every answer.

Each is awaited by at most one task, once.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from pulsing.actor.dispatcher import Dispatcher

Wakeup: TypeAlias = Callable[[Any], object]

REPLY_SLOTS: Final = (
    "_asyncio_future_blocking",
    "_waiter",
    "dispatcher",
    "error",
    "settled",
    "value",
)
"""What a concrete reply must have in its ``__slots__``; call `Reply.prepare` to fill them."""


class Awaited:
    """The part of a future's interface that `asyncio.Task` uses.

    A mixin without slots, so that it can stand beside any other base class. The task that waits
    never asks for a result: whoever wakes it passes a finished future instead of this object.
    """

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the concrete class hold the attributes

    if TYPE_CHECKING:
        _asyncio_future_blocking: bool
        _waiter: tuple[Context, Wakeup] | None
        dispatcher: Dispatcher

    get_loop: ClassVar = staticmethod(get_running_loop)

    def add_done_callback(self, wakeup: Wakeup, *, context: Context) -> None:
        """The task went to sleep. Called by `asyncio.Task` only."""
        self._waiter = (context, wakeup)

    def fire(self) -> None:
        """Wake the waiting task, if there is one, when the code that runs now has come to rest."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            dispatcher = self.dispatcher
            dispatcher.woken.append(waiter)
            if not dispatcher.scheduled:
                dispatcher.schedule()

    def cancel(self, msg: object = None) -> bool:
        """The waiting task is being cancelled. Called by `asyncio.Task` only.

        Returns False: the task then raises CancelledError in the step that `fire` causes.
        """
        self.fire()
        return False


class Signal(Awaited):
    """Wait once for something inside the runtime: ``yield from signal.wait()`` in a runner.

    Cancelling the task ends the wait at once, or, when made with ``patient=True``, after the
    signal was fired.
    """

    __slots__ = ("_asyncio_future_blocking", "_waiter", "dispatcher", "fired", "patient")

    def __init__(self, dispatcher: Dispatcher, *, patient: bool = False) -> None:
        self.dispatcher = dispatcher
        self.patient = patient
        self.fired = False
        self._waiter: tuple[Context, Wakeup] | None = None

    def fire(self) -> None:
        """End the wait; also one that begins later."""
        self.fired = True
        super().fire()

    def cancel(self, msg: object = None) -> bool:
        """See `Awaited.cancel`."""
        if not self.patient:
            super().fire()
        return False

    def wait(self) -> Generator[Signal, None, None]:
        """Sleep until fired."""
        if not self.fired:
            self._asyncio_future_blocking = True
            yield self

    __await__ = wait


class Reply(Awaited):
    """The answer to one call, as its caller sees it: settled once, with a value or an error.

    Local replies and replies from other nodes share this behaviour; see `REPLY_SLOTS`.

    Attributes:
        settled: the answer is there, or nobody waits for it any more.
        value: the result, when ``error`` is None.
        error: the exception the caller gets.
    """

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the concrete class hold the attributes

    if TYPE_CHECKING:
        settled: bool
        value: Any
        error: BaseException | None

    def prepare(self, dispatcher: Dispatcher) -> None:
        """Fill the slots of a new reply."""
        self.dispatcher = dispatcher
        self.settled = False
        self.error = None
        self._waiter = None

    def settle(self, value: Any) -> None:
        """Answer with a value. Nothing happens when it is settled."""
        if not self.settled:
            self.settled = True
            self.value = value
            if self._waiter is not None:
                self.fire()

    def settle_error(self, error: BaseException) -> None:
        """Answer with an error. Nothing happens when it is settled."""
        if not self.settled:
            self.settled = True
            self.error = error
            if self._waiter is not None:
                self.fire()

    def cancel(self, msg: object = None) -> bool:
        """The waiting task is being cancelled: withdraw the call. See `Awaited.cancel`."""
        if not self.settled:
            self.settled = True
            self.fire()
            self.abandon()
        return False

    def abandon(self) -> None:
        """Nobody waits any more: tell the callee to stop. Settled is set already."""
        raise NotImplementedError

    def wait(self) -> Generator[Reply, None, Any]:
        """Sleep until the answer is there and give it, or raise its error."""
        if not self.settled:
            self._asyncio_future_blocking = True
            try:
                yield self
            except BaseException:
                self.cancel()  # GeneratorExit: the task was dropped without being cancelled
                raise
        error = self.error
        if error is not None:
            try:
                raise error
            finally:
                del error, self.error  # the traceback refers to this frame
        return self.value

    __await__ = wait
