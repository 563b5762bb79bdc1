"""One message to an actor: what the runtime needs of it, wherever it came from.

`Invocation` is a mixin without slots. A concrete message adds `INVOCATION_SLOTS` to its own, fills
them with `Invocation.prepare` (or one by one, where speed counts), and answers its caller in
`reply`, `fail`, `raised` and `open_items`. Local and remote messages are treated alike by
everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from pulsing.errors import DeadlineExceeded, Delivery, MailboxFull, PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.deadline import Scope
    from pulsing.actor.methods import Method
    from pulsing.actor.runner import Runner


class Stage(Enum):
    """How far a message has come."""

    QUEUED = "queued"
    """In the mailbox, or on the way there: none of its code ran."""
    RUNNING = "running"
    """The actor's code has begun."""
    STASHED = "stashed"
    """The actor's code has put it aside, and will take it up again."""
    CANCELLED = "cancelled"
    """Its caller has the answer or is gone, but the actor's code has not ended yet."""
    FINISHED = "finished"
    """Nothing will happen any more."""


QUEUED: Final = Stage.QUEUED
RUNNING: Final = Stage.RUNNING
STASHED: Final = Stage.STASHED
CANCELLED: Final = Stage.CANCELLED
FINISHED: Final = Stage.FINISHED

INVOCATION_SLOTS: Final = (
    "args",
    "caller",
    "cell",
    "context",
    "deadline",
    "kwargs",
    "meta",
    "method",
    "runner",
    "sender",
    "stage",
    "watched",
    "work",
)
"""What a concrete message must have in its ``__slots__``."""


class ItemSink(Protocol):
    """The producing end of a stream, in values.

    Attributes:
        closed: nobody takes items any more.
        on_writable: called when credit comes back after it was used up, and when the stream
            closes.
    """

    @property
    def closed(self) -> bool: ...

    on_writable: Callable[[], None] | None

    def credit(self) -> int:
        """Items that may be written now. With 0, ``on_writable`` tells when to ask again."""
        ...

    def write(self, value: Any, /) -> None:
        """Append an item; it leaves with the next ``flush``. Nothing happens once closed.

        Raises:
            WireError: the value cannot travel. Nothing was written.
        """
        ...

    def flush(self) -> None:
        """Let everything written leave."""
        ...

    def finish(self) -> None:
        """The stream is complete."""
        ...

    def fail(self, error: PulsingRuntimeError) -> None:
        """The stream ends for a reason of the framework; items written before still arrive."""
        ...

    def raised(self, error: BaseException) -> None:
        """The actor's code failed; items written before still arrive."""
        ...


