"""Schedules of faults: written down, drawn at random, and played into a simulation.

As text they fit on a command line: ``2.5 freeze 3; 4 partition 0,1|2,3,4; 9.25 heal``. Whatever
it says, a schedule can be played: a verb on a node that is not in the state for it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Final, NamedTuple

from .simulation import Simulation

_NAMES: Final = 12
"""So few that many nodes have the same."""
_CHURN_EVERY_S: Final = 0.03


class Fault(NamedTuple):
    """One thing that is done to a simulation.

    Attributes:
        at_s: seconds after the schedule began.
        verb: what; see `VERBS`.
        what: to whom: slots ``3`` or ``3,4``, groups ``0,1|2,3``, a pair ``0-1``, a slot and a
            name ``3:actors/a``, a slot and seconds or a number ``3:12.5``, a fraction.
    """

    at_s: float
    verb: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.at_s:g} {self.verb} {self.what}".rstrip()


def written(schedule: Iterable[Fault]) -> str:
    """A schedule as text."""
    return "; ".join(map(str, schedule))


def read(text: str) -> list[Fault]:
    """A schedule from text.

    Raises:
        ValueError: it is none; the message says which part.
    """
    schedule: list[Fault] = []
    for part in filter(None, map(str.strip, text.split(";"))):
        at, _, rest = part.partition(" ")
        verb, _, what = rest.strip().partition(" ")
        if verb not in VERBS:
            raise ValueError(f"{part!r}: no verb {verb!r}; there are: {', '.join(VERBS)}")
        try:
            schedule.append(Fault(float(at), verb, what.strip()))
        except ValueError:
            raise ValueError(f"{part!r}: expected seconds, then a verb, then to whom") from None
    return schedule


def play(simulation: Simulation, schedule: Iterable[Fault]) -> None:
    """Let every fault of a schedule happen when it is due, counted from now."""
    for fault in schedule:
        simulation.at(simulation.now + fault.at_s, _doing(simulation, fault))


def drawn(
    dice: Random, nodes: int, seconds: float, *, every_s: float = 3.0, with_names: bool = True
) -> list[Fault]:
    """A random schedule. What lasts ends later, but some of what ended stays so.

    Args:
        dice: to draw with.
        nodes: how many there are.
        seconds: the last fault begins before.
        every_s: the mean time between two faults.
        with_names: actors are registered and stopped as well.
    """
    schedule: list[Fault] = []
    at = 0.0
    kinds = list(_DRAWN) if with_names else [each for each in _DRAWN if each not in _OF_NAMES]
    weights = [_DRAWN[kind] for kind in kinds]
    while (at := round(at + dice.expovariate(1 / every_s), 3)) < seconds:
        verb = dice.choices(kinds, weights)[0]
        slot, other = dice.sample(range(nodes), 2)
        lasts = round(dice.choice((0.3, 2.0, 6.0, 20.0)) * dice.uniform(0.5, 1.5), 3)
        what = str(slot)
        if verb in {"cut", "cut-to", "slow"}:
            what = f"{slot}-{other}"
        elif verb == "partition":
            sides = dice.sample(range(nodes), nodes)
            size = dice.randrange(1, nodes)
            what = "|".join(",".join(map(str, side)) for side in (sides[:size], sides[size:]))
        elif verb == "churn":
            what = f"{slot}:{dice.randrange(5, 60)}"
        elif verb == "stall":
            what = f"{slot}:{lasts:g}"
        elif verb == "lose":
            what = f"{dice.choice((0.05, 0.2, 0.4)):g}"
        elif "register" in verb:
            what = f"{slot}:actors/a{dice.randrange(_NAMES)}"
        schedule.append(Fault(at, verb, what))
        if verb in _FINAL and dice.random() < _STAYS_SO:
            continue
        if (ending := _ENDS.get(verb)) is not None:
            end, takes = ending
            schedule.append(
                Fault(round(at + lasts, 3), end, {"all": "", "none": "0"}.get(takes, what))
            )
    return sorted(schedule)


# --- the verbs -----------------------------------------------------------------------------------


def _slots(verb: Callable[[Simulation, int], None]) -> Callable[[Simulation, str], None]:
    def do(simulation: Simulation, what: str) -> None:
        for slot in what.split(","):
            verb(simulation, int(slot))

    return do


def _named(verb: Callable[[Simulation, int, str], None]) -> Callable[[Simulation, str], None]:
    def do(simulation: Simulation, what: str) -> None:
        slot, _, name = what.partition(":")
        verb(simulation, int(slot), name)

    return do


def _pair(what: str) -> tuple[int, int]:
    one, _, other = what.partition("-")
    return int(one), int(other)


def _silence(simulation: Simulation, slot: int) -> None:
    simulation.kill(slot, silently=True)


def _stall(simulation: Simulation, what: str) -> None:
    slot, _, seconds = what.partition(":")
    simulation.stall(int(slot), float(seconds))


def _churn(simulation: Simulation, what: str) -> None:
    """Actors start and stop on a node, one change every few milliseconds."""
    slot, _, changes = what.partition(":")

    def change(number: int) -> None:
        process = simulation.process(int(slot))
        name = f"actors/a{number * 7 % _NAMES}"
        if process is not None and name in process.names:
            simulation.unregister(int(slot), name)
        else:
            simulation.register(int(slot), name)

    for number in range(int(changes)):
        simulation.at(simulation.now + number * _CHURN_EVERY_S, partial(change, number))


def _partition(simulation: Simulation, what: str) -> None:
    groups = [{int(slot) for slot in side.split(",") if slot} for side in what.split("|")]
    simulation.partition(*groups)


def _cut(simulation: Simulation, what: str) -> None:
    simulation.cut(*_pair(what))


def _cut_to(simulation: Simulation, what: str) -> None:
    simulation.cut(*_pair(what), one_way=True)


def _slow(simulation: Simulation, what: str) -> None:
    simulation.network.slow_down(*_pair(what), simulation.settings.probe_timeout_s)


def _lose(simulation: Simulation, what: str) -> None:
    simulation.network.loss = float(what)


def _heal(simulation: Simulation, _: str) -> None:
    simulation.heal()


def _add(simulation: Simulation, _: str) -> None:
    simulation.add()


VERBS: Final[Mapping[str, Callable[[Simulation, str], None]]] = {
    "kill": _slots(Simulation.kill),
    "silence": _slots(_silence),
    "restart": _slots(Simulation.restart),
    "leave": _slots(Simulation.leave),
    "freeze": _slots(Simulation.freeze),
    "thaw": _slots(Simulation.thaw),
    "clog": _slots(Simulation.clog),
    "unclog": _slots(Simulation.unclog),
    "stall": _stall,
    "partition": _partition,
    "cut": _cut,
    "cut-to": _cut_to,
    "slow": _slow,
    "heal": _heal,
    "lose": _lose,
    "add": _add,
    "register": _named(Simulation.register),
    "unregister": _named(Simulation.unregister),
    "churn": _churn,
}
"""What a schedule may say, and what it does."""

_DRAWN: Final[Mapping[str, int]] = {
    "kill": 3,
    "silence": 2,
    "leave": 2,
    "freeze": 3,
    "clog": 2,
    "stall": 2,
    "partition": 3,
    "cut": 2,
    "cut-to": 2,
    "slow": 1,
    "lose": 2,
    "register": 8,
    "unregister": 4,
    "churn": 3,
}
_FINAL: Final = frozenset({"kill", "silence", "leave"})
_STAYS_SO: Final = 0.2
"""Now and then nobody takes the place of what ended: it must be noticed nevertheless."""
_OF_NAMES: Final = frozenset({"register", "unregister", "churn"})
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "kill": ("restart", "same"),
    "silence": ("restart", "same"),
    "leave": ("restart", "same"),
    "freeze": ("thaw", "same"),
    "clog": ("unclog", "same"),
    "partition": ("heal", "all"),
    "cut": ("heal", "all"),
    "cut-to": ("heal", "all"),
    "slow": ("heal", "all"),
    "lose": ("lose", "none"),
}


def _doing(simulation: Simulation, fault: Fault) -> Callable[[], None]:
    return lambda: VERBS[fault.verb](simulation, fault.what)
