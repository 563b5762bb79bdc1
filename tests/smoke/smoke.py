"""Does the installed wheel work, without the checkout and without the tools of developers?

Run by a Python that has nothing but the wheel and its dependencies, from an empty directory.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pulsing as pul
from pulsing.testing import NodeProcess

HOSTED = """
import pulsing as pul

@pul.remote
class Counter:
    def __init__(self):
        self.value = 0

    def incr(self, by=1):
        self.value += by
        return self.value

    async def fails(self):
        raise ValueError("on purpose")

    async def items(self, count):
        for index in range(count):
            yield index

async def pulsing_setup(system):
    await Counter.spawn(name="counter", system=system)
"""


def check_the_package() -> None:
    """The files and entry points that installers and type checkers look for."""
    place = Path(pul.__file__).resolve().parent
    assert sys.prefix in str(place), f"imported from {place}, not from the wheel"
    assert (place / "py.typed").exists(), "py.typed is missing"
    assert pul.__version__ == importlib.metadata.version("pulsing")
    scripts = importlib.metadata.entry_points(group="console_scripts", name="pulsing")
    assert [each.value for each in scripts] == ["pulsing.cli:main"]
    command = [str(Path(sys.executable).parent / "pulsing"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout.strip() == f"pulsing {pul.__version__}", said


async def check_calls(addr: str) -> None:
    """Ask, tell, stream and an error, between two processes."""
    async with pul.running():
        counter = await pul.resolve(f"actor://{addr}/counter")
        assert await counter.incr(2) == 2
        counter.incr.tell(3)
        assert await counter.incr() == 6
        assert [item async for item in counter.items(1000)] == list(range(1000))
        (error,) = await asyncio.gather(counter.fails(), return_exceptions=True)
        assert isinstance(error, ValueError), f"not the actor's own error: {error!r}"
        assert isinstance(error, pul.PulsingActorError), type(error).__mro__


def main() -> None:
    """All of it; an exception is a failure."""
    check_the_package()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "hosted.py").write_text(HOSTED, encoding="utf-8")
        with NodeProcess(imports=["hosted"], directory=directory) as node:
            with urllib.request.urlopen(f"http://{node.addr}/livez", timeout=10) as answer:
                assert answer.status == 200, answer.status
            asyncio.run(check_calls(node.addr))
    print(f"smoke test passed: pulsing {pul.__version__} on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
