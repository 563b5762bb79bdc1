"""The process of one actor, as its node sees it: it is started, called, and its end is noticed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pulsing import clock
from pulsing.actor.beside import forwarded_meta
from pulsing.actor.call import Call
from pulsing.actor.deadline import SCOPE
from pulsing.actor.process_link import (
    CONTROL,
    MAIN_ACTOR,
    PROCESS,
    PrivateHost,
    private_pool,
    serve,
)
from pulsing.actor.process_start import Birth, start_process
from pulsing.actor.remote_client import RemoteTarget
from pulsing.actor.remote_items import RemoteItems
from pulsing.actor.remote_replies import ItemsRequest, RemoteReply
from pulsing.errors import ConnectionLost, NodeUnreachable
from pulsing.wire.failures import came_from_actor

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.system import ActorSystem
    from pulsing.transport.link import ServerLink

_T = TypeVar("_T", bound=RemoteTarget)
LEAVE_S: Final = 3.0
"""How long a process may take to end once it was told to."""


class ForwardTarget(RemoteTarget):
    """The actor in a process, as the target of calls that are passed on to it.

    They keep the deadline, the sender, the chain and the context of the message they are passed on
    for.
    """

    __slots__ = ("actor",)

    actor: str
    """What to call it in messages to people."""

    def label(self, method: str) -> str:
        """See `RemoteTarget.label`."""
        return self.actor if method == "-" else f"{self.actor}.{method}"

    def start_ask(self, call: Call[Any]) -> RemoteReply:
        """See `Target.start_ask`."""
        return self._pass_on(call, "ask")

    def start_get(self, call: Call[Any]) -> RemoteReply:
        """See `Target.start_get`."""
        return self._pass_on(call, "get")

    def _pass_on(self, call: Call[Any], kind: str) -> RemoteReply:
        deadline, envelope = self._envelope(call)
        reply = RemoteReply(self, call.method, deadline)
        self._send(reply, self._block(kind, call.method, None), envelope)
        return reply

    def start_items(self, call: Call[Any]) -> RemoteItems:
        """See `Target.start_items`."""
        deadline, envelope = self._envelope(call)
        request = ItemsRequest(self, call.method, deadline)
        items = RemoteItems(self.dispatcher, request.source, request.leave)
        self._send(request, self._block("ask", call.method, call.buffer), envelope)
        return items

    def _envelope(self, call: Call[Any]) -> tuple[float | None, list[Any]]:
        scope = SCOPE.get()
        deadline = None if scope is None else scope.deadline
        left_ms = None
        if deadline is not None:
            left_ms = max(0, int((deadline - clock.monotonic()) * 1000))
        return deadline, [left_ms, call.kwargs or None, forwarded_meta(scope), *call.args]


class ActorProcess:
    """The process of one actor, from the moment it is started; its interpreter takes longer.

    Args:
        system: of the node.
        birth: what the process is told.
        env: see `start_process`, as for ``label``.
        label: of the actor.

    Raises:
        PulsingUnsupportedError: see `start_process`.
        OSError: likewise.

    Attributes:
        actor: where calls to its actor go.
        is_closing: its end is wanted.
        gone: done when it has ended; the result says how, for people.
        on_crash: called with that when its end is not wanted.
    """

    def __init__(
        self,
        system: ActorSystem,
        birth: Birth,
        env: Mapping[str, str | None],
        label: str,
    ) -> None:
        self._system = system
        self._label = label
        self.is_closing = False
        self.gone: asyncio.Future[str] = system.loop.create_future()
        self.on_crash: Callable[[str], None] | None = None
        self._requests: ServerLink | None = None
        self._pidfd: int | None = None
        self._popen, outgoing, self._incoming = start_process(birth, env, label)
        self._calls = private_pool(system, outgoing)
        self._peer = self._calls.peer(PROCESS)
        self.actor = self._made(ForwardTarget, MAIN_ACTOR)
        self.actor.actor = label
        self._control = self._made(RemoteTarget, CONTROL)
        self._watch()

    async def serve(self, find: Callable[[str], Cell | None]) -> None:
        """Answer what it asks of actors of the node; ``find`` gives them."""
        system = self._system
        host = PrivateHost(system, system.node_id, find)
        self._requests = await serve(system, self._incoming, host)

    def _made(self, kind: type[_T], name: str) -> _T:
        return kind(
            self._peer,
            name,
            dispatcher=self._system.dispatcher,
            codec=self._system.private_codec,
            node_id=self._system.node_id,
            scheme="http",
        )

    @property
    def pid(self) -> int:
        """Its number in the operating system."""
        return self._popen.pid

    @property
    def node_id(self) -> str:
        """Of the system in it; "" before it has introduced itself."""
        return self._peer.node_id

    def target(self, name: str) -> RemoteTarget:
        """Another actor in the process, as the target of calls."""
        return self._made(RemoteTarget, name)

    def rename(self, label: str) -> None:
        """The actor has got its name."""
        self._label = self.actor.actor = label

    async def order(self, method: str, *args: Any) -> Any:
        """Order something of the process; see `pulsing.actor.process_child.Control`.

        Raises:
            ConnectionLost: it has ended.
        """
        call: Call[Any] = Call(self._control, method, args, None)
        try:
            return await call.with_timeout(None)
        except (ConnectionLost, NodeUnreachable) as error:
            if came_from_actor(error):
                raise
            raise ConnectionLost(await self.death()) from None

    async def death(self) -> str:
        """How it ended, for people; a process that cannot be called any more has to."""
        if not self.gone.done():
            await asyncio.wait((self.gone,), timeout=LEAVE_S)
            if not self.gone.done():
                self._popen.kill()
        return await asyncio.shield(self.gone)

    # --- its end

    def _watch(self) -> None:
        """Notice its end, also when something that it started keeps its sockets open."""
        loop = self._system.loop
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # no such call here
            waiting = threading.Thread(
                target=self._wait, name=f"pulsing-process-{self.pid}", daemon=True
            )
            waiting.start()
        else:
            loop.add_reader(self._pidfd, self._ended)

    def _wait(self) -> None:
        self._popen.wait()
        try:
            self._system.loop.call_soon_threadsafe(self._ended)
        except RuntimeError:
            return  # the loop is closed

    def _ended(self) -> None:
        if self.gone.done():
            return
        self._release_pidfd()
        text = f"the process of actor {self._label} ({self.pid}) {_how(self._popen.wait())}"
        self.gone.set_result(text)
        if self._requests is not None:
            self._requests.abort(ConnectionLost(text))
        self._system.dispatcher.keep(self._calls.close(), name=f"pulsing-process-end-{self.pid}")
        if self.on_crash is not None and not self.is_closing:
            self.on_crash(text)

    def _release_pidfd(self) -> None:
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            if not self._system.loop.is_closed():
                self._system.loop.remove_reader(pidfd)
            os.close(pidfd)

    async def close(self) -> None:
        """Let it end: its connection is closed. If it does not, it is killed."""
        self.is_closing = True
        try:
            await self._calls.close()
            await asyncio.wait((self.gone,), timeout=LEAVE_S)
        finally:
            self.kill()
        await self.gone

    def kill(self) -> None:
        """End it now."""
        self.is_closing = True
        if not self.gone.done():
            self._popen.kill()

    def abandon(self) -> None:
        """End it now; the loop is closed."""
        self.kill()
        self._popen.wait()
        self._release_pidfd()


def _how(code: int) -> str:
    """What became of a process, from its exit status."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
