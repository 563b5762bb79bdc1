"""Plots as SVG, made by hand: panels of dots with their range, over time or over sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

_WIDTH: Final = 860
_PANEL_HEIGHT: Final = 270
_LEFT: Final = 76
_RIGHT: Final = 24
_TITLE_SPACE: Final = 40
_AXIS_SPACE: Final = 62
_INK: Final = "#1c2024"
_GRID: Final = "#d9dce1"
_COLOURS: Final = ("#2f6fde", "#e5892b", "#12a594", "#b652c9", "#8a8f98")
_FONT: Final = f'font-family="system-ui, sans-serif" fill="{_INK}"'


@dataclass(frozen=True, slots=True)
class Dot:
    """One measurement, from ``low`` to ``high``."""

    x: float
    y: float
    low: float
    high: float

    @classmethod
    def at(cls, x: float, y: float) -> Dot:
        """Without a range."""
        return cls(x, y, y, y)


@dataclass(frozen=True, slots=True)
class Series:
    """Dots of one colour; joined by a line, or each for itself."""

    name: str
    dots: Sequence[Dot]
    joined: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """A titled set of series over one axis.

    Attributes:
        title: says what is up, with its unit.
        across: says what is across.
        series: what is plotted; one without dots is left out.
        logarithmic: the axis across is; its ticks are then the places that have dots.
    """

    title: str
    across: str
    series: Sequence[Series]
    logarithmic: bool = False


def svg(panels: Sequence[Panel], footer: str) -> str:
    """The picture: panels below each other, and a line of words."""
    drawn = [panel for panel in panels if any(series.dots for series in panel.series)]
    height = _PANEL_HEIGHT * len(drawn) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(drawn):
        parts += _draw(panel, _PANEL_HEIGHT * number)
    parts += [_text(_LEFT, height - 10, footer, "start", 10), "</svg>", ""]
    return "\n".join(parts)


def round_step(top: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that gives three to eight ticks up to ``top``."""
    power = 10.0 ** floor(log10(top))
    for step in (power, power / 2, power / 5):
        if top / step >= 3:
            return step
    return power / 10


def _draw(panel: Panel, offset: float) -> list[str]:
    series = [each for each in panel.series if each.dots]
    dots = [dot for each in series for dot in each.dots]
    base = offset + _PANEL_HEIGHT - _AXIS_SPACE
    top = max(dot.high for dot in dots) * 1.08 or 1.0
    tall = _PANEL_HEIGHT - _TITLE_SPACE - _AXIS_SPACE

    def up(value: float) -> float:
        return base - tall * value / top

    parts = [_text(_LEFT, offset + 24, panel.title, "start", 14)]
    step = round_step(top)
    for index in range(int(top / step) + 1):
        y = up(index * step)
        parts += [_line(_LEFT, y, _WIDTH - _RIGHT, y, _GRID)]
        parts += [_text(_LEFT - 8, y + 4, f"{index * step:,.10g}", "end")]
    along, ticks = _axis(panel, [dot.x for dot in dots])
    parts += [_text(along(tick), base + 16, f"{tick:,.10g}") for tick in ticks]
    parts += [_text(_WIDTH - _RIGHT, base + 34, panel.across, "end")]
    for number, each in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        parts += _draw_series(each, along, up, colour)
        x = _LEFT + number * 190
        parts += [f'<rect x="{x}" y="{base + 40:.1f}" width="10" height="10" fill="{colour}"/>']
        parts += [_text(x + 15, base + 49, each.name, "start")]
    return parts


def _axis(panel: Panel, places: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """Where a value is across, and which values are written there."""
    room = _WIDTH - _RIGHT - _LEFT
    if panel.logarithmic:
        ticks = sorted(set(places))
        low, high = log10(ticks[0]), log10(ticks[-1])
        span = high - low or 1.0
        return lambda value: _LEFT + room * (0.04 + 0.92 * (log10(value) - low) / span), ticks
    end = max(places) or 1.0
    step = round_step(end)
    ticks = [index * step for index in range(ceil(end / step) + 1) if index * step <= end]
    return lambda value: _LEFT + room * value / end, ticks


def _draw_series(
    series: Series, along: Callable[[float], float], up: Callable[[float], float], colour: str
) -> list[str]:
    parts: list[str] = []
    if series.joined:
        points = " ".join(f"{along(dot.x):.1f},{up(dot.y):.1f}" for dot in series.dots)
        parts += [f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    few = len(series.dots) <= 200
    for dot in series.dots if few or not series.joined else ():
        x = along(dot.x)
        if dot.high > dot.low:
            parts += [_line(x, up(dot.low), x, up(dot.high), colour)]
        words = f"{series.name} at {dot.x:,.6g}: {dot.y:,.4g} ({dot.low:,.4g}..{dot.high:,.4g})"
        circle = f'<circle cx="{x:.1f}" cy="{up(dot.y):.1f}" r="3" fill="{colour}">'
        parts += [f"{circle}<title>{escape(words)}</title></circle>"]
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1"/>'
    )


def _text(x: float, y: float, content: str, anchor: str = "middle", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(content)}</text>"
    )
