"""Starts processes for the other examples, and shows who says what."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parent.parent
READY = re.compile(r"ready on (\S+)")


@contextmanager
def process(who: str, *arguments: str) -> Iterator[str]:
    """Run ``python -m ...`` until the end of the block; gives the address it is ready on.

    It is stopped with SIGTERM, as an operator would, and must exit with 0.
    """
    print(f"{who:8} $ python -m {shlex.join(arguments)}", flush=True)
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert child.stdout is not None
    reader = threading.Thread(target=_show, args=(who, child.stdout))
    try:
        line = child.stdout.readline()
        match = READY.search(line)
        if match is None:
            raise SystemExit(f"{who} did not start: {line or 'it said why on standard error'}")
        print(f"{who:8} | {line}", end="", flush=True)
        reader.start()
        yield match[1]
        child.send_signal(signal.SIGTERM)
        code = child.wait(30)
        print(f"{who:8} | exited with {code}", flush=True)
        if code:
            raise SystemExit(code)
    finally:
        child.kill()
        child.wait()
        if reader.is_alive():
            reader.join()
        child.stdout.close()


def _show(who: str, lines: Iterator[str]) -> None:
    for line in lines:
        print(f"{who:8} | {line}", end="", flush=True)
