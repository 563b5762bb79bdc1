"""One clock, one heap of events, and the processes that act: the cores are fed here.

First layer of a world: steps and timers. `requests` adds what is between processes, `world` what
may befall them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any, Final, NoReturn

from pulsing.cluster.effects import (
    Effect,
    ResolveSeeds,
    TellMemberChange,
    TellNameChange,
    WriteLog,
)
from pulsing.cluster.members import MemberStatus
from pulsing.cluster.stimuli import DeadlineReached, SeedsResolved, Stimulus

from .history import History
from .network import Network
from .observations import Observations
from .process import Process
from .safety import audit_beliefs, broken_by_change, broken_by_names, broken_by_step

_ALIVE: Final = MemberStatus.ALIVE
_DEADLINE_REACHED: Final = DeadlineReached()
_SEEDS_TAKE_S: Final = 0.001
WATCHED_WHOLLY: Final = 12
"""In so small a world every table is compared after every step of its core."""
Event = tuple[float, int, Callable[[Any], None], Any]


class Stage:
    """Time, and the steps of processes.

    Args:
        rng: its dice; those of the network are its own.
        network: between the slots.
        history: of everything.
        seeds: gives the addresses that processes find when they resolve their seeds.
        remember_dead_s: cores remember dead members at least as long.

    Attributes:
        now: the time, in seconds since the beginning.
        observed: who believes what.
        log_lines: what cores wrote into the log: how often, by severity and key.
        after_step: called with the process after each of its steps; for measurements.
    """

    def __init__(
        self,
        *,
        rng: Random,
        network: Network,
        history: History,
        seeds: Callable[[], tuple[str, ...]],
        remember_dead_s: float,
    ) -> None:
        self.now = 0.0
        self.network = network
        self.history = history
        self.observed = Observations()
        self.log_lines: Counter[tuple[str, str]] = Counter()
        self.after_step: list[Callable[[Process], None]] = []
        self._rng = rng
        self._seeds = seeds
        self._remember_dead_s = remember_dead_s
        self._events: list[Event] = []
        self._sequence = 0
        self._watches_all = False
        self._at: dict[str, Process] = {}
        self._slots: dict[str, int] = {}
        self._do: dict[type, Callable[[Process, Any, Sequence[Effect]], None]] = {
            ResolveSeeds: self._resolve_seeds,
            TellMemberChange: self._member_changed,
            TellNameChange: self._names_changed,
            WriteLog: self._log_written,
        }

    # --- time

    def run_until(self, at: float) -> None:
        """Let everything happen that is due up to a time, and let it be that time."""
        events = self._events
        while events and events[0][0] <= at:
            when, _, happen, to = heappop(events)
            self.now = when
            happen(to)
        self.now = max(self.now, at)

    def at(self, when: float, happen: Callable[[Any], None], to: object = None) -> None:
        """Call ``happen(to)`` at a time, not before now."""
        self._sequence += 1
        heappush(self._events, (max(when, self.now), self._sequence, happen, to))

    # --- processes

    def running_at(self, addr: str) -> Process | None:
        """The process that has an address now."""
        return self._at.get(addr)

    def tell(self, process: Process, stimulus: Stimulus) -> None:
        """Let something happen to a process; when it is frozen, as soon as it goes on."""
        if process.is_frozen:
            process.waiting.append((self._tell_late, (process, stimulus)))
        else:
            self._handle(process, stimulus)

    def audit(self, process: Process) -> None:
        """Compare all of a core's table with what it told.

        Raises:
            SafetyViolation: they differ.
        """
        broken = audit_beliefs(process, self.observed)
        if broken is not None:
            self.violated(broken)

    def violated(self, rule: str) -> NoReturn:
        """Raise the error that says which rule is broken now."""
        raise self.history.violation(rule, self.now)

    def _tell_late(self, what: tuple[Process, Stimulus]) -> None:
        self.tell(*what)

    # --- a step of a core

    def _begin(self, process: Process) -> None:
        effects = process.core.start(now=process.clock)
        self.history.decided((self.now, process, "start", effects))
        self._obey(process, effects)

    def _handle(self, process: Process, stimulus: Stimulus) -> None:
        now = self.now
        if process.ended is not None:
            return
        clock = now + process.offset
        process.clock = max(process.clock, clock)
        history = self.history
        history.handled(now, process, stimulus)
        try:
            effects = process.core.handle(stimulus, now=process.clock)
        except Exception as error:
            rule = f"{process} failed at {stimulus}: {error!r}"
            raise history.violation(rule, now) from error
        history.decided((now, process, stimulus, effects))
        self._obey(process, effects)

    def _obey(self, process: Process, effects: Sequence[Effect]) -> None:
        own = process.core.members.get(process.node_id)
        if own is None or own.status is not _ALIVE or own.incarnation != process.incarnation:
            broken = broken_by_step(process, own)
            if own is None or broken is not None:
                self.violated(str(broken))
            process.incarnation = own.incarnation
            # Before others hear of it in the effects below.
            process.issued = max(process.issued, own.incarnation)
        if effects:
            do = self._do
            for effect in effects:
                do[type(effect)](process, effect, effects)
        if self._watches_all:
            self.audit(process)
        if self.after_step:
            for watch in self.after_step:
                watch(process)
        self._arm(process)

    # --- timers

    def _arm(self, process: Process) -> None:
        deadline = process.core.next_deadline()
        process.deadline = deadline
        if deadline is None:
            return
        at = deadline - process.offset
        if at < process.timer:
            at = max(at, self.now)
            process.timer = at
            self._sequence += 1
            heappush(self._events, (at, self._sequence, self._timer_fires, process))

    def _timer_fires(self, process: Process) -> None:
        if process.timer != self.now or process.ended is not None:
            return  # an earlier one was set meanwhile
        process.timer = inf
        if process.is_frozen:
            return  # set again when it goes on
        deadline = process.deadline
        if deadline is None:
            return
        if deadline - process.offset > self.now:
            self._arm(process)
            return
        process.clock = max(process.clock, deadline)  # the offset must not cost the last bit
        self._handle(process, _DEADLINE_REACHED)
        deadline = process.deadline
        if deadline is None or deadline > process.clock:
            process.storms = 0
        else:
            self._not_calm(process, deadline)

    def _not_calm(self, process: Process, deadline: float) -> None:
        """A core that leaves its deadline in the past again and again would never rest."""
        process.storms += 1
        if process.storms > 1:
            self.violated(
                f"{process} handled two deadlines in a row that left the next one in the past, "
                f"by {process.clock - deadline:.6f} s now"
            )

    # --- effects

    def _resolve_seeds(self, process: Process, _effect: object, _: object) -> None:
        self.at(self.now + _SEEDS_TAKE_S, self._seeds_found, process)

    def _seeds_found(self, process: Process) -> None:
        self.tell(process, SeedsResolved(self._seeds()))

    def _member_changed(
        self, process: Process, effect: TellMemberChange, effects: Sequence[Effect]
    ) -> None:
        observed = self.observed
        subject = observed.process_of(effect.member.node_id)
        if subject is None:
            self.violated(f"{process} made up the member {effect.member.node_id}")
        if subject is process:
            return
        may_forget = self.now >= self._remember_dead_s
        broken = broken_by_change(process, subject, effect, effects, may_forget=may_forget)
        if broken is not None:
            self.violated(broken)
        is_parted = self.network.is_parted(process.slot, subject.slot)
        if effect.member.status >= MemberStatus.DEAD:
            process.disappeared.pop(subject.node_id, None)
        observed.told(process, subject, effect.member, self.now, is_parted=is_parted)

    def _names_changed(self, process: Process, effect: TellNameChange, _: object) -> None:
        if not effect.names:
            self.violated(f"{process} told of a change of no names")
        if self._watches_all:
            broken = broken_by_names(process, effect.names)
            if broken is not None:
                self.violated(broken)

    def _log_written(self, _process: Process, effect: WriteLog, _: object) -> None:
        self.log_lines[effect.severity.value, effect.key] += 1
