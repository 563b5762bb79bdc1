"""``python -m pulsing.testing.simulate``: a cluster of any size on a virtual clock.

Without a scenario it lives for some minutes, and the summary says how soon deaths were noticed,
what it cost, and whether anybody healthy was believed dead. With one it measures what that is
about. A broken rule is printed with the command that shows it again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pulsing.cluster.settings import SwimSettings
from pulsing.testing.simulation.cores import gossip_core, head_cores
from pulsing.testing.simulation.faults import Fault, read
from pulsing.testing.simulation.history import SafetyViolation
from pulsing.testing.simulation.life import Life, live
from pulsing.testing.simulation.plot import Dot, Panel, Series, svg
from pulsing.testing.simulation.report import as_data, merged, summarize, table
from pulsing.testing.simulation.scenarios import SCENARIOS, Samples, Setting, hang, quiet, scheduled

_PRESETS: Final = {
    "local": SwimSettings.local,
    "lan": SwimSettings.lan,
    "wan": SwimSettings.wan,
}
_BAR: Final = 30
_KIB_PER_UNIT: Final = 1024 * 1024 if sys.platform == "darwin" else 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    try:
        schedule = None if options.schedule is None else read(options.schedule)
    except ValueError as error:
        sys.stderr.write(f"simulate: {error}\n")
        return 2
    began = time.perf_counter()
    progress = _Progress(sys.stderr.isatty() and not options.quiet)
    try:
        outcome = _run(options, given, schedule, progress)
    except SafetyViolation as violation:
        progress.clear()
        sys.stderr.write(f"{violation}\n")
        return 1
    progress.clear()
    about = {**_about(options), "wall_s": round(time.perf_counter() - began, 2)}
    about["cpu_s"] = round(time.process_time(), 2)
    about["peak_mb"] = _peak_mb()
    about["history"] = outcome.hashes[0] if len(outcome.hashes) == 1 else outcome.hashes
    if options.plot is not None:
        options.plot.write_text(svg(outcome.panels, _words(_about(options))), encoding="utf-8")
    if options.json:
        written = json.dumps(as_data(outcome.samples, about), indent=2)
    else:
        shown = {key: value for key, value in about.items() if value != []}
        written = f"{table(outcome.samples)}\n{_words(shown)}"
    sys.stdout.write(f"{written}\n")
    return 0


@dataclass(slots=True)
class _Outcome:
    samples: Samples
    hashes: list[str]
    panels: list[Panel]


def _run(
    options: argparse.Namespace,
    given: Sequence[str],
    schedule: list[Fault] | None,
    progress: _Progress,
) -> _Outcome:
    runs: list[Samples] = []
    hashes: list[str] = []
    panels: list[Panel] = []
    if options.sweep:
        return _sweep(options, given, progress)
    for seed in range(options.seed, options.seed + options.seeds):
        setting = _setting(options, given, seed)
        setting = replace(setting, watch=progress.of(f"seed {seed}"))
        if schedule is not None:
            runs.append(scheduled(setting, schedule))
        elif options.scenario is not None:
            runs.append(SCENARIOS[options.scenario](setting))
        else:
            life, simulation = live(
                setting, options.minutes, kill_every_s=options.kill_every, slow=options.slow
            )
            runs.append(life.samples())
            hashes.append(simulation.history_hash)
            panels = _panels_of(life)
    return _Outcome(merged(runs), hashes, panels)


def _sweep(options: argparse.Namespace, given: Sequence[str], progress: _Progress) -> _Outcome:
    """Detection time and load, against the size of the cluster."""
    samples: Samples = {}
    first: list[Dot] = []
    last: list[Dot] = []
    load: list[Dot] = []
    for nodes in options.sweep:
        setting = replace(_setting(options, given, options.seed), nodes=nodes)
        setting = replace(setting, watch=progress.of(f"{nodes} nodes"))
        found = hang(setting)
        found |= {"bytes_per_s": quiet(setting, 2.0)["bytes_per_s"]}
        for dots, figure in ((first, "first_s"), (last, "last_s"), (load, "bytes_per_s")):
            summary = summarize(found[figure])
            if summary is not None:
                dots.append(Dot(nodes, summary.median, summary.low, summary.high))
        samples |= {f"{nodes} nodes: {figure}": values for figure, values in found.items()}
    detection = [Series("known to the first", first), Series("known to all", last)]
    panels = [
        Panel("Seconds until a hung node is known to be dead", "nodes", detection, True),
        Panel("Bytes a node sends per second while idle", "nodes", [Series("load", load)], True),
    ]
    return _Outcome(samples, [], panels)


def _panels_of(life: Life) -> list[Panel]:
    deaths = [Dot(each.at_s, each.median_s, each.first_s, each.last_s) for each in life.noticed]
    load = [Dot.at(each.at_s, each.bytes_per_s) for each in life.loads]
    return [
        Panel(
            "Seconds until a death was known: to the first, to half, to all",
            "simulated seconds",
            [Series("deaths", deaths, joined=False)],
        ),
        Panel("Bytes a node sends per second", "simulated seconds", [Series("load", load)]),
    ]


def _setting(options: argparse.Namespace, given: Sequence[str], seed: int) -> Setting:
    swim = _PRESETS[options.preset]()
    if options.no_lifeguard:
        swim = replace(swim, lifeguard=False)
    arguments = [*given, "--seed", str(seed), "--seeds", "1"]
    return Setting(
        nodes=options.nodes,
        seed=seed,
        loss=options.loss,
        swim=swim,
        informed=False if options.join else None,
        make_core=head_cores() if options.head else gossip_core,
        rounds=options.rounds,
        replay="python -m pulsing.testing.simulate " + shlex.join(arguments),
    )


def _about(options: argparse.Namespace) -> dict[str, Any]:
    about: dict[str, Any] = {
        "nodes": options.sweep or options.nodes,
        "loss": options.loss,
        "seed": options.seed,
    }
    if options.seeds > 1:
        about["seeds"] = options.seeds
    if options.scenario is not None:
        about["scenario"] = options.scenario
    elif options.schedule is None and not options.sweep:
        about |= {"minutes": options.minutes, "slow": options.slow}
    if options.head:
        return about | {"mode": "head"}
    return about | {"preset": options.preset, "lifeguard": not options.no_lifeguard}


def _words(about: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in about.items())


def _peak_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_UNIT, 1)


def _sizes(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pulsing.testing.simulate",
        description="Simulate a cluster: real decisions, a virtual clock, a network made of dice.",
        epilog="The same options and seed give the same history, byte for byte. Exit codes: 0, "
        "1 when a rule was broken, 2 for wrong options.",
    )
    add = parser.add_argument
    add("--nodes", type=int, default=50, help="how many (default: %(default)s)")
    add("--loss", type=float, default=0.0, help="fraction of messages lost each way, such as 0.1")
    add("--minutes", type=float, default=10.0, help="simulated minutes (default: %(default)s)")
    add("--seed", type=int, default=1, help="of everything random (default: %(default)s)")
    add("--seeds", type=int, default=1, metavar="N", help="run N seeds, from --seed on")
    add("--kill-every", type=float, metavar="S", help="a random node loses power every S seconds")
    add("--slow", type=int, default=0, metavar="N", help="N members are slow again and again")
    add("--no-lifeguard", action="store_true", help="plain SWIM, for comparison")
    add("--head", action="store_true", help="a head node and workers instead of gossip")
    add("--join", action="store_true", help="let a large cluster join, too; it takes long")
    add("--preset", choices=sorted(_PRESETS), default="lan", help="(default: %(default)s)")
    add("--scenario", choices=list(SCENARIOS), help="measure one kind of event instead")
    add("--rounds", type=int, default=5, help="events in a scenario (default: %(default)s)")
    add(
        "--schedule",
        metavar="TEXT",
        help="faults such as '2 freeze 3; 4 partition 0,1|2,3; 9 heal'",
    )
    add("--sweep", type=_sizes, metavar="N,N,...", help="detection and load for several sizes")
    add("--json", action="store_true", help="print plain data")
    add("--plot", type=Path, metavar="FILE.svg", help="write a plot")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


class _Progress:
    """A bar on standard error, when somebody looks at it."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._last = 0.0

    def of(self, what: str) -> Callable[[float, float], None] | None:
        """What is to be called with the simulated time and its end."""
        if not self._shown:
            return None

        def draw(now: float, until: float) -> None:
            wall = time.perf_counter()
            if wall - self._last > 0.1:
                self._last = wall
                filled = int(_BAR * min(1.0, now / until))
                bar = "#" * filled + "." * (_BAR - filled)
                sys.stderr.write(f"\r{what} [{bar}] {now:,.0f} of {until:,.0f} s ")
                sys.stderr.flush()

        return draw

    def clear(self) -> None:
        """Take it away."""
        if self._shown:
            sys.stderr.write("\r\033[K")


if __name__ == "__main__":
    gc.disable()  # millions of small objects, none of them in cycles
    sys.exit(main())
