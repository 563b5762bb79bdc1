"""What a test forgets is found, and named well enough to find it."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from pulsing.testing.leaks import assert_no_leaks, assert_nothing_left
from pulsing.testing.virtual_run import virtual_time


async def wait_in_here(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_task_is_named_with_the_place_where_it_waits() -> None:
    event = asyncio.Event()
    task = asyncio.create_task(wait_in_here(event), name="the-forgotten")
    with pytest.raises(AssertionError) as caught:
        await assert_nothing_left(within_s=0.05)
    text = str(caught.value)
    assert "task the-forgotten: waits for" in text
    assert "in wait_in_here" in text
    event.set()
    await task


async def test_a_task_that_was_there_before_may_stay() -> None:
    event = asyncio.Event()
    task = asyncio.create_task(wait_in_here(event))
    async with assert_no_leaks(within_s=0.05):
        pass
    event.set()
    await task


async def test_a_thread_of_any_name_is_found() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="a-thread-of-the-program", daemon=True)
    with pytest.raises(AssertionError, match="a-thread-of-the-program"):
        async with assert_no_leaks(within_s=0.05):
            thread.start()
    go_on.set()
    thread.join()


async def test_threads_of_the_loops_executor_may_stay() -> None:
    async with assert_no_leaks(within_s=0.05):
        await asyncio.to_thread(threading.get_ident)


async def test_a_socket_is_named_by_its_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = None
        with pytest.raises(AssertionError) as caught:
            async with assert_no_leaks(within_s=0.05):
                client = socket.create_connection(("127.0.0.1", port))
        assert f"to ('127.0.0.1', {port})" in str(caught.value)
        assert client is not None
        client.close()


async def test_an_open_file_is_named_by_its_path(tmp_path: Path) -> None:
    file = None
    with pytest.raises(AssertionError, match=r"forgotten\.txt"):
        async with assert_no_leaks(within_s=0.05):
            file = (tmp_path / "forgotten.txt").open("w")
    assert file is not None
    file.close()


async def test_what_ends_in_time_is_no_leak() -> None:
    async with assert_no_leaks():
        asyncio.get_running_loop().call_later(0.02, asyncio.ensure_future(asyncio.sleep(60)).cancel)


@virtual_time()
async def test_leaks_are_found_in_virtual_time_too() -> None:
    task = asyncio.create_task(asyncio.sleep(1000), name="sleeper")
    with pytest.raises(AssertionError, match="sleeper"):
        await assert_nothing_left(within_s=500)
    await assert_nothing_left(within_s=600)
    assert task.done()
