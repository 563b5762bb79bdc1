import asyncio
import threading

import pytest

import pulsing as pul
from pulsing.testing import pulsing_system


@pul.remote
class Counter:
    def __init__(self, init=0):
        self.value = init

    def incr(self, n=1):
        self.value += n
        return self.value

    async def stream(self, n):
        try:
            for number in range(n):
                yield number
        finally:
            self.value = -1

    def ask_sync(self, other):
        return other.sync.incr(1)

    async def ask_itself(self, other):
        return other.sync.incr(1)

    def boom(self):
        raise ValueError("boom")


@pytest.fixture
def background():
    system = pul.sync.init()
    yield system
    pul.sync.shutdown()
    assert not [each.name for each in threading.enumerate() if "pulsing" in each.name]


def test_everything_works_without_a_loop(background):
    c = pul.sync.spawn(Counter, 10, name="c")
    assert c.sync.incr() == 11
    assert c.sync.incr(n=4) == 15
    assert c.incr.sync(1) == 16
    assert c.sync.value == 16
    assert pul.sync.resolve("c", cls=Counter).sync.incr() == 17
    assert pul.sync.resolve("c").as_any().sync.incr() == 18
    assert pul.sync.resolve("c").incr.sync() == 19
    assert "incr" in dir(c.sync)
    assert repr(c.sync) == "<sync <Counter proxy of actors/c>>"
    pul.sync.stop("c")
    with pytest.raises(pul.ActorNotFound):
        pul.sync.resolve("c")


def test_streams_are_iterators_and_leaving_them_cancels(background):
    c = pul.sync.spawn(Counter)
    assert list(c.sync.stream(5)) == [0, 1, 2, 3, 4]
    for number in c.sync.stream(1_000_000):
        if number == 3:
            break
    assert c.sync.value == -1


def test_errors_are_raised_here(background):
    c = pul.sync.spawn(Counter)
    with pytest.raises(ValueError, match="boom"):
        c.sync.boom()
    with pytest.raises(AttributeError, match="No method"):
        c.sync.nonsense()


def test_a_second_init_gives_the_first_system(background):
    assert pul.sync.init() is background is pul.get_system()


def test_many_threads_may_call(background):
    c = pul.sync.spawn(Counter)
    threads = [threading.Thread(target=c.sync.incr) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert c.sync.value == 20


def test_a_tell_works_from_other_threads(background):
    c = pul.sync.spawn(Counter)
    c.incr.tell(5)
    assert c.sync.incr() == 6


def test_mount_in_a_synchronous_program(background):
    class Worker:
        def __init__(self):
            pul.mount(self, name="w")

        def hello(self):
            return "hello"

    Worker()
    assert pul.sync.resolve("w").hello.sync() == "hello"
    pul.unmount("w")


def test_def_methods_may_wait_for_other_actors(background):
    one, two = pul.sync.spawn(Counter), pul.sync.spawn(Counter, 5)
    assert one.sync.ask_sync(two) == 6


def test_on_the_loop_itself_it_raises_instead_of_waiting_for_ever(background):
    one, two = pul.sync.spawn(Counter), pul.sync.spawn(Counter)
    with pytest.raises(pul.PulsingRuntimeError, match=r"await proxy\.method\(\)"):
        one.sync.ask_itself(two)


def test_shutdown_and_init_again():
    pul.sync.shutdown()
    for _ in range(2):
        pul.sync.init()
        assert pul.sync.spawn(Counter).sync.incr() == 1
        pul.sync.shutdown()
    with pytest.raises(pul.PulsingRuntimeError, match=r"pul\.sync\.init"):
        pul.sync.spawn(Counter)


def test_a_failed_init_leaves_no_thread():
    with pytest.raises(ValueError, match="not an address"):
        pul.sync.init("nowhere")
    assert not [each.name for each in threading.enumerate() if "pulsing" in each.name]


async def test_threads_of_an_async_program_use_its_system():
    async with pulsing_system():
        c = await Counter.spawn()
        assert await asyncio.to_thread(c.sync.incr) == 1
        assert await asyncio.to_thread(lambda: list(c.sync.stream(2))) == [0, 1]
        for wrong in (c.incr.sync, lambda: pul.sync.spawn(Counter), lambda: pul.sync.resolve("c")):
            with pytest.raises(pul.PulsingRuntimeError, match="await"):
                wrong()


def test_without_a_running_loop_it_says_so():
    loop = asyncio.new_event_loop()
    system = loop.run_until_complete(pul.actor_system())
    c = loop.run_until_complete(Counter.spawn(system=system))
    with pytest.raises(pul.PulsingRuntimeError, match="does not run"):
        c.sync.incr()
    loop.run_until_complete(system.shutdown())
    loop.close()
