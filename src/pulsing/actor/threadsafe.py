"""From synchronous code onto the loop: wait for a result without ever deadlocking the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any, TypeVar

from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Call a function that must run on the loop's thread, from any thread, and give its result."""
    if running_loop() is loop or not loop.is_running():
        return function()
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    loop.call_soon_threadsafe(run)
    return outcome.result()


def block(loop: asyncio.AbstractEventLoop, awaited: Callable[[], Awaitable[T]]) -> T:
    """Wait in this thread for something that happens on the loop of another thread.

    Args:
        loop: where it happens.
        awaited: makes the thing to await; called on the loop.

    Raises:
        PulsingRuntimeError: called on the loop itself, which would wait for itself; or the loop
            does not run.
    """
    if running_loop() is loop:
        raise PulsingRuntimeError(
            "a blocking call on the event loop's own thread would wait for itself for ever; "
            "use 'await proxy.method()' here"
        )
    if not loop.is_running():
        raise PulsingRuntimeError(
            "the event loop of the actor system does not run, so nothing would ever answer; from "
            "synchronous code start with pul.sync.init()"
        )

    async def wait() -> T:
        return await awaited()

    future = asyncio.run_coroutine_threadsafe(wait(), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # KeyboardInterrupt while waiting; does nothing when it has ended
        raise


def blocking_iterator(
    loop: asyncio.AbstractEventLoop, made: Callable[[], AsyncIterable[T]]
) -> Iterator[T]:
    """Iterate in this thread over a stream of the loop. Closing the iterator closes the stream."""
    stream: Any = None

    async def begin() -> AsyncIterator[T]:
        return aiter(made())

    async def step() -> T | object:
        return await anext(stream, _END)

    try:
        stream = block(loop, begin)
        while (item := block(loop, step)) is not _END:
            yield item  # type: ignore[misc]  # not _END
    finally:
        if stream is not None and hasattr(stream, "aclose") and loop.is_running():
            block(loop, stream.aclose)


_END = object()
