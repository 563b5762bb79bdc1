import copy
import inspect
import pickle
import re

import pytest

import pulsing as pul
from pulsing.testing import pulsing_system


@pul.remote
class Counter:
    """Counts."""

    kind = "counter"

    def __init__(self, init=0):
        self.value = init
        self._secret = 1

    def incr(self, n: int = 1) -> int:
        """Add and return."""
        self.value += n
        return self.value

    async def get(self):
        return self.value

    async def stream(self, n):
        for i in range(n):
            yield i

    def numbers(self, n):
        yield from range(n)

    async def none(self):
        return None

    @property
    def doubled(self):
        return self.value * 2

    def boom(self):
        raise ValueError("")


@pul.remote
class Awkward:
    """Its methods are called as members of proxies and references are."""

    async def ask(self, x):
        return "ask", x

    async def tell(self):
        return "tell"

    async def sync(self):
        return "sync"

    async def as_any(self):
        return "as_any"

    async def actor_id(self):
        return "actor_id"


async def test_methods_are_called_and_results_come_back():
    async with pulsing_system():
        c = await Counter.spawn(10)
        assert await c.incr() == 11
        assert await c.incr(5) == 16
        assert await c.incr(n=4) == 20
        assert await c.get() == 20
        assert await c.none() is None


async def test_streams_are_iterated_or_collected():
    async with pulsing_system():
        c = await Counter.spawn()
        assert [item async for item in c.stream(3)] == [0, 1, 2]
        assert [item async for item in c.numbers(3)] == [0, 1, 2]
        assert await c.stream(2) == [0, 1]


async def test_a_tell_is_done_before_the_call_after_it():
    async with pulsing_system():
        c = await Counter.spawn()
        c.incr.tell(5)
        await c.incr.tell(6)
        assert await c.get() == 11


async def test_attributes_are_read_with_await():
    async with pulsing_system():
        c = await Counter.spawn(4)
        assert await c.value == 4
        assert await c.doubled == 8
        assert await c.kind == "counter"
        assert await c.as_any().value == 4


async def test_a_typed_proxy_refuses_unknown_names_at_once():
    async with pulsing_system():
        c = await Counter.spawn()
        with pytest.raises(
            AttributeError, match=re.escape("No method 'inrc' on Counter")
        ) as caught:
            c.inrc  # noqa: B018
        assert "it has: boom, get, incr, none, numbers, stream" in str(caught.value)
        assert "Did you mean 'incr'?" in str(caught.value)
        assert not hasattr(c, "nothing")


async def test_private_names_are_refused_everywhere():
    async with pulsing_system():
        c = await Counter.spawn()
        for proxy in (c, c.as_any(), c.ref):
            with pytest.raises(AttributeError, match="underscore"):
                proxy._secret  # noqa: B018
        for name in ("_secret", "__init__", "on_start"):
            with pytest.raises(pul.PulsingActorError, match="Not found"):
                await c.ref.call(name)


async def test_the_actor_refuses_what_an_untyped_proxy_asks_in_vain():
    async with pulsing_system():
        c = (await Counter.spawn()).as_any()
        with pytest.raises(pul.PulsingActorError, match=r"Not found: .*nonsense"):
            await c.nonsense()
        with pytest.raises(pul.PulsingActorError, match=r"Not found: .*nonsense"):
            await c.nonsense


async def test_an_attribute_cannot_be_called_nor_a_method_awaited():
    async with pulsing_system():
        c = await Counter.spawn()
        with pytest.raises(TypeError, match=r"attribute, not a method.*await proxy\.value"):
            c.value()
        with pytest.raises(TypeError):
            await c.incr
        with pytest.raises(TypeError, match=r"call it: 'incr\(\.\.\.\)'"):
            await c.as_any().incr


