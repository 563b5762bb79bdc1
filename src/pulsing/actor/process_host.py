"""A node's actors that run in processes of their own: ``executor="process"``.

`ProcessHost` is the part of `pulsing.actor.system.ActorSystem` that starts and ends processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.hosting import ActorHost
from pulsing.actor.methods import Executor
from pulsing.actor.options import ActorOptions
from pulsing.actor.place import Reference, place_of
from pulsing.actor.proxy import typed_proxy
from pulsing.actor.threads import MAX_BATCH
from pulsing.errors import PulsingUnsupportedError

if TYPE_CHECKING:
    from pulsing.actor.actor_process import ActorProcess
    from pulsing.actor.cell import Cell
    from pulsing.actor.exit_reason import ExitReason
    from pulsing.actor.process_link import PrivateCodec
    from pulsing.actor.process_start import Birth
    from pulsing.actor.system import ActorSystem
    from pulsing.config import SystemConfig

_DESK: Final = "desk"


class ProcessHost(ActorHost):
    """The actors of one node, some of them in processes of their own.

    Attributes:
        processes: those that live.
    """

    def __init__(self, config: SystemConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, loop)
        self.processes: dict[ActorProcess, None] = {}
        self._private_codec: PrivateCodec | None = None
        self._desk: Cell | None = None

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
        if options.executor is not Executor.PROCESS:
            if options.env:
                raise ValueError("env= is the environment of a process; add executor='process'")
            return await super().spawn_class(
                owner, args, kwargs, name=name, public=public, options=options, parent=parent
            )
        if getattr(self.loop, "threadless", False):
            raise PulsingUnsupportedError("a simulation has no processes: executor='process'")
        from pulsing.actor.stand_in import has_async_code, stand_in_of

        launcher = Launcher(self, owner, args, kwargs, dict(options.env or ()))
        if not has_async_code(owner):
            most = min(options.max_concurrency or self.config.max_concurrency, MAX_BATCH)
            options = options.updated(ActorOptions(max_concurrency=most))
        try:
            proxy = await super().spawn_class(
                stand_in_of(owner),
                (launcher,),
                {},
                name=name,
                public=public,
                options=options,
                parent=parent,
            )
        except BaseException:
            launcher.end()
            raise
        place = place_of(cast(Reference, proxy))
        cell = self.numbered(place.actor_id.local)
        if cell is None:
            launcher.end()
        else:
            cell.on_exit(launcher.actor_gone)
        return typed_proxy(place, owner)

    def _add(
        self,
        instance: object,
        name: str,
        public: bool,
        options: ActorOptions,
        parent: Cell | None = None,
        make: Callable[[], Any] | None = None,
    ) -> Cell:
        if options.executor is Executor.PROCESS and not hasattr(instance, "__pulsing_launch__"):
            self._directory.release(name)
            raise PulsingUnsupportedError(
                f"this {type(instance).__name__} is an instance already, so it stays in this "
                "process; executor='process' is for classes: spawn the class with its arguments"
            )
        return super()._add(instance, name, public, options, parent, make)

    @property
    def private_codec(self) -> PrivateCodec:
        """For the connections to processes."""
        if self._private_codec is None:
            from pulsing.actor.process_link import PrivateCodec

            self._private_codec = PrivateCodec(cast("ActorSystem", self))
        return self._private_codec

    def find_for_process(self, target: str) -> Cell | None:
        """The actor that a process of this node asks for."""
        if target != _DESK:
            return self.find_cell(target)
        if self._desk is None:
            from pulsing.actor.process_desk import desk_cell

            self._desk = desk_cell(cast("ActorSystem", self))
        return self._desk

    def process_of(self, node_id: str) -> ActorProcess | None:
        """The process whose system has an id."""
        return next((each for each in self.processes if each.node_id == node_id), None)

    async def _end_processes(self) -> None:
        """Leave none behind."""
        for process in self.processes:
            process.kill()
        await asyncio.gather(*(each.gone for each in self.processes))

    def _abandon_processes(self) -> None:
        """Leave none behind; the loop is closed."""
        for process in self.processes:
            process.abandon()
        self.processes.clear()


class Launcher:
    """Starts the processes of one actor, one after another.

    Args:
        system: of the node.
        owner: the class.
        args: for its constructor.
        kwargs: likewise.
        env: variables of the environment of its processes.

    Raises:
        PulsingUnsupportedError: the class cannot be found by another process.
        WireError: an argument cannot travel.
    """

    def __init__(
        self,
        system: ProcessHost,
        owner: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        env: Mapping[str, str | None],
    ) -> None:
        from pulsing.actor.process_start import ClassSource

        self._system = system
        self._env = env
        self._label = owner.__name__
        self._source = ClassSource.of(owner)
        body = system.private_codec.encode([list(args), kwargs])
        self._arguments = body if isinstance(body, bytes) else b"".join(body)
        self._process: ActorProcess | None = None

    async def launch(self) -> ActorProcess:
        """Start a process, and construct the actor in it.

        Raises:
            Exception: what the import of its module, or its constructor, raised. No process is
                left.
        """
        from pulsing.actor.actor_process import ActorProcess
        from pulsing.actor.stand_in import forget_order

        self.end()
        system = self._system
        process = self._process = ActorProcess(
            cast("ActorSystem", system), self._birth(), self._env, self._label
        )
        system.processes[process] = None
        process.gone.add_done_callback(lambda _: system.processes.pop(process, None))
        try:
            await process.serve(system.find_for_process)
            await process.order("construct", self._arguments)
        except BaseException as error:
            process.kill()
            forget_order(error, "construct")
            raise
        return process

    def _birth(self) -> Birth:
        from pulsing.actor.process_start import Birth, preparation

        system = cast("ActorSystem", self._system)
        source = self._source
        with_main = source.is_of_main or b"__main__:" in self._arguments
        return Birth(
            source,
            system.config,
            system.node_id,
            system.reachable_addr,
            preparation=preparation(with_main=with_main),
        )

    def actor_gone(self, _cell: Cell, _reason: ExitReason, _error: BaseException | None) -> None:
        """See `pulsing.actor.exits.ExitListener`."""
        self.end()

    def end(self) -> None:
        """The actor is gone: so is its process."""
        if self._process is not None:
            self._process.kill()
