"""What every test cluster can do, whether its nodes are systems of this process or processes.

`ClusterHandle` is the handle, `ClusterNode` what ``cluster[i]`` gives. ``cluster`` and
``processes`` have the two kinds.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

from pulsing import clock

from . import reports
from .sightings import ALIVE, PRESENT, Sighting

if TYPE_CHECKING:
    from types import TracebackType

_LOOK_INTERVAL_S: Final = 0.005


class NodeState(Enum):
    """How a node of a test cluster is."""

    RUNNING = "running"
    FROZEN = "frozen"
    ENDED = "ended"


class ClusterNode:
    """One node of a test cluster.

    Attributes:
        index: its number in the cluster.
        addr: ``HOST:PORT`` at which the others reach it; the same after a restart.
        node_id: of its process or system; another one after a restart.
        name: for people.
        state: whether it runs.
        sightings: what it believed of the members, one after another, since it started.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.addr = ""
        self.node_id = ""
        self.name = f"node-{index}"
        self.state = NodeState.ENDED
        self.sightings: list[Sighting] = []
        self.latest: dict[str, Sighting] = {}

    def __repr__(self) -> str:
        return f"<{self.name} {self.node_id[:8]} at {self.addr} {self.state.value}>"

    @property
    def present(self) -> dict[str, str]:
        """Node id and status of everybody it believes to be there, itself included."""
        return {
            node_id: each.status for node_id, each in self.latest.items() if each.status in PRESENT
        }

    def believes(self, other: ClusterNode | str) -> str | None:
        """The status it believes a node, or a node id, to have; None when it never heard of it."""
        found = self.latest.get(other if isinstance(other, str) else other.node_id)
        return None if found is None else found.status

    def saw(self, sighting: Sighting) -> None:
        """It believes something new."""
        self.sightings.append(sighting)
        self.latest[sighting.node_id] = sighting

    def begin(self) -> None:
        """It starts: nothing is known to it."""
        self.sightings = []
        self.latest = {}


N = TypeVar("N", bound=ClusterNode)


