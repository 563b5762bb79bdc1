"""What observers believe of each other, and how long it took them to notice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pulsing.cluster.members import Member, MemberStatus

from .process import UNKNOWN, Process

_ALIVE = MemberStatus.ALIVE
_SUSPECT = MemberStatus.SUSPECT
_DEAD = MemberStatus.DEAD


class FalseDeath(NamedTuple):
    """Somebody believed that a running, reachable, undisturbed node is dead.

    Attributes:
        at_s: when, in simulated seconds.
        observer: slot of who believed it.
        subject: slot of whom.
        observer_was_well: nothing was wrong with the observer either.
    """

    at_s: float
    observer: int
    subject: int
    observer_was_well: bool


class Departure:
    """A process ended, or froze; when did the others notice?

    Attributes:
        process: which.
        how: ``killed``, ``silenced``, ``frozen`` or ``left``.
        at_s: when, in simulated seconds.
        expected: serials of those who had reason to notice: that ran, and knew it as present.
        suspected_s: by serial of the observer: seconds until it suspected something.
        known_s: and until it knew.
    """

    __slots__ = ("at_s", "expected", "how", "known_s", "process", "suspected_s")

    def __init__(self, process: Process, how: str, at_s: float, expected: Iterable[int]) -> None:
        self.process = process
        self.how = how
        self.at_s = at_s
        self.expected = frozenset(expected)
        self.suspected_s: dict[int, float] = {}
        self.known_s: dict[int, float] = {}

    @property
    def first_s(self) -> float | None:
        """Seconds until the first observer knew."""
        return min(self.known_s.values(), default=None)

    @property
    def last_s(self) -> float | None:
        """Seconds until the last expected observer knew; None while one does not."""
        return max(self.known_s.values()) if self.is_complete and self.known_s else None

    @property
    def is_complete(self) -> bool:
        """All who should know do."""
        return self.expected <= self.known_s.keys()


class Observations:
    """Beliefs of all observers, kept as they are told; and what follows from them.

    Args:
        grace_s: for as long after its trouble has ended, a node may still be believed dead without
            that being a mistake.

    Attributes:
        processes: all there ever were, by serial.
        running: those that run.
        departures: in their order.
        false_deaths: in their order.
        deaths: how often somebody believed a running process dead, with or without a reason.
        changes: grows with every belief.
    """

    __slots__ = (
        "_by_id",
        "_open",
        "changes",
        "deaths",
        "departures",
        "false_deaths",
        "grace_s",
        "processes",
        "running",
    )

    def __init__(self, *, grace_s: float = 10.0) -> None:
        self.grace_s = grace_s
        self.processes: list[Process] = []
        self.running: dict[int, Process] = {}
        self._by_id: dict[str, Process] = {}
        self._open: dict[int, Departure] = {}
        self.departures: list[Departure] = []
        self.false_deaths: list[FalseDeath] = []
        self.deaths = 0
        self.changes = 0

    def process_of(self, node_id: str) -> Process | None:
        """The process with an id, if there ever was one."""
        return self._by_id.get(node_id)

    def started(self, process: Process) -> None:
        """A process is about to run."""
        self.processes.append(process)
        self.running[process.serial] = process
        self._by_id[process.node_id] = process
        self.changes += 1

    def stopped(self, process: Process) -> None:
        """It does not run any more, and what it believes does not count any more."""
        del self.running[process.serial]
        for serial, status in enumerate(process.believed):
            if status <= _SUSPECT:
                subject = self.processes[serial]
                subject.present_at -= 1
                subject.alive_at -= status == _ALIVE
        process.believed = bytearray()
        self.changes += 1

    def departed(self, process: Process, how: str, at_s: float) -> None:
        """From now on the others can notice that it is gone."""
        serial = process.serial
        expected = (
            each.serial
            for each in self.running.values()
            if each is not process and each.belief(serial) <= _SUSPECT
        )
        departure = Departure(process, how, at_s, expected)
        self.departures.append(departure)
        self._open[serial] = departure

    def returned(self, process: Process) -> None:
        """It is back: nobody needs to notice any more."""
        self._open.pop(process.serial, None)

    def told(
        self, observer: Process, subject: Process, member: Member, at_s: float, *, is_parted: bool
    ) -> None:
        """An observer believes something else of another process now."""
        serial, status = subject.serial, member.status
        before = observer.belief(serial)
        observer.believe(serial, status, member.incarnation)
        self.changes += 1
        subject.alive_at += (status == _ALIVE) - (before == _ALIVE)
        subject.present_at += (status <= _SUSPECT) - (before <= _SUSPECT)
        self.deaths += status == _DEAD and subject.ended is None
        departure = self._open.get(serial)
        if departure is not None:
            after = at_s - departure.at_s
            departure.suspected_s.setdefault(observer.serial, after)
            if status >= _DEAD:
                departure.known_s.setdefault(observer.serial, after)
        elif status == _DEAD and not is_parted and self._is_well(subject, at_s):
            well = self._is_well(observer, at_s)
            self.false_deaths.append(FalseDeath(at_s, observer.slot, subject.slot, well))

    def disagreement(self) -> str | None:
        """Where the views of the running differ from what is so; None: nowhere."""
        others = len(self.running) - 1
        for process in self.running.values():
            if process.is_leaving:
                return f"{process} has not finished its goodbye"
            if process.alive_at != others:
                return f"{process} is alive for {process.alive_at} of {others} others"
        return self.unnoticed()

    def unnoticed(self) -> str | None:
        """Which process that ended somebody still believes to be there; None: there is none."""
        for process in self.processes:
            if process.ended is not None and process.present_at:
                return f"{process} is {process.ended.value}, {process.present_at} do not know"
        return None

    def _is_well(self, process: Process, at_s: float) -> bool:
        return (
            process.ended is None
            and not process.is_unwell
            and not process.is_leaving
            and process.well_at <= at_s
        )


def shown(status: int) -> str:
    """The name of a status, for messages."""
    return "unknown" if status == UNKNOWN else MemberStatus(status).name
