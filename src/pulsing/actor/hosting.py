"""The actors of one node: starting, looking up and describing them.

`ActorHost` is the part of `pulsing.actor.system.ActorSystem` that needs no network.
"""

from __future__ import annotations

import logging
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pulsing.actor import lifecycle
from pulsing.actor.cell import Cell
from pulsing.actor.construction import construct, read_metadata, start_failure
from pulsing.actor.describe import describe_actor
from pulsing.actor.directory import Directory
from pulsing.actor.dispatcher import Dispatcher
from pulsing.actor.hosted_cell import HostedCell
from pulsing.actor.keeping import Keeper
from pulsing.actor.kept import as_child_of, check_factory
from pulsing.actor.local import LocalTarget
from pulsing.actor.mailbox import CellOptions
from pulsing.actor.methods import Executor, MethodTable
from pulsing.actor.options import NO_OPTIONS, ActorOptions
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.proxy import typed_proxy
from pulsing.actor.refs import ActorRef
from pulsing.actor.remote import options_of
from pulsing.actor.threadsafe import on_loop
from pulsing.addresses import LOCALHOST, ActorAddress
from pulsing.errors import ActorNotFound, PulsingRuntimeError
from pulsing.ids import ActorId, new_node_id

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from pulsing.actor.copying import Copier
    from pulsing.actor.system import ActorSystem
    from pulsing.config import SystemConfig

_log = logging.getLogger(__name__)


class SystemState(Enum):
    """How far the life of a system has come."""

    RUNNING = "running"
    DRAINING = "draining"
    """Starts no actors and takes no calls of peers; what is under way finishes."""
    CLOSED = "closed"


