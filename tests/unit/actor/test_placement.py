"""Actors started on other nodes."""

import asyncio
import sys

import pytest

import pulsing as pul
from pulsing.actor.placement import Placement, PlacementKind
from pulsing.actor.remote import is_actor_class
from pulsing.cluster.members import MemberStatus
from pulsing.testing import pulsing_system
from tests.unit.actor import clusters
from tests.unit.actor.placed import Colour, Derived, Plain, Where


def three():
    return clusters.systems(
        {"node_name": "n1", "labels": {"zone": "us"}},
        {"node_name": "n2", "labels": {"gpu": "", "zone": "eu"}},
        {"node_name": "n3", "labels": {"gpu": "", "zone": "us"}},
    )


@pytest.mark.parametrize(
    ("text", "kind", "what", "value"),
    [
        ("local", PlacementKind.LOCAL, "", None),
        ("remote", PlacementKind.REMOTE, "", None),
        ("n1", PlacementKind.NODE, "n1", None),
        ("label:gpu", PlacementKind.LABEL, "gpu", None),
        ("label:zone=eu", PlacementKind.LABEL, "zone", "eu"),
        ("label:zone=", PlacementKind.LABEL, "zone", ""),
    ],
)
def test_a_placement_is_read_from_text(text, kind, what, value):
    assert Placement.parse(text) == Placement(kind, text, what, value)


@pytest.mark.parametrize("text", ["", "label:", "label:=eu", "zone:eu", "a/b"])
def test_what_is_no_placement_is_refused_with_the_forms_there_are(text):
    with pytest.raises(ValueError, match="label:NAME=VALUE"):
        Placement.parse(text)


async def test_actors_are_started_where_they_are_placed():
    async with three() as (one, two, three_):

        async def node(placement, **options):
            proxy = await Where.spawn(7, placement=placement, system=one, **options)
            assert await proxy.get() == 7
            return await proxy.node()

        assert await node(None) == await node("local") == one.node_id
        assert {await node("remote") for _ in range(4)} == {two.node_id, three_.node_id}
        assert await node("n3") == await node(three_.node_id) == three_.node_id
        assert await node("n1") == one.node_id
        assert {await node("label:gpu") for _ in range(4)} == {two.node_id, three_.node_id}
        assert await node("label:zone=eu") == two.node_id
        assert {await node("label:zone") for _ in range(6)} == {
            one.node_id, two.node_id, three_.node_id,
        }  # fmt: skip


async def test_a_placed_actor_has_name_class_options_and_a_typed_proxy():
    async with three() as (one, two, _):
        made = await Where.options(
            name="placed", placement="n2", system=one, mailbox_size=3, executor="loop"
        ).spawn(value=4)
        assert isinstance(made, pul.ActorProxy)
        assert made.ref.name == "actors/placed"
        assert made.actor_id.node == two.node_id
        (said,) = two.actors()
        assert (said["name"], said["public"]) == ("actors/placed", True)
        cell = two.find_cell("actors/placed")
        assert cell.options.mailbox_size == 3
        assert await (await one.resolve("placed")).get() == 4
        with pytest.raises(AttributeError, match="No method"):
            made.nonsense()
        unnamed = await one.spawn(Derived, placement="n2")
        assert await unnamed.node() == two.node_id
        assert unnamed.ref.name.startswith("actors/Derived_")
        other = await pul.spawn(Where, 5, placement="n2", system=one)
        assert await other.get() == 5
        hidden = await Where.spawn(name="hidden", public=False, placement="n2", system=one)
        assert not one.cluster.lookup("actors/hidden")
        assert await hidden.get() == 0


async def test_errors_of_a_placed_spawn_are_those_of_a_local_one():
    async with three() as (one, two, _):
        await Where.spawn(name="taken", system=two)
        with pytest.raises(pul.NameTaken, match="already exists"):
            await Where.spawn(name="taken", placement="n2", system=one)
        with pytest.raises(ValueError, match="init failed") as caught:
            await Where.spawn(fail=True, placement="n2", system=one)
        assert isinstance(caught.value, pul.PulsingBusinessError)
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            await Where.spawn(nonsense=1, placement="n2", system=one)
        with pytest.raises(ValueError, match="name"):
            await Where.spawn(name="a b", placement="n2", system=one)
        assert len(two.actors()) == 1


