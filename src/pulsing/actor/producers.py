"""How streams are produced: generators of the actor's code against the credit of a sink.

Written once, for consumers on this node and on others. A generator runs while its consumer grants
credit: up to `MAX_ITEMS` items at a stretch, then others get a turn. Items leave when the
generator waits for something, after about a millisecond, and the first one at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from pulsing import clock
from pulsing.actor.invocation import CANCELLED
from pulsing.actor.methods import Executor
from pulsing.actor.reply import Signal
from pulsing.actor.steps import Wait, call, drive, finish
from pulsing.actor.threads import ThreadCall

if TYPE_CHECKING:
    from pulsing.actor.invocation import Invocation, ItemSink

MAX_ITEMS: Final = 64
"""Items produced before others get a turn."""
FLUSH_S: Final = 0.001
"""Seconds after which items that were produced leave."""
_END: Final = object()

DEFERRED: Final = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})
"""Types of results that are not results yet: the code behind them still has to run."""


def produce(invocation: Invocation) -> Wait:
    """Run a message that streams, or a ``def`` that returned a generator or a coroutine."""
    context = invocation.context
    assert context is not None
    cell = invocation.cell
    work: Any = invocation.work
    if work is None:
        while cell.exclusive:
            yield from cell.gate()
        if invocation.stage is CANCELLED:
            return
        work = context.run(call, invocation)
        invocation.work = work
    kind = work.__class__
    if kind is AsyncGeneratorType:
        yield from _stream(invocation, _AsyncSource(invocation, work))
    elif kind is GeneratorType:
        yield from _stream(invocation, _SyncSource(invocation, work))
    elif kind is CoroutineType:
        invocation.reply((yield from finish(invocation, work)))
    elif hasattr(work, "__aiter__"):
        work = invocation.work = _relay(work)
        yield from _stream(invocation, _AsyncSource(invocation, work))
    else:
        invocation.reply(work)


async def _relay(items: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Make a generator of another async iterator, such as a decorator may return."""
    async for item in items:
        yield item


def _stream(invocation: Invocation, source: _AsyncSource | _SyncSource) -> Wait:
    """Write what a source gives to the consumer, as fast as that takes it."""
    cell = invocation.cell
    buffer_items = invocation.method.stream_buffer or cell.options.stream_buffer
    sink = invocation.open_items(buffer_items)
    most = 1  # the first item leaves at once
    try:
        while not sink.closed:
            credit = sink.credit()
            if credit <= 0:
                yield from _writable(invocation, sink)
                continue
            more = yield from source.pull(sink, min(credit, most))
            sink.flush()
            if not more:
                sink.finish()
                return
            most = MAX_ITEMS
            yield  # one turn of the loop for everybody else
    except BaseException as error:  # whatever it is, it stays with its message
        assert invocation.runner is not None
        if isinstance(error, GeneratorExit) and invocation.runner.was_dropped():
            raise
        cell.dispatcher.code_raised(invocation, error, sink)
    yield from source.close()


def _writable(invocation: Invocation, sink: ItemSink) -> Wait:
    """Wait until the consumer takes items again, or will never."""
    if sink.closed:
        return
    signal = Signal(invocation.cell.dispatcher)
    sink.on_writable = signal.fire
    try:
        yield from signal.wait()
    finally:
        sink.on_writable = None


# --- async generators -----------------------------------------------------------------------------


class _AsyncSource:
    """An async generator, stepped on the loop."""

    __slots__ = ("_generator", "_invocation")

    def __init__(self, invocation: Invocation, generator: AsyncGenerator[Any, Any]) -> None:
        self._invocation = invocation
        self._generator = generator

    def pull(self, sink: ItemSink, most: int) -> Generator[Any, None, bool]:
        """Write up to ``most`` items. Returns whether more may follow."""
        invocation = self._invocation
        while invocation.cell.exclusive:
            yield from invocation.cell.gate()
        context = invocation.context
        assert context is not None
        try:
            waiting = context.run(_pull_async, self._generator, sink, most)
            if waiting is not None:
                sink.flush()
                step, waits_for = waiting
                sink.write((yield from drive(invocation, step, waits_for)))
        except StopAsyncIteration:
            return False
        return True

    def close(self) -> Wait:
        """Let the generator's ``finally`` blocks run, unless it has ended."""
        yield from finish(self._invocation, _closing(self._generator))


async def _closing(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()


def _pull_async(
    generator: AsyncGenerator[Any, Any], sink: ItemSink, most: int
) -> tuple[Any, Any] | None:
    """Write items until the generator waits for something. Runs in the message's context.

    Returns:
        The step that waits, and what for; None after ``most`` items or when it is time to flush.
    """
    write = sink.write
    flush_at = clock.monotonic() + FLUSH_S
    for _ in range(most):
        step: Any = generator.__anext__()
        try:
            waits_for = step.send(None)
        except StopIteration as item:
            write(item.value)
        else:
            return step, waits_for
        if clock.monotonic() >= flush_at:
            break
    return None


# --- generators -----------------------------------------------------------------------------------


class _SyncSource:
    """A plain generator, stepped in a worker thread or inline; exclusive step by step."""

    __slots__ = ("_generator", "_invocation", "_run")

    def __init__(self, invocation: Invocation, generator: Generator[Any, Any, Any]) -> None:
        self._invocation = invocation
        self._generator = generator
        self._run = exclusively if invocation.method.executor is Executor.THREAD else _inline

    def pull(self, sink: ItemSink, most: int) -> Generator[Any, None, bool]:
        """Write up to ``most`` items. Returns whether more may follow."""
        invocation = self._invocation
        items, end = yield from self._run(invocation, _pull_sync, invocation, self._generator, most)
        for item in items:
            sink.write(item)
        if end is None:
            return True
        if end is _END:
            return False
        try:
            raise end
        finally:
            del end

    def close(self) -> Wait:
        """Let the generator's ``finally`` blocks run, unless it has ended."""
        if self._generator.gi_frame is not None:  # type: ignore[attr-defined]
            yield from self._run(self._invocation, self._generator.close)


def _pull_sync(
    invocation: Invocation, generator: Generator[Any, Any, Any], most: int
) -> tuple[list[Any], Any]:
    """Take items. Runs in the message's context, in a worker thread if it may block.

    Returns:
        The items, and how the generator ended: None when it did not.
    """
    items: list[Any] = []
    flush_at = clock.monotonic() + FLUSH_S
    job = invocation.cell.job
    try:
        for _ in range(most):
            items.append(next(generator))
            if clock.monotonic() >= flush_at or (job is not None and job.interrupted):
                break
    except StopIteration:
        return items, _END
    except BaseException as error:  # noqa: BLE001  # raised on the loop, after the items
        return items, error
    return items, None


def exclusively(invocation: Invocation, function: Callable[..., Any], *arguments: Any) -> Wait:
    """Call a function in a worker thread while no other code of the actor runs.

    It runs in the message's context. Cancellation takes effect once the function has returned.

    Returns:
        What the function returns; raises what it raises.
    """
    cell = invocation.cell
    while cell.exclusive:
        yield from cell.gate()
    assert invocation.context is not None
    job = ThreadCall(cell, invocation.context, function, arguments)
    cell.occupy(job)
    return (yield from job.result())


def _inline(invocation: Invocation, function: Callable[..., Any], *arguments: Any) -> Wait:
    """Call a function on the loop while no other code of the actor runs."""
    cell = invocation.cell
    while cell.exclusive:
        yield from cell.gate()
    assert invocation.context is not None
    return invocation.context.run(function, *arguments)
