"""A name as the target of calls, on several nodes of one process with real links."""

import asyncio
import collections
import contextlib

import pytest

import pulsing as pul
from pulsing.actor.failover import can_be_sent_again, nothing_was_delivered
from pulsing.actor.place import place_of
from pulsing.cluster.members import MemberStatus, Registration
from tests.unit.actor import clusters
from tests.unit.actor.placed import Where


class Three:
    """Three nodes, each with a `Where` of the same name."""

    def __init__(self, systems):
        self.one, self.two, self.three = self.systems = systems
        self.world = self.one.cluster.world


@contextlib.asynccontextmanager
async def three():
    async with clusters.systems({"node_name": "n1"}, {"node_name": "n2"}, {}) as systems:
        for value, system in enumerate(systems, 1):
            await system.spawn(Where, value, name="w")
        yield Three(systems)


async def counts(ref, calls):
    return collections.Counter([await ref.get() for _ in range(calls)])


async def test_calls_of_a_name_are_shared_by_its_instances():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        assert await counts(ref, 30) == {1: 10, 2: 10, 3: 10}
        typed = await nodes.two.resolve("w", cls=Where)
        assert await counts(typed, 30) == {1: 10, 2: 10, 3: 10}


async def test_instances_that_come_and_go_are_followed_from_call_to_call():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        await nodes.two.stop("w")
        assert await counts(ref, 10) == {1: 5, 3: 5}
        await nodes.two.spawn(Where, 4, name="w")
        assert await counts(ref, 30) == {1: 10, 3: 10, 4: 10}
        for system in nodes.systems:
            await system.stop("w")
        with pytest.raises(pul.ActorNotFound, match="no actor 'actors/w' in the cluster"):
            await ref.get()
        await nodes.three.spawn(Where, 5, name="w")
        assert await ref.get() == 5


async def test_busy_and_suspect_nodes_are_avoided_while_there_are_others():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        nodes.world.change(nodes.two.node_id, busy=True)
        nodes.world.change(nodes.three.node_id, status=MemberStatus.SUSPECT)
        assert await counts(ref, 10) == {1: 10}
        nodes.world.change(nodes.two.node_id, busy=False)
        assert await counts(ref, 10) == {1: 5, 2: 5}
        await nodes.one.stop("w")
        await nodes.two.stop("w")
        assert await counts(ref, 3) == {3: 3}


async def test_a_stale_registration_is_not_seen_by_the_caller():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        gone = Registration("actors/w", nodes.two.node_id, 999, "Where")
        nodes.world.put(gone)
        assert set(await counts(ref, 20)) == {1, 3}
        items = [[each async for each in ref.count(3)] for _ in range(6)]
        assert items == [[0, 1, 2]] * 6
        assert [await ref.value for _ in range(6)].count(2) == 0
        for _ in range(6):
            await ref.put.tell(7)


async def test_a_node_that_takes_no_connections_is_not_seen_by_the_caller():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        await nodes.three._network._listener.close()
        assert set(await counts(ref, 12)) == {1, 2}


async def test_when_all_instances_fail_the_error_names_what_was_tried():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        for system in nodes.systems:
            nodes.world.put(Registration("actors/w", system.node_id, 999, "Where"))
        await nodes.one.stop("w")
        nodes.world.put(Registration("actors/w", nodes.two.node_id, 998, "Where"))
        with pytest.raises(pul.ActorNotFound, match="none of the 2 instances") as caught:
            await ref.get()
        assert nodes.two.addr in str(caught.value)
        assert nodes.three.addr in str(caught.value)
        with pytest.raises(pul.ActorNotFound, match="none of the 2 instances"):
            async for _ in ref.count(3):
                pass
        with pytest.raises(pul.ActorNotFound, match="none of the 2 instances"):
            await ref.put.tell(1)
        with pytest.raises(pul.ActorNotFound, match="none of the 2 instances"):
            await ref.value


async def test_of_a_single_instance_the_error_is_its_own():
    async with clusters.systems({}, {}) as (one, two):
        await two.spawn(Where, name="w")
        ref = await one.resolve("w")
        one.cluster.world.put(Registration("actors/w", two.node_id, 999, "Where"))
        with pytest.raises(pul.ActorNotFound, match="999"):
            await ref.get()


async def test_an_error_of_the_actors_own_code_is_not_repeated_elsewhere():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        for _ in range(3):
            with pytest.raises(pul.ActorNotFound, match="somebody else") as caught:
                await ref.lie()
            assert not nothing_was_delivered(caught.value)