async def test_where_nothing_fits_the_error_says_what_there_is():
    async with three() as (one, two, three_):
        with pytest.raises(pul.PulsingRuntimeError, match=r"there are gpu, zone=eu, zone=us"):
            await Where.spawn(placement="label:tpu", system=one)
        with pytest.raises(pul.PulsingRuntimeError, match=r"the nodes are n1, n2, n3"):
            await Where.spawn(placement="n9", system=one)
        world = one.cluster.world
        world.change(two.node_id, status=MemberStatus.DEAD)
        world.change(three_.node_id, status=MemberStatus.LEFT)
        with pytest.raises(pul.PulsingRuntimeError, match="no node for placement='remote'"):
            await Where.spawn(placement="remote", system=one)
    async with pulsing_system():
        with pytest.raises(pul.PulsingRuntimeError, match="standalone"):
            await Where.spawn(placement="remote")
        assert await (await Where.spawn(1, placement="local")).get() == 1


async def test_busy_and_suspect_nodes_start_actors_only_when_there_are_no_others():
    async with three() as (one, two, three_):
        world = one.cluster.world
        world.change(two.node_id, busy=True)
        for _ in range(4):
            where = await Where.spawn(placement="remote", system=one)
            assert await where.node() == three_.node_id
        world.change(three_.node_id, status=MemberStatus.SUSPECT)
        nodes = {await (await Where.spawn(placement="remote", system=one)).node() for _ in "1234"}
        assert nodes == {two.node_id, three_.node_id}


async def test_a_node_that_cannot_be_reached_has_started_nothing_so_the_next_is_asked():
    async with three() as (one, two, three_):
        await two._network._listener.close()
        for _ in range(3):
            where = await Where.spawn(placement="label:gpu", system=one)
            assert await where.node() == three_.node_id
        with pytest.raises(pul.NodeUnreachable):
            await Where.spawn(placement="n2", system=one)


async def test_only_actor_classes_that_others_can_find_are_sent(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as of a plain script

    class Local(pul.Actor):
        pass

    async with three() as (one, two, _):
        with pytest.raises(pul.PulsingRuntimeError, match="is no actor class"):
            await one.spawn(Plain, placement="n2")
        with pytest.raises(pul.PulsingRuntimeError, match="made inside a function"):
            await one.spawn(Local, placement="n2")
        with pytest.raises(TypeError, match="instance already"):
            await one.spawn(Where(), placement="n2")
        main = type("Script", (pul.Actor,), {"__module__": "__main__"})
        with pytest.raises(pul.PulsingRuntimeError, match="--import MODULE"):
            await one.spawn(main, placement="n2")
        assert two.actors() == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tests.unit.actor.placed:Plain", "starts actor classes only"),
        ("tests.unit.actor.placed:Colour", "starts actor classes only"),
        ("pulsing.actor.remote:Actor", "starts actor classes only"),
        ("subprocess:Popen", "starts actor classes only"),
        ("os:system", "has not imported a class os:system"),
        ("antigravity:Anything", "--import antigravity"),
        ("", "has not imported"),
    ],
)
async def test_a_node_starts_nothing_but_actor_classes_it_has_imported(name, says):
    import subprocess  # noqa: F401 - so that it is there to be asked for

    async with clusters.systems({}, {}) as (one, two):
        steward = one.remote_target(two.addr, "system/node")
        call = pul.Call(steward, "spawn", [name, [], {}, None, None, {}], None)
        with pytest.raises(pul.PulsingRuntimeError, match=says):
            await call
        assert two.actors() == []


async def test_a_node_that_drains_starts_nothing_for_others():
    async with three() as (one, two, _):
        await two.drain(1.0)
        with pytest.raises(pul.PulsingRuntimeError):
            await Where.spawn(placement=two.node_id, system=one)


async def test_cancelling_a_placed_spawn_leaves_nothing():
    async with clusters.systems({}, {"node_name": "n2"}) as (one, two):
        spawning = asyncio.ensure_future(Sleepy.spawn(name="s", placement="n2", system=one))
        async with asyncio.timeout(5):
            while not two.actors():
                await asyncio.sleep(0.005)
        spawning.cancel()
        await asyncio.gather(spawning, return_exceptions=True)
        async with asyncio.timeout(5):
            while two.actors():
                await asyncio.sleep(0.005)


class Sleepy(pul.Actor):
    async def on_start(self, actor_id):
        await asyncio.sleep(60)


def test_what_counts_as_an_actor_class():
    assert is_actor_class(Where)
    assert is_actor_class(Derived)
    assert is_actor_class(type("Sub", (Where,), {}))
    assert not is_actor_class(Plain)
    assert not is_actor_class(pul.Actor)
    assert not is_actor_class(Colour)
