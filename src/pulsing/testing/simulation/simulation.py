"""A cluster of real cores in a simulated world, as a handle: the verbs of a test.

The same seed gives the same history, byte for byte, in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import inf
from random import Random
from typing import Final

from pulsing.cluster.members import NodeInfo
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.stimuli import LeaveRequested, NameRegistered, NameUnregistered, StallEnded
from pulsing.cluster.wire import ClusterCore

from .cores import CoreFactory, address, gossip_core, seed_addresses
from .history import History
from .introduction import LASTS_S, Introduction
from .network import Network
from .observations import Observations
from .process import Ended, Process
from .safety import audit_names
from .visibility import Visibility
from .world import World

_LOOK_EVERY_S: Final = 0.01
_GUARD_WAKES_S: Final = 0.5
_GUARD_PEERS: Final = 3
_GUARD_TIMEOUT_S: Final = 1.0


class Simulation:
    """Nodes, each at a slot: a number that stands for its address, whoever has it at the time.

    Verbs on a node that is not in the state for it do nothing, so that any random schedule of them
    is one.

    Args:
        nodes: how many start at the beginning.
        seed: of everything random.
        settings: of every node.
        latency_s: the shortest and the longest way of a message.
        loss: the fraction of messages that are lost, each way.
        start_over_s: the nodes start within as long, in their order.
        informed: they start together, and know each other at once.
        make_core: for other cores than those of gossip.
        replay: the command that runs the same again, for the message of a violation.

    Attributes:
        world: what runs it.
        settings: of every node.
        dice: for whoever plays with it, so that a scenario needs no seed of its own.
    """

    def __init__(
        self,
        nodes: int = 5,
        *,
        seed: int = 0,
        settings: SwimSettings | None = None,
        latency_s: tuple[float, float] = (0.0002, 0.002),
        loss: float = 0.0,
        start_over_s: float = 0.0,
        informed: bool = False,
        make_core: CoreFactory = gossip_core,
        replay: str = "",
    ) -> None:
        self.settings = settings if settings is not None else SwimSettings()
        self.seed = seed
        command = replay or f"Simulation({nodes}, seed={seed}, loss={loss}, ...)"
        dice = Random(seed)  # noqa: S311 - it must be repeatable
        self.dice = dice
        self._make_core = make_core
        self._slots: list[Process | None] = []
        self._visibilities: list[Visibility] = []
        self.world = World(
            rng=_child(dice),
            network=Network(_child(dice), latency_s=latency_s, loss=loss),
            history=History(lambda: command),
            seeds=seed_addresses,
            remember_dead_s=self.settings.remember_dead_s,
            max_message_bytes=self.settings.max_message_bytes,
        )
        for slot in range(nodes):
            self._slots.append(None)
            if start_over_s > 0 and not informed:
                self.world.at(start_over_s * slot / nodes, self._start_late, slot)
            else:
                self._start(slot)
        if informed:
            self._introduce()

    # --- what is known

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self.world.now

    @property
    def observed(self) -> Observations:
        """Beliefs, detection times and mistakes."""
        return self.world.observed

    @property
    def network(self) -> Network:
        """Between the slots; its ``loss`` may be changed."""
        return self.world.network

    @property
    def history_hash(self) -> str:
        """Of everything that happened so far."""
        return self.world.history.digest()

    def __len__(self) -> int:
        return len(self._slots)

    def process(self, slot: int) -> Process | None:
        """What runs on a slot; None: nothing."""
        process = self._slots[slot]
        return process if process is not None and process.ended is None else None

    def core(self, slot: int) -> ClusterCore:
        """The core that runs on a slot."""
        process = self.process(slot)
        assert process is not None, f"nothing runs on slot {slot}"
        return process.core

    def running(self) -> list[int]:
        """Slots on which a process runs, frozen ones included."""
        return [slot for slot in range(len(self._slots)) if self.process(slot) is not None]

    # --- time

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run_until(self.world.now + seconds)

    def run_until(self, condition: Callable[[], bool], within_s: float, what: str = "") -> float:
        """Let time pass until something is so; gives how long that took, to 10 ms.

        Raises:
            SafetyViolation: it was not so in time.
        """
        world, began = self.world, self.world.now
        while not condition():
            if world.now - began >= within_s:
                why = what or self.disagreement() or "the condition does not hold"
                world.violated(f"not within {within_s:g} s: {why}")
            world.run_until(world.now + _LOOK_EVERY_S)
        return world.now - began

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Do something at a time."""
        self.world.at(when, lambda _: happen())

    # --- nodes come and go

    def add(self) -> int:
        """Start a node on a new slot; gives its number."""
        self._slots.append(None)
        self._start(len(self._slots) - 1)
        return len(self._slots) - 1

    def restart(self, slot: int) -> None:
        """Start a new process on a slot where none runs: same address, new node id."""
        if self.process(slot) is None:
            self._start(slot)

    def kill(self, slot: int, *, silently: bool = False) -> None:
        """End a process as SIGKILL does, or, ``silently``, as if its machine lost power."""
        process = self.process(slot)
        if process is not None:
            self.observed.departed(process, "silenced" if silently else "killed", self.now)
            self.world.end(process, Ended.SILENCED if silently else Ended.KILLED)

    def leave(self, slot: int) -> None:
        """Ask a node to say goodbye and end."""
        process = self.process(slot)
        if process is not None and not process.is_leaving:
            process.is_leaving = True
            self.observed.departed(process, "left", self.now)
            self.world.tell(process, LeaveRequested())

    # --- what may befall them

    def freeze(self, slot: int) -> None:
        """As SIGSTOP does."""
        process = self.process(slot)
        if process is not None and not process.is_frozen:
            self.observed.departed(process, "frozen", self.now)
            process.well_at = inf
            self.world.freeze(process)

    def thaw(self, slot: int) -> None:
        """As SIGCONT does."""
        process = self.process(slot)
        if process is not None and process.is_frozen and not process.guarding:
            self._well_again(process)
            self.world.thaw(process)

    def stall(self, slot: int, seconds: float) -> None:
        """Block a node's event loop for a while; its guard says that it is busy.

        So nobody may believe it dead meanwhile.
        """
        process = self.process(slot)
        if process is not None and not process.is_frozen:
            process.guarding = True
            self.world.freeze(process)
            self.at(self.now + _GUARD_WAKES_S, lambda: self._guard_speaks(process))
            self.at(self.now + seconds, lambda: self._stall_ends(process))

    def clog(self, slot: int) -> None:
        """Let its messages wait, in and out, while its timers run: an overloaded node."""
        process = self.process(slot)
        if process is not None and not process.is_clogged:
            process.well_at = inf
            self.world.clog(process)

    def unclog(self, slot: int) -> None:
        """Let them go on their way."""
        process = self.process(slot)
        if process is not None and process.is_clogged:
            self._well_again(process)
            self.world.unclog(process)

    def disturb(
        self, slot: int, *, every_s: float = 60.0, for_s: tuple[float, float] = (10.0, 30.0)
    ) -> None:
        """Clog a node again and again: the anomalies of the Lifeguard paper, 5.

        It counts as unwell for ever: believing it dead is no mistake; what it believes may be one.
        """
        process = self.process(slot)
        if process is None:
            return
        process.is_unwell = True

        def begin() -> None:
            if process.ended is None:
                self.clog(slot)
                lasts = self.dice.uniform(*for_s)
                self.at(self.now + lasts, lambda: self.unclog(slot))
                self.at(self.now + every_s, begin)

        self.at(self.now + self.dice.uniform(0, every_s), begin)

    def partition(self, *groups: Collection[int]) -> None:
        """Let only nodes of one group reach each other; those in none are a group of their own."""
        self.network.partition(groups)

    def cut(self, one: int, other: int, *, one_way: bool = False) -> None:
        """Lose everything between two nodes, or everything from one to the other."""
        self.network.cut(one, other, one_way=one_way)

    def heal(self) -> None:
        """End all partitions and cuts."""
        self.network.heal()
        for process in self.observed.running.values():
            self._well_again(process)

    def recover(self, *, restart: bool = True) -> None:
        """End everything that is wrong: cuts, loss, frozen and clogged nodes, empty slots.

        Without ``restart`` what ended stays so.
        """
        self.network.loss = 0.0
        self.heal()
        for slot in range(len(self._slots)):
            self.thaw(slot)
            self.unclog(slot)
            if restart:
                self.restart(slot)

    # --- names

    def register(self, slot: int, name: str, class_name: str = "simulated.Actor") -> None:
        """Let an actor with a name start on a node."""
        process = self.process(slot)
        if process is not None and name not in process.names and not process.is_leaving:
            local = process.next_local
            process.next_local += 1
            process.names[name] = (local, class_name)
            self._names_change(process, name, local)
            self.world.tell(process, NameRegistered(name, local, class_name))

    def unregister(self, slot: int, name: str) -> None:
        """Let it stop."""
        process = self.process(slot)
        if process is not None and name in process.names and not process.is_leaving:
            del process.names[name]
            self._names_change(process, name, None)
            self.world.tell(process, NameUnregistered(name))

    def watch_names(self) -> Visibility:
        """From now on measure how long each change of a name takes to be seen everywhere."""
        visibility = Visibility(self.world)
        self._visibilities.append(visibility)
        return visibility

    # --- is all well

    def disagreement(self) -> str | None:
        """Where the members' views differ from the truth; None: nowhere."""
        if None in self._slots:
            return f"slot {self._slots.index(None)} has not started yet"
        return self.observed.disagreement()

    def converged(self) -> bool:
        """Every running node sees exactly the running nodes, all alive."""
        return self.disagreement() is None

    def names_agree(self) -> bool:
        """Every running node finds exactly the names that running nodes have."""
        return self._name_problem() is None

    def check(self) -> None:
        """All tables agree with what was told, with each other, and with the truth.

        Raises:
            SafetyViolation: they do not.
        """
        for process in self.observed.running.values():
            self.world.audit(process)
        problem = self.disagreement() or self._name_problem()
        if problem is not None:
            self.world.violated(problem)

    def settle(self, within_s: float = 60.0) -> float:
        """Run until members and names agree everywhere, and check; gives how long that took."""
        took = self.run_until(self.converged, within_s)
        took += self.run_until(self.names_agree, within_s, "names disagree")
        self.check()
        return took

    # --- inside

    def _start(self, slot: int) -> None:
        node_id = f"{self.dice.getrandbits(128):032x}"
        info = NodeInfo(node_id, address(slot), f"node-{node_id[:8]}")
        core = self._make_core(info, self.settings, _child(self.dice))
        self._slots[slot] = self.world.start(slot, core)

    def _introduce(self) -> None:
        everybody = [process.core.info for process in self.observed.processes]
        self.world.introduction = Introduction(everybody, self.settings.max_message_bytes)
        self.world.run_until(LASTS_S)
        self.world.introduction = None

    def _start_late(self, slot: int) -> None:
        if self._slots[slot] is None:
            self._start(slot)

    def _well_again(self, process: Process) -> None:
        self.observed.returned(process)
        if not (process.is_frozen and process.guarding):
            process.well_at = self.now + self.observed.grace_s

    def _guard_speaks(self, process: Process) -> None:
        if process.ended is not None or not process.guarding:
            return
        process.issued += 1
        body = process.core.busy_claim(process.issued)
        peers = [
            each.info.addr
            for each in process.core.members.values()
            if each.is_present and each.node_id != process.node_id
        ]
        for addr in self.dice.sample(peers, min(_GUARD_PEERS, len(peers))):
            self.world.speak_for(process, addr, body, _GUARD_TIMEOUT_S)
        again = self.settings.busy_lease_s / 3
        self.at(self.now + again, lambda: self._guard_speaks(process))

    def _stall_ends(self, process: Process) -> None:
        if process.ended is None:
            process.guarding = False
            self.world.tell(process, StallEnded(process.issued))
            self.world.thaw(process)

    def _names_change(self, process: Process, name: str, local: int | None) -> None:
        for each in self._visibilities:
            each.changed(process, name, local)

    def _name_problem(self) -> str | None:
        running: Mapping[str, Process] = {
            process.node_id: process for process in self.observed.running.values()
        }
        for process in running.values():
            problem = audit_names(process, running)
            if problem is not None:
                return problem
        return None


def _child(dice: Random) -> Random:
    return Random(dice.getrandbits(64))  # noqa: S311 - it must be repeatable
