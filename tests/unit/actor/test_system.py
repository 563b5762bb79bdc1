import asyncio
import threading

import pytest

import pulsing as pul
from pulsing.testing import assert_no_leaks, pulsing_system


class Plain:
    def __init__(self, value=0):
        self.value = value

    async def get(self):
        return self.value


class Hooked:
    log: list[object] = []  # noqa: RUF012

    def __init__(self, fail=None):
        self.fail = fail
        if fail == "init":
            raise ValueError("init failed")

    async def on_start(self, actor_id):
        Hooked.log.append(("start", actor_id))
        if self.fail == "start":
            raise ValueError("start failed")

    def on_stop(self):
        Hooked.log.append("stop")

    def metadata(self):
        return {"gpu": 1}

    async def slow(self, seconds):
        await asyncio.sleep(seconds)
        return "done"


@pytest.fixture(autouse=True)
def _fresh_log():
    Hooked.log.clear()


async def test_names_follow_the_rules():
    async with pulsing_system():
        assert (await pul.spawn(Plain(), name="a")).name == "actors/a"
        assert (await pul.spawn(Plain(), name="services/llm/router")).name == "services/llm/router"
        generated = (await pul.spawn(Plain())).name
        assert generated.startswith("actors/Plain_")
        for wrong in ("", "a b", "system/x", "a//b"):
            with pytest.raises(ValueError, match="name"):
                await pul.spawn(Plain(), name=wrong)


async def test_a_name_is_taken_once_and_free_after_a_stop():
    async with pulsing_system() as system:
        first = await pul.spawn(Plain, 1, name="a")
        with pytest.raises(pul.NameTaken, match="'actors/a' already exists"):
            await pul.spawn(Plain, 2, name="a")
        with pytest.raises(pul.NameTaken, match="already exists"):
            await pul.spawn(Plain(), name="actors/a")
        await system.stop("a")
        second = await pul.spawn(Plain, 3, name="a")
        assert await second.get() == 3
        assert first != second
        with pytest.raises(pul.ActorStopped):
            await first.get()


async def test_of_two_spawns_at_once_one_gets_the_name():
    async with pulsing_system():
        outcomes = await asyncio.gather(
            *(pul.spawn(Plain, name="a") for _ in range(2)), return_exceptions=True
        )
        assert sorted(isinstance(each, pul.NameTaken) for each in outcomes) == [False, True]


@pytest.mark.parametrize("fail", ["init", "start"])
async def test_a_failed_start_says_why_and_leaves_nothing(fail):
    async with pulsing_system() as system:
        with pytest.raises(ValueError, match=f"{fail} failed") as caught:
            await pul.spawn(Hooked, fail, name="a")
        assert isinstance(caught.value, pul.PulsingActorError)
        assert system.actors() == []
        assert await (await pul.spawn(Hooked, name="a")).slow(0) == "done"


async def test_wrong_constructor_arguments_are_a_type_error():
    async with pulsing_system():
        with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
            await pul.spawn(Plain, x=1)
        with pytest.raises(TypeError, match="takes no arguments"):
            await pul.spawn(Plain(), 1)
        with pytest.raises(TypeError):
            await pul.spawn(Plain(), colour="red")


async def test_hooks_run_in_their_time():
    async with pulsing_system() as system:
        actor = await pul.spawn(Hooked, name="a")
        assert Hooked.log == [("start", actor.actor_id)]
        await system.stop(actor)
        assert Hooked.log == [("start", actor.actor_id), "stop"]
        await pul.spawn(Hooked, name="b")
    assert Hooked.log[-1] == "stop"


async def test_metadata_is_part_of_what_actors_say_of_themselves():
    async with pulsing_system() as system:
        actor = await pul.spawn(Hooked, name="a")
        (said,) = system.actors()
        assert said["name"] == "actors/a"
        assert said["actor_id"] == str(actor.actor_id)
        assert said["state"] == "running"
        assert said["public"] is True
        assert said["metadata"] == {"gpu": "1"}
        cell = system.find_cell("actors/a")
        assert cell is not None
        described = system.describe(cell)
        assert described["methods"] == [["slow", "async", "(seconds)", "", 0]]
        assert described["metadata"] == {"gpu": "1"}


async def test_peers_find_public_names_and_any_exact_id():
    async with pulsing_system() as system:
        hidden = await pul.spawn(Plain(), name="hidden", public=False)
        unnamed = await pul.spawn(Plain())
        shown = await pul.spawn(Plain(), name="shown")
        assert system.find_cell("actors/shown") is not None
        assert system.find_cell("actors/hidden") is None
        assert system.find_cell(unnamed.name) is None
        for ref in (hidden, unnamed, shown):
            assert system.find_cell(f"@{ref.actor_id}") is not None
        for nonsense in ("", "@", "@x", f"@{system.node_id}/99", f"@{system.node_id}/x", "@/1"):
            assert system.find_cell(nonsense) is None
        assert await pul.resolve("hidden") == hidden


async def test_resolve_takes_every_form_of_address():
    async with pulsing_system() as system:
        a = await pul.spawn(Plain, 1, name="a")
        node, local = system.node_id, a.actor_id.local
        for text in (
            "a",
            "actors/a",
            "actor:///a",
            f"actor:///a@{node}",
            "actor:///a@localhost",
            f"actor://{node}/{local}",
            f"actor://localhost/{local}",
            f"{node}/{local}",
        ):
            assert await pul.resolve(text) == a, text
        with pytest.raises(pul.ActorNotFound, match="node other"):
            await pul.resolve("actor:///a@other")
        with pytest.raises(pul.ActorNotFound, match="no actor"):
            await pul.resolve("actor://localhost/99")
        with pytest.raises(ValueError, match="not an actor"):
            await pul.resolve("http://a/b")


