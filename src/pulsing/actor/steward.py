"""The actor that every node has, ``system/node``: what other nodes ask of the node itself.

It starts and stops actors for them, gives them names, and tells who has ended. It is in no list,
and its name is in no registry. What it may start is what the program that runs the node has made
an actor class and imported, nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor import lifecycle
from pulsing.actor.cell import Cell
from pulsing.actor.mailbox import CellOptions
from pulsing.actor.methods import Executor, MethodTable
from pulsing.actor.options import ActorOptions
from pulsing.actor.place import place_of
from pulsing.actor.remote import is_actor_class, options_of
from pulsing.errors import ActorNotFound, PulsingRuntimeError
from pulsing.ids import ActorId
from pulsing.wire.lookup import MAIN, find_class, wire_name

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem

NODE_ACTOR: Final = "system/node"
"""The target of requests to the node itself."""
_MAX_AT_ONCE: Final = 100_000
"""Requests it works on at a time; each node that watches actors here is one of them."""
_LOCAL: Final = 0
"""Its number; actors that are spawned have higher ones."""


class Steward:
    """Starts and stops actors for other nodes."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    async def spawn(
        self,
        class_name: str,
        args: list[Any],
        kwargs: dict[str, Any],
        name: str | None,
        public: bool | None,
        options: dict[str, Any],
    ) -> dict[str, Any]:
        """Start an actor here, and describe it.

        Args:
            class_name: ``module:qualified.name``; the module is imported here already.
            args: for the constructor.
            kwargs: for the constructor.
            name: as for `ActorSystem.spawn`.
            public: likewise.
            options: what was said about it beyond its class, by name.

        Raises:
            PulsingRuntimeError: no such actor class here; or the node is draining.
            Exception: as for `ActorSystem.spawn`.
        """
        owner = self._actor_class(class_name)
        proxy = await self._system.spawn_class(
            owner,
            tuple(args),
            kwargs,
            name=name,
            public=public,
            options=options_of(owner).updated(ActorOptions.checked(**options)),
        )
        place = place_of(proxy)
        cell = self._system.find_cell(f"@{place.actor_id}")
        if cell is None:
            raise ActorNotFound(f"actor {place.label} stopped as soon as it had started")
        return {"name": cell.name, **self._system.describe(cell)}

    async def stop(self, target: str, grace_s: float) -> None:
        """Stop an actor of this node and wait until ``on_stop`` has run.

        Args:
            target: canonical name of a public actor, or ``@<node>/<number>``.
            grace_s: as for `ActorSystem.stop`.

        Raises:
            ActorNotFound: no such actor here.
        """
        await self._system.stop(self._cell(target).actor_id, grace_s=grace_s)

    async def kill(self, target: str) -> None:
        """End an actor of this node now. See `stop`, and `ActorSystem.kill`."""
        await self._system.kill(self._cell(target).actor_id)

    def _cell(self, target: str) -> Cell:
        cell = self._system.find_cell(target)
        if cell is None or isinstance(cell.instance, Steward):
            raise ActorNotFound(f"no actor {target!r} on node {self._system.node_name}")
        return cell

    # --- who watches actors of this node

    async def watched(
        self, ours: str, theirs: str, addr: str | None
    ) -> AsyncGenerator[int | list[list[Any]], None]:
        """A watch session of another node; see `pulsing.actor.watch_server`.

        Args:
            ours: the id of the node that is meant; nothing follows when that is not this one.
            theirs: the id of the node that watches.
            addr: where that listens, or None.
        """
        if ours == self._system.node_id:
            async with aclosing(self._system.watched_side.serve(theirs, addr)) as told:
                async for each in told:
                    yield each

    async def watch_orders(
        self,
        session: int,
        watch: list[int],
        again: list[int],
        drop: list[int],
        link: list[tuple[int, int]],
        unlink: list[tuple[int, int]],
    ) -> list[list[Any]]:
        """Watch and link actors for another node; gives those that are gone already."""
        return self._system.watched_side.order(session, watch, again, drop, link, unlink)

    # --- names

    async def register(self, target: str, name: str | None) -> str:
        """Register an actor of this node by a name; gives its canonical form.

        Args:
            target: as for `stop`.
            name: see `ActorSystem.register`.

        Raises:
            ActorNotFound: no such actor here.
            NameTaken: another actor of this node has the name.
        """
        cell = self._system.find_cell(target)
        if cell is None or isinstance(cell.instance, Steward):
            raise ActorNotFound(f"no actor {target!r} on node {self._system.node_name}")
        return self._system.register_here(cell, name)

    async def unregister(self, name: str) -> None:
        """Take a name from an actor of this node.

        Raises:
            ActorNotFound: no actor here has it.
        """
        self._system.unregister_here(name)

    def _actor_class(self, class_name: str) -> type[Any]:
        found = find_class(class_name)
        where = f"node {self._system.node_name} ({self._system.node_id[:8]})"
        if found is None:
            module = class_name.partition(":")[0]
            raise PulsingRuntimeError(
                f"{where} has not imported a class {class_name}; start it with --import {module}"
            )
        if not is_actor_class(found):
            raise PulsingRuntimeError(
                f"{where} starts actor classes only: decorate {class_name} with @pul.remote, or "
                "derive it from pul.Actor"
            )
        return found


def class_to_send(owner: type[Any]) -> str:
    """The name by which another node finds an actor class.

    Raises:
        PulsingRuntimeError: it is no actor class, or no other program can have it.
    """
    name = wire_name(owner)
    module, _, qualified = name.partition(":")
    if module == MAIN:
        raise PulsingRuntimeError(
            f"{owner.__qualname__} is defined in the program itself (__main__), where no other "
            "node can find it; move it into a module, import it from there, and start the other "
            "nodes with --import MODULE"
        )
    if "<locals>" in qualified or find_class(name) is not owner:
        raise PulsingRuntimeError(
            f"{name} cannot be found by its name, as it is made inside a function; move the class "
            "to the top of its module"
        )
    if not is_actor_class(owner):
        raise PulsingRuntimeError(
            f"{name} is no actor class, so other nodes do not start it; decorate it with "
            "@pul.remote, or derive it from pul.Actor"
        )
    return name


def steward_cell(system: ActorSystem) -> Cell:
    """The actor `NODE_ACTOR` of a system, ready for messages."""
    cell = Cell(
        Steward(system),
        MethodTable.of(Steward, Executor.THREAD),
        actor_id=ActorId(system.node_id, _LOCAL),
        name=NODE_ACTOR,
        options=CellOptions(max_concurrency=_MAX_AT_ONCE),
        dispatcher=system.dispatcher,
    )
    cell.advance(lifecycle.CellEvent.STARTED)
    cell.reschedule()
    return cell
