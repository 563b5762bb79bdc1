"""A cell: one actor, as the runtime sees it. No task, no lock, no queue while it is idle.

Two things hold the mailbox back: as many messages waiting inside the actor's code as
``max_concurrency`` allows, and code in a worker thread (`Cell.exclusive`). Whoever ends such a
hold calls `Cell.reschedule`.
"""

from __future__ import annotations

from collections import deque
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Final

from pulsing.actor.exclusion import Exclusive
from pulsing.actor.exits import ExitReason, Mortal
from pulsing.actor.family import Family
from pulsing.actor.invocation import FINISHED, Invocation
from pulsing.actor.kept import Kept
from pulsing.actor.lifecycle import CellEvent, CellState, Stopping, next_state
from pulsing.actor.mailbox import Admission, CellOptions, admission
from pulsing.actor.signals import Signalled
from pulsing.actor.turn import HELD, IDLE, READY, Turn
from pulsing.errors import ActorStopped, Delivery, MailboxFull

if TYPE_CHECKING:
    import asyncio

    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.keeping import Keeper
    from pulsing.actor.methods import MethodTable
    from pulsing.actor.reply import Signal
    from pulsing.actor.stash import Stash
    from pulsing.actor.threads import Job
    from pulsing.ids import ActorId


class Cell(Exclusive, Family, Kept, Signalled, Mortal):
    """The runtime state of one actor.

    Attributes:
        instance: the user's object.
        table: its methods.
        actor_id: its exact identity.
        name: its public name, or None.
        state: how far its life has come.
        mailbox: messages not started, or None while there are none.
        parked: messages for which the mailbox has no room, or None.
        stash: messages that its code has put aside, or None.
        active: messages that wait inside its code.
        room: messages that may be there: as many as `CellOptions.max_concurrency`, or none while
            it starts or restarts.
        exclusive: its code runs in a worker thread; nothing else of it may run.
        traps_exits: the end of an actor that it is linked to is an event, not its own end.
        withdrawn: messages in the mailbox that need not be handled any more.
        job: what runs in the worker thread.
        gated: what waits for that to end, or None.
        context: the context variables every message starts with: those of the ``spawn`` call,
            and what ``on_start`` set.
    """

    __slots__ = (
        "__weakref__",
        "_children",
        "_limit",
        "_running",
        "_signals",
        "_supervision",
        "active",
        "actor_id",
        "context",
        "dispatcher",
        "exclusive",
        "gated",
        "instance",
        "job",
        "keeper",
        "mailbox",
        "name",
        "options",
        "parent",
        "parked",
        "room",
        "stash",
        "state",
        "stopping",
        "table",
        "traps_exits",
        "turn",
        "withdrawn",
    )

    def __init__(
        self,
        instance: object,
        table: MethodTable,
        *,
        actor_id: ActorId,
        name: str | None,
        options: CellOptions,
        dispatcher: Dispatcher,
    ) -> None:
        super().__init__()
        self.parent = None
        self._children = None
        self._signals = None
        self._supervision = None
        self.keeper: Keeper | None = None
        self.traps_exits = False
        self.instance = instance
        self.table = table
        self.actor_id = actor_id
        self.name = name
        self.options = options
        self.dispatcher = dispatcher
        self.context: Context = copy_context()
        if dispatcher.home is not None:
            self.context.run(dispatcher.home)
        self.state = CellState.STARTING
        self.turn = HELD
        self.mailbox: deque[Invocation] | None = None
        self.parked: deque[Invocation] | None = None
        self.stash: Stash | None = None
        self.active = 0
        self.room = 0
        self.exclusive = False
        self.withdrawn = 0
        self.job: Job | None = None
        self.stopping: Stopping | None = None
        self.gated: list[Signal] | None = None
        self._limit = options.mailbox_size
        self._running: dict[Invocation, None] | None = None  # in order of start

    def __repr__(self) -> str:
        kind = type(self.instance).__name__
        return f"<Cell {self.label} {kind} {self.state.value} queued={self.queued}>"

    @property
    def label(self) -> str:
        """What to call it in messages to people."""
        return self.name or str(self.actor_id)

    @property
    def accepting(self) -> bool:
        """Whether it takes messages: it starts or runs."""
        return self.state in _ACCEPTING

    @property
    def queued(self) -> int:
        """Messages that wait to be started."""
        waiting = len(self.mailbox) if self.mailbox else 0
        return waiting + (len(self.parked) if self.parked else 0) - self.withdrawn

    @property
    def running(self) -> tuple[Invocation, ...]:
        """Messages that wait inside its code."""
        return tuple(self._running or ())

    # --- arriving

    def deliver(self, invocation: Invocation) -> bool:
        """Take a message. Its code never runs inside this call.

        Returns:
            True when the mailbox took it. False when it is parked, then ``accepted`` follows once
            there is room; or when it was refused, then ``fail`` was called.
        """
        mailbox = self.mailbox
        dispatcher = self.dispatcher
        if mailbox is None:
            if not self._limit:
                return self._deliver_at_bound(invocation)
            spare = dispatcher.spare_mailboxes
            mailbox = spare.pop() if spare else deque[Invocation]()
            self.mailbox = mailbox
        elif len(mailbox) >= self._limit:
            return self._deliver_at_bound(invocation)
        mailbox.append(invocation)
        if self.turn is IDLE:
            self.turn = READY
            dispatcher.ready.append(self)
            if not dispatcher.scheduled:
                dispatcher.schedule()
        elif self.turn is HELD:
            self.waits(invocation)
        return True

    def _deliver_at_bound(self, invocation: Invocation) -> bool:
        options = self.options
        if self.state not in _ACCEPTING:
            self.refuse(invocation)
            return False
        if self.withdrawn:
            self._purge()
            return self.deliver(invocation)
        parked = self.parked
        verdict = admission(
            options.on_full,
            patient=invocation.patient,
            parked=len(parked) if parked is not None else 0,
            mailbox_size=options.mailbox_size,
        )
        if verdict is Admission.PARK:
            if parked is None:
                parked = self.parked = deque()
            parked.append(invocation)
            self._limit = 0  # order: who comes later must not overtake
            self.waits(invocation)
            return False
        error = MailboxFull(
            f"the mailbox of {self.label} is full ({options.mailbox_size} messages); "
            "send slower, or raise mailbox_size"
        )
        if verdict is Admission.REJECT:
            invocation.drop()
            invocation.fail(error)
            return False
        oldest = self._take_oldest() if verdict is Admission.DROP_OLDEST else None
        (oldest or invocation).discard(error)
        return oldest is not None and self.deliver(invocation)

    def _take_oldest(self) -> Invocation | None:
        """Take the message out that waits longest; None when there are only signals."""
        signals = self.waiting_signals
        mailbox = self.mailbox
        if mailbox is None or len(mailbox) <= signals:
            return None
        oldest = mailbox[signals]
        del mailbox[signals]
        return oldest

    def _purge(self) -> None:
        """Take withdrawn messages out, so that they take no room."""
        for queue in (self.mailbox, self.parked):
            if queue:
                alive = [each for each in queue if each.stage is not FINISHED]
                queue.clear()
                queue.extend(alive)
        self.withdrawn = 0
        self.admit()

    def admit(self) -> None:
        """Move parked messages into the mailbox while there is room."""
        parked = self.parked
        if parked is None:
            return
        mailbox = self.mailbox
        if mailbox is None:
            mailbox = self.mailbox = deque()
        size = self.options.mailbox_size
        while parked and len(mailbox) < size:
            invocation = parked.popleft()
            mailbox.append(invocation)
            if invocation.stage is not FINISHED:
                invocation.accepted()
        if not parked:
            self.parked = None
            if self.state in _ACCEPTING:
                self._limit = size

    def refuse(self, invocation: Invocation) -> None:
        """Answer a message that was not started: the actor has stopped."""
        if invocation.stage is not FINISHED:
            invocation.drop()
            error = f"actor {self.label} has stopped; the call was not started"
            invocation.fail(ActorStopped(error, delivered=Delivery.NO))

    # --- scheduling

    def reschedule(self) -> None:
        """Decide what comes next for the mailbox, after a visit and whenever a hold ended."""
        if self.gated is not None and not self.exclusive:
            self._open_gate()
        if self.parked is not None:
            self.admit()
        mailbox = self.mailbox
        if not mailbox:
            self.turn = IDLE
            self.mailbox = None
            if self.stopping is not None:
                self.stopping.look(self)
        elif self.exclusive or self.active >= self.room:
            self.hold()
        else:
            self.turn = READY
            dispatcher = self.dispatcher
            dispatcher.ready.append(self)
            if not dispatcher.scheduled:
                dispatcher.schedule()

    def entered(self, invocation: Invocation, context: Context) -> None:
        """A message's code waits for something."""
        self.active += 1
        invocation.context = context
        if self._running is None:
            self._running = {}
        self._running[invocation] = None
        if not invocation.watched:
            self.dispatcher.deadlines.watch(invocation)

    def left(self, invocation: Invocation) -> None:
        """The code of a message that had `entered` has ended."""
        running = self._running
        if running is None or invocation not in running:
            invocation.drop()  # it was left behind by a restart
            return
        self.active -= 1
        del running[invocation]
        invocation.drop()
        if self.keeper is not None:
            self.keeper.look()
        if self.turn is not READY and not self.exclusive:
            self.reschedule()

    # --- life

    def advance(self, event: CellEvent) -> None:
        """Follow the table of states; see `pulsing.actor.lifecycle`."""
        self.state = next_state(self.state, event)
        self.room = self.options.max_concurrency if self.state in _SERVING else 0
        if self.state not in _ACCEPTING:
            self._limit = 0
            self.dispatcher.timers.cancel_all(self)
        if self.state is CellState.STOPPED:
            self.depart()

    def is_idle(self) -> bool:
        """None of its code runs or waits, and no message waits for it."""
        return not (self.active or self.exclusive or self.mailbox or self.parked)

    def disown(self) -> None:
        """Forget the code that runs: it does not leave, and the next instance is not to wait."""
        self.active = 0
        self._running = None

    def evict(self) -> None:
        """Refuse what waits, cancel what runs."""
        self.refuse_waiting()
        if self.job is not None:
            self.job.interrupted = True
            self.job.withdraw(f"actor {self.label} was stopped while the call ran")
        for invocation in self.running:
            invocation.withdraw(ActorStopped(f"actor {self.label} was stopped while the call ran"))

    def refuse_waiting(self) -> None:
        """Refuse what waits: in the mailbox, before it, and what its code has put aside."""
        aside = None if self.stash is None else self.stash.take()
        queues, self.mailbox, self.parked = (aside, self.mailbox, self.parked), None, None
        self.withdrawn = 0
        for queue in queues:
            while queue:
                self.refuse(queue.popleft())

    def stop(
        self,
        *,
        grace_s: float = 0.0,
        reason: ExitReason = ExitReason.NORMAL,
        error: BaseException | None = None,
    ) -> asyncio.Future[None]:
        """Stop the actor; ``on_stop`` runs last. Calling it again gives the same future.

        Args:
            grace_s: seconds in which messages that wait and run may still finish. What is left
                then is refused or cancelled.
            reason: what its watchers hear; that of the first call counts.
            error: what made it stop, for `ExitReason.ERROR`.

        Returns:
            Done once the actor has stopped.
        """
        self.doom(reason, error)
        if self.stopping is None:
            self.stopping = Stopping(self, grace_s)
        elif grace_s <= 0:
            self.stopping.hurry()
        return self.stopping.ended

    def kill(self) -> asyncio.Future[None]:
        """Stop the actor now: no grace, and no ``on_stop``. Gives what `stop` gives."""
        ended = self.stop(reason=ExitReason.KILLED)
        if self.stopping is not None:
            self.stopping.is_kill = True
        return ended


_ACCEPTING: Final = frozenset({CellState.STARTING, CellState.RUNNING, CellState.RESTARTING})
_SERVING: Final = frozenset({CellState.RUNNING, CellState.STOPPING})

__all__ = ["IDLE", "Cell", "CellOptions", "Turn"]
