import asyncio
import threading

import pytest

import pulsing as pul
from pulsing.testing import pulsing_system


@pul.remote
class Counter:
    def __init__(self, init=0, *, name=None):
        self.value = init
        self.label = name

    def incr(self, n=1):
        self.value += n
        return self.value

    async def labelled(self):
        return self.label


class Typed(pul.Actor):
    def __init__(self, init: int = 0) -> None:
        self.value = init

    @pul.method
    def incr(self, n: int = 1) -> int:
        """Add."""
        self.value += n
        return self.value

    @pul.method
    async def twice(self) -> int:
        return self.incr() + type(self).incr(self)  # type: ignore[operator]

    @pul.method(executor="loop", stream_buffer=2)
    def stream(self, n: int):
        yield from range(n)


def test_the_decorated_class_stays_a_class():
    local = Counter(5)
    assert isinstance(local, Counter)
    assert local.incr() == 6

    class Child(Counter):
        def more(self):
            return "more"

    assert issubclass(Child, Counter)
    assert Child(1).incr() == 2


async def test_a_subclass_can_be_spawned_with_the_options_of_its_base():
    @pul.remote(max_concurrency=3)
    class Base:
        async def hello(self):
            return "hello"

    class Child(Base):
        async def more(self):
            return "more"

    async with pulsing_system():
        child = await Child.spawn()
        assert await child.hello() == "hello"
        assert await child.more() == "more"


async def test_spawn_gives_constructor_arguments_and_a_name():
    async with pulsing_system():
        c = await Counter.spawn(10, name="counter")
        assert c.ref.name == "actors/counter"
        assert await c.incr() == 11


async def test_options_leave_all_arguments_to_the_constructor():
    async with pulsing_system() as system:
        c = await Counter.options(name="outer", public=False).spawn(1, name="inner")
        assert c.ref.name == "actors/outer"
        assert await c.labelled() == "inner"
        assert system.actors()[0]["public"] is False


async def test_spawn_in_a_system_of_ones_own():
    one = await pul.actor_system()
    two = await pul.actor_system()
    try:
        a = await Counter.spawn(1, name="c", system=one)
        b = await Counter.options(name="c", system=two).spawn(2)
        assert (await a.incr(), await b.incr()) == (2, 3)
        assert await (await Counter.resolve("c", system=two)).incr() == 4
    finally:
        await one.shutdown()
        await two.shutdown()


async def test_without_a_system_spawn_says_what_to_do():
    with pytest.raises(pul.PulsingRuntimeError, match=r"pul\.init"):
        await Counter.spawn()


async def test_a_typed_actor_works_as_any_other():
    async with pulsing_system():
        c = await Typed.spawn(3)
        assert await c.incr(2) == 5
        assert await c.twice() == 13
        assert [item async for item in c.stream(5)] == list(range(5))
        assert await (await Typed.options(name="t").spawn(1)).incr() == 2
        assert await (await Typed.resolve("t")).incr() == 3
        assert dir(c).count("incr") == 1
        assert "spawn" not in dir(c)


def test_a_declared_method_is_a_plain_method_of_a_local_instance():
    local = Typed(1)
    assert local.incr(1) == 2
    assert Typed.incr(local, 1) == 3
    assert Typed.incr.__doc__ == "Add."
    assert list(local.stream(2)) == [0, 1]


def test_own_operations_are_a_clear_conflict():
    with pytest.raises(TypeError, match=r"has its own 'resolve'.*pul\.spawn\(Dns\(\.\.\.\)\)"):

        @pul.remote
        class Dns:
            def resolve(self, name): ...


def test_only_classes_can_be_decorated():
    with pytest.raises(TypeError, match="decorates classes"):
        pul.remote(lambda: None)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"executor": "fiber"}, "'loop' or 'thread' or 'process'"),
        ({"on_full": "drop"}, "'wait' or 'reject'"),
        ({"max_concurrency": 0}, "at least 1"),
        ({"mailbox_size": -1}, "at least 1"),
        ({"stream_buffer": 0}, "at least 1"),
    ],
)
def test_an_option_without_such_a_value_is_refused(options, hint):
    for made in (pul.remote, Counter.options):
        with pytest.raises(ValueError, match=hint):
            made(**options)


def test_unknown_options_are_refused():
    with pytest.raises(TypeError):
        pul.remote(restart="always")


async def test_def_methods_run_in_a_thread_or_on_the_loop():
    class Where:
        def __init__(self):
            self.made_in = threading.get_ident()

        def here(self):
            return self.made_in, threading.get_ident()

    async with pulsing_system():
        loop = threading.get_ident()
        made, ran = await (await pul.spawn(Where)).here()
        assert made != loop
        assert ran != loop
        inline = pul.remote(executor="loop")(type("Inline", (Where,), {}))
        assert await (await inline.spawn()).here() == (loop, loop)
        threaded = inline.options(executor="thread")
        assert (await (await threaded.spawn()).here())[1] != loop


async def test_max_concurrency_of_one_makes_an_actor_sequential():
    @pul.remote(max_concurrency=1)
    class Strict:
        def __init__(self):
            self.inside = 0

        async def step(self):
            self.inside += 1
            await asyncio.sleep(0.001)
            seen, self.inside = self.inside, self.inside - 1
            return seen

    async with pulsing_system():
        strict = await Strict.spawn()
        assert set(await asyncio.gather(*(strict.step() for _ in range(10)))) == {1}
        loose = await Strict.options(max_concurrency=10).spawn()
        assert max(await asyncio.gather(*(loose.step() for _ in range(10)))) > 1


async def test_a_full_mailbox_can_reject():
    @pul.remote(max_concurrency=1, mailbox_size=1, on_full="reject")
    class Slow:
        async def step(self):
            await asyncio.sleep(0.02)

    async with pulsing_system():
        slow = await Slow.spawn()
        outcomes = await asyncio.gather(*(slow.step() for _ in range(10)), return_exceptions=True)
        assert any(isinstance(outcome, pul.MailboxFull) for outcome in outcomes)
        assert None in outcomes
