"""What type checkers know of raw messages, references and the context."""

from __future__ import annotations

from typing import Any, assert_type

import pulsing as pul


class Service(pul.Actor):
    async def receive(self, msg: pul.Message) -> pul.Message:
        return pul.Message.from_json("Answer", {"to": msg.msg_type})


async def using() -> None:
    ref = await pul.spawn(Service(), name="service", public=True, mailbox_size=3)
    assert_type(ref, pul.ActorRef)
    assert_type(ref.ask(pul.Message("Ping")), pul.Call[Any])
    await ref.tell(pul.Message("Ping"))
    assert_type(ref.call("incr", 1), pul.Call[Any])
    await ref.any_method(1)
    message, writer = pul.StreamMessage.create("Tokens", buffer_size=3)
    assert_type(message, pul.StreamMessage)
    await writer.write(1)
    await pul.spawn(Service(), mailbox="big")  # E:


async def systems() -> None:
    async with pul.running("127.0.0.1:0", passphrase="p") as system:
        assert_type(system, pul.ActorSystem)
        assert_type(system.addr, str | None)
        await system.stop("a")
        assert_type(await system.drain(1.0), bool)
    await pul.init(seats=["a:1"])  # E:


async def main() -> int:
    return 1


assert_type(pul.run(main), int)
assert_type(pul.run(main()), int)
