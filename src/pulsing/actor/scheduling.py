"""What an actor does later: ``schedule_once``, ``schedule_every``, ``self.delayed``.

Whatever is scheduled arrives as a message in the actor's own mailbox: in turn, and never beside
other code of the actor. Nobody waits for it; when it fails, that is a lost tell.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pulsing import clock
from pulsing.actor.deadline import SCOPE
from pulsing.actor.invocation import FINISHED, INVOCATION_SLOTS, QUEUED
from pulsing.actor.local import LocalTell
from pulsing.actor.methods import PART_OF_PULSING, Method
from pulsing.actor.reply import REPLY_SLOTS
from pulsing.actor.timers import Timer
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell

Work: TypeAlias = tuple[Method, Sequence[Any], dict[str, Any] | None]
"""A method of the actor, with its arguments."""


# --- timers that send messages --------------------------------------------------------------------


class Tick(LocalTell):
    """The message of a timer. The timer hears when it has been dealt with, once."""

    __slots__ = ("timer",)

    timer: MessageTimer | None

    def __init__(self, timer: MessageTimer, work: Work) -> None:
        super().__init__(timer.cell, *work)
        self.settled = True  # nobody can await it: whatever goes wrong is reported
        self.timer = timer

    def reply(self, value: Any) -> None:
        """See `Invocation.reply`."""
        self._dealt_with()

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `Invocation.fail`."""
        super().fail(error)
        self._dealt_with()

    def raised(self, error: BaseException) -> None:
        """See `Invocation.raised`."""
        super().raised(error)
        self._dealt_with()

    def drop(self) -> None:
        """See `Invocation.drop`."""
        super().drop()
        if self.stage is FINISHED:
            self._dealt_with()

    def _dealt_with(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.dealt_with()


assert {*INVOCATION_SLOTS, *REPLY_SLOTS} <= {*LocalTell.__slots__}


class MessageTimer(Timer):
    """Sends its actor a message."""

    __slots__ = ("_tick", "_work")

    def __init__(self, cell: Cell, when: float, work: Work) -> None:
        super().__init__(cell, when)
        self._work: Work | None = work
        self._tick: Tick | None = None

    def send(self) -> None:
        """Put the message into the mailbox."""
        assert self._work is not None
        tick = self._tick = Tick(self, self._work)
        self.cell.deliver(tick)

    def dealt_with(self) -> None:
        """The message was handled, refused, or taken back."""
        self._tick = None

    def withdraw(self) -> None:
        """See `Timer.withdraw`."""
        tick, self._tick, self._work = self._tick, None, None
        if tick is not None and tick.stage is QUEUED:
            tick.withdraw()


class Once(MessageTimer):
    """Sends its message once."""

    __slots__ = ()

    def due(self, now: float) -> None:
        """See `Timer.due`."""
        self.send()

    def dealt_with(self) -> None:
        """See `MessageTimer.dealt_with`."""
        super().dealt_with()
        if self.active:
            self._work = None
            self.cell.dispatcher.timers.finish(self)


class Every(MessageTimer):
    """Sends its message again and again, the next one only when the last was dealt with.

    The times are those of a fixed grid. Whatever was missed, because the loop stood still or
    the message took longer than the interval, is left out.
    """

    __slots__ = ("_interval",)

    def __init__(self, cell: Cell, when: float, work: Work, interval_s: float) -> None:
        super().__init__(cell, when, work)
        self._interval = interval_s

    def due(self, now: float) -> None:
        """See `Timer.due`."""
        self.send()

    def dealt_with(self) -> None:
        """See `MessageTimer.dealt_with`."""
        super().dealt_with()
        if self.active:
            self.when = next_on_grid(self.when, self._interval, clock.monotonic())
            self.cell.dispatcher.timers.add(self)


def next_on_grid(last: float, interval_s: float, now: float) -> float:
    """The first time after ``now`` that is a whole number of intervals after ``last``."""
    passed = max(0, math.floor((now - last) / interval_s))
    after = last + (passed + 1) * interval_s
    return after if after > now else after + interval_s


# --- what may be scheduled ------------------------------------------------------------------------


def check_delay(seconds: float) -> float:
    """The delay, as a float.

    Raises:
        ValueError: negative, infinite or not a number.
    """
    value = float(seconds)
    if not 0 <= value < math.inf:
        raise ValueError(f"a delay of {seconds!r} seconds; it must be 0 or more, and finite")
    return value


def check_interval(seconds: float) -> float:
    """The interval, as a float.

    Raises:
        ValueError: zero, negative, infinite or not a number.
    """
    value = float(seconds)
    if not 0 < value < math.inf:
        raise ValueError(f"an interval of {seconds!r} seconds; it must be more than 0, and finite")
    return value


def work_of(cell: Cell, what: Any, args: tuple[Any, ...]) -> Work:
    """What sending ``what`` to the actor means: a call of it, or of the actor's ``receive``.

    Raises:
        TypeError: a message, but the actor has no ``receive``; or a generator function.
    """
    if not callable(what):
        receive = cell.table.receive
        if receive is None:
            raise TypeError(
                f"{what!r} cannot be scheduled: it is not callable, and {cell.label} has no "
                "receive method that takes messages"
            )
        if args:
            raise TypeError(f"{what!r} is a message; arguments go with something callable")
        return receive, (what,), None
    method = _own_method(cell, what)
    if method is None:
        return _method_for(cell, what, args), (), None
    _refuse_stream(method)
    return method, args, None


def _own_method(cell: Cell, what: Any) -> Method | None:
    """The public method of the actor that a bound method is: it knows where it has to run."""
    if getattr(what, "__self__", None) is not cell.instance:
        return None
    method = cell.table.get(getattr(what, "__name__", ""))
    if method is None or method.function is not getattr(what, "__func__", None):
        return None
    return method


def _method_for(cell: Cell, function: Callable[..., Any], args: tuple[Any, ...]) -> Method:
    """A method that calls a function without the actor's instance."""

    async def run_async(_instance: object) -> None:
        await function(*args)

    def run(_instance: object) -> Any:
        return function(*args)

    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    name: str = getattr(inner, "__name__", type(inner).__name__)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(f"{name} streams, and nobody would read what it yields")
    raw = run_async if inspect.iscoroutinefunction(inner) else run
    return Method(cell.table.owner, name, raw, cell.options.executor)


def _refuse_stream(method: Method) -> None:
    if method.kind.streams:
        raise TypeError(f"{method.name} streams, and nobody would read what it yields")


# --- how it is asked for --------------------------------------------------------------------------


class SchedulingContext:
    """The part of an actor's context that schedules. Works in worker threads as well."""

    __slots__ = ("_cell",)

    _cell: Cell

    def schedule_once(self, delay_s: float, what: Any, /, *args: Any) -> Timer:
        """Send this actor a message later, or let it call something.

        It waits its turn in the mailbox, and ends with the actor, or when that is restarted.

        Args:
            delay_s: seconds from now, 0 or more.
            what: something callable (``def`` or ``async def``), or any other value, which then is
                a message for ``receive``.
            args: for the call.

        Returns:
            What cancels it.

        Raises:
            ValueError: the delay is negative or not finite.
            TypeError: a message, but the actor has no ``receive``; or a generator function.
        """
        when = clock.monotonic() + check_delay(delay_s)
        return _started(Once(self._cell, when, work_of(self._cell, what, args)))

    def schedule_every(
        self, interval_s: float, what: Any, /, *args: Any, first_s: float | None = None
    ) -> Timer:
        """Send this actor a message, or let it call something, again and again.

        Two never overlap: while one waits or runs, the next is not sent. Times that were missed
        are left out, so that no burst follows a stall. It ends with the actor, or when that is
        restarted; not when the call fails.

        Args:
            interval_s: seconds between the starts.
            what: see `schedule_once`.
            args: for the call.
            first_s: seconds until the first one; default: an interval.

        Returns:
            What cancels it.

        Raises:
            ValueError: the interval is not above 0, or ``first_s`` is negative.
            TypeError: as in `schedule_once`.
        """
        interval = check_interval(interval_s)
        when = clock.monotonic() + (interval if first_s is None else check_delay(first_s))
        return _started(Every(self._cell, when, work_of(self._cell, what, args), interval))

    def delayed(self, seconds: float) -> DelayedCalls:
        """``ctx.delayed(2).method(...)``: the actor calls a method of its own, later.

        Raises:
            ValueError: the delay is negative or not finite.
        """
        return DelayedCalls(self._cell, check_delay(seconds))


def _started(timer: Timer) -> Timer:
    timer.cell.dispatcher.timers.submit(timer)
    return timer


class DelayedCalls:
    """The methods of an actor, called later by itself: each gives the `Timer` that cancels it."""

    __slots__ = ("_cell", "_seconds")

    def __init__(self, cell: Cell, seconds: float) -> None:
        self._cell = cell
        self._seconds = seconds

    def __getattr__(self, name: str) -> Callable[..., Timer]:
        method = self._cell.table.get(name)
        if method is not None:
            _refuse_stream(method)
            return functools.partial(self._call, method)
        private = getattr(self._cell.instance, name, None) if name[:2] != "__" else None
        if name[:1] != "_" or not callable(private):
            owner, names = self._cell.table.owner.__name__, ", ".join(self._cell.table.names)
            raise AttributeError(f"No method {name!r} on {owner}; it has: {names}")
        return functools.partial(self._call_private, private)

    def _call(self, method: Method, /, *args: Any, **kwargs: Any) -> Timer:
        method.signature.bind(*args, **kwargs)  # a wrong argument is an error here, not later
        when = clock.monotonic() + self._seconds
        return _started(Once(self._cell, when, (method, args, kwargs or None)))

    def _call_private(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Timer:
        when = clock.monotonic() + self._seconds
        called = functools.partial(function, *args, **kwargs)
        return _started(Once(self._cell, when, work_of(self._cell, called, ())))


def delayed(self: Any, seconds: float) -> DelayedCalls:
    """Inside an actor: ``self.delayed(2).method(...)`` calls a method of it, later.

    The call arrives in the actor's own mailbox and waits its turn there; it ends with the actor.
    It gives a `Timer`, whose ``cancel()`` takes it back. ``pul.current().delayed`` is the same.

    Args:
        self: the actor.
        seconds: from now, 0 or more.

    Raises:
        ValueError: the delay is negative or not finite.
        PulsingRuntimeError: the code that runs is not this actor's; in a constructor there is no
            actor yet, ``on_start`` is the place.
    """
    scope = SCOPE.get()
    cell = None if scope is None else scope.cell
    if cell is None or cell.instance is not self:
        raise PulsingRuntimeError(
            f"self.delayed() of a {type(self).__name__} works in the code of that actor: in its "
            "methods and hooks, not in its constructor, nor in other actors"
        )
    return DelayedCalls(cell, check_delay(seconds))


setattr(delayed, PART_OF_PULSING, True)