class ClusterHandle(ABC, Generic[N]):
    """A cluster that a test starts, hurts and takes down: use it with ``async with``.

    ``cluster[i]`` is a node. Verbs without ``await`` take effect before they return.

    Args:
        seed: of the dice for faults; default: that of ``--pulsing-seed``, or a random one, which
            `report` tells.

    Attributes:
        seed: the one in use.
    """

    def __init__(self, seed: int | None = None) -> None:
        seed = reports.OPTIONS.seed if seed is None else seed
        self.seed = random.randrange(1 << 32) if seed is None else seed  # noqa: S311 - no secret
        self._nodes: list[N] = []
        self._open = ExitStack()

    # --- life

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:  # its __aexit__ will not be called
            reports.FAILED.append(self.report())
            await self.close()
            raise
        self._open.enter_context(reports.reported(self.report))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()
        if error is not None and not isinstance(error, asyncio.CancelledError):
            await self._look_inside()
            reports.FAILED.append(self.report())
        await self.close()

    @abstractmethod
    async def _start(self) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """Take everything down. Again does nothing."""

    # --- nodes

    def __getitem__(self, index: int) -> N:
        return self._nodes[index]

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[N]:
        return iter(self._nodes)

    @property
    def running(self) -> list[N]:
        """The nodes that neither ended nor are frozen."""
        return [each for each in self._nodes if each.state is NodeState.RUNNING]

    @abstractmethod
    async def add(self, count: int = 1) -> list[N]:
        """Start more nodes, all at once, which join the others."""

    @abstractmethod
    async def stop(self, index: int) -> None:
        """End a node as it should be: it says goodbye."""

    @abstractmethod
    def kill(self, index: int) -> float:
        """End a node as abruptly as a process can.

        Returns:
            When, in the clock of `Sighting.at`.
        """

    @abstractmethod
    async def restart(self, index: int) -> N:
        """Start a node that has ended again, at the same address with a new identity."""

    @abstractmethod
    def freeze(self, index: int) -> float:
        """Let a node stand still: it hears, says and does nothing, and its connections stay open.

        Returns:
            When, in the clock of `Sighting.at`.
        """

    @abstractmethod
    def thaw(self, index: int) -> float:
        """Let a frozen node go on.

        Returns:
            When, in the clock of `Sighting.at`.
        """

    # --- the network

    @abstractmethod
    def partition(self, *groups: Sequence[int]) -> float:
        """Cut the network into groups of nodes; who is in none is alone.

        Connections stay open and silent, as with a real network. It replaces other cuts.

        Returns:
            When, in the clock of `Sighting.at`.
        """

    @abstractmethod
    def cut(self, senders: Sequence[int], receivers: Sequence[int]) -> None:
        """What some nodes say does not reach others; the other way it does."""

    @abstractmethod
    def heal(self) -> float:
        """Undo `partition`, `cut`, `delay` and `drop`.

        Returns:
            When, in the clock of `Sighting.at`.
        """

    @abstractmethod
    def delay(self, one: int, other: int, milliseconds: float, jitter_ms: float = 0.0) -> None:
        """Delay everything between two nodes, each way; with jitter by up to so much more."""

    @abstractmethod
    def drop(self, one: int, other: int, share: float) -> None:
        """Lose a share of the packets between two nodes, each way; 1 loses all."""

    # --- waiting

    async def eventually(
        self, predicate: Callable[[], bool | Awaitable[bool]], *, within_s: float = 10.0
    ) -> None:
        """Wait until a predicate is true.

        Raises:
            AssertionError: it was not within the time; says how the cluster was then.
        """
        give_up_at = clock.monotonic() + within_s
        while True:
            outcome = predicate()
            if inspect.isawaitable(outcome):
                outcome = await outcome
            if outcome:
                return
            if clock.monotonic() > give_up_at:
                source = getattr(predicate, "__qualname__", repr(predicate))
                raise AssertionError(f"not within {within_s} s: {source}\n{self.report()}")
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def converged(self, *groups: Sequence[int], within_s: float = 30.0) -> None:
        """Wait until all running nodes agree that exactly they are there and alive.

        Args:
            groups: of nodes that are to agree among themselves, for partitions. Default: all that
                run.
            within_s: how long that may take.

        Raises:
            AssertionError: they do not, within the time; says what they believe.
        """
        await self.eventually(lambda: self.has_converged(*groups), within_s=within_s)

    def has_converged(self, *groups: Sequence[int]) -> bool:
        """What `converged` waits for."""
        if not groups:
            return agree(self.running)
        return all(agree([self._nodes[index] for index in group]) for group in groups)

    # --- for people

    def report(self) -> str:
        """Who believes what of whom, and the last changes of each node."""
        names = {each.node_id: each.name for each in self._nodes if each.node_id}
        lines = [f"{type(self).__name__} of {len(self)} nodes, seed {self.seed}"]
        shown = reports.OPTIONS.shown_events or 0  # 0: the slice below is all of them
        for node in self._nodes:
            lines.append(repr(node)[1:-1])
            believed = ", ".join(
                f"{names.get(node_id, each.name)} {each.status}"
                for node_id, each in sorted(node.latest.items(), key=lambda item: item[1].name)
            )
            lines.append(f"  believes: {believed or 'nothing'}")
            lines += self._details(node)
            lines += [
                f"  {each.at:.3f}  {names.get(each.node_id, each.name)} {each.status}"
                f" (incarnation {each.incarnation})"
                for each in node.sightings[-shown:]
            ]
        return "\n".join(lines)

    def _details(self, node: N) -> list[str]:
        """More lines about a node for `report`, indented."""
        return []

    async def _look_inside(self) -> None:
        """Find out what `report` is to say, where that has to be asked for."""


def agree(nodes: Sequence[ClusterNode]) -> bool:
    """Whether nodes believe exactly each other to be present, and alive."""
    wanted = dict.fromkeys((each.node_id for each in nodes), ALIVE)
    return all(each.present == wanted for each in nodes)
