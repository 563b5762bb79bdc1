"""Two processes that talk: starts a node, runs a program against it, stops the node.

It does what you would do in two terminals, and prefixes every line with who wrote it.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
READY = re.compile(r"ready on (\S+)")


def start(who: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m ...`` in the checkout and say so."""
    print(f"{who} $ python -m {shlex.join(arguments)}", flush=True)
    return subprocess.Popen(
        [sys.executable, "-u", "-m", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def main() -> int:
    """Run both; returns 0 when both ended well."""
    node = start(
        "node   ", "pulsing", "node", "--addr", "127.0.0.1:0", "--import", "examples.counter"
    )
    assert node.stdout is not None
    try:
        ready = node.stdout.readline()
        match = READY.search(ready)
        if match is None:
            return node.wait() or 1  # it said why on standard error
        print(f"node    | {ready}", end="", flush=True)
        with start("program", "examples.call_counter", f"actor://{match[1]}/counter") as program:
            assert program.stdout is not None
            for line in program.stdout:
                print(f"program | {line}", end="", flush=True)
        print("node    $ kill -TERM", node.pid, flush=True)
        node.send_signal(signal.SIGTERM)
        code = node.wait(30)
        print(f"node    | exited with {code}", flush=True)
        return program.returncode or code
    finally:
        node.kill()
        node.wait()
        node.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
