"""What stands on a node for an actor that runs in a process: an object with the same methods.

Each of them passes the call on to the process. So the mailbox, its order and its bounds, restarts,
names, watches and links are those of any other actor.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from weakref import WeakKeyDictionary

from pulsing.actor.call import RAW_METHOD, Call
from pulsing.actor.deadline import SCOPE
from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.methods import DECLARED, Executor, Method, MethodTable, keeps_state
from pulsing.errors import ConnectionLost, NodeUnreachable, PulsingRuntimeError, PulsingSystemError
from pulsing.wire.failures import came_from_actor

if TYPE_CHECKING:
    from pulsing.actor.actor_process import ActorProcess
    from pulsing.actor.cell import Cell
    from pulsing.ids import ActorId

AHEAD: Final = 16
"""Items of a stream between a process and its node, besides those that the stream may be ahead."""


class Launcher(Protocol):
    """Starts processes for one actor."""

    async def launch(self) -> ActorProcess:
        """Start one, and construct the actor in it."""
        ...


class StandIn:
    """Stands for an actor that runs in a process. `stand_in_of` makes a subclass for its class."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._process: ActorProcess
        self._cell: Cell | None = None

    async def __pulsing_launch__(self) -> None:
        """Start the process. Raises what the constructor in it raises."""
        self._process = await self._launcher.launch()

    async def __pulsing_read__(self, name: str) -> Any:
        """Read an attribute."""
        return await _answer(self._process, Call.get(self._process.actor, name))

    # --- its life

    async def on_start(self, actor_id: ActorId) -> None:
        """Run ``on_start`` in the process, and look after it from then on."""
        await self._ordered("start")
        cell = self._cell
        assert cell is not None
        dispatcher = cell.dispatcher
        dispatcher.context.copy().run(
            lambda: dispatcher.keep(self._end_with_it(cell), name=f"pulsing-follow-{cell.label}")
        )

    async def on_stop(self) -> None:
        """Run ``on_stop`` in the process, and end it."""
        process = self._process
        process.is_closing = True
        try:
            if not process.gone.done():
                await process.order("stop")
        finally:
            await process.close()

    async def _hook(self, name: str, *args: Any) -> Any:
        return await self._ordered("hook", name, list(args))

    async def _ordered(self, order: str, *args: Any) -> Any:
        """Order something that has to succeed. The process ends if it does not."""
        if self._cell is None:
            scope = SCOPE.get()
            assert scope is not None
            self._cell = cell = cast("Cell", scope.cell)
            self._process.rename(cell.label)
            self._process.on_crash = self._crashed
        cell = self._cell
        try:
            return await self._process.order(order, str(cell.actor_id), cell.name, *args)
        except BaseException as error:
            if order == "start" or not isinstance(error, Exception):
                self._process.kill()
            forget_order(error, order)
            raise

    async def _end_with_it(self, cell: Cell) -> None:
        """The actor may end by its own decision, or with those it is linked to."""
        try:
            text, error, for_good = await self._process.order("ended")
        except PulsingRuntimeError:
            return  # the process has ended, which is another matter
        reason = ExitReason(text)
        if self._process.is_closing:
            return
        if reason is ExitReason.NORMAL:
            cell.finish()
        elif for_good or reason is ExitReason.KILLED:
            cell.stop(reason=reason, error=error)
        else:
            cell.crash(reason, error)

    def _crashed(self, text: str) -> None:
        """The process has ended: the actor has failed, and what it was doing with it."""
        cell = self._cell
        if cell is None or cell.instance is not self:
            return
        for invocation in cell.running:
            invocation.withdraw(ConnectionLost(text))
        cell.crash(ExitReason.ERROR, ConnectionLost(text))


async def _answer(process: ActorProcess, call: Call[Any]) -> Any:
    try:
        return await call
    except PulsingRuntimeError as error:
        await _not_of_its_code(process, error)
    except PulsingSystemError as error:
        await _tell_whose(process, error)
        raise


class _InProcess(Exception):
    """The traceback of an exception that the code of this very actor raised, in its process."""


async def _tell_whose(process: ActorProcess, error: PulsingSystemError) -> None:
    """An error with which an actor ends for good: was it this one that said so of itself?"""
    if not error.recoverable and await process.order("is_ending"):
        error.__cause__ = _InProcess(str(error.__cause__))


