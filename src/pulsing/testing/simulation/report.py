"""Measurements in words: a table for people, plain data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from .scenarios import Samples

_UNITS: Final = {
    "bytes_per_s": "bytes/s",
    "_per_s": "1/s",
    "_s": "s",
}
_LABELS: Final = {
    "first_s": "known to the first",
    "median_s": "known to half",
    "last_s": "known to all",
    "all_know_s": "known to all",
    "joined_s": "all know all after the last start",
    "whole_s": "one membership again",
    "back_s": "all back",
    "seen_s": "name seen",
    "bytes_per_s": "sent by a node",
    "messages_per_s": "messages of a node",
    "false_deaths": "healthy node believed dead",
    "at_healthy": "the same, by a healthy node",
    "deaths": "running node believed dead",
    "wronged": "nodes that it happened to",
    "killed": "nodes killed",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The spread of one figure."""

    count: int
    low: float
    median: float
    p99: float
    high: float


def summarize(values: Sequence[float]) -> Summary | None:
    """The spread of samples; None without any."""
    if not values:
        return None
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return Summary(len(ordered), ordered[0], median(ordered), p99, ordered[-1])


def merged(runs: Sequence[Samples]) -> Samples:
    """Samples of several runs as those of one."""
    found: Samples = {}
    for samples in runs:
        for figure, values in samples.items():
            found.setdefault(figure, []).extend(values)
    return found


def table(samples: Samples) -> str:
    """One line for each figure: its samples, and their median, 99th percentile and maximum."""
    rows: list[tuple[str, ...]] = [("", "samples", "median", "p99", "max", "")]
    for figure, values in samples.items():
        summary = summarize(values)
        label = _LABELS.get(figure, figure.replace("_", " "))
        if summary is None:
            rows.append((label, "0", "-", "-", "-", ""))
            continue
        numbers = (summary.median, summary.p99, summary.high)
        rows.append((label, str(summary.count), *map(_number, numbers), _unit(figure)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for label, *cells in rows:
        aligned = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        aligned[-1] = cells[-1]
        lines.append("  ".join([label.ljust(widths[0]), *aligned]).rstrip())
    return "\n".join(lines)


def as_data(samples: Samples, about: Mapping[str, Any]) -> dict[str, Any]:
    """The same as plain data, after what it is about."""
    figures: dict[str, Any] = {}
    for figure, values in samples.items():
        summary = summarize(values)
        if summary is not None:
            figures[figure] = {
                "samples": summary.count,
                "min": summary.low,
                "median": summary.median,
                "p99": summary.p99,
                "max": summary.high,
            }
    return {**about, "figures": figures}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def _unit(figure: str) -> str:
    for ending, unit in _UNITS.items():
        if f"_{figure}".endswith(ending):
            return unit
    return ""
