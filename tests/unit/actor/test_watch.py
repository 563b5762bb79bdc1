"""Watching: exactly one `Terminated` for each watch, within a node and between nodes."""

import asyncio
import contextlib
import gc

import pytest

import pulsing as pul
from pulsing.actor import watch_client
from pulsing.testing import FaultProxy
from tests.unit.actor.watchers import Watcher, Worker, end, hears, nodes, seen_from, started, until

Reason = pul.ExitReason


both = pytest.mark.parametrize("where", ["here", "there"])


@contextlib.asynccontextmanager
async def pair(where):
    """The system of the watchers, and that of the workers: the same one, or another."""
    async with nodes(2) as (one, two):
        yield one, one if where == "here" else two


async def worker_of(here, there):
    ref = await there.spawn(Worker())
    return ref, await seen_from(here, ref)


@both
@pytest.mark.parametrize(
    ("reason", "error", "text"),
    [
        (Reason.NORMAL, None, None),
        (Reason.KILLED, None, None),
        (Reason.ERROR, ValueError("broken"), "ValueError: broken"),
    ],
)
async def test_a_watcher_hears_once_how_an_actor_ended(where, reason, error, text):
    async with pair(where) as (here, there):
        watcher, ref = await started(here)
        theirs, worker = await worker_of(here, there)
        await ref.do("watch", worker)
        await ref.do("watch", worker)  # watching it twice is watching it once
        await end(there, theirs, reason, error)
        event = await hears(watcher)
        assert event == pul.Terminated(worker, reason, text)
        assert event.ref == worker
        assert await here.watch(worker) == pul.Terminated(worker, Reason.NOT_FOUND)
        assert watcher.trace == [event]


@both
async def test_code_outside_actors_awaits_the_end(where):
    async with pair(where) as (here, there):
        theirs, worker = await worker_of(here, there)
        futures = [here.watch(worker) for _ in range(3)]
        await until(lambda: here.watching.is_placed(worker.actor_id))
        assert not any(each.done() for each in futures)
        await there.stop(theirs)
        async with asyncio.timeout(10):
            assert {each.reason for each in await asyncio.gather(*futures)} == {Reason.NORMAL}
        await until(lambda: not len(here.watching))


@both
async def test_what_is_gone_already_is_not_found(where):
    async with pair(where) as (here, there):
        watcher, ref = await started(here)
        theirs, worker = await worker_of(here, there)
        await there.stop(theirs)
        await ref.do("watch", worker)
        assert (await hears(watcher)).reason is Reason.NOT_FOUND


@both
async def test_a_watch_that_was_dropped_hears_nothing(where):
    async with pair(where) as (here, there):
        watcher, ref = await started(here)
        (theirs, worker), (more, other) = await worker_of(here, there), await worker_of(here, there)
        await ref.do("watch", worker)
        await ref.do("watch", other)
        await ref.do("unwatch", worker)
        await ref.do("unwatch", worker)
        await end(there, theirs)
        await end(there, more)
        assert (await hears(watcher)).ref == other
        assert watcher.trace[1:] == []


@both
async def test_a_cancelled_wait_ends_the_watch(where):
    async with pair(where) as (here, there):
        theirs, worker = await worker_of(here, there)
        watch = here.watch(worker)
        watch.cancel()
        await until(lambda: not len(here.watching))
        await there.stop(theirs)
        gc.collect()


@both
async def test_a_watcher_that_has_stopped_is_forgotten(where):
    async with pair(where) as (here, there):
        watcher, ref = await started(here)
        theirs, worker = await worker_of(here, there)
        await ref.do("watch", worker)
        await here.stop(ref)
        assert not len(here.watching)
        await there.stop(theirs)
        assert watcher.trace == []


@both
async def test_a_proxy_can_be_watched_and_equals_what_is_heard(where):
    async with pair(where) as (here, there):
        theirs = await there.spawn(Worker)
        address = (await there.refer(theirs)).address
        typed = await here.resolve(str(address), cls=Worker)
        watch = here.watch(typed)
        await there.stop(theirs)
        assert (await watch).ref == typed


