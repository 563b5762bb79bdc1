import asyncio
import gc

import pytest

import pulsing as pul
from pulsing.actor.feed import MAX_EVENTS
from pulsing.cluster.members import MemberStatus
from pulsing.testing import pulsing_system
from tests.unit.actor import clusters


class Thing:
    async def get(self):
        return 1


async def test_a_standalone_node_is_alone_and_alive():
    async with pulsing_system() as system:
        (alone,) = await system.members()
        assert alone["node_id"] == system.node_id
        assert alone["name"] == system.node_id[:8]
        assert (alone["status"], alone["addr"]) == ("Alive", None)
        system.on_member_change(print)()
        await pul.spawn(Thing(), name="a")
        await pul.spawn(Thing(), name="hidden", public=False)
        (named,) = await system.all_named_actors()
        assert named["name"] == "actors/a"
        assert named["instances"][0]["node_id"] == system.node_id


async def test_members_are_listed_with_name_address_labels_and_status():
    async with clusters.systems({"node_name": "one"}, {"labels": {"gpu": ""}}) as (one, two):
        ours, other = await one.members()
        assert (ours["name"], ours["addr"], ours["status"]) == ("one", one.addr, "Alive")
        assert (other["node_id"], other["labels"]) == (two.node_id, {"gpu": ""})
        assert other["for_s"] >= 0
        one.cluster.world.change(two.node_id, busy=True)
        assert [each["status"] for each in await one.members()] == ["Alive", "Busy"]


async def test_named_actors_of_all_nodes_are_listed():
    async with clusters.systems({}, {"node_name": "two"}) as (one, two):
        first = await one.spawn(Thing(), name="a")
        await two.spawn(Thing(), name="a")
        await two.spawn(Thing(), name="b")
        await two.spawn(Thing(), name="hidden", public=False)
        await two.spawn(Thing())
        a, b = await one.all_named_actors()
        assert (a["name"], b["name"]) == ("actors/a", "actors/b")
        assert str(first.actor_id) in [each["actor_id"] for each in a["instances"]]
        assert b["instances"][0] | {"actor_id": None} == {
            "actor_id": None,
            "class": "Thing",
            "node_id": two.node_id,
            "node": "two",
            "addr": two.addr,
            "status": "Alive",
        }
        await two.stop("b")
        assert [each["name"] for each in await one.all_named_actors()] == ["actors/a"]


async def test_changes_of_members_are_heard_until_the_end():
    async with clusters.systems({}, {}) as (one, two):
        world = one.cluster.world
        heard = []
        unsubscribe = one.on_member_change(heard.append)
        events = one.events()
        world.change(two.node_id, status=MemberStatus.SUSPECT)
        world.change(two.node_id, status=MemberStatus.ALIVE)
        first, second = await anext(events), await anext(events)
        assert [first, second] == heard
        assert (first.before, first.member.status) == (MemberStatus.ALIVE, MemberStatus.SUSPECT)
        unsubscribe()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(events)
        world.change(two.node_id, busy=True)
        assert (await waiting).member.busy
        assert len(heard) == 2


async def test_a_slow_reader_of_changes_gets_the_newest():
    async with clusters.systems({}, {}) as (one, two):
        events = one.events()
        for _ in range(MAX_EVENTS + 3):
            one.cluster.world.change(two.node_id, busy=True)
        assert events.dropped == 3
        last = one.cluster.world.members[two.node_id]
        read = [(await anext(events)).member for _ in range(MAX_EVENTS)]
        assert read[-1] == last
        await events.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_a_shutdown_ends_the_loops_over_changes():
    async with clusters.systems({}) as (one,):
        events = one.events()
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
        await one.shutdown()
        assert (await waiting).member.status is MemberStatus.LEFT
        assert [event async for event in events] == []
        assert [event async for event in one.events()] == []


async def test_a_loop_over_changes_that_was_left_is_forgotten():
    async with clusters.systems({}, {}) as (one, _two):
        before = len(one.cluster.callbacks)
        events = one.events()
        assert len(one.cluster.callbacks) == before + 1
        del events
        gc.collect()
        assert len(one.cluster.callbacks) == before


async def test_a_system_says_goodbye_once_it_drains_or_is_shut_down():
    async with clusters.systems({}, {}) as (one, two):
        await one.drain(1.0)
        assert one.cluster.left == 1
        assert two.cluster.member(one.node_id).status is MemberStatus.LEFT
        await two.shutdown()
        assert two.cluster.left == two.cluster.closed == 1


async def test_actors_are_announced_when_they_have_started_and_taken_back_when_asked_to_stop():
    started = asyncio.Event()

    class Slow:
        async def on_start(self, actor_id):
            await started.wait()

        async def on_stop(self):
            await started.wait()

    async with clusters.systems({}) as (one,):
        spawning = asyncio.ensure_future(one.spawn(Slow(), name="slow"))
        await asyncio.sleep(0.01)
        assert not one.cluster.lookup("actors/slow")
        started.set()
        slow = await spawning
        (found,) = one.cluster.lookup("actors/slow")
        assert found.local == slow.actor_id.local
        assert found.class_name == "Slow"
        started.clear()
        stopping = asyncio.ensure_future(one.stop(slow))
        await asyncio.sleep(0)
        assert not one.cluster.lookup("actors/slow")
        started.set()
        await stopping


async def test_a_failed_start_is_never_announced():
    class Broken:
        async def on_start(self, actor_id):
            raise ValueError("no")

    async with clusters.systems({}) as (one,):
        with pytest.raises(ValueError, match="no"):
            await one.spawn(Broken(), name="broken")
        assert not one.cluster.lookup("actors/broken")


async def test_actors_from_before_the_cluster_are_announced_to_it():
    async with pulsing_system("127.0.0.1:0") as system:
        if system.cluster is not None:
            await system.cluster.close()
            system.cluster = None
            system._directory.publish_to(None)
        await pul.spawn(Thing(), name="early")
        system.join(clusters.View(clusters.World(), system.node_info))
        assert system.cluster.lookup("actors/early")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"addr": "127.0.0.1:0"}, []),
        ({"addr": "localhost:0"}, []),
        ({"addr": "0.0.0.0:0", "advertise": "127.0.0.1"}, ["without a passphrase"]),
        ({"addr": "0.0.0.0:0", "advertise": "127.0.0.1", "passphrase": "p" * 20}, []),
    ],
)
async def test_a_port_that_others_reach_without_a_passphrase_is_one_warning(settings, says, caplog):
    system = await pul.ActorSystem.create(pul.SystemConfig(**settings))
    await system.shutdown()
    lines = [each.getMessage() for each in caplog.records if "passphrase" in each.getMessage()]
    assert len(lines) == len(says)
    assert all(text in line for text, line in zip(says, lines, strict=True))


async def test_what_is_advertised_is_what_others_are_told():
    for advertise, told in (
        ("host.example", "host.example:{port}"),
        ("h.example:7", "h.example:7"),
    ):
        config = pul.SystemConfig(addr="127.0.0.1:0", advertise=advertise)
        system = await pul.ActorSystem.create(config)
        port = system.addr.rpartition(":")[2]
        await system.shutdown()
        assert system.node_info.addr == told.format(port=port)
