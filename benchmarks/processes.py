"""Processor time and memory of processes, and the server process at the other end of a pipe.

The figures come from Linux (`/proc` and the per-process clocks); elsewhere they are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, in the clock ids of clock_getcpuclockid(3)
RESET_PEAK = "5"  # proc(5), /proc/PID/clear_refs: set VmHWM to the current size


def cpu_seconds(pids: Sequence[int]) -> float | None:
    """Processor time used so far by all threads of the processes, to the nanosecond.

    ``None`` where the system has no such clock.
    """
    try:
        return sum(time.clock_gettime((~pid << 3) | CLOCK_OF_PROCESS) for pid in pids)
    except (OSError, OverflowError):
        return None


def status_bytes(field: str, pid: int | str = "self") -> int | None:
    """A size from /proc/PID/status in bytes, such as ``VmRSS`` or ``VmHWM``."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith(field + ":")]
    return int(sizes[0]) * 1024 if sizes else None


def settle_memory() -> int | None:
    """Give freed memory of this process back, restart its peak, and return its size in bytes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc: what it keeps is included
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    except OSError:
        return None
    return status_bytes("VmRSS")


def child_environment() -> dict[str, str]:
    """The environment for child processes: they import what this process imports."""
    environment = dict(os.environ)
    paths = [str(ROOT), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


async def run_child(*arguments: str) -> str:
    """Run ``python *arguments`` and return what it printed.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=child_environment(),
    )
    try:
        output, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} ended with {child.returncode}")
    return output.decode()


class ServerProcess:
    """A benchmark server in its own process, with a line-by-line control channel."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self.pid = child.pid

    @classmethod
    async def start(cls, *options: str) -> ServerProcess:
        """Start ``python -m benchmarks.server``; it opens ports when it is asked for them."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.server",
            *options,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=child_environment(),
        )
        return cls(child)

    async def ask(self, command: str, *arguments: object) -> Any:
        """Send a command and return its answer.

        Raises:
            RuntimeError: the server ended, or the command failed there.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        line = await self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the benchmark server ended during {command!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{command!r} failed in the server: {answer['error']}")
        return answer["result"]

    async def close(self) -> None:
        """End the process: closing its input tells it to; after five seconds it is killed."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            await asyncio.wait_for(self._child.wait(), 5)
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
