"""What a row of figures found, and how it compares with its targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


def p99(values: Sequence[float]) -> float:
    """The value that 99 % of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "p99": p99,
    "max": max,
    "mean": statistics.fmean,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A target: a statistic of the values is at most so much."""

    statistic: str
    most: float

    def met(self, values: Sequence[float]) -> bool:
        """Whether the values keep it."""
        return STATISTICS[self.statistic](values) <= self.most


@dataclass(slots=True)
class Figure:
    """Values of one kind.

    Args:
        what: they are.
        unit: of them.
        limits: targets.
        shown: statistics to print besides those of the limits.
    """

    what: str
    unit: str
    limits: tuple[Limit, ...] = ()
    shown: tuple[str, ...] = ()
    values: list[float] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether all targets are met; without values none is."""
        return bool(self.values) and all(limit.met(self.values) for limit in self.limits)

    def text(self) -> str:
        """The figure for people."""
        if not self.values:
            return f"{self.what}: nothing measured"
        targets = {limit.statistic: limit.most for limit in self.limits}
        parts = []
        for name in dict.fromkeys([*targets, *self.shown]):
            value = STATISTICS[name](self.values)
            target = f" (<= {targets[name]:g})" if name in targets else ""
            parts.append(f"{name} {number(value)} {self.unit}{target}")
        return f"{self.what}: {', '.join(parts)} of {len(self.values)}"

    def as_json(self) -> dict[str, Any]:
        """The figure for programs."""
        return {
            "what": self.what,
            "unit": self.unit,
            "limits": {limit.statistic: limit.most for limit in self.limits},
            "statistics": {
                name: function(self.values) for name, function in STATISTICS.items() if self.values
            },
            "values": [round(value, 6) for value in self.values],
        }


@dataclass(slots=True)
class Outcome:
    """What one row found.

    Args:
        figures: that were measured.
        problems: what happened that must not, one line each; the first few are printed.
        said: anything else worth a word.
    """

    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether all is as it should be."""
        return not self.problems and all(figure.met for figure in self.figures)

    def text(self) -> str:
        """All of it on one line."""
        return "; ".join([*(figure.text() for figure in self.figures), *self.said])

    def as_json(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "met": self.met,
            "figures": [figure.as_json() for figure in self.figures],
            "problems": self.problems,
            "said": self.said,
        }


def number(value: float) -> str:
    """Three digits or more, never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
