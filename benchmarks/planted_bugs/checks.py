"""What cores must pass: storms, and the scenarios whose figures are promised, each in seconds."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from statistics import median
from typing import Final, NamedTuple

from pulsing.cluster.settings import SwimSettings
from pulsing.testing.simulation import Simulation, scenarios
from pulsing.testing.simulation.cores import CoreFactory
from pulsing.testing.simulation.faults import drawn
from pulsing.testing.simulation.scenarios import Setting, play_out

_STORM_NODES: Final = 5
_STORM_S: Final = 300.0
_SEED: Final = 11


class Check(NamedTuple):
    """A check of a cluster of cores.

    Attributes:
        name: for the table.
        run: raises `AssertionError`, or whatever the cores raise, when they do not pass.
    """

    name: str
    run: Callable[[CoreFactory], None]


def _at(nodes: int, make_core: CoreFactory, *, rounds: int = 3, loss: float = 0.0) -> Setting:
    return Setting(nodes=nodes, seed=_SEED, rounds=rounds, loss=loss, make_core=make_core)


def _at_most(what: str, figure: float, bound: float) -> None:
    assert figure <= bound, f"{what}: {figure:.3g}, more than {bound:g}"


def _storm(seed: int) -> Check:
    def run(make_core: CoreFactory) -> None:
        schedule = drawn(Random(seed), _STORM_NODES, _STORM_S)
        play_out(Setting(nodes=_STORM_NODES, seed=seed, make_core=make_core), schedule)

    return Check(f"storm {seed}", run)


def _crash(make_core: CoreFactory) -> None:
    samples = scenarios.crash(_at(16, make_core))
    _at_most("seconds until all know of a crash, median", median(samples["last_s"]), 1.0)
    _at_most("healthy members believed dead", samples["false_deaths"][0], 0)


def _hang(make_core: CoreFactory) -> None:
    samples = scenarios.hang(_at(50, make_core, rounds=5))
    _at_most("seconds until the first knows of a hang", median(samples["first_s"]), 4.0)
    _at_most("seconds until all know of a hang", max(samples["last_s"]), 6.0)
    _at_most("healthy members believed dead", samples["false_deaths"][0], 0)


def _hang_after_trouble(make_core: CoreFactory) -> None:
    simulation = _at(16, make_core).simulation()
    simulation.network.loss = 0.3
    simulation.run_for(60.0)
    simulation.network.loss = 0.0
    simulation.run_for(60.0)
    for slot in (3, 8, 12):
        simulation.freeze(slot)
        departure = simulation.observed.departures[-1]
        simulation.run_until(lambda departure=departure: departure.is_complete, 60.0)
        assert departure.last_s is not None
        _at_most("seconds until all know of a hang, after losses", departure.last_s, 6.0)
        simulation.thaw(slot)
        simulation.settle()


def _leave(make_core: CoreFactory) -> None:
    samples = scenarios.leave(_at(100, make_core))
    _at_most("seconds until all know of a goodbye", max(samples["last_s"]), 0.3)


def _restart(make_core: CoreFactory) -> None:
    samples = scenarios.restart(_at(16, make_core, rounds=5))
    _at_most("seconds until a restart is known", max(samples["all_know_s"]), 1.0)


def _restart_at_once(make_core: CoreFactory) -> None:
    """Nobody can be refused in between, so only the new process shows that the old one is gone."""
    for nodes in (3, 16):
        simulation = _at(nodes, make_core).simulation()
        for _ in range(4):
            slot = simulation.dice.randrange(nodes)
            simulation.kill(slot, silently=True)
            simulation.restart(slot)
            took_s = simulation.run_until(simulation.converged, within_s=60.0)
            _at_most("seconds until a restart without a pause is known", took_s, 1.0)
            simulation.settle()
            simulation.run_for(5.0)


def _join(make_core: CoreFactory) -> None:
    samples = scenarios.join(_at(5, make_core))
    _at_most("seconds until all know a newcomer", median(samples["all_know_s"]), 0.4)


def _names(make_core: CoreFactory) -> None:
    seen = sorted(scenarios.names(_at(50, make_core))["seen_s"])
    _at_most("seconds until a name is seen, 99 of 100", seen[int(len(seen) * 0.99)], 1.0)


def _many_names(make_core: CoreFactory) -> None:
    simulation = Simulation(5, seed=_SEED, make_core=make_core)
    simulation.settle()
    for number in range(3000):
        simulation.register(2, f"actors/{number}")
    simulation.run_until(simulation.names_agree, 3.0, "names disagree")
    simulation.partition([0, 1], [2, 3, 4])
    simulation.run_for(0.5)
    for number in range(0, 3000, 2):
        simulation.unregister(2, f"actors/{number}")
    for number in range(3000, 6000):
        simulation.register(2, f"actors/{number}")
    simulation.run_for(1.0)
    simulation.heal()
    simulation.settle(within_s=5.0)


def _small_messages(make_core: CoreFactory) -> None:
    """What there is to tell is many times larger than a message may be."""
    settings = SwimSettings(max_message_bytes=4096)
    simulation = Simulation(60, seed=_SEED, settings=settings, make_core=make_core)
    simulation.settle(within_s=30.0)
    for slot in simulation.running():
        for number in range(3):
            simulation.register(slot, f"actors/{slot}/{number}")
    simulation.run_until(simulation.names_agree, 30.0, "names disagree")


def _quiet(make_core: CoreFactory) -> None:
    samples = scenarios.quiet(_at(16, make_core), minutes=2.0)
    _at_most("bytes per second of an idle node", samples["bytes_per_s"][0], 1000)
    _at_most("healthy members believed dead", samples["false_deaths"][0], 0)


def _lossy(make_core: CoreFactory) -> None:
    samples = scenarios.quiet(_at(16, make_core, loss=0.3), minutes=3.0)
    _at_most("healthy members believed dead with losses", samples["false_deaths"][0], 0)


def _pauses(make_core: CoreFactory) -> None:
    samples = scenarios.pauses(_at(16, make_core, rounds=2))
    _at_most("healthy members believed dead", samples["false_deaths"][0], 0)
    _at_most("seconds until the paused are back", max(samples["back_s"]), 5.0)


def _suspended(make_core: CoreFactory) -> None:
    samples = scenarios.suspended(_at(16, make_core, rounds=2))
    _at_most("members believed dead by those that stood still with them", samples["deaths"][0], 0)


def _suspended_with_suspicions(make_core: CoreFactory) -> None:
    """All stand still while one is suspected: it must have its time to refute afterwards."""
    simulation = _at(16, make_core).simulation()
    for tenths in (15, 20, 25):
        simulation.freeze(5)
        simulation.run_for(tenths / 10)
        for slot in simulation.running():
            simulation.freeze(slot)
        simulation.run_for(60.0)
        simulation.thaw(5)
        for slot in simulation.running():
            simulation.thaw(slot)
        simulation.settle()
        _at_most("members believed dead that could not refute", simulation.observed.deaths, 0)
        simulation.run_for(5.0)


def _stalls(make_core: CoreFactory) -> None:
    samples = scenarios.stalls(_at(5, make_core))
    _at_most("busy members believed dead", samples["false_deaths"][0], 0)


def _busy_no_more(make_core: CoreFactory) -> None:
    simulation = _at(16, make_core).simulation()
    for slot in (3, 8, 12):
        _let_hear_nothing(simulation, slot)
        simulation.stall(slot, 60.0)
    simulation.run_for(60.0)
    simulation.heal()
    simulation.run_for(2.0)
    for slot in simulation.running():
        members = simulation.core(slot).members.values()
        busy = sum(each.busy for each in members)
        _at_most("members believed busy 2 s after they were", busy, 0)
    simulation.network.loss = 0.3
    simulation.run_for(120.0)
    mistakes = len(simulation.observed.false_deaths)
    _at_most("members believed dead that had been busy", mistakes, 0)


def _leave_under_suspicion(make_core: CoreFactory) -> None:
    """Who says goodbye has not heard that it is suspected, so its goodbye refutes nothing."""
    simulation = _at(16, make_core).simulation()
    for tenths in range(10, 40, 3):
        _let_hear_nothing(simulation, 5)
        simulation.run_for(tenths / 10)
        simulation.leave(5)
        simulation.run_for(5.0)
        simulation.heal()
        simulation.restart(5)
        simulation.settle()
        simulation.run_for(5.0)


def _let_hear_nothing(simulation: Simulation, slot: int) -> None:
    for other in simulation.running():
        if other != slot:
            simulation.cut(other, slot, one_way=True)


def _two(make_core: CoreFactory) -> None:
    """There is no third one that could set things right."""
    simulation = _at(2, make_core).simulation()
    for _ in range(2):
        simulation.partition([0], [1])
        simulation.run_for(45.0)
        simulation.heal()
        simulation.settle(within_s=10.0)


def _partition(make_core: CoreFactory) -> None:
    samples = scenarios.partition(_at(16, make_core, rounds=2))
    _at_most("seconds until two halves are whole", max(samples["whole_s"]), 3.0)
    _at_most("healthy members believed dead", samples["false_deaths"][0], 0)


CHECKS: Final = (
    Check("quiet", _quiet),
    *map(_storm, range(3)),
    Check("join", _join),
    Check("restart", _restart),
    Check("restart at once", _restart_at_once),
    Check("crash", _crash),
    Check("stalls", _stalls),
    Check("suspended", _suspended),
    Check("suspected asleep", _suspended_with_suspicions),
    Check("pauses", _pauses),
    Check("partition", _partition),
    Check("many names", _many_names),
    Check("small messages", _small_messages),
    Check("busy no more", _busy_no_more),
    Check("suspected goodbye", _leave_under_suspicion),
    Check("two nodes", _two),
    Check("losses", _lossy),
    Check("losses, then hang", _hang_after_trouble),
    Check("hang", _hang),
    Check("names", _names),
    Check("leave", _leave),
)
"""The cheap ones first."""
