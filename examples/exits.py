"""Who is there, and who is gone: names, references and exits across processes.

``python -m examples.exits`` starts another node, whose ``greeter`` is registered by a name. Guests
of this process are registered nowhere: the greeter knows them only because they pass themselves
along, and watches them. In the end the other process is killed, and this one hears of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pulsing as pul
from examples.launching import CHECKOUT, READY


class Greeter(pul.Actor):
    """Greets whoever passes itself along, and says when they are gone."""

    async def receive(self, message: Any) -> None:
        """A greeting is ``("hi", who)``; ``who`` is a reference to any actor of any node."""
        match message:
            case ("hi", pul.ActorRef() as who):
                await pul.current().watch(who)
                who.tell(("hello, I am process", os.getpid()))
            case pul.Terminated(_, reason, error):
                print(f"a guest is gone: {reason.value} {error or ''}", flush=True)


class Guest(pul.Actor):
    """Says hi to a name, and is told who answers."""

    def __init__(self) -> None:
        self.greeted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def receive(self, message: Any) -> None:
        """What the greeter says, or that it is gone."""
        match message:
            case "start":
                greeter = await pul.resolve("global-actor1", timeout=10)
                greeter.tell(("hi", pul.current().self_ref))
            case ("hello, I am process", int(pid)):
                self.greeted.set_result(pid)
            case "stumble":
                raise pul.PulsingSystemError("stumbled", recoverable=False)


async def pulsing_setup(system: pul.ActorSystem) -> None:
    """The other node: an actor without a name is registered by one."""
    greeter = await system.spawn(Greeter())
    await system.register(greeter, "global-actor1")


async def main(seed: str) -> None:
    """Be the node of the guests."""
    async with pul.running(seeds=[seed]):
        guests = [Guest(), Guest()]
        refs = [await pul.spawn(each) for each in guests]
        for ref in refs:
            ref.tell("start")
        async with asyncio.timeout(30):
            pid = await guests[0].greeted
            await guests[1].greeted
            print("both guests were greeted", flush=True)
            await pul.get_system().stop(refs[0])
            refs[1].tell("stumble")
            await pul.watch(refs[1])
            greeter = await pul.whereis("global-actor1")
            assert greeter is not None
            gone = pul.watch(greeter)
            await asyncio.sleep(0.3)  # so that its last words are seen
            os.kill(pid, signal.SIGKILL)
            event = await gone
            print(f"the greeter is gone: {event.reason.value}", flush=True)
            while await pul.whereis("global-actor1") is not None:  # noqa: ASYNC110 - others' news
                await asyncio.sleep(0.01)
            print("its name stands for nobody", flush=True)


if __name__ == "__main__":
    command = (sys.executable, "-u", "-m", "pulsing", "node", "--addr", "127.0.0.1:0",
               "--import", "examples.exits")  # fmt: skip
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            ready = READY.search(other.stdout.readline())
            assert ready is not None, "the other node did not start"
            pul.run(main(ready[1]))
        finally:
            other.kill()
        print(other.stdout.read(), end="")