async def test_events_arrive_as_messages_where_there_is_only_receive():
    class Raw(pul.Actor):
        def __init__(self):
            self.got = asyncio.Queue()

        async def receive(self, msg):
            if isinstance(msg, pul.Terminated):
                self.got.put_nowait(msg)
            else:
                pul.current().watch(msg)

    async with nodes() as system:
        raw = Raw()
        ref = await system.spawn(raw)
        worker = await system.spawn(Worker())
        await ref.ask(worker)
        await system.stop(worker)
        assert (await raw.got.get()).ref == worker


async def test_events_come_before_messages_that_wait():
    async with nodes() as system:
        watcher = Watcher()
        ref = await system.spawn(watcher, max_concurrency=1, mailbox_size=3)
        first, second = await system.spawn(Worker()), await system.spawn(Worker())
        await ref.do("watch", first)
        await ref.do("watch", second)
        for number in range(3):  # one turn of the loop: nothing of it has started
            ref.note.tell(number)
        end(system, first)
        end(system, second)
        await until(lambda: len(watcher.trace) == 5)
        notes = [each for each in watcher.trace if isinstance(each, int)]
        events = [each.ref for each in watcher.trace if not isinstance(each, int)]
        assert notes == [0, 1, 2]
        assert events == [first, second]


async def test_a_worker_thread_can_watch():
    async with nodes() as system:
        watcher, ref = await started(system)
        worker = await system.spawn(Worker())
        await ref.do_in_a_thread("watch", worker)
        await system.stop(worker)
        assert (await hears(watcher)).ref == worker


async def test_a_failing_handler_is_reported_and_the_actor_hears_the_next():
    class Clumsy(Watcher):
        async def on_terminated(self, event):
            await super().on_terminated(event)
            raise ValueError("clumsy")

    async with nodes() as system:
        watcher = Clumsy()
        ref = await system.spawn(watcher)
        workers = [await system.spawn(Worker()) for _ in range(2)]
        for worker in workers:
            await ref.do("watch", worker)
        for worker in workers:
            await system.stop(worker)
            assert (await hears(watcher)).ref == worker


@pytest.mark.parametrize("verb", ["watch", "link"])
async def test_bad_use_is_an_error_at_once(verb):
    class Deaf(pul.Actor):
        async def watch(self, whom):
            pul.current().watch(whom)

        async def trap(self):
            pul.current().trap_exits()

    async with nodes(2) as (system, other):
        _, ref = await started(system)
        for nothing in (None, "name", 5):
            with pytest.raises(TypeError, match=f"cannot {verb} {nothing!r}: that is no actor"):
                await ref.do(verb, nothing)
        with pytest.raises(ValueError, match=f"cannot {verb} itself"):
            await ref.do(verb, ref)
        with pytest.raises(TypeError, match="that is no actor"):
            system.watch(None)
        with pytest.raises(pul.PulsingRuntimeError, match="another actor system"):
            system.watch(await other.spawn(Worker()))
        deaf = await system.spawn(Deaf())
        with pytest.raises(TypeError, match="neither on_terminated"):
            await deaf.watch(ref)
        with pytest.raises(TypeError, match="neither on_terminated"):
            await deaf.trap()
        assert not len(system.watching)


async def test_who_waits_when_the_system_is_shut_down_gets_an_error():
    async with nodes(2) as (one, two):
        worker = await two.spawn(Worker())
        watch = one.watch(await seen_from(one, worker))
        await one.shutdown()
        with pytest.raises(pul.PulsingRuntimeError, match="shut down before"):
            await watch
        with pytest.raises(pul.PulsingRuntimeError):
            one.watch(worker)


# --- between nodes --------------------------------------------------------------------------------


async def test_a_standalone_node_can_watch_others():
    async with nodes() as two:
        one = await pul.ActorSystem.create()
        try:
            worker = await two.spawn(Worker())
            watch = one.watch(await seen_from(one, worker))
            await until(lambda: one.watching.is_placed(worker.actor_id))
            await two.stop(worker)
            assert (await watch).reason is Reason.NORMAL
        finally:
            await one.shutdown()