async def test_a_call_that_may_have_run_is_not_repeated():
    async with three() as nodes:
        ref = await nodes.one.resolve("w", policy="local_first")
        await nodes.one.stop("w")
        calls = [asyncio.ensure_future(ref.slow(30)) for _ in range(4)]
        await asyncio.sleep(0.2)
        nodes.three.network()
        for link in list(nodes.three._network._inbound):
            link.abort(pul.ConnectionLost("cut"))
        done, pending = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        errors = [each.exception() for each in done]
        assert errors
        assert all(isinstance(each, pul.ConnectionLost) for each in errors)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def test_a_tell_that_nobody_awaits_reaches_another_instance():
    async with clusters.systems({}, {}, {}) as (one, two, three):
        await two.spawn(Where, name="w")
        place = await three.spawn(Where, name="w")
        ref = await one.resolve("w")
        one.cluster.world.put(Registration("actors/w", two.node_id, 999, "Where"))
        for value in range(1, 4):
            ref.put.tell(value)
        async with asyncio.timeout(5):
            while await place.get() == 0:
                await asyncio.sleep(0.005)
        assert one.dispatcher.counters.lost_tells == 0


async def test_a_tell_from_a_worker_thread_arrives():
    class Teller:
        def __init__(self, ref):
            self.ref = ref

        def tell(self, value):
            self.ref.put.tell(value)

    async with clusters.systems({}, {}) as (one, two):
        there = await two.spawn(Where, name="w")
        teller = await one.spawn(Teller, await one.resolve("w"))
        await teller.tell(9)
        async with asyncio.timeout(5):
            while await there.get() != 9:
                await asyncio.sleep(0.005)


async def test_calls_in_flight_are_counted_and_forgotten():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        service = nodes.one.services.named("actors/w")
        calls = [asyncio.ensure_future(ref.slow(0.2)) for _ in range(6)]
        streams = [aiter(ref.count(3)) for _ in range(3)]
        for each in streams:
            assert await anext(each) == 0
        assert [each.in_flight for each in service.instances()] == [3, 3, 3]
        await streams[0].aclose()
        assert [each async for each in streams[1]] == [1, 2]
        del streams, each
        calls[0].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(pul.PulsingActorError):
            await ref.nonsense()
        assert [each.in_flight for each in service.instances()] == [0, 0, 0]


async def test_the_time_of_a_call_is_not_longer_for_being_tried_twice():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        nodes.world.put(Registration("actors/w", nodes.two.node_id, 999, "Where"))
        loop = asyncio.get_running_loop()
        for _ in range(3):
            began = loop.time()
            with pytest.raises(pul.DeadlineExceeded):
                await ref.slow(30).with_timeout(0.2)
            assert loop.time() - began < 2


async def test_a_streamed_argument_that_was_begun_is_not_sent_again():
    async def numbers():
        for each in range(3):
            yield each

    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        for _ in range(3):
            assert await ref.gather(numbers()) == [0, 1, 2]
        refused = pul.ActorNotFound("no")
        assert can_be_sent_again([1, {"a": [2]}], refused)
        assert not can_be_sent_again([{"a": [numbers()]}], refused)
        assert can_be_sent_again([numbers()], pul.NodeUnreachable("no"))


async def test_a_reference_to_a_name_travels_as_one():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        echoed = await (await nodes.two.resolve("w@n1")).echo(ref)
        assert echoed == ref
        assert await counts(echoed, 30) == {1: 10, 2: 10, 3: 10}
        remote = await nodes.one.resolve("w@n2", cls=Where)
        assert {await remote.call(ref) for _ in range(6)} == {
            each.node_id for each in nodes.systems
        }
        typed = await remote.echo(await nodes.one.resolve("w", cls=Where))
        assert "Where proxy" in repr(typed)


async def test_the_policy_of_a_reference_travels_with_its_key_and_ones_own_does_not():
    class Last:
        def pick(self, candidates, rng):
            return candidates[-1]

    async with three() as nodes:
        remote = await nodes.one.resolve("w@n2")
        ref = await nodes.one.resolve("w")
        for key in "abc":
            keyed = await remote.echo(ref.with_key(key))
            assert await keyed.get() == await ref.with_key(key).get()
            assert place_of(keyed).policy.key == key
        least = await remote.echo(await nodes.one.resolve("w", policy=pul.LeastInFlight()))
        assert isinstance(place_of(least).policy, pul.LeastInFlight)
        own = await remote.echo(await nodes.one.resolve("w", policy=Last()))
        assert isinstance(place_of(own).policy, pul.RoundRobin)
        with pytest.raises(pul.WireError, match="its key has 2005 characters"):
            await remote.echo(ref.with_key("k" * 2000))


