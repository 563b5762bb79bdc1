"""The shell of a cluster core: one timer, one way in, one way out.

It owns no decision. Whatever happens becomes a stimulus, and what the core answers is done here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pulsing.logs import LimitedLogger

from .effects import (
    CloseLinks,
    Effect,
    LeaveFinished,
    ResolveSeeds,
    SendAnswer,
    SendRequest,
    Severity,
    TellMemberChange,
    TellNameChange,
    WriteLog,
)
from .members import Member, MemberStatus, NodeInfo, Registration
from .stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    RequestReceived,
    SeedsResolved,
    StallEnded,
    Stimulus,
)
from .waiters import NameWaiters

if TYPE_CHECKING:
    from .guard import StallGuard
    from .wire import ClusterCore, Wire

_logger = logging.getLogger(__name__)
_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}
_MAX_UNANSWERED: Final = 4096
"""Requests of others that the core may still be working on; the oldest is given up first."""
_LEAVE_MARGIN_S: Final = 1.0
"""How much longer than its core says a goodbye may take."""
_LEAVE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """Something is believed of a member that was not before.

    Attributes:
        member: as it is now.
        before: what was believed of it; None when it was not known.
    """

    member: Member
    before: MemberStatus | None

    def __str__(self) -> str:
        before = "unknown" if self.before is None else self.before.name.capitalize()
        member = self.member
        return f"{member.info.name} at {member.info.addr}: {before} -> {member.shown_status}"


class ClusterAgent:
    """A node's part in the cluster, on its event loop.

    Args:
        core: decides.
        wire: sends.
        loop: where all of it happens.
        resolve: looks the seeds up.

    Attributes:
        guard: watches the loop; None: nothing does.
    """

    def __init__(
        self,
        core: ClusterCore,
        wire: Wire,
        *,
        loop: asyncio.AbstractEventLoop,
        resolve: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self.core = core
        self.guard: StallGuard | None = None
        self._wire = wire
        self._loop = loop
        self._resolve = resolve
        self._context = copy_context()  # what runs for ever must not keep that of some caller
        self._log = LimitedLogger(_logger, interval_s=5.0)
        self._stimuli: deque[Stimulus] = deque()
        self._feeding = False
        self._paused = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._answers: dict[int, Callable[[bytes], None]] = {}
        self._last_exchange = 0
        self._resolving: asyncio.Task[None] | None = None
        self._left: asyncio.Future[None] | None = None
        self._subscribers: list[Callable[[MemberEvent], None]] = []
        self._waiters = NameWaiters(loop)
        self._do: Final[Mapping[type, Callable[[Any], None]]] = {
            SendRequest: self._send_request,
            SendAnswer: self._send_answer,
            ResolveSeeds: self._resolve_seeds,
            TellMemberChange: self._tell_member_change,
            TellNameChange: self._tell_name_change,
            CloseLinks: self._close_links,
            LeaveFinished: self._leave_finished,
            WriteLog: self._write_log,
        }

    # --- what is known

    @property
    def info(self) -> NodeInfo:
        """This node."""
        return self.core.info

    def members(self) -> list[Member]:
        """Everybody known: this node first, then by name; the remembered dead included."""
        ours = self.core.info.node_id
        everybody = self.core.members.values()
        return sorted(everybody, key=lambda each: (each.node_id != ours, each.info.name))

    def member(self, node: str) -> Member | None:
        """The member with an id, or with a name that is unique among the present ones."""
        known = self.core.members.get(node)
        if known is not None:
            return known
        named = [each for each in self.core.members.values() if each.info.name == node]
        present = [each for each in named if each.is_present] or named
        return present[0] if len(present) == 1 else None

    def lookup(self, name: str) -> Sequence[Registration]:
        """Instances of a canonical name on present members, this node's included."""
        return self.core.lookup(name)

    def names(self) -> Mapping[str, Sequence[Registration]]:
        """Every registered name, with its instances."""
        return self.core.names()

    @property
    def last_stall(self) -> dict[str, object] | None:
        """When the loop of this node stood still last, for how long, and what held it."""
        stall = self.guard.last_stall if self.guard is not None else None
        return None if stall is None else stall.as_dict()

    def peers(self) -> list[str]:
        """The addresses of the other members that are present. Also for the guard's thread."""
        ours = self.core.info.node_id
        everybody = list(self.core.members.values())
        return [each.info.addr for each in everybody if each.is_present and each.node_id != ours]

    def incarnation(self) -> int:
        """The highest incarnation that this node has claimed. Also for the guard's thread."""
        return self.core.members[self.core.info.node_id].incarnation

    async def wait_for_name(self, name: str, timeout_s: float) -> Sequence[Registration]:
        """Instances of a canonical name, as soon as there are any; empty after the timeout.

        Raises:
            PulsingRuntimeError: the node was shut down meanwhile.
        """
        found = self.core.lookup(name)
        if found or timeout_s <= 0 or self._closed:
            return found
        await self._waiters.wait(
            name, timeout_s, lambda: bool(self.core.lookup(name)), lambda: self._want(name)
        )
        return self.core.lookup(name)

    def _want(self, name: str) -> None:
        self._perform(self.core.name_wanted(name, now=self._loop.time()))

    def subscribe(self, callback: Callable[[MemberEvent], None]) -> Callable[[], None]:
        """Call back on the loop with every change of a member. Gives what ends it."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    # --- what this node has

    def register(self, name: str, local: int, class_name: str) -> None:
        """A public named actor of this node was started."""
        self.feed(NameRegistered(name, local, class_name))

    def unregister(self, name: str) -> None:
        """It was asked to stop."""
        self.feed(NameUnregistered(name))

    # --- life

    async def start(self) -> None:
        """Begin: look for the others. Does not wait for them."""
        self._perform(self.core.start(now=self._loop.time()))
        if self.guard is not None:
            self.guard.start()

    async def leave(self) -> None:
        """Say goodbye, and wait until enough members have heard it, or it took too long."""
        if self._closed:
            return
        if self._left is None:
            self._left = self._loop.create_future()
            claimed = self.guard.hush() if self.guard is not None else 0
            if claimed:
                self.feed(StallEnded(claimed))  # the goodbye must be above it
            self.feed(LeaveRequested())
        # The core ends it in time; the margin is for a core that is wrong.
        await asyncio.wait((self._left,), timeout=_LEAVE_S + _LEAVE_MARGIN_S)

    async def close(self) -> None:
        """Stop taking part. What waits for a name gets PulsingRuntimeError."""
        self._closed = True
        if self.guard is not None:
            await self.guard.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._resolving is not None:
            self._resolving.cancel()
            # Ends at once: nothing in it survives its cancellation.
            await asyncio.wait((self._resolving,))
        self._answers.clear()
        self._subscribers.clear()
        self._waiters.close()
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    # --- what happens

    def request_received(self, peer_id: str, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Another node asks; ``answer`` is called with the answer, at once, later or never."""
        self._last_exchange += 1
        exchange = self._last_exchange
        if len(self._answers) >= _MAX_UNANSWERED:
            del self._answers[next(iter(self._answers))]
        self._answers[exchange] = answer
        self.feed(RequestReceived(exchange, peer_id, body))

    def link_lost(self, node_id: str) -> None:
        """A connection to or from a node ended without a goodbye."""
        self.feed(LinkLost(node_id))

    def stall_ended(self, incarnation: int) -> None:
        """The loop turns again; the guard had claimed up to this incarnation."""
        self.feed(StallEnded(incarnation))

    def feed(self, stimulus: Stimulus) -> None:
        """Let the core decide, and do what it says. On the loop."""
        if self._closed:
            return
        self._stimuli.append(stimulus)
        if self._feeding or self._paused:  # from a callback of a subscriber: in its turn
            return
        self._decide()

    def _decide(self) -> None:
        self._feeding = True
        try:
            while self._stimuli:
                effects = self.core.handle(self._stimuli.popleft(), now=self._loop.time())
                for effect in effects:
                    self._do[type(effect)](effect)
        finally:
            self._feeding = False
        self._arm()

    def pause(self) -> None:
        """Decide nothing until `resume`, as if the process was stopped. For tests."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`, with what happened meanwhile."""
        self._paused = False
        if not self._closed:
            self._decide()

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Do what the core said outside of `feed`."""
        for effect in effects:
            self._do[type(effect)](effect)
        self._arm()

    # --- the timer

    def _arm(self) -> None:
        deadline = self.core.next_deadline()
        timer = self._timer
        if timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return  # fires early at worst, and arms itself again
            timer.cancel()
            self._timer = None
        if deadline is not None and not self._closed:
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._fire, context=self._context)

    def _fire(self) -> None:
        self._timer = None
        if self._paused:
            return  # armed again by `resume`
        deadline = self.core.next_deadline()
        if deadline is not None and deadline <= self._loop.time():
            self.feed(DeadlineReached())
        else:
            self._arm()

    # --- effects

    def _send_request(self, effect: SendRequest) -> None:
        exchange = effect.exchange
        self._wire.request(
            effect.addr,
            effect.body,
            effect.timeout_s,
            partial(self._answered, exchange),
            partial(self._failed, exchange),
        )

    def _answered(self, exchange: int, peer_id: str, body: bytes) -> None:
        self.feed(AnswerReceived(exchange, peer_id, body))

    def _failed(self, exchange: int, failure: Failure, text: str) -> None:
        self.feed(RequestFailed(exchange, failure, text))

    def _send_answer(self, effect: SendAnswer) -> None:
        answer = self._answers.pop(effect.exchange, None)
        if answer is not None:
            answer(effect.body)

    def _resolve_seeds(self, _effect: ResolveSeeds) -> None:
        if self._resolving is None:
            self._resolving = self._loop.create_task(
                self._look_up(), name="pulsing-seeds", context=self._context
            )

    async def _look_up(self) -> None:
        try:
            addresses = tuple(await self._resolve())  # bounded by its own timeouts
        except Exception as error:  # noqa: BLE001 - seeds that cannot be looked up end nothing
            self._log.warning("resolve", "cannot look up the seeds: %r", error)
            addresses = ()
        self._resolving = None
        self.feed(SeedsResolved(addresses))

    def _tell_member_change(self, effect: TellMemberChange) -> None:
        event = MemberEvent(effect.member, effect.before)
        for callback in list(self._subscribers):
            try:
                callback(event)
            except Exception:
                _logger.exception("a callback for changes of members failed")

    def _tell_name_change(self, effect: TellNameChange) -> None:
        self._waiters.wake(effect.names)

    def _close_links(self, effect: CloseLinks) -> None:
        self._wire.close_links(effect.node_id, effect.addr, effect.reason)

    def _leave_finished(self, _effect: LeaveFinished) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    def _write_log(self, effect: WriteLog) -> None:
        self._log.log(_LEVELS[effect.severity], effect.key, "%s", effect.text)
