"""Runs the tests of clusters again and again on a busy machine: a test that fails once is a flake.

``python -m benchmarks.flakes`` does 200 runs beside two processes that compute all the time, and
prints a line for each run. A run that fails is shown, and the loop goes on; the last lines say
which tests failed how often, and the exit code is 1 if any did. ``--minutes`` ends it early.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLUSTER_TESTS = (
    "tests/unit/cluster",
    "tests/unit/actor/test_membership.py",
    "tests/integration/test_cluster_*.py",
    "tests/integration/test_process_cluster.py",
    "tests/integration/test_lost_links.py",
    "tests/integration/test_stall_guard.py",
    "tests/integration/test_pytest_plugin.py",
)
BUSY = "while True: sum(range(10_000))"
PASSED = re.compile(r" PASSED +\[ *\d+%\]$")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
RUN_MAY_TAKE_S = 1800.0


def files(patterns: list[str]) -> list[str]:
    """The test files and folders that patterns stand for.

    Raises:
        SystemExit: a pattern stands for none.
    """
    found: list[str] = []
    for pattern in patterns:
        here = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
        if not here:
            raise SystemExit(f"{pattern}: no such tests")
        found += here
    return found


def run_once(tests: list[str]) -> tuple[bool, str]:
    """Run the tests in a process of their own; whether all passed, and what it printed."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_MAY_TAKE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return False, f"{said}\nERROR timeout: not finished in {RUN_MAY_TAKE_S:g} s"
    died = f"\nERROR run ended by signal {-done.returncode}" if done.returncode < 0 else ""
    return done.returncode == 0, done.stdout + died


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", help="files or patterns (default: those of clusters)")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--minutes", type=float, help="begin no run after as long")
    parser.add_argument("--busy", type=int, default=2, help="processes that compute beside it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    tests = files(options.tests or list(CLUSTER_TESTS))
    began = time.monotonic()
    failures: Counter[str] = Counter()
    failed_runs = runs = 0
    with ExitStack() as stack:
        for _ in range(options.busy):
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        for runs in range(1, options.runs + 1):
            began_run = time.monotonic()
            passed, output = run_once(tests)
            lines = output.strip().splitlines() or ["(nothing printed)"]
            spent = time.monotonic() - began_run
            print(f"run {runs:3d}: {lines[-1]} (took {spent:.0f} s)", flush=True)
            if not passed:
                failed_runs += 1
                failures.update(FAILED.findall(output) or ["no test: the run itself"])
                kept = [line for line in lines if not PASSED.search(line)]
                print("\n".join(kept), flush=True)
            if options.minutes is not None and time.monotonic() - began > options.minutes * 60:
                break
    for test, count in failures.most_common():
        print(f"{count:4d} times: {test}")
    minutes = (time.monotonic() - began) / 60
    print(f"{runs} runs beside {options.busy} busy processes in {minutes:.1f} minutes: ", end="")
    print(f"{failed_runs} failed" if failed_runs else "no flake")
    return 1 if failed_runs else 0


if __name__ == "__main__":
    sys.exit(main())