async def test_for_who_is_in_no_cluster_a_name_is_one_of_its_actors():
    async with three() as nodes:
        outside = await pul.ActorSystem.create()
        try:
            where = await outside.resolve(f"actor://{nodes.two.addr}/w")
            ref = await nodes.one.resolve("w")
            lender = await nodes.one.spawn(Lender(ref), name="lender")
            assert lender
            lent = await (await outside.resolve(f"actor://{nodes.one.addr}/lender")).lend()
            assert await lent.get() in (1, 2, 3)
            assert lent.actor_id.node in [each.node_id for each in nodes.systems]
            assert await where.get() == 2
        finally:
            await outside.shutdown()


class Lender:
    def __init__(self, ref):
        self.ref = ref

    async def lend(self):
        return self.ref


async def test_the_id_of_a_name_is_that_of_the_latest_instance():
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        node = await ref.node()
        assert ref.actor_id.node == node
        assert ref.name == "actors/w"
        assert str(ref.address) == "actor:///actors/w"
        same = await nodes.one.resolve("w", policy="random")
        assert same == ref
        assert hash(same) == hash(ref)
        exact = await nodes.one.refer(ref.actor_id)
        assert exact == ref
        assert "service actors/w" in repr(ref)
        assert await exact.node() == node
        for system in nodes.systems:
            await system.stop("w")
        assert exact != ref
        assert same == ref
        with pytest.raises(pul.ActorNotFound):
            _ = ref.actor_id


async def test_an_instance_is_named_with_its_node():
    async with three() as nodes:
        for form in ("w@n2", "actor:///w@n2", f"w@{nodes.two.node_id}", "actor://n2/w"):
            ref = await nodes.one.resolve(form)
            assert [await ref.get() for _ in range(3)] == [2, 2, 2], form
        assert await (await nodes.one.resolve("w", node_id="n2")).get() == 2
        assert await (await nodes.one.resolve("w@n1")).get() == 1
        assert (
            await (await Where.resolve("w", node_id=nodes.three.node_id, system=nodes.one)).get()
            == 3
        )
        exact = (await nodes.one.resolve("w@n2")).actor_id
        assert await (await nodes.one.resolve(f"actor://n2/{exact.local}")).get() == 2
        assert await (await nodes.one.refer(exact)).get() == 2
        assert await (await nodes.one.resolve(str(exact))).get() == 2
        with pytest.raises(pul.ActorNotFound, match=r"no node n9 .* n1"):
            await nodes.one.resolve("w@n9")
        with pytest.raises(ValueError, match="says otherwise"):
            await nodes.one.resolve("w@n2", node_id="n1")
        with pytest.raises(pul.ActorNotFound, match="no actor 'actors/v'"):
            await nodes.one.resolve("v@n2")
        nodes.world.change(nodes.two.node_id, status=MemberStatus.DEAD)
        with pytest.raises(pul.NodeUnreachable, match="n2 is Dead"):
            await nodes.one.resolve("w@n2")


async def test_resolving_waits_for_a_name_as_long_as_it_is_told_to():
    async with clusters.systems({}, {"node_name": "n2"}) as (one, two):
        with pytest.raises(pul.ActorNotFound, match=r"in the cluster$"):
            await one.resolve("w")
        with pytest.raises(pul.ActorNotFound, match=r"waited 0\.01 s"):
            await one.resolve("w", timeout=0.01)
        waiting = [asyncio.ensure_future(one.resolve(form, timeout=5)) for form in ("w", "w@n2")]
        hidden = asyncio.ensure_future(one.resolve("hidden", timeout=5))
        await asyncio.sleep(0.02)
        await two.spawn(Where, 2, name="w")
        await one.spawn(Where, 3, name="hidden", public=False)
        assert [await (await each).get() for each in waiting] == [2, 2]
        assert await (await hidden).get() == 3


async def test_an_actor_that_only_this_node_knows_comes_before_others_of_its_name():
    async with clusters.systems({}, {}) as (one, two):
        await one.spawn(Where, 1, name="w", public=False)
        await two.spawn(Where, 2, name="w")
        ref = await one.resolve("w")
        assert [await ref.get() for _ in range(4)] == [1] * 4


async def test_an_actor_that_is_still_starting_here_is_found_by_its_name():
    go = asyncio.Event()

    class Slow:
        async def on_start(self, actor_id):
            await go.wait()

        async def get(self):
            return 1

    async with clusters.systems({}) as (one,):
        spawning = asyncio.ensure_future(one.spawn(Slow(), name="slow"))
        await asyncio.sleep(0.01)
        ref = await one.resolve("slow")
        asking = asyncio.ensure_future(ref.get())
        go.set()
        assert await asking == 1
        await spawning


