"""What a row is, and the list of all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from benchmarks.reliability.figures import Outcome

if TYPE_CHECKING:
    from benchmarks.reliability.world import World


class Place(Enum):
    """Where the nodes of a row run."""

    LOOPBACK = "on the loopback interface"
    QUIET = "on a loopback interface of their own"
    NETWORK = "each on a host of its own"

    @property
    def needs_namespaces(self) -> bool:
        """Whether it is to be had only where network namespaces are."""
        return self is not Place.LOOPBACK


@dataclass(frozen=True, slots=True)
class Row:
    """One row of figures.

    Attributes:
        name: for ``--only``.
        title: what it shows.
        nodes: in the cluster it starts with.
        place: where they run.
        run: measures.
        short: part of ``--short``.
        fresh: needs a cluster that nobody else has used.
        spoils: leaves a cluster that nobody else can use.
    """

    name: str
    title: str
    nodes: int
    place: Place
    run: Callable[[World, Row], Awaitable[Outcome]]
    short: bool = False
    fresh: bool = False
    spoils: bool = False


ROWS: dict[str, Row] = {}


def row(
    name: str,
    title: str,
    nodes: int,
    *,
    place: Place = Place.LOOPBACK,
    short: bool = False,
    fresh: bool = False,
    spoils: bool = False,
) -> Callable[
    [Callable[[World, Row], Awaitable[Outcome]]], Callable[[World, Row], Awaitable[Outcome]]
]:
    """Add a row that a function measures."""

    def add(
        run: Callable[[World, Row], Awaitable[Outcome]],
    ) -> Callable[[World, Row], Awaitable[Outcome]]:
        assert name not in ROWS, name
        ROWS[name] = Row(name, title, nodes, place, run, short=short, fresh=fresh, spoils=spoils)
        return run

    return add
