"""Programs whose actors run in processes: what their script may be, and what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

_SCRIPT = """
import asyncio, ctypes, dataclasses, os, sys
import pulsing as pul

@dataclasses.dataclass
class Point:
    x: int

@pul.remote(executor="process")
class Worker:
    def move(self, point: Point) -> Point:
        return Point(point.x + 1)
    def pid(self) -> int:
        return os.getpid()
    def hold(self) -> None:
        ctypes.PyDLL(None).sleep(600)

async def main() -> None:
    async with pul.running():
        worker = await Worker.spawn()
        assert await worker.move(Point(1)) == Point(2)
        print(await worker.pid(), flush=True)
        if "hold" in sys.argv:
            await worker.hold()
"""
_GUARDED = _SCRIPT + '\nif __name__ == "__main__":\n    pul.run(main)\n'


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=50, check=False, cwd=cwd,
    )  # fmt: skip


def until_gone(pid: int) -> None:
    """Wait until a process has ended, whoever has to wait for it."""
    give_up_at = time.monotonic() + 15
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < give_up_at, f"process {pid} is left behind"
        time.sleep(0.01)


def test_the_class_and_its_values_may_be_defined_in_the_script(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(_GUARDED, encoding="utf-8")
    done = run(str(script))
    assert done.returncode == 0, done.stderr
    until_gone(int(done.stdout))


def test_a_program_that_is_started_as_a_module_finds_them_as_well(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_GUARDED, encoding="utf-8")
    done = run("-m", "program", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_script_that_would_start_itself_again_is_told_what_it_lacks(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(_SCRIPT + "\npul.run(main)\n", encoding="utf-8")
    done = run(str(script))
    assert done.returncode == 1
    assert 'must stand below:  if __name__ == "__main__":' in done.stderr


def test_a_class_of_an_interactive_session_is_refused() -> None:
    done = run("-c", _GUARDED)
    assert done.returncode == 1
    assert "is defined in an interactive session" in done.stderr.replace("\n", " ")


def test_a_killed_program_leaves_no_process_behind_even_a_busy_one(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(_GUARDED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), "hold"], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        os.kill(program.pid, signal.SIGKILL)
        until_gone(pid)


def test_an_interrupted_program_ends_its_processes_quietly(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(_GUARDED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), "hold"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stderr is not None
        pid = int(program.stdout.readline())
        os.killpg(program.pid, signal.SIGINT)
        said = program.stderr.read()
        assert program.wait(timeout=30) != 0
        until_gone(pid)
    assert "process_child" not in said


def test_a_loop_that_was_closed_without_shutdown_leaves_no_process_to_the_next(
    tmp_path: Path,
) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        _SCRIPT
        + """
async def first() -> int:
    await pul.init()
    return await (await Worker.spawn()).pid()

async def second(pid: int) -> None:
    await pul.init()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        print("gone")
    await pul.shutdown()

if __name__ == "__main__":
    asyncio.run(second(asyncio.run(first())))
""",
        encoding="utf-8",
    )
    done = run(str(script))
    assert done.returncode == 0, done.stderr
    assert "gone" in done.stdout
