"""A world of processes, and what may befall them: they are started, killed, frozen, clogged.

A process that is killed resets its connections, and its address refuses new ones; one that is
frozen accepts everything and does nothing, until it does all of it late.
"""

from __future__ import annotations

from typing import Any

from pulsing.cluster.effects import LeaveFinished
from pulsing.cluster.wire import ClusterCore

from .process import Ended, Held, Process
from .requests import Requests
from .stage import WATCHED_WHOLLY


class World(Requests):
    """Processes come and go here. Knows no scenario: `Simulation` is the handle for people."""

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self._do[LeaveFinished] = self._leave_finished

    def start(self, slot: int, core: ClusterCore) -> Process:
        """Run a process on a slot, at the address of its core."""
        assert core.info.addr not in self._at, f"{core.info.addr} is in use"
        # No two clocks in the world agree: a core that tells others its own time is wrong.
        offset = float(self._rng.randrange(1, 1_000_000))
        process = Process(len(self.observed.processes), slot, core, offset=offset, now=self.now)
        self.observed.started(process)
        self._at[process.addr] = process
        self._slots[process.addr] = slot
        self._silent.discard(slot)
        self._watches_all = len(self.observed.running) <= WATCHED_WHOLLY
        self._begin(process)
        return process

    def end(self, process: Process, how: Ended) -> None:
        """It stops at once. What the others notice of it depends on how."""
        process.ended = how
        del self._at[process.addr]
        self.observed.stopped(process)
        for call in process.calls.values():
            call.is_over = True
        for each in (process.waiting, process.late_timers, process.outgoing):
            each.clear()
        if how is Ended.SILENCED:
            self._silent.add(process.slot)
            return
        tell = self._link_closes if how is Ended.LEFT else self._link_ends
        for slot, serial in process.links.items():
            peer = self.observed.processes[serial]
            if peer.ended is None:
                delay = self.network.delay(process.slot, slot)
                if delay is not None:  # else the peer finds out when it uses the connection
                    self.at(self.now + delay, tell, (peer, process))

    def freeze(self, process: Process) -> None:
        """It does nothing until `thaw`; connections to it are still accepted."""
        process.is_frozen = True

    def thaw(self, process: Process) -> None:
        """It goes on: first with what arrived meanwhile, or first with its timers."""
        process.is_frozen = False
        arrived, timers = process.waiting, process.late_timers
        process.waiting, process.late_timers = [], []
        # Some event loops look at their sockets first, others at their timers.
        if self._rng.random() < 0.5:
            self._catch_up(arrived)
            self._catch_up(timers)
            self._arm(process)
        else:
            self._catch_up(timers)
            self._timer_is_late(process)
            self._catch_up(arrived)

    def clog(self, process: Process) -> None:
        """Its messages wait, in and out, until `unclog`; its timers run on time."""
        process.is_clogged = True

    def unclog(self, process: Process) -> None:
        """What waited goes on its way."""
        process.is_clogged = False
        outgoing, process.outgoing = process.outgoing, []
        self._catch_up(outgoing)
        if not process.is_frozen:
            waiting, process.waiting = process.waiting, []
            self._catch_up(waiting)

    def _timer_is_late(self, process: Process) -> None:
        process.timer = self.now
        self._timer_fires(process)
        if process.ended is None:
            self._arm(process)

    @staticmethod
    def _catch_up(held: list[Held]) -> None:
        for happen, to in held:
            happen(to)

    def _leave_finished(self, process: Process, _effect: object, _: object) -> None:
        if not process.is_leaving:
            self.violated(f"{process} finished a goodbye that nobody asked for")
        # Not within the step: its other effects are still to be done.
        self.at(self.now, self._gone, process)

    def _gone(self, process: Process) -> None:
        if process.ended is None:
            self.end(process, Ended.LEFT)
