"""How long it takes until a change of a name is seen everywhere."""

from __future__ import annotations

from .process import Process
from .world import World


class Visibility:
    """Watches changes of names, from when it is made.

    Attributes:
        took_s: seconds from a change until one other node saw it, one entry for each of both.
        open: changes that somebody does not see yet.
    """

    __slots__ = ("_world", "open", "took_s")

    def __init__(self, world: World) -> None:
        self._world = world
        self.took_s: list[float] = []
        self.open: dict[tuple[str, str], _Change] = {}
        world.after_step.append(self._look)

    def changed(self, owner: Process, name: str, local: int | None) -> None:
        """An owner registers a name (``local``: its actor's number) or drops it (None).

        A change that is still on its way is given up for the new one.
        """
        observers = self._world.observed.running.keys() - {owner.serial}
        self.open[owner.node_id, name] = _Change(local, self._world.now, observers)

    def _look(self, process: Process) -> None:
        serial = process.serial
        done: list[tuple[str, str]] = []
        for key, change in self.open.items():
            if serial in change.waiting:
                owner, name = key
                found = [each.local for each in process.core.lookup(name) if each.node_id == owner]
                if found == ([] if change.local is None else [change.local]):
                    change.waiting.discard(serial)
                    self.took_s.append(self._world.now - change.at_s)
                    if not change.waiting:
                        done.append(key)
        for key in done:
            del self.open[key]


class _Change:
    __slots__ = ("at_s", "local", "waiting")

    def __init__(self, local: int | None, at_s: float, waiting: set[int]) -> None:
        self.local = local
        self.at_s = at_s
        self.waiting = waiting
