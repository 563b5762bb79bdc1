"""A plot of one run as SVG, made by hand: three panels, medians as bars, the range as a whisker.

Colours keep their meaning in all panels: grey is the yardstick, the others are Pulsing.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from benchmarks.items.asks import LEVELS
from benchmarks.items.echo import SIZES
from benchmarks.report import number, range_of
from benchmarks.results import Results, Spread

WIDTH, PANEL_HEIGHT, MARGIN = 860, 250, 70
FONT = 'font-family="system-ui, sans-serif" fill="#1c2024"'
TITLE_SPACE, LEGEND_SPACE = 46, 44
ASKS = {
    "raw_ask": "raw ceiling",
    "ask_async": "async",
    "ask_inline": "def on the loop",
    "ask_threaded": "def in a thread",
    "ask_receive": "receive",
}
ECHOES = {
    "raw_echo": "raw streams",
    "echo": "bytes",
    "echo_array": "numpy",
    "tls_echo": "bytes, TLS",
    "raw_buffered": "raw BufferedProtocol",
}
GREY, PALE, *OURS = ("#8a8f98", "#c4c7cc", "#2f6fde", "#12a594", "#e5892b", "#b652c9")
COLOURS = {
    **dict(zip(list(ASKS.values())[1:], OURS, strict=False)),
    **dict(zip(list(ECHOES.values())[1:], OURS, strict=False)),
    "raw ceiling": GREY,
    "raw streams": GREY,
    "raw BufferedProtocol": PALE,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its group on the axis, its series, and its value."""

    group: str
    series: str
    value: Spread


@dataclass(frozen=True, slots=True)
class Panel:
    """A titled set of bars."""

    title: str
    bars: list[Bar]


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """A thin line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1"/>'
    )


def label(x: float, y: float, content: str, anchor: str = "middle", size: int = 11) -> str:
    """A piece of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(content)}</text>"
    )


def tick_step(top: float) -> float:
    """A round step that gives three to six ticks below `top`."""
    step = 1.0
    while step * 5 < top:
        step *= 10
    while step > 1e-9 and top / step < 3:
        step /= 2 if top / step >= 1.5 else 5
    return step


def tick_label(value: float) -> str:
    """1500000 as 1.5M."""
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"


def draw_axis(top: float, base: float) -> list[str]:
    """Horizontal lines with their values."""
    height = PANEL_HEIGHT - TITLE_SPACE - LEGEND_SPACE
    step = tick_step(top)
    out = []
    for index in range(int(top / step) + 1):
        y = base - height * index * step / top
        out.append(line(MARGIN, y, WIDTH - 20, y, "#d9dce1"))
        out.append(label(MARGIN - 8, y + 4, tick_label(index * step), "end"))
    return out


def draw_bar(bar: Bar, x: float, width: float, base: float, scale: float) -> list[str]:
    """A bar with its whisker; the tooltip says the figures."""
    spread = bar.value
    middle = x + width / 2
    words = f"{bar.series}, {bar.group}: {number(spread.median)} ({range_of(spread)})"
    tall = spread.median * scale
    box = f'x="{x:.1f}" y="{base - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"'
    return [
        f'<rect {box} fill="{COLOURS[bar.series]}"><title>{escape(words)}</title></rect>',
        line(middle, base - spread.low * scale, middle, base - spread.high * scale, "#1c2024"),
    ]


def draw(panel: Panel, offset: float) -> list[str]:
    """A panel whose upper edge is at `offset`."""
    base = offset + PANEL_HEIGHT - LEGEND_SPACE
    top = max(bar.value.high for bar in panel.bars) * 1.05
    scale = (PANEL_HEIGHT - TITLE_SPACE - LEGEND_SPACE) / top
    groups = list(dict.fromkeys(bar.group for bar in panel.bars))
    series = list(dict.fromkeys(bar.series for bar in panel.bars))
    out = [label(MARGIN, offset + 24, panel.title, "start", 14), *draw_axis(top, base)]
    room = (WIDTH - 20 - MARGIN) / len(groups)
    for position, group in enumerate(groups):
        members = [bar for bar in panel.bars if bar.group == group]
        width = min(room * 0.8 / len(members), 60)
        left = MARGIN + room * (position + 0.5) - width * len(members) / 2
        out.append(label(MARGIN + room * (position + 0.5), base + 16, group))
        for index, bar in enumerate(members):
            out += draw_bar(bar, left + index * width, width * 0.92, base, scale)
    for index, name in enumerate(series):
        x = MARGIN + index * 150
        colour = COLOURS[name]
        out.append(f'<rect x="{x}" y="{base + 24}" width="10" height="10" fill="{colour}"/>')
        out.append(label(x + 15, base + 33, name, "start"))
    return out


def panels(results: Results) -> list[Panel]:
    """What is plotted, as far as it was measured."""

    def bars(names: dict[str, str], groups: dict[str, str], figure: str) -> list[Bar]:
        found = []
        for suffix, group in groups.items():
            for name, series in names.items():
                spread = results.spread(f"{name}_{suffix}", figure)
                if spread is not None:
                    found.append(Bar(group, series, spread))
        return found

    levels = {str(level): f"{level} in flight" for level in LEVELS}
    sizes = {size: f"{size.upper()}iB" for size in SIZES}
    numbers = sorted({index for name in ASKS for index in results.rounds.get(f"{name}_1", {})})
    by_round = []
    for index in numbers:
        for name, series in ASKS.items():
            value = results.rounds.get(f"{name}_1", {}).get(index, {}).get("p50_us")
            if value is not None:
                by_round.append(Bar(f"round {index + 1}", series, Spread.of([value])))
    found = [
        Panel("Calls per second between two processes", bars(ASKS, levels, "rate")),
        Panel("p50 of one call in flight, microseconds, round by round", by_round),
        Panel("Echo, MB of payload per second", bars(ECHOES, sizes, "rate")),
    ]
    return [panel for panel in found if panel.bars]


def svg(results: Results) -> str:
    """The whole picture."""
    drawn = panels(results)
    height = PANEL_HEIGHT * len(drawn) + 34
    words = ", ".join(f"{key} {value}" for key, value in results.about.items())
    body = [part for index, panel in enumerate(drawn) for part in draw(panel, PANEL_HEIGHT * index)]
    body.append(label(MARGIN, height - 10, words, "start", 10))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>",
            "",
        ]
    )
