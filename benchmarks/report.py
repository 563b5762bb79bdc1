"""The tables on standard output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.registry import Benchmark
    from benchmarks.results import Results, Spread

UNITS = {
    "p50_us": "us",
    "p99_us": "us",
    "cpu_us": "us",
    "tell_us": "us",
    "import_ms": "ms",
    "use_ms": "ms",
    "bare_python_ms": "ms",
    "ready_ms": "ms",
    "rss_mb": "MB",
    "bytes_per_actor": "bytes",
    "peak_client_x": "payloads",
    "peak_server_x": "payloads",
}
ROUND_BY_ROUND = ("raw_ask_1", "ask_async_1", "ask_inline_1", "ask_threaded_1", "ask_receive_1")
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading and how it is aligned."""

    heading: str
    right: bool = False


def number(value: float) -> str:
    """Three digits or more, never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def range_of(spread: Spread, form: Callable[[float], str] = number) -> str:
    """``low..high``."""
    return f"{form(spread.low)}..{form(spread.high)}"


def ratio(spread: Spread | None) -> Row:
    """The cells of a ratio."""
    if spread is None:
        return "", ""
    return f"{spread.median:.2f} x", range_of(spread, "{:.2f}".format)


def table(columns: list[Column], rows: list[Row]) -> str:
    """Rows in aligned columns under their headings."""
    lines = [tuple(column.heading for column in columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    out = []
    for position, line in enumerate(lines):
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        out.append("  ".join(cells).rstrip())
        if position == 0:
            out.append("  ".join("-" * width for width in widths))
    return "\n".join(out)


def rows_of(results: Results, item: Benchmark) -> list[Row]:
    """One row per figure of a benchmark; the title stands in the first."""
    rows: list[Row] = []
    for figure in item.figures:
        found = results.spread(item.name, figure)
        if found is None:
            continue
        over = results.ratio(item.name, figure, item.against) if item.against else None
        title = item.title if not rows else ""
        unit = UNITS.get(figure, item.unit)
        rows.append((title, figure, number(found.median), range_of(found), unit, *ratio(over)))
    return rows


def figures_table(results: Results) -> str:
    """All figures: median, range over the rounds, and the ratio to the yardstick."""
    columns = [
        Column("benchmark"),
        Column("figure"),
        Column("median", right=True),
        Column("min..max", right=True),
        Column("unit"),
        Column("ratio", right=True),
        Column("min..max", right=True),
    ]
    return table(columns, [row for item in results.measured() for row in rows_of(results, item)])


def targets_table(results: Results) -> str:
    """What had to be reached, and whether the median does."""
    rows: list[Row] = []
    for item in results.measured():
        for target in item.targets:
            found = results.reached(item.name, target)
            if found is None:
                rows.append((target.label, target.bound(), "-", "", "not measured"))
                continue
            verdict = "reached" if target.is_met_by(found.median) else "MISSED"
            rows.append(
                (target.label, target.bound(), number(found.median), range_of(found), verdict)
            )
    columns = [
        Column("target"),
        Column("bound"),
        Column("median", right=True),
        Column("min..max", right=True),
        Column("verdict"),
    ]
    return table(columns, rows) if rows else ""


def rounds_table(results: Results) -> str:
    """The p50 of one call in flight in every round: it has two modes, and a median hides one."""
    names = [name for name in ROUND_BY_ROUND if results.rounds.get(name)]
    numbers = sorted({number for name in names for number in results.rounds[name]})
    rows: list[Row] = []
    for index in numbers:
        found = [results.rounds[name].get(index, {}).get("p50_us") for name in names]
        cells = ["-" if value is None else f"{value:.1f}" for value in found]
        rows.append((str(index + 1), *cells))
    columns = [Column("round", right=True), *(Column(name, right=True) for name in names)]
    return table(columns, rows) if rows else ""


def text(results: Results) -> str:
    """The whole report."""
    about = ", ".join(f"{key} {value}" for key, value in results.about.items())
    parts = [about, figures_table(results)]
    if by_round := rounds_table(results):
        parts += ["p50 in us of one call in flight, round by round", by_round]
    if targets := targets_table(results):
        parts += ["targets (judged by the median; ratios within one round)", targets]
    if results.errors:
        failed = "\n".join(f"{name}: {error}" for name, error in results.errors.items())
        parts += ["FAILED", failed]
    return "\n\n".join(parts)
