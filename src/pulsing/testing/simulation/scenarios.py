"""What is measured in simulations: one function each, shared by tests, command and benchmarks.

Each runs a world of its own and gives samples by figure. Seconds unless a figure's name says
otherwise. A broken rule of safety, or a cluster that does not come to rest, raises
`SafetyViolation` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from pulsing.cluster.settings import SwimSettings

from . import faults
from .cores import CoreFactory, gossip_core
from .observations import Departure
from .simulation import Simulation

Samples = dict[str, list[float]]
_JOIN_BELOW: Final = 200
_SUSPECTED_AFTER: Final = 1.8
"""In probe intervals: by then some member suspects one that hangs, and nobody believes it dead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What a scenario is run with.

    Attributes:
        nodes: how many.
        seed: of everything random.
        loss: the fraction of messages that are lost, each way.
        latency_s: the shortest and the longest way of a message.
        swim: settings of every node.
        informed: nodes know each other from the start instead of joining; None: large clusters do,
            because joining costs as much as there are pairs of nodes.
        rounds: how often an event is repeated, where one run holds several.
        make_core: for other cores than those of gossip.
        replay: the command that shows a violation again.
        watch: called with the simulated time now and then, and how much of it there will be.
    """

    nodes: int = 50
    seed: int = 0
    loss: float = 0.0
    latency_s: tuple[float, float] = (0.0002, 0.002)
    swim: SwimSettings = field(default_factory=SwimSettings)
    informed: bool | None = None
    rounds: int = 5
    make_core: CoreFactory = gossip_core
    replay: str = ""
    watch: Callable[[float, float], None] | None = None

    def simulation(self) -> Simulation:
        """A cluster whose nodes have found each other."""
        simulation = self.starting()
        simulation.settle(within_s=120.0)
        return simulation

    def starting(self) -> Simulation:
        """A cluster whose nodes are about to start, unless they know each other already."""
        large = self.nodes >= _JOIN_BELOW
        return Simulation(
            self.nodes,
            seed=self.seed,
            settings=self.swim,
            latency_s=self.latency_s,
            loss=self.loss,
            start_over_s=self.nodes * 0.005,
            informed=large if self.informed is None else self.informed,
            make_core=self.make_core,
            replay=self.replay,
        )

    def pass_time(self, simulation: Simulation, seconds: float) -> None:
        """Let time pass, and say so."""
        until = simulation.now + seconds
        while simulation.now < until:
            simulation.run_for(min(1.0, until - simulation.now))
            if self.watch is not None:
                self.watch(simulation.now, until)


# --- one node comes or goes ----------------------------------------------------------------------


def crash(setting: Setting) -> Samples:
    """A process is killed; its address refuses."""
    return _departures(setting, lambda simulation, slot: simulation.kill(slot))


def power_loss(setting: Setting) -> Samples:
    """A machine loses power: nobody refuses anything."""
    return _departures(setting, lambda simulation, slot: simulation.kill(slot, silently=True))


def hang(setting: Setting) -> Samples:
    """A process is frozen: its connections stay open and silent."""
    return _departures(setting, lambda simulation, slot: simulation.freeze(slot))


def leave(setting: Setting) -> Samples:
    """A node says goodbye."""
    return _departures(setting, lambda simulation, slot: simulation.leave(slot))


def restart(setting: Setting) -> Samples:
    """A process is killed, and 100 ms later another one listens at its address."""
    simulation = setting.simulation()
    samples: Samples = {"all_know_s": []}
    for _ in range(setting.rounds):
        slot = _anyone(simulation)
        simulation.kill(slot)
        simulation.run_for(0.1)
        simulation.restart(slot)
        samples["all_know_s"].append(simulation.run_until(simulation.converged, within_s=60))
        simulation.settle()
    return samples


def join(setting: Setting) -> Samples:
    """One more node starts."""
    simulation = setting.simulation()
    samples: Samples = {"all_know_s": []}
    for _ in range(setting.rounds):
        simulation.add()
        samples["all_know_s"].append(simulation.run_until(simulation.converged, within_s=60))
        simulation.settle()
        simulation.run_for(2)
    return samples


def join_at_once(setting: Setting) -> Samples:
    """All nodes start within a quarter of a second, or 5 ms each."""
    simulation = replace(setting, informed=False).starting()
    simulation.run_for(setting.nodes * 0.005)
    return {"all_know_s": [simulation.settle(within_s=120.0)]}


def _departures(setting: Setting, depart: Callable[[Simulation, int], None]) -> Samples:
    simulation = setting.simulation()
    simulation.run_for(_warm_up_s(setting))
    samples: Samples = {"first_s": [], "median_s": [], "last_s": []}
    for _ in range(setting.rounds):
        slot = _anyone(simulation)
        depart(simulation, slot)
        departure = simulation.observed.departures[-1]
        _wait_for(simulation, departure)
        times = sorted(departure.known_s.values())
        samples["first_s"].append(times[0])
        samples["median_s"].append(times[len(times) // 2])
        samples["last_s"].append(times[-1])
        simulation.kill(slot)
        simulation.run_for(1)
        simulation.restart(slot)
        simulation.settle()
        simulation.run_for(_warm_up_s(setting))
    samples["false_deaths"] = [float(len(simulation.observed.false_deaths))]
    return samples


# --- names ---------------------------------------------------------------------------------------


def names(setting: Setting) -> Samples:
    """Actors with names start and stop all over the cluster."""
    simulation = setting.simulation()
    visibility = simulation.watch_names()
    dice = simulation.dice
    for number in range(setting.rounds * 4):
        slot = _anyone(simulation)
        simulation.register(slot, f"actors/new{number}")
        simulation.run_for(dice.uniform(0.5, 1.5))
        simulation.unregister(slot, f"actors/new{number}")
        simulation.run_for(dice.uniform(0.5, 1.5))
    simulation.settle()
    return {"seen_s": visibility.took_s}


# --- nobody dies ---------------------------------------------------------------------------------


def quiet(setting: Setting, minutes: float = 10.0) -> Samples:
    """Nothing happens but loss."""
    simulation = setting.simulation()
    setting.pass_time(simulation, _warm_up_s(setting))
    bytes_before, messages_before = simulation.world.wire_bytes, simulation.world.messages
    mistakes = len(simulation.observed.false_deaths)
    setting.pass_time(simulation, minutes * 60)
    node_seconds = minutes * 60 * setting.nodes
    return {
        "false_deaths": [float(len(simulation.observed.false_deaths) - mistakes)],
        "bytes_per_s": [(simulation.world.wire_bytes - bytes_before) / node_seconds],
        "messages_per_s": [(simulation.world.messages - messages_before) / node_seconds],
    }


def pauses(setting: Setting, seconds: float = 20.0) -> Samples:
    """A quarter of the nodes is frozen for a while."""
    simulation = setting.simulation()
    samples: Samples = {"back_s": []}
    for _ in range(setting.rounds):
        paused = _some(simulation, setting.nodes // 4)
        for slot in paused:
            simulation.freeze(slot)
        simulation.run_for(seconds)
        for slot in paused:
            simulation.thaw(slot)
        samples["back_s"].append(simulation.settle())
        simulation.run_for(simulation.observed.grace_s + 1)
    samples["deaths"] = [float(simulation.observed.deaths)]
    samples["false_deaths"] = [float(len(simulation.observed.false_deaths))]
    return samples


def suspended(setting: Setting, seconds: float = 60.0) -> Samples:
    """All nodes are frozen for a while, as virtual machines are; nobody may be blamed for it.

    One is frozen a little earlier, so that some are about to suspect it when they are.
    """
    simulation = setting.simulation()
    samples: Samples = {"back_s": []}
    for _ in range(setting.rounds):
        simulation.freeze(_anyone(simulation))
        simulation.run_for(_SUSPECTED_AFTER * setting.swim.probe_interval_s)
        for slot in simulation.running():
            simulation.freeze(slot)
        simulation.run_for(seconds)
        for slot in simulation.running():
            simulation.thaw(slot)
            simulation.run_for(0.01)
        samples["back_s"].append(simulation.settle())
        simulation.run_for(simulation.observed.grace_s + 1)
    samples["deaths"] = [float(simulation.observed.deaths)]
    return samples


def stalls(setting: Setting, seconds: float = 30.0) -> Samples:
    """An actor holds the loop of its node; the guard says that the node is busy."""
    simulation = setting.simulation()
    for _ in range(setting.rounds):
        simulation.stall(_anyone(simulation), seconds)
        simulation.run_for(seconds + 2)
        simulation.settle()
    return {"false_deaths": [float(len(simulation.observed.false_deaths))]}


def partition(setting: Setting, seconds: float = 45.0) -> Samples:
    """Half of the nodes do not reach the other half for a while."""
    simulation = setting.simulation()
    samples: Samples = {"whole_s": []}
    for _ in range(setting.rounds):
        half = _some(simulation, setting.nodes // 2)
        simulation.partition(half)
        simulation.run_for(seconds)
        simulation.heal()
        samples["whole_s"].append(simulation.run_until(simulation.converged, within_s=60))
        simulation.settle()
        simulation.run_for(simulation.observed.grace_s + 1)
    samples["deaths"] = [float(simulation.observed.deaths)]
    samples["false_deaths"] = [float(len(simulation.observed.false_deaths))]
    return samples


# --- slow members --------------------------------------------------------------------------------


def slow_members(setting: Setting, slow: int = 16, minutes: float = 10.0) -> Samples:
    """Some members are clogged 10 to 30 s of each minute (Lifeguard 5), and others really die."""
    simulation = setting.simulation()
    chosen = _some(simulation, slow)
    for slot in chosen:
        simulation.disturb(slot)
    healthy = [slot for slot in simulation.running() if slot not in chosen]
    dice = simulation.dice
    every_s = 60.0
    samples: Samples = {"first_s": [], "median_s": []}
    for _ in range(round(minutes)):
        victim = dice.choice([slot for slot in healthy if simulation.process(slot) is not None])
        setting.pass_time(simulation, every_s / 2)
        simulation.kill(victim, silently=True)
        departure = simulation.observed.departures[-1]
        setting.pass_time(simulation, every_s / 2)
        simulation.restart(victim)
        times = _of_healthy(departure, simulation)
        if times:
            samples["first_s"].append(times[0])
            samples["median_s"].append(times[len(times) // 2])
    mistakes = simulation.observed.false_deaths
    samples["false_deaths"] = [float(len(mistakes))]
    samples["at_healthy"] = [float(sum(each.observer_was_well for each in mistakes))]
    return samples


def _wait_for(simulation: Simulation, departure: Departure) -> None:
    simulation.run_until(
        lambda: departure.is_complete, 120, f"not everybody knows of {departure.process}"
    )


def _of_healthy(departure: Departure, simulation: Simulation) -> list[float]:
    processes = simulation.observed.processes
    return sorted(
        seconds for serial, seconds in departure.known_s.items() if not processes[serial].is_unwell
    )


# --- anything ------------------------------------------------------------------------------------


def chaos(setting: Setting, minutes: float = 10.0) -> Samples:
    """Random faults of every kind; afterwards all must agree again."""
    dice = Random(setting.seed)  # noqa: S311 - it must be repeatable
    return scheduled(setting, faults.drawn(dice, setting.nodes, minutes * 60))


def scheduled(setting: Setting, schedule: list[faults.Fault]) -> Samples:
    """The faults of a schedule; afterwards all must agree again."""
    _, whole_s = play_out(setting, schedule)
    return {"whole_s": [whole_s]}


def play_out(setting: Setting, schedule: list[faults.Fault]) -> tuple[Simulation, float]:
    """Play a schedule, make all well again; the world, and how long it took until all agreed.

    First what ended must be noticed, and then those that are started in its place must be.
    """
    simulation = setting.starting()
    faults.play(simulation, schedule)
    setting.pass_time(simulation, max((fault.at_s for fault in schedule), default=0.0) + 1)
    simulation.recover(restart=False)
    observed = simulation.observed
    simulation.run_until(lambda: observed.unnoticed() is None, 120.0, "the end of a process")
    simulation.recover()
    return simulation, simulation.settle(within_s=120.0)


SCENARIOS: Final[Mapping[str, Callable[[Setting], Samples]]] = {
    "crash": crash,
    "power-loss": power_loss,
    "hang": hang,
    "leave": leave,
    "restart": restart,
    "join": join,
    "join-at-once": join_at_once,
    "names": names,
    "quiet": quiet,
    "pauses": pauses,
    "suspended": suspended,
    "stalls": stalls,
    "partition": partition,
    "slow-members": slow_members,
    "chaos": chaos,
}
"""By the name that the command knows."""


def without_lifeguard(setting: Setting) -> Setting:
    """The same for plain SWIM."""
    return replace(setting, swim=replace(setting.swim, lifeguard=False))


def _warm_up_s(setting: Setting) -> float:
    """Until joining is over and the news about it have been passed on."""
    return 10 * setting.swim.probe_interval_s


def _anyone(simulation: Simulation) -> int:
    return simulation.dice.choice(simulation.running())


def _some(simulation: Simulation, number: int) -> list[int]:
    return simulation.dice.sample(simulation.running(), number)
