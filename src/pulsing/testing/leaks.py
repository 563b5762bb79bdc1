"""Finds what a test forgot: tasks that still run, threads that still live, open sockets."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_THREAD_PREFIX = "pulsing"


async def assert_nothing_left(
    *, allowed_tasks: frozenset[asyncio.Task[object]] = frozenset(), within_s: float = 1.0
) -> None:
    """Wait until no other task of this loop and no thread of Pulsing is left.

    Call it at the end of a test, after everything was shut down.

    Args:
        allowed_tasks: tasks that were there before and may stay.
        within_s: how long what is ending may take.

    Raises:
        AssertionError: names the tasks and threads that are still there.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + within_s
    pause_s = 0.0
    while True:
        tasks = asyncio.all_tasks() - allowed_tasks - {asyncio.current_task()}
        threads = [each for each in threading.enumerate() if each.name.startswith(_THREAD_PREFIX)]
        if not tasks and not threads:
            return
        if loop.time() >= give_up_at:
            break
        await asyncio.sleep(pause_s)
        pause_s = 0.005
    names = [f"task {each!r}" for each in tasks] + [f"thread {each.name!r}" for each in threads]
    raise AssertionError("left behind after the test: " + "; ".join(sorted(names)))


@asynccontextmanager
async def assert_no_leaks(*, within_s: float = 1.0) -> AsyncGenerator[None]:
    """A block that must leave no task, thread, socket or open file behind.

    Args:
        within_s: how long what is ending may take.

    Raises:
        AssertionError: names what is left. Sockets and files are seen where ``/proc`` is.
    """
    loop = asyncio.get_running_loop()
    tasks = frozenset(asyncio.all_tasks())
    before = _open_files()
    yield
    await assert_nothing_left(allowed_tasks=tasks, within_s=within_s)
    give_up_at = loop.time() + within_s
    while left := _open_files() - before:
        if loop.time() >= give_up_at:
            raise AssertionError("left open after the block: " + "; ".join(sorted(left)))
        await asyncio.sleep(0.005)


def _open_files() -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for each in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the descriptor of this listing
                target = str(each.readlink())
                if target != "/dev/null":  # uvloop's loop keeps one from its first socket on
                    found.add(f"{each.name} {target}")
    return found
