"""Calls within one node: nothing is copied, everything else is as between nodes."""

from __future__ import annotations

from asyncio import (
    _get_running_loop,  # pyright: ignore[reportPrivateUsage]  # documented; None in threads
)
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from pulsing import clock
from pulsing.actor.attributes import attribute_reader
from pulsing.actor.call import DEFAULT_TIMEOUT, RAW_METHOD
from pulsing.actor.carried import CARRIERS, carried
from pulsing.actor.dead_letters import RECEIVE, LetterReason, lost_tell
from pulsing.actor.deadline import SCOPE
from pulsing.actor.invocation import INVOCATION_SLOTS, QUEUED, Invocation, ItemSink
from pulsing.actor.local_streams import Collector, LocalItems, LocalStream
from pulsing.actor.reply import REPLY_SLOTS, Reply
from pulsing.errors import MailboxFull, PulsingActorError, PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.call import Call
    from pulsing.actor.cell import Cell
    from pulsing.actor.methods import Method


class LocalAsk(Invocation, Reply):
    """A message whose caller waits for the result; at the same time that caller's reply."""

    __slots__ = (*INVOCATION_SLOTS, *REPLY_SLOTS)

    def __init__(
        self,
        cell: Cell,
        method: Method,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None,
        deadline: float | None,
    ) -> None:
        # `prepare_invocation` and `prepare`, inlined: this is made for every local call.
        self.cell = cell
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.deadline = deadline
        self.stage = QUEUED
        self.watched = False
        self.sender = self.meta = self.work = self.context = self.runner = self.caller = None
        self.dispatcher = cell.dispatcher
        self.settled = False
        self.error = self._waiter = None

    def reply(self, value: Any) -> None:
        """See `Invocation.reply`."""
        self.caller = None  # or each call of a chain without end would keep the one before
        if not self.settled:
            self.settled = True
            self.value = value
            waiter = self._waiter
            if waiter is not None:  # `fire`, inlined
                self._waiter = None
                dispatcher = self.dispatcher
                dispatcher.woken.append(waiter)
                if not dispatcher.scheduled:
                    dispatcher.schedule()

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `Invocation.fail`."""
        self.settle_error(error)

    def raised(self, error: BaseException) -> None:
        """See `Invocation.raised`."""
        if not self.settled:
            self.settle_error(self.localized(error))

    def open_items(self, buffer_items: int) -> ItemSink:
        """See `Invocation.open_items`."""
        return Collector(self)

    def abandon(self) -> None:
        """See `Reply.abandon`."""
        self.withdraw()


class LocalTell(Invocation, Reply):
    """A message that nobody waits for. Awaiting it waits until the mailbox has taken it."""

    __slots__ = (*INVOCATION_SLOTS, *REPLY_SLOTS, "_message", "_observed")

    patient = False
    _message: str
    """The class of a raw message that was dropped before it was started."""

    def __init__(
        self, cell: Cell, method: Method, args: Sequence[Any], kwargs: dict[str, Any] | None
    ) -> None:
        self.cell = cell
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.stage = QUEUED
        self.watched = False
        self.deadline = None
        self.sender = self.meta = self.work = self.context = self.runner = self.caller = None
        self.dispatcher = cell.dispatcher
        self.settled = False
        self.error = self._waiter = self.value = None
        self._observed = False

    def accepted(self) -> None:
        """See `Invocation.accepted`."""
        self.settle(None)

    def reply(self, value: Any) -> None:
        """Nobody wants the result."""

    def fail(self, error: PulsingRuntimeError) -> None:
        """See `Invocation.fail`."""
        if self.settled:
            self._lost(error)
        else:
            self.settle_error(error)
            # Whoever wants to know awaits it now, or is waiting already.
            self.dispatcher.loop.call_soon(self._lost_unless_observed, error)

    def discard(self, error: MailboxFull) -> None:
        """See `Invocation.discard`: whoever sends to such a mailbox does not want to know."""
        self.drop()
        self._lost(error, LetterReason.DROPPED)
        self.settle(None)

    def raised(self, error: BaseException) -> None:
        """See `Invocation.raised`."""
        dispatcher = self.dispatcher
        dispatcher.counters.lost_tells += 1
        where = f"{self.cell.label}.{self.method.name}"
        dispatcher.log.warning(
            f"tell {where}", "a tell to %s failed: %s: %s", where, type(error).__name__, error
        )

    def drop(self) -> None:
        """See `Invocation.drop`."""
        if self.stage is QUEUED and self.method.name == RECEIVE and self.args:
            self._message = type(self.args[0]).__qualname__
        super().drop()

    def open_items(self, buffer_items: int) -> ItemSink:
        """A stream that nobody reads: it is not produced."""
        sink = LocalStream(self.cell, self.method, (), None, None, buffer_items)
        sink.left = True
        return sink

    def abandon(self) -> None:
        """Whoever waited for room in the mailbox has given up."""
        self.withdraw()

    def wait(self) -> Generator[Any, None, None]:
        """Sleep until the mailbox has taken the message.

        Raises:
            PulsingError: it was refused. Nothing was delivered.
        """
        self._observed = True
        yield from super().wait()

    __await__ = wait

    def _lost_unless_observed(self, error: BaseException) -> None:
        if not self._observed:
            self._lost(error)

    def _lost(self, error: BaseException, reason: LetterReason | None = None) -> None:
        lost_tell(
            self.dispatcher,
            error,
            target=self.cell.label,
            method=self.method.name,
            message=getattr(self, "_message", ""),
            sender=self.sender,
            reason=reason,
        )


class LocalTarget:
    """An actor of this node, as the target of calls; see `pulsing.actor.call.Target`."""

    __slots__ = ("cell",)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    def start_get(self, call: Call[Any]) -> LocalAsk:
        """See `Target.start_get`."""
        return self.start_ask(call, attribute_reader(self.cell, call.method))

    def start_ask(self, call: Call[Any], method: Method | None = None) -> LocalAsk:
        """See `Target.start_ask`."""
        cell = self.cell
        dispatcher = cell.dispatcher
        if method is None:
            method = cell.table.get(call.method) or self.method_of(call.method)
        if _get_running_loop() is not dispatcher.loop:
            self.refuse_loop(call.method)
        timeout = call.timeout
        if timeout is DEFAULT_TIMEOUT:
            timeout = dispatcher.default_timeout_s
        deadline = None if timeout is None else clock.monotonic() + timeout
        scope = SCOPE.get()
        if scope is None:
            ask = LocalAsk(cell, method, call.args, call.kwargs, deadline)
        else:
            inherited = scope.deadline
            if inherited is not None and (deadline is None or inherited < deadline):
                deadline = inherited
            ask = LocalAsk(cell, method, call.args, call.kwargs, deadline)
            ask.sender = scope.cell
            ask.caller = scope
        if CARRIERS:
            ask.meta = carried()
        cell.deliver(ask)
        return ask

    def start_items(self, call: Call[Any]) -> LocalItems:
        """See `Target.start_items`. A stream has no timeout unless the call was given one."""
        cell = self.cell
        method = cell.table.get(call.method) or self.method_of(call.method)
        if _get_running_loop() is not cell.dispatcher.loop:
            self.refuse_loop(call.method)
        timeout = call.timeout
        deadline = None if timeout is None or timeout < 0 else clock.monotonic() + timeout
        scope = SCOPE.get()
        inherited = scope.deadline if scope is not None else None
        if inherited is not None and (deadline is None or inherited < deadline):
            deadline = inherited
        stream = LocalStream(cell, method, call.args, call.kwargs, deadline, call.buffer)
        if scope is not None:
            stream.sender = scope.cell
            stream.caller = scope
        if CARRIERS:
            stream.meta = carried()
        items = LocalItems(stream)
        cell.deliver(stream)
        return items

    def tell(self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None) -> LocalTell:
        """See `Target.tell`."""
        cell = self.cell
        found = cell.table.get(method)
        if found is None:
            found = self.method_of(method)
        message = LocalTell(cell, found, args, kwargs)
        scope = SCOPE.get()
        if scope is not None:
            message.sender = scope.cell
        if CARRIERS:
            message.meta = carried()
        loop = cell.dispatcher.loop
        if _get_running_loop() is loop:
            if cell.deliver(message):
                message.settled = True
        else:
            loop.call_soon_threadsafe(_deliver_tell, cell, message)
        return message

    def method_of(self, name: str) -> Method:
        """The method that is called by a name, or ``receive``.

        Raises:
            PulsingActorError: the actor has none.
        """
        table = self.cell.table
        if (method := table.get(name)) is not None:
            return method
        if name == RAW_METHOD and table.receive is not None:
            return table.receive
        known = ", ".join(table.names) or "no methods"
        label = self.cell.label
        raise PulsingActorError(f"Not found: {label} has no method {name!r}; it has {known}", label)

    def refuse_loop(self, method: str) -> None:
        """The caller runs elsewhere. Raises PulsingRuntimeError."""
        raise PulsingRuntimeError(
            f"{self.cell.label}.{method}: the system of this actor runs on another event loop; "
            "call it from there, or from other threads through `.sync`"
        )


def _deliver_tell(cell: Cell, message: LocalTell) -> None:
    if cell.deliver(message):
        message.settle(None)
