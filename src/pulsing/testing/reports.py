"""What the pytest plugin and the clusters of tests tell each other: options, and how it all was.

Imports nothing of Pulsing: the plugin is active wherever Pulsing is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

SHOWN_EVENTS: Final = 20
"""So many changes of each node are in a report, the last ones, unless all are wanted."""


@dataclass(slots=True)
class Options:
    """What the command line of pytest says.

    Attributes:
        seed: for whatever is left to chance and has no seed of its own; None: nothing was said.
        trace: reports show every event.
    """

    seed: int | None = None
    trace: bool = False

    @property
    def shown_events(self) -> int | None:
        """So many events of each node are in a report; None: all."""
        return None if self.trace else SHOWN_EVENTS


OPTIONS: Final = Options()
FAILED: Final[list[str]] = []
"""Reports of what ended by an exception since the plugin took them last."""
_open: Final[dict[int, Callable[[], str]]] = {}


@contextmanager
def reported(report: Callable[[], str]) -> Generator[None]:
    """While the block lasts, a test that fails shows this report.

    If the block is in a fixture, it does not end by the exception of the test.
    """
    key = id(report)
    _open[key] = report
    try:
        yield
    finally:
        del _open[key]


def take() -> list[str]:
    """The reports of what failed, and of what is still there."""
    texts = [*FAILED, *(report() for report in _open.values())]
    FAILED.clear()
    return texts


def actor_lines(actors: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each actor, from what `ActorSystem.actors` says."""
    return [
        f"  actor {each['name'] or each['actor_id']} ({each['class']}) {each['state']}: "
        f"{each['queued']} queued, {each['running']} running"
        for each in actors
    ]