async def test_of_a_node_that_shuts_down_actors_end_normally_or_are_down():
    async with nodes(2) as (one, two):
        workers = [await two.spawn(Worker()) for _ in range(5)]
        watches = [one.watch(await seen_from(one, each)) for each in workers]
        await until(lambda: all(one.watching.is_placed(each.actor_id) for each in workers))
        await two.shutdown()
        async with asyncio.timeout(5):
            reasons = {each.reason for each in await asyncio.gather(*watches)}
        assert reasons <= {Reason.NORMAL, Reason.NODE_DOWN}


async def test_a_drain_does_not_wait_for_those_who_watch():
    async with nodes(2) as (one, two):
        worker = await two.spawn(Worker())
        watch = one.watch(await seen_from(one, worker))
        await until(lambda: one.watching.is_placed(worker.actor_id))
        async with asyncio.timeout(5):
            assert await two.drain(60)
            assert (await watch).reason is Reason.NODE_DOWN


async def through_a_proxy(one, two, proxy):
    worker = await two.spawn(Worker())
    return worker, await one.resolve(f"actor://{proxy.addr}/{worker.actor_id}")


async def test_a_lost_connection_alone_is_no_end_and_what_ended_meanwhile_is_told_as_it_was():
    async with nodes(2) as (one, two):
        with FaultProxy(two.addr) as proxy:
            watcher, ref = await started(one)
            worker, seen = await through_a_proxy(one, two, proxy)
            other, seen_other = await through_a_proxy(one, two, proxy)
            await ref.do("watch", seen)
            await ref.do("watch", seen_other)
            for _ in range(3):
                accepted = proxy.accepted
                proxy.reset()
                await until(lambda before=accepted: proxy.accepted > before)
            assert await seen.ping() == "pong"
            assert watcher.trace == []
            proxy.set(cut=True)
            await end(two, worker, Reason.ERROR, ValueError("unheard"))
            await asyncio.sleep(0.02)
            proxy.reset()  # what was said on the way is lost with the connection
            proxy.heal()
            assert await hears(watcher) == pul.Terminated(seen, Reason.ERROR, "ValueError: unheard")
            await end(two, other)
            assert (await hears(watcher)).ref == seen_other
            assert len(watcher.trace) == 2


async def test_a_lost_connection_and_a_refused_one_are_the_end_of_the_node():
    async with nodes(2) as (one, two):
        with FaultProxy(two.addr) as proxy:
            watcher, ref = await started(one)
            _, seen = await through_a_proxy(one, two, proxy)
            await ref.do("watch", seen)
            proxy.refuse()
            assert await seen.ping() == "pong"
            loop = asyncio.get_running_loop()
            began = loop.time()
            proxy.reset()
            assert await hears(watcher) == pul.Terminated(seen, Reason.NODE_DOWN)
            assert loop.time() - began < 1.0


async def test_another_process_at_the_address_is_the_end_of_the_node():
    async with nodes(3) as (one, two, three):
        with FaultProxy(two.addr) as proxy:
            watcher, ref = await started(one)
            _, seen = await through_a_proxy(one, two, proxy)
            await ref.do("watch", seen)
            proxy.retarget(three.addr)
            proxy.reset()
            assert (await hears(watcher)).reason is Reason.NODE_DOWN


async def test_without_a_cluster_a_node_that_cannot_be_reached_for_long_is_down(monkeypatch):
    monkeypatch.setattr(watch_client, "GIVE_UP_S", 0.5)
    monkeypatch.setattr(watch_client, "OPEN_S", 0.2)
    async with nodes(2, connect_timeout_s=0.2) as (one, two):
        with FaultProxy(two.addr) as proxy:
            watcher, ref = await started(one)
            _, seen = await through_a_proxy(one, two, proxy)
            await ref.do("watch", seen)
            loop = asyncio.get_running_loop()
            began = loop.time()
            proxy.set(cut=True)
            proxy.reset()
            assert (await hears(watcher)).reason is Reason.NODE_DOWN
            assert loop.time() - began > 0.4


