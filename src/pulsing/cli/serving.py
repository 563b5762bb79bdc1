"""The life of a node process: start, announce, wait for a signal, drain.

It prints one ready line on standard output once it serves, and nothing else there; it does not
wait for other nodes. SIGTERM or SIGINT drains: the node leaves its cluster, new calls are refused,
calls in flight finish for up to the grace period. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Self

from pulsing.actor.system import ActorSystem
from pulsing.cli.exits import CommandError, ExitCode
from pulsing.errors import PulsingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from pulsing.cli.loading import Import
    from pulsing.config import SystemConfig

_log = logging.getLogger(__name__)


def run(config: SystemConfig, imports: Sequence[Import], grace_s: float) -> int:
    """Run a node until a signal ends it.

    Args:
        config: what the node is told.
        imports: what it hosts from the start.
        grace_s: seconds that calls in flight may take after the first signal.

    Returns:
        0 after a drain, 130 or 143 when a signal came before the node was ready.

    Raises:
        CommandError: the node cannot start, or the set-up of an import failed.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, imports, grace_s))


async def _serve(config: SystemConfig, imports: Sequence[Import], grace_s: float) -> int:
    with _Signals(asyncio.get_running_loop()) as signals:
        starting = asyncio.ensure_future(_start(config, imports))
        stopping = asyncio.ensure_future(signals.first.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return 128 + signals.number
        try:
            system = starting.result()
        except BaseException:
            stopping.cancel()
            raise
        sys.stdout.write(
            f"pulsing node {system.node_name} ready on {system.addr} (pid {os.getpid()})\n"
        )
        sys.stdout.flush()
        await stopping
        if not await system.drain(grace_s):
            _log.warning("calls still under way after %g s are cancelled", grace_s)
        await system.shutdown()
    return ExitCode.OK


async def _start(config: SystemConfig, imports: Sequence[Import]) -> ActorSystem:
    try:
        system = await ActorSystem.create(config)
    except (PulsingError, OSError, ValueError) as error:
        raise CommandError(_why_not_started(error, config.listen_addr)) from error
    try:
        for each in imports:
            await each.set_up(system)
    except BaseException:
        await system.shutdown()
        raise
    return system


def _why_not_started(error: BaseException, addr: str | None) -> str:
    number = _errno(error)
    if number == errno.EADDRINUSE:
        port = (addr or "").rpartition(":")[2]
        return (
            f"cannot listen on {addr}: another process has this port; stop it "
            f"(`ss -ltnp 'sport = :{port}'` or `lsof -i :{port}` names it), or choose another: "
            "--addr 127.0.0.1:0 picks a free one"
        )
    if number == errno.EACCES:
        return f"cannot listen on {addr}: not permitted; ports below 1024 need privileges"
    if number == errno.EADDRNOTAVAIL:
        return f"cannot listen on {addr}: no interface of this machine has that address"
    return f"cannot start: {error}"


def _errno(error: BaseException | None) -> int | None:
    """The number of the operating system's error, at whatever depth of causes."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__
    return None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes uvloop's loop where it is installed, otherwise None: asyncio's default."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Signals:
    """The first SIGTERM or SIGINT sets ``first``; the second ends the process at once.

    These are plain signal handlers, not the loop's, so that the second works on a stalled loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.first = asyncio.Event()
        self.number = 0
        self._loop = loop
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            os.write(2, b"pulsing node: second signal, ending at once\n")
            os._exit(128 + number)
        self.number = number
        self._loop.call_soon_threadsafe(self.first.set)