class ActorHost:
    """The actors of one node."""

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.node_id = new_node_id()
        self.loop = loop
        self.dispatcher = Dispatcher(
            loop,
            default_timeout_s=config.default_timeout_s,
            max_threads=0 if getattr(loop, "threadless", False) else config.worker_threads,
            host=self,
        )
        self._state = SystemState.RUNNING
        self._directory = Directory(self.node_id)
        self._metadata: dict[int, Mapping[str, str]] = {}
        self._copier: Copier | None = None
        self._cell_options: dict[ActorOptions, CellOptions] = {}
        self._last_options = (NO_OPTIONS, NO_OPTIONS.cell_options(config))

    @property
    def node_name(self) -> str:
        """Its name for people, unique in the cluster: as configured, or made from its id."""
        return self.config.node_name or self.node_id[:8]

    @property
    def state(self) -> SystemState:
        """How far its life has come."""
        return self._state

    @property
    def actor_count(self) -> int:
        """How many actors live on the node."""
        return len(self._directory)

    @property
    def is_running(self) -> bool:
        """Whether it starts actors and takes calls: not draining, not shut down."""
        return self._state is SystemState.RUNNING

    @property
    def is_closed(self) -> bool:
        """Whether `shutdown` was called, or the loop it lived on is closed."""
        return self._state is SystemState.CLOSED or self.loop.is_closed()

    # --- starting

    async def spawn_class(
        self,
        owner: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        name: str | None,
        public: bool | None,
        options: ActorOptions,
        placement: str | None = None,
        parent: Cell | None = None,
    ) -> Any:
        """Start an actor of a class and give a typed proxy. See `ActorSystem.spawn`."""
        assert placement is None, "only a clustered host knows other places"
        full = self._reserve(name, owner)
        try:
            instance = await construct(
                self.dispatcher, owner, args, kwargs, options.executor or Executor.THREAD
            )
            if not self.is_running:
                self._refuse()
        except Exception as error:
            self._directory.release(full)
            if isinstance(error, PulsingRuntimeError):
                raise
            raise start_failure(
                error, node=self.node_id, actor=full, hook="__init__"
            ) from error.__cause__
        except BaseException:
            self._directory.release(full)
            raise
        is_public = name is not None if public is None else public
        make = partial(cast("Callable[..., Any]", owner), *args, **kwargs)
        cell = self._add(instance, full, is_public, options, parent, make)
        await self._start(cell)
        return typed_proxy(self.place(cell), owner)

    async def spawn_instance(
        self,
        instance: object,
        *,
        name: str | None,
        public: bool | None,
        options: ActorOptions,
        parent: Cell | None = None,
        factory: Callable[[], Any] | None = None,
    ) -> ActorRef:
        """Make an actor of a ready object. See `ActorSystem.spawn`."""
        owner = type(instance)
        options = check_factory(options_of(owner).updated(options), factory, owner)
        full = self._reserve(name, owner)
        is_public = name is not None if public is None else public
        cell = self._add(instance, full, is_public, options, parent, factory)
        await self._start(cell)
        return ActorRef(self.place(cell))

    def mount(
        self,
        instance: object,
        *,
        name: str,
        public: bool = True,
        factory: Callable[[], Any] | None = None,
    ) -> ActorRef:
        """Make an object an actor, from synchronous code of any thread, also in ``__init__``.

        ``on_start`` runs afterwards, in the background; messages wait for it.

        Args:
            instance: any object; its class may have been decorated with options.
            name: where others find it.
            public: whether other nodes find it.
            factory: makes another object, for a class with a ``restart_policy``.

        Raises:
            ValueError: ``name`` is not an actor name, or there is a policy and no ``factory``.
            NameTaken: an actor of this name lives on this node.
            PulsingRuntimeError: the system is draining, or was shut down.
        """
        return on_loop(self.loop, lambda: self._mount(instance, name, public, factory))

    def _mount(
        self, instance: object, name: str, public: bool, factory: Callable[[], Any] | None
    ) -> ActorRef:
        owner = type(instance)
        options = check_factory(options_of(owner), factory, owner)
        full = self._reserve(name, owner)
        cell = self._add(instance, full, public, options, None, factory)
        self.dispatcher.keep(self._start_mounted(cell), name=f"pulsing-start-{cell.label}")
        return ActorRef(self.place(cell))

    async def _start_mounted(self, cell: Cell) -> None:
        try:
            await self._start(cell)
        except Exception:  # noqa: BLE001 - of the user's code; it is logged
            _log.exception("actor %s: on_start failed; it is unmounted", cell.label)

    def unmount(self, name: str) -> None:
        """Stop an actor by name, from synchronous code of any thread. Its name is free at once.

        Raises:
            ValueError: ``name`` is not an actor name.
            ActorNotFound: there is none.
        """
        on_loop(self.loop, lambda: self._unmount(name))

    def _unmount(self, name: str) -> None:
        self._cell_of(name).stop()

    # --- looking

    def find_cell(self, target: str) -> Cell | None:
        """What a peer asks for: the name of a public actor, or ``@<node>/<number>``."""
        return self._directory.find(target)

    def named(self, name: str) -> Cell | None:
        """The actor of this node with a canonical name, public or not."""
        return self._directory.named(name)

    def numbered(self, local: int) -> Cell | None:
        """The actor of this node with a number."""
        return self._directory.numbered(local)

    def describe(self, cell: Cell) -> dict[str, Any]:
        """What an actor tells whoever wants a reference to it, ready to travel."""
        metadata = self._metadata.get(cell.actor_id.local, {})
        return describe_actor(cell.actor_id, cell.table, metadata)

    def actors(self) -> list[dict[str, Any]]:
        """The actors of this node, as plain data.

        Each with ``name``, ``actor_id``, ``class``, ``state``, ``public``, ``queued`` (messages
        that wait), ``running`` (messages inside its code) and ``metadata``.
        """
        return [
            {
                "name": cell.name,
                "actor_id": str(cell.actor_id),
                "class": f"{cell.table.owner.__module__}.{cell.table.owner.__qualname__}",
                "state": cell.state.value,
                "public": self._directory.is_public(cell),
                "queued": cell.queued,
                "running": cell.active + cell.exclusive,
                "metadata": dict(self._metadata.get(cell.actor_id.local, {})),
            }
            for cell in self._directory
        ]

    def reference(self, whom: Cell | ActorId) -> ActorRef:
        """A reference to an actor of this node, for the code of another one.

        Raises:
            ActorNotFound: it has stopped, or is of another node.
        """
        if isinstance(whom, Cell):
            return ActorRef(self.place(whom))
        return ActorRef(self.place(self._cell_of(whom)))

    # --- inside

    def _refuse(self) -> NoReturn:
        doing = "draining" if self._state is SystemState.DRAINING else "shut down"
        raise PulsingRuntimeError(f"the actor system {self.node_id[:8]} is {doing}")

    def _reserve(self, name: str | None, owner: type) -> str:
        if self._state is not SystemState.RUNNING:
            self._refuse()
        return self._directory.reserve(name, owner.__name__)

    def _add(
        self,
        instance: object,
        name: str,
        public: bool,
        options: ActorOptions,
        parent: Cell | None = None,
        make: Callable[[], Any] | None = None,
    ) -> Cell:
        options = as_child_of(parent, options, can_restart=make is not None)
        if self._last_options[0] is not options:
            known = self._cell_options.get(options)
            if known is None:
                known = self._cell_options[options] = options.cell_options(self.config)
            self._last_options = (options, known)
        filled = self._last_options[1]
        cell = HostedCell(
            instance,
            MethodTable.of(type(instance), filled.executor),
            actor_id=self._directory.new_id(),
            name=name,
            options=filled,
            dispatcher=self.dispatcher,
        )
        if filled.restart is not None and make is not None:
            cell.keeper = Keeper(cell, filled.restart, make)
        if parent is not None:
            try:
                parent.adopt(cell)
            except BaseException:
                self._directory.release(name)
                raise
        self._directory.add(cell, public=public)
        return cell

    async def _start(self, cell: Cell) -> None:
        try:
            await lifecycle.start(cell)
        except Exception as error:
            self._directory.remove(cell)
            if isinstance(error, PulsingRuntimeError):
                raise
            raise start_failure(
                error, node=self.node_id, actor=cell.label, hook="on_start"
            ) from error.__cause__
        except BaseException:
            self._directory.remove(cell)
            raise
        self._directory.announce(cell)
        if cell.parent is not None:
            cell.parent.supervise(cell)
        if hasattr(type(cell.instance), "metadata"):
            metadata = await read_metadata(cell)
            if metadata:
                self._metadata[cell.actor_id.local] = metadata

    def local_target(self, cell: Cell) -> LocalTarget:
        """An actor of this node, as the target of calls from it."""
        if not self.config.copy_local:
            return LocalTarget(cell)
        from pulsing.actor.copying import Copier, CopyingTarget

        if self._copier is None:
            self._copier = Copier(cast("ActorSystem", self))
        return CopyingTarget(cell, self._copier)

    def place(self, cell: Cell) -> Place:
        """Where an actor of this node is."""
        return Place(
            cast("ActorSystem", self),
            self.local_target(cell),
            cell.actor_id,
            name=cell.name,
            class_name=cell.table.owner.__name__,
            offer=cell.table,
        )

    def forget(self, cell: Cell) -> None:
        """An actor is asked to stop: it can no longer be found, and its name is free."""
        self._directory.remove(cell)
        self._metadata.pop(cell.actor_id.local, None)

    def _cell_here(self, actor: str | ActorId | Reference) -> Cell | None:
        """The actor of this node that is meant, if it is of this node.

        Raises:
            ValueError: a text that is no name, address or id.
        """
        if isinstance(actor, Reference):
            place = place_of(actor)
            actor = place.name if place.is_service and place.name else place.actor_id
        if isinstance(actor, str):
            address = ActorAddress.parse(actor)
            ours = (None, LOCALHOST, self.node_id, self.node_name)
            if address.host_port is not None or address.node not in ours:
                return None
            if address.name is not None:
                return self._directory.named(address.name)
            actor = ActorId(self.node_id, address.local or 0)
        return self._directory.numbered(actor.local) if actor.node == self.node_id else None

    def _cell_of(self, actor: str | ActorId | Reference) -> Cell:
        cell = self._cell_here(actor)
        if cell is None:
            raise ActorNotFound(f"no actor {str(actor)!r} on this node")
        return cell
