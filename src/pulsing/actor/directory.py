"""The actors of one node, by number and by name.

Names are reserved before an actor is made, so that of two spawns at once one fails early, and are
free again the moment an actor is asked to stop. An actor can have names beside its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from pulsing.actor.lifecycle import CellState
from pulsing.errors import ActorNotFound, NameTaken, PulsingRuntimeError
from pulsing.ids import ActorId, canonical_name, generated_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulsing.actor.cell import Cell


class Bulletin(Protocol):
    """Where other nodes read which names are here."""

    def register(self, name: str, local: int, class_name: str) -> None:
        """A public actor has started."""
        ...

    def unregister(self, name: str) -> None:
        """It was asked to stop."""
        ...


class Directory:
    """Which actor of this node is meant by a number or a name."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._last = 0
        self._cells: dict[int, Cell] = {}
        self._names: dict[str, Cell | None] = {}
        self._more_names: dict[Cell, dict[str, None]] = {}
        self._public: set[str] = set()
        self._announced: set[str] = set()
        self._bulletin: Bulletin | None = None
        self._waiting: dict[str, list[asyncio.Future[Cell]]] = {}

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Cell]:
        return iter(list(self._cells.values()))

    def reserve(self, name: str | None, class_name: str) -> str:
        """Take a name, or make one up; gives the canonical form.

        Raises:
            ValueError: not a name.
            NameTaken: an actor of this node has it, or is just being started with it.
        """
        if name is None:
            full = generated_name(class_name if class_name.isascii() else "Actor")
            while full in self._names:
                full = generated_name(class_name)
        else:
            full = canonical_name(name)
            if full in self._names:
                raise self._taken(full)
        self._names[full] = None
        return full

    def _taken(self, name: str) -> NameTaken:
        holder = self._names[name]
        who = f"as {holder.actor_id}" if holder is not None else "and is being started"
        return NameTaken(
            f"an actor named {name!r} already exists on this node ({who}); stop it first, "
            "or choose another name"
        )

    def release(self, name: str) -> None:
        """Give a reserved name back: the actor did not come to be."""
        if self._names.get(name, _TAKEN) is None:
            del self._names[name]

    def new_id(self) -> ActorId:
        """An id that was never given before."""
        self._last += 1
        return ActorId(self._node_id, self._last)

    def add(self, cell: Cell, *, public: bool) -> None:
        """Make an actor findable by number and by its reserved name."""
        name = cell.name
        assert name is not None
        self._cells[cell.actor_id.local] = cell
        self._names[name] = cell
        if public:
            self._public.add(name)
        self._wake(name, cell)

    def _wake(self, name: str, cell: Cell) -> None:
        for waiter in self._waiting.pop(name, ()):
            if not waiter.done():
                waiter.set_result(cell)

    def register(self, cell: Cell, name: str) -> None:
        """Let an actor be found by a canonical name, here and on other nodes.

        Raises:
            NameTaken: another actor has it, or is just being started with it.
            ActorNotFound: the actor was asked to stop.
        """
        if self._cells.get(cell.actor_id.local) is not cell:
            raise ActorNotFound(f"actor {cell.label} has stopped; it cannot be registered")
        if name in self._names and self._names[name] is not cell:
            raise self._taken(name)
        self._names[name] = cell
        if name != cell.name:
            self._more_names.setdefault(cell, {})[name] = None
        self._public.add(name)
        self._wake(name, cell)
        if cell.state is not CellState.STARTING:
            self.announce(cell)

    def unregister(self, name: str) -> bool:
        """Let nobody be found by a canonical name; False when nobody was."""
        cell = self._names.get(name)
        if cell is None:
            return False
        del self._names[name]
        self._more_names.get(cell, {}).pop(name, None)
        self._public.discard(name)
        if name in self._announced:
            self._announced.discard(name)
            if self._bulletin is not None:
                self._bulletin.unregister(name)
        return True

    def remove(self, cell: Cell) -> None:
        """Make an actor unfindable and free its name, at once."""
        self._cells.pop(cell.actor_id.local, None)
        for name in self._names_of(cell):
            if self._names.get(name) is cell:
                self.unregister(name)
        self._more_names.pop(cell, None)

    def _names_of(self, cell: Cell) -> tuple[str, ...]:
        more = self._more_names.get(cell, ())
        return (cell.name, *more) if cell.name is not None else tuple(more)

    # --- other nodes

    def publish_to(self, bulletin: Bulletin | None) -> None:
        """From now on, tell others of the public actors, those that have started included.

        Args:
            bulletin: where to; None for nobody: nothing is taken back.
        """
        self._bulletin = bulletin
        if bulletin is not None:
            for name in sorted(self._announced):
                cell = self._names[name]
                assert cell is not None
                bulletin.register(name, cell.actor_id.local, cell.table.owner.__name__)

    def announce(self, cell: Cell) -> None:
        """An actor has started: other nodes may hear of it, if it is public and still there."""
        for name in self._names_of(cell):
            known = name in self._announced or name not in self._public
            if not known and self._names.get(name) is cell:
                self._announced.add(name)
                if self._bulletin is not None:
                    self._bulletin.register(name, cell.actor_id.local, cell.table.owner.__name__)

    def withdraw(self) -> None:
        """Take back what others were told; the actors live on."""
        bulletin, self._bulletin = self._bulletin, None
        if bulletin is not None:
            for name in sorted(self._announced):
                bulletin.unregister(name)

    def public(self) -> list[Cell]:
        """The public actors that have started, by name."""
        return [cell for name in sorted(self._announced) if (cell := self._names[name])]

    # --- looking

    def named(self, name: str) -> Cell | None:
        """The actor of a canonical name."""
        return self._names.get(name)

    def numbered(self, local: int) -> Cell | None:
        """The actor of a number."""
        return self._cells.get(local)

    def is_public(self, cell: Cell) -> bool:
        """Whether other nodes find the actor by its name."""
        return cell.name in self._public

    def find(self, target: str) -> Cell | None:
        """What a peer asks for: the canonical name of a public actor, or ``@<node>/<number>``."""
        if target[:1] == "@":
            node, _, local = target[1:].partition("/")
            if node != self._node_id or not local.isdecimal() or len(local) > 19:
                return None
            return self._cells.get(int(local))
        return self._names.get(target) if target in self._public else None

    async def wait_named(self, name: str, timeout_s: float) -> Cell | None:
        """The actor of a canonical name, as soon as it exists; None after the timeout."""
        cell = self._names.get(name)
        if cell is not None or timeout_s <= 0:
            return cell
        waiter: asyncio.Future[Cell] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(name, [])
        waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters and self._waiting.get(name) is waiters:
                del self._waiting[name]

    def close(self) -> None:
        """Forget everything; whoever waits for a name gets PulsingRuntimeError."""
        error = PulsingRuntimeError("the actor system was shut down while waiting for a name")
        for waiters in self._waiting.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        self._waiting.clear()
        self._cells.clear()
        self._names.clear()
        self._more_names.clear()
        self._public.clear()
        self._announced.clear()


_TAKEN: Any = object()