async def test_wrong_arguments_are_a_type_error_that_names_the_method():
    async with pulsing_system():
        c = await Counter.spawn()
        with pytest.raises(TypeError, match=r"Counter\.incr\(\).*'m'") as caught:
            await c.incr(m=1)
        assert isinstance(caught.value, pul.PulsingBusinessError)
        assert caught.value.code == 400
        with pytest.raises(TypeError, match="incr"):
            await c.incr(1, 2, 3)


async def test_an_exception_keeps_its_type_and_its_empty_message():
    async with pulsing_system():
        c = await Counter.spawn()
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            await c.boom()
        assert str(caught.value) == ""
        assert isinstance(caught.value, pul.PulsingActorError)


async def test_handles_present_themselves_as_the_method():
    async with pulsing_system():
        c = await Counter.spawn(name="c")
        assert str(inspect.signature(c.incr)) == "(n: int = 1) -> int"
        assert inspect.getdoc(c.incr) == "Add and return."
        assert c.incr.__name__ == "incr"
        assert repr(c.incr) == "<Counter.incr(n: int = 1) -> int of actors/c>"
        assert repr(c.value) == "<attribute Counter.value of actors/c>"
        assert {"incr", "stream", "value", "doubled"} <= set(dir(c))
        assert "_secret" not in dir(c)
        assert repr(c) == "<Counter proxy of actors/c>"


async def test_a_handle_is_made_once():
    async with pulsing_system():
        c = await Counter.spawn()
        assert c.incr is c.incr


async def test_references_to_the_same_actor_are_equal():
    async with pulsing_system():
        c, other = await Counter.spawn(name="c"), await Counter.spawn()
        found = await Counter.resolve("c")
        ref = await pul.resolve("c")
        assert c == found == ref == c.as_any() == ref.as_type(Counter)
        assert len({c, found, ref}) == 1
        assert c != other
        assert c != "c"
        assert c.actor_id == ref.actor_id
        assert found.incr == c.incr


async def test_references_cannot_be_pickled_but_copied():
    async with pulsing_system():
        c = await Counter.spawn()
        assert copy.copy(c) is c
        assert copy.deepcopy([c]) == [c]
        with pytest.raises(TypeError, match=r"pul\.refer"):
            pickle.dumps(c)


async def test_nothing_can_be_set_on_a_proxy():
    async with pulsing_system():
        c = await Counter.spawn()
        with pytest.raises(AttributeError, match="cannot be set"):
            c.value = 3
        with pytest.raises(AttributeError, match="cannot be deleted"):
            del c.value


async def test_methods_of_the_actor_win_over_members_of_proxies():
    async with pulsing_system():
        a = await Awkward.spawn(name="a")
        assert await a.ask(1) == ("ask", 1)
        assert await a.tell() == "tell"
        assert await a.sync() == "sync"
        assert await a.as_any() == "as_any"
        assert await a.actor_id() == "actor_id"
        untyped = (await pul.resolve("a")).as_any()
        assert await untyped.ask(1) == ("ask", 1)
        assert await untyped.sync() == "sync"


async def test_a_reference_calls_methods_by_name():
    async with pulsing_system():
        await Counter.spawn(name="c")
        ref = await pul.resolve("c")
        assert await ref.incr(2) == 2
        assert await ref.call("incr", n=3) == 5
        assert {"incr", "ask", "tell", "as_any"} <= set(dir(ref))
        assert repr(ref) == "<ActorRef actors/c>"
        assert ref.name == "actors/c"
        assert await (await pul.refer(str(ref.address))).get() == 5
        assert await (await pul.refer(ref.actor_id)).get() == 5
        assert await (await pul.refer(str(ref.actor_id))).get() == 5
        assert await pul.refer(ref) == ref


async def test_a_proxy_can_be_an_argument_and_a_result():
    @pul.remote
    class Friend:
        async def use(self, counter):
            await counter.incr(7)
            return counter

    async with pulsing_system():
        c = await Counter.spawn()
        friend = await Friend.spawn()
        assert await friend.use(c) == c
        assert await c.get() == 7
