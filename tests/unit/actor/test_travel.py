import pytest

import pulsing as pul
from pulsing.actor.place import reachable
from pulsing.testing import pulsing_system
from pulsing.wire import Codec


class Plain:
    async def get(self):
        return 1


class Listening(pul.ActorSystem):
    """A system that says it has a port, without the network."""

    addr = "10.1.2.3:8000"  # type: ignore[assignment]
    reachable_addr = addr  # type: ignore[assignment]
    targets: list[tuple[str, str]]

    def remote_target(self, host_port, target):
        self.targets.append((host_port, target))


async def listening():
    system = await Listening.create()
    system.targets = []
    return system


async def test_a_reference_arrives_as_one_of_the_receiver():
    here, there = await listening(), await listening()
    try:
        ref = await here.spawn(Plain(), name="a")
        arrived = Codec(context=there).decode(Codec().encode({"ref": ref}))["ref"]
        assert isinstance(arrived, pul.ActorRef)
        assert arrived == ref
        assert arrived.name == "actors/a"
        assert str(arrived.address) == f"actor://10.1.2.3:8000/{ref.actor_id}"
        assert there.targets == [("10.1.2.3:8000", f"@{ref.actor_id}")]
    finally:
        await here.shutdown()
        await there.shutdown()


async def test_a_reference_that_comes_home_is_local():
    here = await listening()
    try:
        proxy = await here.spawn(Plain, name="a")
        arrived = Codec(context=here).decode(Codec().encode(proxy))
        assert arrived == proxy
        assert here.targets == []
        assert await arrived.get() == 1
    finally:
        await here.shutdown()


async def test_a_typed_proxy_arrives_typed_and_an_untyped_one_untyped():
    here = await listening()
    try:
        proxy = await here.spawn(Plain)
        codec = Codec(context=here)
        typed = codec.decode(codec.encode(proxy))
        with pytest.raises(AttributeError, match="No method"):
            typed.nonsense  # noqa: B018
        untyped = codec.decode(codec.encode(proxy.as_any()))
        assert untyped.nonsense
    finally:
        await here.shutdown()


async def test_a_reference_of_a_standalone_system_cannot_leave():
    async with pulsing_system():
        ref = await pul.spawn(Plain())
        with pytest.raises(pul.WireError, match=r"opens no port.*pul\.init\(addr="):
            Codec().encode(ref)


async def test_a_reference_that_makes_no_sense_is_a_wire_error():
    here = await listening()
    try:
        ref = await here.spawn(Plain())
        body = Codec().encode(ref)
        assert isinstance(body, bytes)
        broken = body.replace(here.node_id.encode(), b"x" * 32)
        with pytest.raises(pul.WireError, match="reference"):
            Codec(context=here).decode(broken)
    finally:
        await here.shutdown()


def test_messages_travel():
    codec = Codec()
    for message in (pul.Message("A", b"x"), pul.Message("B", {"n": [1, None]})):
        arrived = codec.decode(codec.encode(message))
        assert type(arrived) is pul.Message
        assert arrived == message


def test_an_address_for_all_interfaces_is_replaced_by_one_of_this_machine():
    assert reachable("10.0.0.1:80") == "10.0.0.1:80"
    for everywhere in ("0.0.0.0:80", "[::]:80"):
        found = reachable(everywhere)
        assert found.endswith(":80")
        assert found != everywhere
