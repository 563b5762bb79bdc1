"""What a benchmark is, what a target is, and the table of all of them.

A benchmark is one small coroutine that measures one slice. The harness repeats it; the registry
says with whom it alternates (its block), what it is compared to, and what it has to reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.env import Env
    from benchmarks.slices import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound that a figure of a benchmark has to keep, absolute or relative to another benchmark.

    Args:
        label: what the line in the target table says.
        figure: name of the figure that is bounded, such as ``rate`` or ``p50_us``.
        at_least: lower bound of the figure (or of the ratio).
        at_most: upper bound of the figure (or of the ratio).
        of: benchmark whose figure of the same round divides this one; ``None``: absolute.
        of_figure: figure of ``of`` to divide by; ``None``: the same figure.
    """

    label: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    of: str | None = None
    of_figure: str | None = None

    def is_met_by(self, value: float) -> bool:
        """Whether `value` (a figure, or a ratio when `of` is set) keeps the bound."""
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most

    def bound(self) -> str:
        """The bound in words, as ``>= 0.55 x``."""
        times = " x" if self.of else ""
        if self.at_least is not None:
            return f">= {self.at_least:,g}{times}"
        return f"<= {self.at_most:,g}{times}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One registered benchmark.

    Args:
        name: unique; what ``--only`` matches and what the JSON is keyed by.
        title: one line for the table.
        block: benchmarks of one block alternate slice by slice within a round.
        run: measures one slice.
        figures: the figures to print, the main one first.
        unit: unit of the figure ``rate``.
        against: the yardstick; the ratio of the main figure to its is printed.
        targets: what has to be reached.
        slices: slices per round (more and shorter ones where a figure jumps between modes).
        once: measured in the first round only (slow, and steady).
        heavy: left out by ``--quick``.
        warm: one slice is run and thrown away before the first round.
    """

    name: str
    title: str
    block: str
    run: Callable[[Env], Awaitable[Slice]]
    figures: tuple[str, ...] = ("rate",)
    unit: str = "calls/s"
    against: str | None = None
    targets: tuple[Target, ...] = ()
    slices: int = 3
    once: bool = False
    heavy: bool = False
    warm: bool = True


REGISTRY: dict[str, Benchmark] = {}


def register(benchmark: Benchmark) -> None:
    """Add a benchmark to the table.

    Raises:
        ValueError: the name is taken already.
    """
    if benchmark.name in REGISTRY:
        raise ValueError(f"benchmark {benchmark.name!r} is registered twice")
    REGISTRY[benchmark.name] = benchmark


def needed(names: list[str]) -> list[Benchmark]:
    """The named benchmarks and the yardsticks they are compared to, in order of registration."""
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in wanted:
            continue
        wanted.add(name)
        item = REGISTRY[name]
        pending += [target.of for target in item.targets if target.of]
        if item.against:
            pending.append(item.against)
    return [item for name, item in REGISTRY.items() if name in wanted]