async def test_a_key_goes_to_the_same_instance_from_every_node():
    async with three() as nodes:
        for key in ("a", "b", "c", "d"):
            found = set()
            for system in nodes.systems:
                ref = await system.resolve("w")
                found |= {await ref.with_key(key).get() for _ in range(3)}
                typed = await system.resolve("w", cls=Where)
                found.add(await typed.with_key(key).get())
            assert len(found) == 1
        exact = await nodes.one.resolve("w@n2")
        assert exact.with_key("a") == exact


async def test_local_first_and_least_in_flight_and_the_others_are_policies():
    async with three() as nodes:
        local = await nodes.two.resolve("w", policy="local_first")
        assert await counts(local, 6) == {2: 6}
        least = await nodes.one.resolve("w", policy="least_in_flight")
        assert sorted(await asyncio.gather(*(least.slow(0.05) for _ in range(6)))) == [
            1, 1, 2, 2, 3, 3,
        ]  # fmt: skip
        for name in ("random", "power_of_two"):
            assert set(await counts(await nodes.one.resolve("w", policy=name), 60)) == {1, 2, 3}
        for name in ("w", "w@n2"):
            with pytest.raises(ValueError, match="round_robin"):
                await nodes.one.resolve(name, policy="fastest")
        with pytest.raises(TypeError, match="no policy"):
            await nodes.one.resolve("w", policy=7)
        with pytest.raises(ValueError, match="needs a key"):
            await (await nodes.one.resolve("w", policy="hash")).get()


async def test_a_policy_of_ones_own_picks():
    class Last:
        def pick(self, candidates, context):
            return max(candidates, key=lambda each: each.node_id)

    async with three() as nodes:
        ref = await nodes.one.resolve("w", policy=Last())
        assert await ref.node() == max(each.node_id for each in nodes.systems)


async def test_stop_ends_an_actor_of_another_node_and_waits_for_it():
    async with three() as nodes:
        await nodes.one.stop("w")
        with pytest.raises(pul.PulsingRuntimeError, match="2 nodes have an actor") as caught:
            await nodes.one.stop("w")
        assert "actors/w@n2" in str(caught.value)
        await nodes.one.spawn(Where, name="w")
        await nodes.one.stop("w@n1")
        assert nodes.one.actors() == []
        assert nodes.one._steward is None
        await nodes.one.stop("w@n2")
        assert nodes.two.actors() == []
        await nodes.one.stop(await nodes.one.resolve("w"))  # the only one left
        assert nodes.three.actors() == []
        with pytest.raises(pul.ActorNotFound):
            await nodes.one.stop("w")
        for form in (lambda a: a, lambda a: a.actor_id, lambda a: str(a.ref.address)):
            there = await nodes.two.spawn(Where, name="x")
            there = await nodes.one.resolve("x@n2", cls=Where)
            await nodes.one.stop(form(there), grace_s=0.1)
            with pytest.raises(pul.PulsingRuntimeError):
                await there.get()


async def test_the_actor_of_a_node_itself_is_in_no_list_and_cannot_be_stopped():
    async with three() as nodes:
        await nodes.one.stop("w@n2")
        assert [each["name"] for each in nodes.two.actors()] == []
        with pytest.raises(ValueError, match="reserved"):
            await nodes.one.resolve("system/node")
        with pytest.raises(pul.ActorNotFound):
            await nodes.one.stop(pul.ActorId(nodes.two.node_id, 0))


async def test_a_reference_that_says_only_which_node_it_is_of_finds_the_node_in_the_cluster():
    async with three() as nodes:
        there = (await nodes.one.resolve("w@n2")).actor_id
        place = nodes.one.arrived(there, name=None, host_port=None, class_name="Where")
        assert place.host_port == nodes.two.addr
        assert await pul.ActorRef(place).get() == 2
        unknown = pul.ActorId("0" * 32, 1)
        with pytest.raises(pul.ActorNotFound, match="without an address"):
            nodes.one.arrived(unknown, name=None, host_port=None, class_name="Where")


async def test_an_instance_that_could_not_be_reached_is_tried_last_for_a_moment(monkeypatch):
    async with three() as nodes:
        ref = await nodes.one.resolve("w")
        service = nodes.one.services.named("actors/w")
        nodes.world.put(Registration("actors/w", nodes.two.node_id, 999, "Where"))
        await counts(ref, 3)
        (avoided,) = [each for each in service.instances() if each.suspect]
        assert avoided.node_id == nodes.two.node_id
        monkeypatch.setattr("pulsing.actor.service.AVOID_S", 0.0)
        service.avoid(avoided)
        assert not any(each.suspect for each in service.instances())