async def _not_of_its_code(process: ActorProcess, error: PulsingRuntimeError) -> None:
    """The framework gave up: tell the caller so, and not that the actor's code raised."""
    if came_from_actor(error):
        raise error
    scope = SCOPE.get()
    assert scope is not None
    if isinstance(error, ConnectionLost | NodeUnreachable):
        error = ConnectionLost(await process.death())
    assert scope.invocation is not None
    scope.invocation.withdraw(error)
    await asyncio.get_running_loop().create_future()  # this code is cancelled now


def forget_order(error: BaseException, order: str) -> None:
    """What was ordered is our own business; the hook that raised will be named."""
    notes: list[str] = getattr(error, "__notes__", [])
    notes[:] = [each for each in notes if not each.endswith(f" in method {order}")]


# --- the class ------------------------------------------------------------------------------------


_made: WeakKeyDictionary[type[Any], type[StandIn]] = WeakKeyDictionary()


def stand_in_of(owner: type[Any]) -> type[StandIn]:
    """The class of what stands for actors of a class. It has the same name and methods."""
    made = _made.get(owner)
    if made is None:
        made = _made[owner] = _make(owner)
    return made


def _make(owner: type[Any]) -> type[StandIn]:
    table = MethodTable.of(owner, Executor.THREAD)
    members: dict[str, Any] = {
        "__module__": owner.__module__,
        "__qualname__": owner.__qualname__,
        "__doc__": owner.__doc__,
        "__annotations__": dict.fromkeys(sorted(table.attributes), Any),
    }
    for method in table.methods:
        members[method.name] = _forward(owner, method)
    if table.receive is not None:
        members["receive"] = _one(RAW_METHOD)
    if callable(getattr(owner, "metadata", None)):
        members["metadata"] = _metadata
    hooks = ["on_restart"] if callable(getattr(owner, "on_restart", None)) else []
    if keeps_state(owner):
        hooks += ["snapshot", "restore"]
    for hook in hooks:
        members[hook] = _hook(hook)
    return type(owner.__name__, (StandIn,), members)


def has_async_code(owner: type[Any]) -> bool:
    """Whether several calls can be inside the code of an actor of this class at once."""
    table = MethodTable.of(owner, Executor.THREAD)
    methods = [*table.methods, *([] if table.receive is None else [table.receive])]
    return any(each.executor is Executor.LOOP or each.kind.streams for each in methods)


def _forward(owner: type[Any], method: Method) -> Callable[..., Any]:
    function = _many(method.name) if method.kind.streams else _one(method.name)
    function.__name__ = method.name
    function.__qualname__ = f"{owner.__qualname__}.{method.name}"
    function.__doc__ = method.doc
    of_instance = inspect.Parameter("stand_in", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [of_instance, *method.signature.parameters.values()]
    signature = method.signature.replace(parameters=parameters)
    cast(Any, function).__signature__ = signature
    declaration = getattr(inspect.getattr_static(owner, method.name), DECLARED, None)
    if declaration is not None:
        declaration = copy.copy(declaration)
        declaration.function, declaration.executor = function, None
        setattr(function, DECLARED, declaration)
    return function


def _one(name: str) -> Callable[..., Any]:
    async def forward(stand_in: Any, /, *args: Any, **kwargs: Any) -> Any:
        process: ActorProcess = stand_in._process  # noqa: SLF001
        return await _answer(process, Call(process.actor, name, args, kwargs))

    return forward


def _many(name: str) -> Callable[..., Any]:
    async def forward(stand_in: Any, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        process: ActorProcess = stand_in._process  # noqa: SLF001
        call: Call[Any] = Call(process.actor, name, args, kwargs)
        items = aiter(call.with_buffer(AHEAD))
        try:
            async for item in items:
                yield item
        except PulsingRuntimeError as error:
            await _not_of_its_code(process, error)
        except PulsingSystemError as error:
            await _tell_whose(process, error)
            raise
        finally:
            await cast(Any, items).aclose()

    return forward


def _hook(name: str) -> Callable[..., Any]:
    async def forward(stand_in: Any, *args: Any) -> Any:
        return await stand_in._hook(name, *args)  # noqa: SLF001

    return forward


async def _metadata(stand_in: Any) -> Any:
    return await stand_in._process.order("say")  # noqa: SLF001