class Invocation:
    """One message to an actor.

    Attributes:
        cell: the actor.
        caller: what the code that waits for it runs for, or None; see `pulsing.actor.chain`.
        method: what is called.
        args: positional arguments; dropped once the code has begun.
        kwargs: keyword arguments or None; dropped likewise.
        deadline: when it must have ended, on the loop's clock, or None.
        sender: the cell or the id of the calling actor, or None.
        meta: what else travels with the call, or None.
        stage: how far it has come.
        watched: `Deadlines` knows it.
        context: the context variables its code runs with, once it waits for something.
        work: the coroutine or generator that runs, once there is one.
        runner: whose task drives it, once it waits for something.
    """

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the concrete class hold the attributes

    if TYPE_CHECKING:
        cell: Cell
        caller: Scope | None
        method: Method
        args: Sequence[Any]
        kwargs: dict[str, Any] | None
        deadline: float | None
        sender: object
        meta: dict[str, Any] | None
        stage: Stage
        watched: bool
        context: Context | None
        work: Any
        runner: Runner | None

    patient = True
    """Its sender waits for it, and sends no more meanwhile: it may be parked without a bound."""

    def prepare_invocation(
        self,
        cell: Cell,
        method: Method,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None,
        deadline: float | None,
    ) -> None:
        """Fill the slots of a new message."""
        self.cell = cell
        self.caller = None
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.deadline = deadline
        self.sender = None
        self.meta = None
        self.stage = QUEUED
        self.watched = False
        self.work = None
        self.context = None
        self.runner = None

    @property
    def invocation(self) -> Invocation:
        """Itself: the message that is handled in this `pulsing.actor.deadline.Scope`."""
        return self

    # --- the caller's side; each at most once, none of them raises

    def accepted(self) -> None:
        """A message that had been parked found room in the mailbox."""

    def reply(self, value: Any) -> None:
        """The code returned."""
        raise NotImplementedError

    def fail(self, error: PulsingRuntimeError) -> None:
        """The framework gives up on it. The error is given as it is."""
        raise NotImplementedError

    def discard(self, error: MailboxFull) -> None:
        """It is thrown away to have room for others, as the actor's options say."""
        self.drop()
        self.fail(error)

    def raised(self, error: BaseException) -> None:
        """The actor's code raised. The caller gets what `localized` makes of it."""
        raise NotImplementedError

    def open_items(self, buffer_items: int) -> ItemSink:
        """The code is a generator: answer with a stream.

        Args:
            buffer_items: items the producer may be ahead, unless the caller asked for another
                bound.
        """
        raise NotImplementedError

    # --- the runtime's side

    def localized(self, error: BaseException) -> BaseException:
        """What a caller gets for an exception of the actor's code."""
        from pulsing.wire.failures import localize

        cell = self.cell
        node = cell.actor_id.node
        return localize(error, node=node, actor=cell.label, method=self.method.name)

    def withdraw(self, error: PulsingRuntimeError | None = None) -> None:
        """Stop working for it; its code, if it runs, sees CancelledError or GeneratorExit.

        Args:
            error: what the caller gets, or None when nobody waits for an answer.
        """
        stage = self.stage
        if stage is RUNNING:
            self.stage = CANCELLED
            if self.runner is not None:
                self.runner.task.cancel()
        elif stage is QUEUED:
            self.drop()
            self.cell.withdrawn += 1
            self.cell.dispatcher.counters.dropped += 1
        elif stage is STASHED:
            self.stage = CANCELLED
            self.drop()
        else:
            return
        if error is not None:
            self.fail(error)

    def requeue(self) -> None:
        """It came back from a worker thread without having been started, or from the stash."""
        self.stage = QUEUED

    def put_aside(self, args: Sequence[Any]) -> None:
        """The code that runs for it will return without an answer; it is to be started again.

        Its deadline runs, and its caller may give up, as while it is queued.

        Args:
            args: for the next time.
        """
        self.stage = STASHED
        self.args = args
        self.cell.dispatcher.deadlines.watch(self)

    def expire(self) -> None:
        """Its deadline has passed."""
        if self.stage is QUEUED:
            text, delivered = "before it was started", Delivery.NO
        elif self.stage is STASHED:
            text, delivered = "while the actor had put it aside", Delivery.UNKNOWN
        else:
            text, delivered = "while it ran; it is being cancelled", Delivery.UNKNOWN
        error = f"{self.cell.label}.{self.method.name}: the deadline of the call passed {text}"
        self.cell.dispatcher.counters.expired += 1
        self.withdraw(DeadlineExceeded(error, delivered=delivered))

    def expired(self, now: float) -> bool:
        """Whether its deadline has passed; then its caller is told."""
        deadline = self.deadline
        if deadline is None or deadline > now:
            return False
        self.expire()
        return True

    def drop(self) -> None:
        """Nothing will happen any more: release everything it holds.

        Of one that was put aside, only what its code left behind.
        """
        self.kwargs = self.context = self.work = self.runner = self.caller = None
        if self.stage is STASHED:
            return
        self.stage = FINISHED
        self.args = ()
        if self.watched:
            self.cell.dispatcher.deadlines.unwatch(self)
