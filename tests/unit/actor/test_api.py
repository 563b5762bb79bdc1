import asyncio
import threading

import pytest

import pulsing as pul
from pulsing.testing import assert_no_leaks, pulsing_system


class Plain:
    async def hello(self):
        return "hello"

    def threaded(self):
        return threading.get_ident()


async def test_before_init_get_system_says_what_to_do():
    assert not pul.is_initialized()
    with pytest.raises(pul.PulsingRuntimeError, match=r"await pul\.init\(\)"):
        pul.get_system()


async def test_a_second_init_gives_the_first_system():
    system = await pul.init()
    assert await pul.init("127.0.0.1:0") is system is pul.get_system()
    assert pul.is_initialized()
    await pul.shutdown()
    assert not pul.is_initialized()


async def test_inits_at_once_give_one_system():
    systems = await asyncio.gather(*(pul.init() for _ in range(5)))
    assert len(set(map(id, systems))) == 1
    await pul.shutdown()


async def test_a_cancelled_init_does_not_cancel_another():
    first = asyncio.create_task(pul.init())
    second = asyncio.create_task(pul.init())
    await asyncio.sleep(0)
    first.cancel()
    assert await second is pul.get_system()
    await pul.shutdown()


async def test_shutdowns_may_be_repeated_and_overlap():
    await pul.shutdown()
    await pul.init()
    await asyncio.gather(*(pul.shutdown() for _ in range(3)))
    await pul.shutdown()
    await pul.init()
    await pul.shutdown()


async def test_a_failed_init_leaves_nothing_and_can_be_repeated():
    async with assert_no_leaks():
        with pytest.raises(ValueError, match="not an address"):
            await pul.init("nowhere")
        assert not pul.is_initialized()
        await pul.init()
        await pul.shutdown()


async def test_running_shuts_down_what_it_started_only():
    async with pul.running() as outer:
        async with pul.running() as inner:
            assert inner is outer
        assert pul.is_initialized()
    assert not pul.is_initialized()


async def test_configuration_comes_as_an_argument(monkeypatch):
    monkeypatch.setenv("PULSING_MAILBOX_SIZE", "7")
    async with pul.running() as system:
        assert system.config.mailbox_size == 7
    async with pul.running(config=pul.SystemConfig(mailbox_size=8)) as system:
        assert system.config.mailbox_size == 8
    with pytest.raises(TypeError):
        await pul.init(seats=["a:1"])


def test_asyncio_run_twice_in_one_process():
    async def main(shut_down):
        await pul.init()
        actor = await pul.spawn(Plain, name="a")
        await actor.threaded()
        result = await actor.hello()
        if shut_down:
            await pul.shutdown()
        return result

    assert asyncio.run(main(False)) == "hello"
    assert not pul.is_initialized()
    assert asyncio.run(main(True)) == "hello"
    for each in threading.enumerate():
        if "pulsing" in each.name:  # told to end, but perhaps not scheduled since
            each.join(5)
            assert not each.is_alive()


def test_run_takes_a_coroutine_or_a_function_and_shuts_down():
    async def main():
        await pul.init()
        return await (await pul.spawn(Plain)).hello()

    for uvloop in (True, False):
        assert pul.run(main, uvloop=uvloop) == "hello"
        assert pul.run(main(), uvloop=uvloop) == "hello"
    assert not pul.is_initialized()


def test_run_uses_uvloop_where_it_is_installed():
    pytest.importorskip("uvloop")

    async def module():
        return type(asyncio.get_running_loop()).__module__

    assert pul.run(module).startswith("uvloop")
    assert not pul.run(module, uvloop=False).startswith("uvloop")


async def test_the_system_of_another_loop_is_not_given_away():
    async with pulsing_system():

        def elsewhere():
            async def main():
                with pytest.raises(pul.PulsingRuntimeError, match="another event loop"):
                    await pul.init()
                with pytest.raises(pul.PulsingRuntimeError, match="another event loop"):
                    await pul.shutdown()

            asyncio.run(main())

        await asyncio.to_thread(elsewhere)
        assert pul.is_initialized()


async def test_spawn_and_resolve_with_a_class_give_typed_proxies():
    async with pulsing_system():
        plain = await pul.spawn(Plain, name="a")
        with pytest.raises(AttributeError, match="No method"):
            plain.nonsense  # noqa: B018
        found = await pul.resolve("a", cls=Plain)
        with pytest.raises(AttributeError, match="No method"):
            found.nonsense  # noqa: B018
        assert await found.hello() == "hello"
