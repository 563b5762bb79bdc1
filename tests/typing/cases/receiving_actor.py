"""What type checkers know of raw messages, references and the context."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar, assert_type

import pulsing as pul
from pulsing.cluster.policies import Candidate

C = TypeVar("C", bound=Candidate)


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
        assert_type(await system.members(), list[dict[str, Any]])
        system.on_member_change(changed)
        async for event in system.events():
            assert_type(event, pul.MemberEvent)
            assert_type(event.member.status, pul.MemberStatus)
            assert_type(event.before, pul.MemberStatus | None)
    await pul.init(seeds=["a:1"], node_name="n", labels=["gpu", "zone=eu"], advertise="h")
    await pul.init("a:1", is_head_node=True, labels={"gpu": ""})
    await pul.actor_system(head_addr="a:1")
    pul.sync.init(seeds=("a:1",))
    config = pul.SystemConfig.standalone().with_addr("b:1").with_seeds(["a:1"])
    assert_type(config, pul.SystemConfig)
    await pul.init(seats=["a:1"])  # E:
    await pul.init(seeds=1)  # E:


def changed(event: pul.MemberEvent) -> None: ...


class First:
    def pick(self, candidates: Sequence[C], rng: Random) -> C:
        return candidates[0]


async def resolving() -> None:
    ref = await pul.resolve("service", node_id=None, timeout=1.0, policy="round_robin")
    assert_type(ref, pul.ActorRef)
    assert_type(ref.with_key("k"), pul.ActorRef)
    await pul.resolve("service", policy=First())
    await pul.resolve("service", policy=1)  # E:


async def main() -> int:
    return 1


assert_type(pul.run(main), int)
assert_type(pul.run(main()), int)
