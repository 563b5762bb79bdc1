"""Figures of all rounds, their medians, and ratios taken within one round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.registry import REGISTRY, Benchmark, Target

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the range it was taken from."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def as_json(self) -> dict[str, float]:
        """Plain values."""
        return {"median": self.median, "min": self.low, "max": self.high}


@dataclass(slots=True)
class Results:
    """What a run gave: per benchmark the figures of each round, and what went wrong."""

    rounds: dict[str, dict[int, Figures]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    about: dict[str, object] = field(default_factory=dict)

    def measured(self) -> list[Benchmark]:
        """The benchmarks with at least one round, in order of registration."""
        return [item for name, item in REGISTRY.items() if self.rounds.get(name)]

    def spread(self, name: str, figure: str) -> Spread | None:
        """A figure over all rounds."""
        rounds = self.rounds.get(name, {}).values()
        values = [figures[figure] for figures in rounds if figure in figures]
        return Spread.of(values) if values else None

    def ratio(self, name: str, figure: str, of: str, of_figure: str | None = None) -> Spread | None:
        """A figure over that of another benchmark, each pair taken within one round."""
        others = self.rounds.get(of, {})
        values = []
        for number, figures in self.rounds.get(name, {}).items():
            below = others.get(number, {}).get(of_figure or figure)
            if figure in figures and below:
                values.append(figures[figure] / below)
        return Spread.of(values) if values else None

    def reached(self, name: str, target: Target) -> Spread | None:
        """The value that a target bounds."""
        if target.of is None:
            return self.spread(name, target.figure)
        return self.ratio(name, target.figure, target.of, target.of_figure)

    def as_json(self) -> dict[str, object]:
        """Everything, as plain values for a file."""
        benchmarks: dict[str, object] = {}
        targets: list[object] = []
        for item in self.measured():
            rounds = [self.rounds[item.name][number] for number in sorted(self.rounds[item.name])]
            names = dict.fromkeys(name for figures in rounds for name in figures)
            spreads = {name: self.spread(item.name, name) for name in names}
            against = self.ratio(item.name, item.figures[0], item.against) if item.against else None
            benchmarks[item.name] = {
                "title": item.title,
                "unit": item.unit,
                "against": item.against,
                "ratio": against.as_json() if against else None,
                "figures": {name: found.as_json() for name, found in spreads.items() if found},
                "rounds": rounds,
            }
            for target in item.targets:
                value = self.reached(item.name, target)
                targets.append(
                    {
                        "benchmark": item.name,
                        "label": target.label,
                        "bound": target.bound(),
                        "value": value.as_json() if value else None,
                        "met": target.is_met_by(value.median) if value else None,
                    }
                )
        return {
            "about": self.about,
            "benchmarks": benchmarks,
            "targets": targets,
            "errors": self.errors,
        }