async def test_resolve_waits_for_a_name_as_long_as_it_is_told():
    async with pulsing_system():
        with pytest.raises(pul.ActorNotFound, match="no actor 'actors/late'"):
            await pul.resolve("late")
        with pytest.raises(pul.ActorNotFound, match=r"waited 0\.01 s"):
            await pul.resolve("late", timeout=0.01)
        waiting = asyncio.create_task(pul.resolve("late", cls=Plain, timeout=5))
        await asyncio.sleep(0)
        await pul.spawn(Plain, 7, name="late")
        assert await (await waiting).get() == 7


async def test_a_shutdown_ends_waiting_for_names():
    async with pulsing_system() as system:
        waiting = asyncio.create_task(pul.resolve("never", timeout=5))
        await asyncio.sleep(0)
        await system.shutdown()
        with pytest.raises(pul.PulsingRuntimeError, match="shut down"):
            await waiting


async def test_stopping_what_is_not_there_is_an_error():
    async with pulsing_system() as system:
        with pytest.raises(pul.ActorNotFound):
            await system.stop("a")


async def test_an_actor_that_stops_itself_frees_its_name_at_once():
    class Mortal:
        async def die(self):
            pul.current().stop()
            await asyncio.sleep(10)

        async def end_through_the_system(self):
            await pul.get_system().stop("a")

    async with pulsing_system() as system:
        with pytest.raises(pul.ActorStopped):
            await (await pul.spawn(Mortal, name="a")).die()
        assert system.actors() == []
        actor = await pul.spawn(Mortal, name="a")
        await asyncio.wait([asyncio.ensure_future(actor.end_through_the_system())])
        assert system.actors() == []


async def test_a_stop_with_grace_lets_calls_finish():
    async with pulsing_system() as system:
        actor = await pul.spawn(Hooked, name="a")
        call = asyncio.ensure_future(actor.slow(0.02))
        await asyncio.sleep(0)
        await system.stop("a", grace_s=1)
        assert await call == "done"


async def test_drain_finishes_what_is_under_way_and_starts_nothing_new():
    async with pulsing_system() as system:
        actor = await pul.spawn(Hooked)
        call = asyncio.ensure_future(actor.slow(0.02))
        await asyncio.sleep(0)
        assert await system.drain(1.0) is True
        assert call.done()
        with pytest.raises(pul.PulsingRuntimeError, match="draining"):
            await pul.spawn(Plain())


async def test_drain_gives_up_after_its_time():
    async with pulsing_system() as system:
        actor = await pul.spawn(Hooked)
        call = asyncio.ensure_future(actor.slow(10))
        await asyncio.sleep(0)
        assert await system.drain(0.01) is False
        await system.shutdown()
        with pytest.raises(pul.ActorStopped):
            await call


async def test_a_closed_system_refuses():
    async with pulsing_system() as system:
        pass
    for attempt in (system.spawn(Plain()), system.spawn(Plain), system.resolve("a")):
        with pytest.raises(pul.PulsingRuntimeError, match="shut down"):
            await attempt
    assert "closed" in repr(system)


async def test_mount_works_from_any_thread_and_in_a_constructor():
    class Mounted:
        def __init__(self):
            pul.mount(self, name="mounted")

        def where(self):
            return threading.get_ident()

    async with pulsing_system() as system:
        Mounted()
        ref = await pul.resolve("mounted")
        assert await ref.where() != threading.get_ident()
        with pytest.raises(pul.NameTaken):
            Mounted()
        pul.unmount("mounted")
        with pytest.raises(pul.ActorNotFound):
            pul.unmount("mounted")
        thread = threading.Thread(target=Mounted)
        thread.start()
        assert await (await pul.resolve("mounted", timeout=5)).where()
        await asyncio.to_thread(thread.join)
        await asyncio.to_thread(pul.unmount, "mounted")
        assert system.actors() == []


async def test_a_mounted_actor_whose_start_fails_is_unmounted(caplog):
    async with pulsing_system() as system:
        pul.mount(Hooked("start"), name="a")
        async with asyncio.timeout(5):
            while system.actors():
                await asyncio.sleep(0.001)
        assert "on_start failed" in caplog.text


async def test_create_wants_the_running_loop():
    other = asyncio.new_event_loop()
    other.close()
    with pytest.raises(ValueError, match="another one"):
        await pul.ActorSystem.create(loop=other)
    system = await pul.ActorSystem.create(loop=asyncio.get_running_loop())
    await system.shutdown()
    await system.shutdown()


async def test_a_standalone_system_opens_no_port_and_leaves_nothing():
    async with assert_no_leaks(), pulsing_system() as system:
        assert system.addr is None
        assert len(system.node_id) == 32
        await pul.spawn(Plain)


async def test_actors_spawn_into_their_own_system_by_default():
    class Parent:
        async def child(self):
            return (await pul.spawn(Plain, 5)).ref

    system = await pul.actor_system()
    try:
        parent = await system.spawn(Parent)
        child = await parent.child()
        assert child.actor_id.node == system.node_id
        assert await child.get() == 5
    finally:
        await system.shutdown()
