"""A program that calls, tells and streams from the counter of another process.

``python -m examples.call_counter [actor://HOST:PORT/NAME]``
"""

from __future__ import annotations

import asyncio
import sys

import pulsing as pul
from examples.counter import Counter


async def main(address: str) -> None:
    """Talk to the counter at this address and say what happens."""
    async with pul.running():
        counter = await Counter.resolve(address)
        print(f"found       {counter!r}")

        print(f"ask         incr(5) -> {await counter.incr(5)}")

        counter.incr.tell(10)  # no answer, but in order: the next call sees it
        print(f"tell, ask   incr.tell(10), get() -> {await counter.get()}")

        goal = await counter.get() + 1_000_000
        print("stream     ", end="", flush=True)
        async for value in counter.count_to(goal, pause_s=0.1):
            print(f" {value}", end="", flush=True)
            if value == goal - 1_000_000 + 5:
                break  # leaving the loop cancels the counting in the other process
        print(" ... enough")

        async with asyncio.timeout(2):
            many = await asyncio.gather(*(counter.incr() for _ in range(1000)))
        print(f"1000 asks   at once, the last answered {many[-1]}")

        try:
            await counter.incr("seven")  # the wrong type on purpose
        except TypeError as error:
            print(f"error       incr('seven') -> TypeError: {error}")


if __name__ == "__main__":
    pul.run(main(sys.argv[1] if len(sys.argv) > 1 else "actor://127.0.0.1:8000/counter"))
