"""The process of an actor: a system of its own around the one actor, for which the node calls it.

The actor has the id and the name that it has on its node. What its code calls goes to the node
over a private connection, or straight to other nodes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor import lifecycle
from pulsing.actor.api import adopt, loop_factory
from pulsing.actor.call import Call
from pulsing.actor.cell import Cell
from pulsing.actor.construction import construct
from pulsing.actor.failing import is_fatal
from pulsing.actor.local import LocalTarget
from pulsing.actor.mailbox import CellOptions
from pulsing.actor.methods import Executor, MethodTable
from pulsing.actor.place import NO_ADDR, Place, place_of
from pulsing.actor.process_desk import DESK
from pulsing.actor.process_link import CONTROL, MAIN_ACTOR, PrivateHost, private_pool, serve
from pulsing.actor.process_start import (
    Birth,
    die_with,
    ignore_interrupts,
    prepare,
    receive_birth,
)
from pulsing.actor.remote_client import RemoteTarget
from pulsing.actor.steward import class_to_send
from pulsing.actor.system import ActorSystem
from pulsing.errors import ActorNotFound
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.exits import ExitReason
    from pulsing.actor.options import ActorOptions
    from pulsing.addresses import ActorAddress
    from pulsing.cluster.policies import Policy
    from pulsing.transport.pool import Pool

_LEAVE_S: Final = 10.0
"""How long what the process does may go on once its node is gone."""
_UNBOUNDED: Final = 1 << 30
"""The node bounds what is sent here."""


class ProcessSystem(ActorSystem):
    """The system in the process of an actor: it listens nowhere, and has its node behind it.

    Attributes:
        main: the actor, once it is started.
    """

    def __init__(self, birth: Birth, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        super().__init__(_standalone(birth), loop)
        self.main: Cell | None = None
        self._birth = birth
        self._node_addr = birth.node_addr or NO_ADDR
        self._to_node: Pool = private_pool(self, sock)

    # --- what is where

    def place(self, cell: Cell) -> Place:
        """See `ActorHost.place`; others reach the actor of this process through its node."""
        if cell is not self.main:
            return super().place(cell)
        return Place(
            self,
            LocalTarget(cell),
            cell.actor_id,
            name=cell.name,
            host_port=self._node_addr,
            class_name=cell.table.owner.__name__,
            offer=cell.table,
        )

    def sender_meta(self, cell: Cell) -> dict[str, Any]:
        """See `NetworkedHost.sender_meta`."""
        if cell is not self.main:
            return {}
        return {"f": [str(cell.actor_id), self._birth.node_addr or ""]}

    def remote_target(self, host_port: str, target: str) -> RemoteTarget:
        """See `NetworkedHost.remote_target`; calls of the node go over the private connection."""
        if host_port not in (self._node_addr, NO_ADDR):
            return super().remote_target(host_port, target)
        return RemoteTarget(
            self._to_node.peer(NO_ADDR),
            target,
            dispatcher=self.dispatcher,
            codec=self.private_codec,
            node_id=self.node_id,
            scheme="http",
        )

    def arrived(
        self, actor_id: ActorId, *, name: str | None, host_port: str | None, class_name: str
    ) -> Place:
        """See `ActorSystem.arrived`."""
        if actor_id.node == self._birth.node_id:
            host_port = self._node_addr
        elif not host_port and actor_id.node != self.node_id:
            raise ActorNotFound(f"actor {name or actor_id} lives in another process of its node")
        return super().arrived(
            actor_id, name=name, host_port=host_port or None, class_name=class_name
        )

    async def _locate(
        self, address: ActorAddress, timeout_s: float, policy: Policy | str | None = None
    ) -> Place:
        try:
            return await super()._locate(address, 0.0, policy)
        except ActorNotFound:
            if address.host_port not in (None, self._birth.node_addr):
                raise
        return place_of(await self._ask_desk("locate", str(address), timeout_s, policy))

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
        """See `ActorSystem.spawn`; here, or where the node finds a place."""
        if placement in (None, "local"):
            return await super().spawn_class(
                owner, args, kwargs, name=name, public=public, options=options, parent=parent
            )
        given = [class_to_send(owner), list(args), kwargs, name, public, options.given(), placement]
        return (await self._ask_desk("spawn", *given)).as_type(owner)

    async def members(self) -> list[dict[str, Any]]:
        """See `ActorSystem.members`: those that the node knows."""
        return cast("list[dict[str, Any]]", await self._ask_desk("members"))

    async def all_named_actors(self) -> list[dict[str, Any]]:
        """See `ActorSystem.all_named_actors`: those that the node knows."""
        return cast("list[dict[str, Any]]", await self._ask_desk("all_named_actors"))

    async def _ask_desk(self, method: str, *args: Any) -> Any:
        call: Call[Any] = Call(self.remote_target(NO_ADDR, DESK), method, args, None)
        return await call.with_timeout(None)

    async def open_network(self) -> None:
        """Be able to call other nodes, if that takes the passphrase of the cluster."""
        if self.config.passphrase is not None:
            from pulsing.actor.network import Network

            self._network = await Network.create(self)

    # --- the end

    async def _stop_network(self) -> None:
        await super()._stop_network()
        await self._to_node.close()


def _standalone(birth: Birth) -> Any:
    """The configuration of the node, for a system that has no port and is in no cluster."""
    return replace(
        birth.config,
        addr=None,
        seeds=(),
        head_addr=None,
        is_head_node=False,
        advertise=None,
        stall_threshold_s=None,
        node_name=f"{birth.config.node_name or birth.node_id[:8]}-process-{os.getpid()}",
    )


class Control:
    """What the node orders of the process of an actor.

    Args:
        system: the system of the process.
        birth: what it was told.
        failure: what went wrong when the modules were imported.
    """

    def __init__(self, system: ProcessSystem, birth: Birth, failure: BaseException | None) -> None:
        self._system = system
        self._birth = birth
        self._failure = failure
        self._instance: Any = None
        self._ended: asyncio.Future[tuple[ExitReason, BaseException | None]]
        self._ended = system.loop.create_future()

    async def construct(self, arguments: bytes) -> None:
        """Make the object. Raises what its import or its constructor raises.

        Args:
            arguments: positional and keyword arguments, encoded.
        """
        if self._failure is not None:
            raise self._failure
        owner = self._birth.source.load()
        args, kwargs = self._system.private_codec.decode(arguments)
        self._instance = await construct(
            self._system.dispatcher, owner, tuple(args), kwargs, Executor.THREAD
        )

    async def hook(self, actor_id: str, name: str | None, hook: str, args: list[Any]) -> Any:
        """Run a hook that comes before ``on_start`` or after everything; gives what it gives."""
        return await lifecycle.run_hook(self._cell(actor_id, name), hook, *args)

    async def start(self, actor_id: str, name: str | None) -> None:
        """Run ``on_start`` and let messages in. Raises what ``on_start`` raises."""
        await lifecycle.start(self._cell(actor_id, name))

    async def say(self) -> Any:
        """What the hook ``metadata`` gives."""
        said = self._instance.metadata()
        return await said if asyncio.iscoroutine(said) else said

    async def stop(self) -> None:
        """Stop the actor; ``on_stop`` runs last."""
        if self._system.main is not None:
            await self._system.main.stop()

    async def is_ending(self) -> bool:
        """Whether the actor ends with an error, by its own decision."""
        main = self._system.main
        return main is not None and main.exit_error is not None and is_fatal(main.exit_error)

    async def ended(self) -> tuple[str, BaseException | None, bool]:
        """Wait until the actor has ended by itself: why, with what error, whether for good."""
        reason, error = await asyncio.shield(self._ended)
        return reason.value, error, error is not None and is_fatal(error)

    def _cell(self, actor_id: str, name: str | None) -> Cell:
        system = self._system
        if system.main is None:
            system.main = Cell(
                self._instance,
                MethodTable.of(self._birth.source.load(), Executor.THREAD),
                actor_id=ActorId.parse(actor_id),
                name=name,
                options=CellOptions(
                    max_concurrency=_UNBOUNDED,
                    mailbox_size=_UNBOUNDED,
                    stream_buffer=system.config.stream_buffer,
                ),
                dispatcher=system.dispatcher,
            )
            system.main.on_exit(self._gone)
        return system.main

    def _gone(self, _cell: Cell, reason: ExitReason, error: BaseException | None) -> None:
        if not self._ended.done():
            self._ended.set_result((reason, error))


def _control_cell(system: ProcessSystem, control: Control) -> Cell:
    cell = Cell(
        control,
        MethodTable.of(Control, Executor.THREAD),
        actor_id=ActorId(system.node_id, 0),
        name=CONTROL,
        options=CellOptions(),
        dispatcher=system.dispatcher,
    )
    cell.advance(lifecycle.CellEvent.STARTED)
    cell.reschedule()
    return cell


async def _live(birth: Birth, requests: socket.socket, calls: socket.socket,
                failure: BaseException | None) -> None:  # fmt: skip
    """Be the place of the actor until the node closes its connection."""
    system = ProcessSystem(birth, asyncio.get_running_loop(), calls)
    adopt(system)
    try:
        await system.open_network()
        control = _control_cell(system, Control(system, birth, failure))

        def find(target: str) -> Cell | None:
            if target == MAIN_ACTOR:
                return system.main
            return control if target == CONTROL else system.find_cell(target)

        link = await serve(system, requests, PrivateHost(system, birth.node_id, find))
        await asyncio.wait((link.closed,))
    finally:
        _bound_the_rest()
        await system.shutdown()


def _bound_the_rest() -> None:
    """Whatever still runs or holds the interpreter's end up: it is not for long."""
    timer = threading.Timer(_LEAVE_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


def main(requests: int, calls: int) -> None:
    """Run the process of an actor.

    Args:
        requests: the file descriptor over which the node calls it.
        calls: that over which it calls the node.
    """
    ignore_interrupts()
    incoming, outgoing = socket.socket(fileno=requests), socket.socket(fileno=calls)
    for sock in (incoming, outgoing):
        sock.set_inheritable(False)
    try:
        birth = receive_birth(incoming)
        die_with(birth.parent)
    except (EOFError, ConnectionError):
        return
    failure: BaseException | None = None
    try:
        prepare(birth)
        birth.source.load()
    except BaseException as error:  # noqa: BLE001 - it is told to whoever starts the actor
        failure = error
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_live(birth, incoming, outgoing, failure))


__all__ = ["ProcessSystem", "main"]
