"""A plot of detection time and load against the number of nodes, as SVG, made by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

from benchmarks.plot import FONT, GREY, MARGIN, OURS, WIDTH, label, line
from benchmarks.reliability.figures import number

HEIGHT = 260
TOP, BOTTOM = 46, 52


@dataclass(slots=True)
class Series:
    """Points of one kind: nodes, median, most."""

    name: str
    points: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Panel:
    """A titled set of series, with the target as a line if there is one."""

    title: str
    series: list[Series]
    target: float | None = None


# Row, figure within the row, name of the series.
_DETECTION = (("crash", 0, "kill -9"), ("leave", 0, "leave"), ("hang", 0, "hang, first to know"),
              ("hang", 1, "hang, last to know"))  # fmt: skip
_LOAD = (
    ("Idle: bytes per second and node", 0, 1000.0),
    ("Idle: per cent of a core", 1, 0.5),
    ("Idle: resident MB", 2, 45.0),
)


def panels(rows: dict[str, Any]) -> list[Panel]:
    """What is plotted of the JSON of a run, as far as it was measured."""

    def series(kind: str, figure: int, name: str) -> Series:
        found = Series(name)
        for row, outcome in rows.items():
            stem, _, nodes = row.rpartition("-")
            if stem == kind and nodes.isdigit() and outcome["figures"][figure]["values"]:
                statistics = outcome["figures"][figure]["statistics"]
                found.points.append((int(nodes), statistics["median"], statistics["max"]))
        found.points.sort()
        return found

    made = [Panel("Seconds until others know", [series(*each) for each in _DETECTION])]
    made += [Panel(title, [series("idle", it, "a node")], target) for title, it, target in _LOAD]
    for panel in made:
        panel.series = [each for each in panel.series if each.points]
    return [panel for panel in made if panel.series]


def draw(panel: Panel, offset: float, every: list[int]) -> list[str]:
    """A panel whose upper edge is at ``offset``; both axes are logarithmic."""
    values = [value for each in panel.series for point in each.points for value in point[1:]]
    values += [panel.target] if panel.target else []
    low = 10 ** math.floor(math.log10(max(min(values), 1e-4)))
    high = 10 ** math.ceil(math.log10(max(*values, low * 10)))
    base, right = offset + HEIGHT - BOTTOM, WIDTH - 20

    def y(value: float) -> float:
        share = math.log10(max(value, low) / low) / math.log10(high / low)
        return base - (HEIGHT - TOP - BOTTOM) * share

    def x(nodes: int) -> float:
        if len(every) == 1:
            return (MARGIN + right) / 2
        share = math.log(nodes / every[0]) / math.log(every[-1] / every[0])
        return MARGIN + 40 + (right - MARGIN - 80) * share

    out = [label(MARGIN, offset + 24, panel.title, "start", 14)]
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        tick = 10.0**exponent
        out += [line(MARGIN, y(tick), right, y(tick), "#d9dce1")]
        out += [label(MARGIN - 8, y(tick) + 4, f"{tick:g}", "end")]
    out += [label(x(nodes), base + 16, f"N = {nodes}") for nodes in every]
    if panel.target:
        out.append(line(MARGIN, y(panel.target), right, y(panel.target), GREY))
        out.append(label(right, y(panel.target) - 4, f"target {panel.target:g}", "end", 10))
    for index, each in enumerate(panel.series):
        colour = OURS[index % len(OURS)]
        spots = [(x(nodes), y(median)) for nodes, median, _ in each.points]
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
        out.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (a, b), (nodes, median, most) in zip(spots, each.points, strict=True):
            words = f"{each.name}, N = {nodes}: median {number(median)}, max {number(most)}"
            out.append(line(a, b, a, y(most), colour))
            out.append(
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}">'
                f"<title>{escape(words)}</title></circle>"
            )
        left = MARGIN + index * 190
        out.append(f'<rect x="{left}" y="{base + 28}" width="10" height="10" fill="{colour}"/>')
        out.append(label(left + 15, base + 37, each.name, "start"))
    return out


def svg(results: dict[str, Any]) -> str:
    """The whole picture, from the JSON of a run."""
    drawn = panels(results["rows"])
    every = sorted({nodes for it in drawn for each in it.series for nodes, _, _ in each.points})
    height = HEIGHT * len(drawn) + 34
    body = [part for index, it in enumerate(drawn) for part in draw(it, HEIGHT * index, every)]
    words = ", ".join(f"{key} {value}" for key, value in results["about"].items())
    body.append(label(MARGIN, height - 10, f"dots: median, lines up: max; {words}", "start", 10))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>",
            "",
        ]
    )
