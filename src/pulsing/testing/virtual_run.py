"""Running things in virtual time: ``asyncio.run``, and an ``async def`` test, without waiting."""

from __future__ import annotations

import asyncio
import gc
import random
from asyncio import Task
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar

from pulsing import chance, clock
from pulsing.actor.threadsafe import running_loop
from pulsing.testing.reports import OPTIONS
from pulsing.testing.virtual_loop import Deadlock, VirtualLoop

T = TypeVar("T")
P = ParamSpec("P")

_CLEANUP_S: Final = 3600.0


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]],
    *,
    seed: int | None = None,
    limit_s: float = 7200.0,
) -> T:
    """Run a coroutine to its end on a `VirtualLoop`: ``asyncio.run`` without waiting.

    `pulsing.clock` and `pulsing.chance` follow the loop meanwhile, in the whole process: one such
    run at a time. The garbage collector runs at its end only, so that it disturbs nothing.

    Args:
        main: a coroutine, or a function that makes it.
        seed: decides everything that is left to chance; named in the notes of every error.
            Default: that of ``--pulsing-seed``, or 0.
        limit_s: virtual seconds after which it is given up.

    Returns:
        What ``main`` returned.

    Raises:
        Deadlock: ``main`` waits for what never comes; names all tasks and where they wait.
        RuntimeError: called while an event loop runs in this thread.
        Exception: what ``main`` raised.
    """
    if running_loop() is not None:
        if not callable(main):
            main.close()
        raise RuntimeError("run_virtual makes a loop of its own, and another loop is running here")
    if seed is None:
        seed = OPTIONS.seed or 0
    loop = VirtualLoop(seed=seed, limit_s=limit_s)
    coroutine = main() if callable(main) else main
    with ExitStack() as stack:
        stack.enter_context(_without_collections())
        stack.callback(loop.close)
        stack.enter_context(clock.replaced(loop.time))
        stack.enter_context(chance.seeded(random.Random(f"{seed} chance")))  # noqa: S311
        stack.callback(_clean_up, loop)
        try:
            return loop.run_until_complete(coroutine)
        except BaseException as error:
            error.add_note(f"virtual run with seed={seed}, at {loop.time():.6f} virtual seconds")
            raise


def virtual_time(
    *, seed: int | None = None, limit_s: float = 7200.0
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]:
    """Make an ``async def`` test an ordinary one that runs in virtual time, whatever the plugins.

    ``@virtual_time(seed=7)`` above ``async def test_...``. Arguments as of `run_virtual`.
    """

    def decorate(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        @wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return run_virtual(partial(test, *args, **kwargs), seed=seed, limit_s=limit_s)

        return run

    return decorate


def _clean_up(loop: VirtualLoop) -> None:
    """What `asyncio.run` does at its end; nobody may wait for ever here either."""
    loop.limit_s = loop.time() + _CLEANUP_S
    loop.thaw_all()
    tasks: list[Task[Any]] = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    with suppress(Deadlock):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(_settled(tasks))
    with suppress(Deadlock):
        loop.run_until_complete(loop.shutdown_asyncgens())


async def _settled(tasks: list[Task[Any]]) -> None:
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Exception):
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": "a task failed while the virtual run ended",
                    "exception": result,
                    "task": task,
                }
            )


@contextmanager
def _without_collections() -> Generator[None]:
    """Cycles are collected once at the end: when it happens in between depends on the process."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()  # of this run only: what was there before is frozen
        gc.unfreeze()
        if was_enabled:
            gc.enable()