async def test_a_node_that_talks_nonsense_does_no_harm():
    class Mad:
        async def watched(self, ours, theirs, addr):
            yield 7
            yield [[1, "a reason that is none", None]]

        async def watch_orders(self, *orders):
            return "nonsense"

    async with nodes(2) as (one, two):
        worker = await two.spawn(Worker())
        two.find_cell("system/node").instance = Mad()
        watch = one.watch(await seen_from(one, worker))
        await asyncio.sleep(0.05)
        assert not watch.done()
        watch.cancel()
        other = one.watch(await one.spawn(Worker(), name="w"))
        await one.stop("w")
        assert (await other).reason is Reason.NORMAL


async def test_thousands_are_watched_and_told_in_batches():
    async with nodes(2) as (one, two):
        watcher, ref = await started(one)
        workers = [await two.spawn(Worker()) for _ in range(2500)]
        seen = [
            pul.ActorRef(
                one.arrived(each.actor_id, name=None, host_port=two.addr, class_name="Worker")
            )
            for each in workers
        ]
        for each in seen:
            one.watching.watch(one.numbered(ref.actor_id.local), each)
        await until(lambda: all(one.watching.is_placed(each.actor_id) for each in workers))
        await two.shutdown()
        await until(lambda: len(watcher.trace) == len(workers))
        assert len({each.ref for each in watcher.trace}) == len(workers)
        assert not len(one.watching)


async def test_a_reference_to_what_has_stopped_arrives_and_only_its_calls_fail():
    async with nodes(2) as (one, two):
        watcher, ref = await started(one)
        keeper = Watcher()
        kept = await seen_from(one, await two.spawn(keeper))
        worker = await one.spawn(Worker())
        await kept.note({"worker": worker})
        await one.stop(worker)
        (back,) = await kept.trace
        assert back == {"worker": worker}
        again = back["worker"]
        for call in (again.ping(), again.ask("msg"), again.no_such_method(1)):
            with pytest.raises(pul.ActorStopped) as caught:
                await call
            assert caught.value.delivered is pul.Delivery.NO
        with pytest.raises(pul.ActorStopped):
            await again.tell("msg")
        with pytest.raises(pul.ActorStopped):
            await again.as_any().stream.tell()
        await ref.do("watch", again)
        assert (await hears(watcher)).reason is Reason.NOT_FOUND
        with pytest.raises(pul.ActorNotFound):
            await one.stop(again)


@both
async def test_a_restart_is_no_end(where):
    async with pair(where) as (here, there):
        watcher, ref = await started(here)
        phoenix = await there.spawn(Phoenix)
        seen = await here.resolve(str((await there.refer(phoenix)).address))
        await ref.do("watch", seen)
        with pytest.raises(RuntimeError):
            await seen.burn()
        assert await seen.lives().with_timeout(10) == 1
        assert watcher.trace == []
        await there.stop(phoenix)
        assert await hears(watcher) == pul.Terminated(seen, Reason.NORMAL)
        assert len(watcher.trace) == 1


async def test_watches_of_an_actor_outlive_its_restart():
    async with nodes() as system:
        phoenix = await system.spawn(Phoenix)
        worker = await system.spawn(Worker())
        await phoenix.watch(worker)
        with pytest.raises(RuntimeError):
            await phoenix.burn()
        assert await phoenix.lives() == 1
        await system.stop(worker)
        await until(lambda: system.numbered(phoenix.actor_id.local).instance.heard)


@pul.remote(restart_policy="on_failure", min_backoff=0.001, max_backoff=0.01)
class Phoenix:
    def __init__(self):
        self.restarts = 0
        self.heard = []

    async def on_restart(self, error, attempt):
        self.restarts = attempt

    async def on_terminated(self, event):
        self.heard.append(event)

    async def watch(self, whom):
        await pul.current().watch(whom)

    async def link(self, whom):
        await pul.current().link(whom)

    async def burn(self):
        raise RuntimeError("burning")

    async def lives(self):
        return self.restarts
