"""Finds what a test forgot: tasks that still run, threads that still live, open sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulsing.testing.waiting_tasks import describe_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

_THREAD_PREFIX: Final = "pulsing"
_OF_THE_LOOP: Final = ("asyncio_", "uvloop_")
"""Threads of a loop's default executor: they end with the loop."""


async def assert_nothing_left(
    *, allowed_tasks: frozenset[asyncio.Task[object]] = frozenset(), within_s: float = 1.0
) -> None:
    """Wait until no other task of this loop and no thread of Pulsing is left.

    Call it at the end of a test, after everything was shut down.

    Args:
        allowed_tasks: tasks that were there before and may stay.
        within_s: how long what is ending may take.

    Raises:
        AssertionError: names the tasks, with where they stand and what they wait for, and the
            threads that are still there.
    """
    await _wait_for_tasks_and_threads(allowed_tasks, _threads_of_pulsing, within_s)


@asynccontextmanager
async def assert_no_leaks(*, within_s: float = 1.0) -> AsyncGenerator[None]:
    """A block that must leave no task, thread, socket or open file behind.

    Args:
        within_s: how long what is ending may take.

    Raises:
        AssertionError: names what is left: tasks with where they stand, threads, sockets with
            their addresses. Sockets and files are seen where ``/proc`` is.
    """
    leaks = Leaks()
    yield
    await leaks.assert_none(within_s=within_s, files=True)


class Leaks:
    """What is left of what was started since this was made, on the running loop."""

    def __init__(self) -> None:
        self._tasks = frozenset(asyncio.all_tasks())
        self._threads = frozenset(threading.enumerate())
        self._files = _open_files()

    async def assert_none(self, *, within_s: float = 1.0, files: bool = False) -> None:
        """Wait until no new task, thread or socket is left.

        Args:
            within_s: how long what is ending may take.
            files: nor any other open file.

        Raises:
            AssertionError: names what is left, as `assert_no_leaks` does.
        """
        await _wait_for_tasks_and_threads(self._tasks, self._new_threads, within_s)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + within_s
        while left := self._new_files(files=files):
            if loop.time() >= give_up_at:
                raise AssertionError(
                    "left open after the block: " + "; ".join(sorted(map(_described, left)))
                )
            await asyncio.sleep(0.005)

    def _new_threads(self) -> list[threading.Thread]:
        return [
            each
            for each in threading.enumerate()
            if each not in self._threads and not each.name.startswith(_OF_THE_LOOP)
        ]

    def _new_files(self, *, files: bool) -> set[tuple[int, str]]:
        new = _open_files() - self._files
        return {each for each in new if files or each[1].startswith("socket:")}


async def _wait_for_tasks_and_threads(
    allowed: frozenset[asyncio.Task[Any]],
    threads_left: Callable[[], list[threading.Thread]],
    within_s: float,
) -> None:
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + within_s
    pause_s = 0.0
    while True:
        tasks = asyncio.all_tasks() - allowed - {asyncio.current_task()}
        threads = threads_left()
        if not tasks and not threads:
            return
        if loop.time() >= give_up_at:
            break
        await asyncio.sleep(pause_s)
        pause_s = 0.005
    lines = [f"task {describe_task(each)}" for each in tasks]
    lines += [f"thread {each.name!r}" for each in threads]
    raise AssertionError("left behind after the test: " + "; ".join(sorted(lines)))


def _threads_of_pulsing() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(_THREAD_PREFIX)]


def _open_files() -> set[tuple[int, str]]:
    """Descriptors and what the system calls them."""
    found: set[tuple[int, str]] = set()
    with suppress(OSError):
        for each in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the descriptor of this listing
                target = str(each.readlink())
                if target != "/dev/null":  # uvloop's loop keeps one from its first socket on
                    found.add((int(each.name), target))
    return found


def _described(file: tuple[int, str]) -> str:
    descriptor, target = file
    if not target.startswith("socket:"):
        return f"{descriptor} {target}"
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
        ends = [f"socket {sock.getsockname()}"]
        with suppress(OSError):
            ends.append(f"to {sock.getpeername()}")
        return f"{descriptor} {' '.join(ends)}"
    return f"{descriptor} {target}"
