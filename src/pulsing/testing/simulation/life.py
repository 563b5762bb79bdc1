"""A long life of a cluster, with deaths and slow members on the way: what the command runs."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from .scenarios import Samples, Setting
from .simulation import Simulation

_SAMPLE_S: Final = 5.0
_RESTART_AFTER_S: Final = 20.0
_SETTLE_WITHIN_S: Final = 300.0


class Load(NamedTuple):
    """What a node sent, on average over all nodes and some seconds before ``at_s``."""

    at_s: float
    bytes_per_s: float
    messages_per_s: float


class Noticed(NamedTuple):
    """How long it took until a node that was killed at ``at_s`` was known to be dead."""

    at_s: float
    first_s: float
    median_s: float
    last_s: float


@dataclass(slots=True)
class Life:
    """What was measured.

    Attributes:
        joined_s: seconds until all nodes knew all nodes.
        loads: over time, from then on.
        noticed: deaths that everybody noticed, in their order.
        killed: how many there were.
        false_deaths: how often somebody believed a healthy node dead.
        wronged: how many healthy nodes somebody believed dead.
    """

    joined_s: float
    loads: list[Load]
    noticed: list[Noticed]
    killed: int = 0
    false_deaths: int = 0
    wronged: int = 0

    def samples(self) -> Samples:
        """As figures, like those of the other scenarios."""
        return {
            "joined_s": [self.joined_s],
            "first_s": [each.first_s for each in self.noticed],
            "median_s": [each.median_s for each in self.noticed],
            "last_s": [each.last_s for each in self.noticed],
            "bytes_per_s": [each.bytes_per_s for each in self.loads],
            "messages_per_s": [each.messages_per_s for each in self.loads],
            "killed": [float(self.killed)],
            "false_deaths": [float(self.false_deaths)],
            "wronged": [float(self.wronged)],
        }


def live(
    setting: Setting, minutes: float, *, kill_every_s: float | None = None, slow: int = 0
) -> tuple[Life, Simulation]:
    """Let a cluster live.

    Args:
        setting: of what size, in which network.
        minutes: how long, from when all nodes know all nodes.
        kill_every_s: a random node loses power this often, and is started again 20 s later.
        slow: this many are clogged 10 to 30 s of each minute (Lifeguard 5).
    """
    simulation = setting.starting()
    setting.pass_time(simulation, setting.nodes * 0.005)
    joined_s = simulation.run_until(simulation.converged, within_s=_SETTLE_WITHIN_S)
    life = Life(joined_s, [], [])
    for slot in simulation.dice.sample(simulation.running(), slow):
        simulation.disturb(slot)
    ends_at = simulation.now + minutes * 60
    if kill_every_s is not None:
        _kill_again_and_again(simulation, kill_every_s, ends_at, life)
    while simulation.now < ends_at:
        world = simulation.world
        began, octets, messages = world.now, world.wire_bytes, world.messages
        simulation.run_for(min(_SAMPLE_S, ends_at - began))
        node_seconds = len(simulation.running()) * (world.now - began)
        load = Load(
            world.now,
            (world.wire_bytes - octets) / node_seconds,
            (world.messages - messages) / node_seconds,
        )
        life.loads.append(load)
        if setting.watch is not None:
            setting.watch(simulation.now, ends_at)
    _look_back(simulation, life)
    return life, simulation


def _kill_again_and_again(
    simulation: Simulation, every_s: float, ends_at: float, life: Life
) -> None:
    def kill() -> None:
        processes = [simulation.process(slot) for slot in simulation.running()]
        victims = [each.slot for each in processes if each is not None and not each.is_unwell]
        slot = simulation.dice.choice(victims)
        simulation.kill(slot, silently=True)
        life.killed += 1
        simulation.at(simulation.now + _RESTART_AFTER_S, lambda: simulation.restart(slot))
        if simulation.now + every_s < ends_at:
            simulation.at(simulation.now + every_s, kill)

    simulation.at(simulation.now + every_s, kill)


def _look_back(simulation: Simulation, life: Life) -> None:
    observed = simulation.observed
    unwell = {each.serial for each in observed.processes if each.is_unwell}
    for departure in observed.departures:
        expected = departure.expected - unwell
        times = sorted(departure.known_s[each] for each in expected & departure.known_s.keys())
        if times and len(times) >= len(expected & observed.running.keys()):
            life.noticed.append(Noticed(departure.at_s, times[0], median(times), times[-1]))
    life.false_deaths = len(observed.false_deaths)
    life.wronged = len({each.subject for each in observed.false_deaths})
