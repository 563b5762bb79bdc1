"""A model in a process of its own: its own interpreter, environment and crashes.

``python -m examples.own_process``
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pulsing as pul


@pul.remote(
    executor="process",
    restart_policy="on_failure",
    min_backoff=0.0,
    env={"CUDA_VISIBLE_DEVICES": "0"},
)
class Model:
    """Computes on a device that it sees alone."""

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def device(self) -> str:
        """Which devices its process sees."""
        return os.environ["CUDA_VISIBLE_DEVICES"]

    def process(self) -> int:
        """The number of its process."""
        return os.getpid()

    def run(self, number: int) -> int:
        """Compute; it may hold the interpreter for as long as it takes."""
        return number * self.scale

    def tokens(self, text: str) -> Iterator[str]:
        """Answer piece by piece."""
        yield from text.split()

    def crash(self) -> None:
        """What a defect in native code does."""
        os.abort()


async def main() -> None:
    """Use it, and see it come back after a crash."""
    async with pul.running():
        model = await Model.spawn(2)
        print(f"21 * 2 = {await model.run(21)}, on device {await model.device()}")
        print(" | ".join([each async for each in model.tokens("piece by piece")]))
        first = await model.process()
        try:
            await model.crash()
        except pul.ConnectionLost as error:
            print(f"it crashed: {str(error).rpartition(') ')[2]}")
        other = await model.process() not in (first, os.getpid())
        print(f"it runs again, in another process: {other}")


if __name__ == "__main__":
    pul.run(main)
