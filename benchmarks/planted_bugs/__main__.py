"""``python -m benchmarks.planted_bugs``: which check finds which bug."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

from benchmarks.planted_bugs.bugs import BUGS, NO_BUG, Bug
from benchmarks.planted_bugs.checks import CHECKS
from benchmarks.planted_bugs.copies import planted

ENOUGH: Final = 0.9
"""Of the bugs must be found."""
_CHECK_TAKES_S: Final = 30.0
"""Of processor time; a sound core needs a tenth of it."""


class Finding(NamedTuple):
    """What became of one bug.

    Attributes:
        bug: its name.
        check: which check found it; empty: none did.
        how: what that said.
        cpu_s: processor time until then.
    """

    bug: str
    check: str
    how: str
    cpu_s: float


def look_for(bug: Bug) -> Finding:
    """Run the checks on cores with a bug until one of them fails.

    Raises:
        OutOfDate: the source is not what the bug was written for.
    """
    began = time.process_time()
    with planted(bug) as make_core:
        for check in CHECKS:
            try:
                with _bounded():
                    check.run(make_core)
            except Exception as error:  # noqa: BLE001 - whatever a broken core raises
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                return Finding(bug.name, check.name, said, time.process_time() - began)
    return Finding(bug.name, "", "", time.process_time() - began)


@contextmanager
def _bounded() -> Iterator[None]:
    """End a check that does not end by itself: such a core never rests."""

    def over(*_: object) -> None:
        raise TimeoutError(f"not done after {_CHECK_TAKES_S:g} s of processor time")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, _CHECK_TAKES_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _found(name: str) -> Finding:
    return look_for(BUGS.get(name, NO_BUG))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help="comma-separated names of bugs")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="say what the bugs are, and exit")
    options = parser.parse_args()
    if options.list:
        for bug in BUGS.values():
            print(f"{bug.name:28} {bug.what}")
        return 0
    names = options.only.split(",") if options.only else list(BUGS)
    if unknown := set(names) - set(BUGS):
        parser.error(f"no bugs: {', '.join(sorted(unknown))}")
    found = 0
    spoilt = False
    print(f"| {'bug':26} | {'found by':18} | CPU s | what the check said |")
    print("|---|---|---|---|")
    with ProcessPoolExecutor(options.processes, initializer=logging.disable) as pool:
        for each in pool.map(_found, [NO_BUG.name, *names]):
            is_control = each.bug == NO_BUG.name
            by = each.check or ("nothing, rightly" if is_control else "NOTHING")
            spoilt |= is_control and bool(each.check)
            found += bool(each.check) and not is_control
            row = f"| {each.bug:26} | {by:18} | {each.cpu_s:5.1f} | {each.how[:150]} |"
            print(row, flush=True)
    print(f"{found} of {len(names)} planted bugs found")
    return 0 if not spoilt and found >= ENOUGH * len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
