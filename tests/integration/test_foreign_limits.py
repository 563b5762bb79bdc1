from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

import h2.connection
import h2.events
import httpx
import pytest

from pulsing.transport import foreign
from pulsing.transport.exchange import ForeignLimits
from pulsing.transport.frames import GOAWAY, PING, PREFACE, ErrorCode, frame_header
from pulsing.transport.listener import ListenerLimits
from pulsing.transport.preface import settings_frame
from tests.integration.listening import (
    cluster_tls,
    descriptors,
    everything,
    gone,
    listening,
    until,
)


def limited(**limits: Any) -> ListenerLimits:
    return ListenerLimits(foreign=ForeignLimits(**limits), linger_s=0.2)


async def collect(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body and what the connection is."""
    message = await receive()
    body = f"{len(message['body'])} {scope['state']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("version", [1, 2])
async def test_a_body_within_the_limit_arrives_whole_and_a_larger_one_is_refused(
    version: int,
) -> None:
    async with listening(app=collect, limits=limited(max_body_bytes=500_000)) as harness:
        for size, status in ((0, 200), (500_000, 200), (500_001, 413)):
            async with httpx.AsyncClient(
                http1=version == 1, http2=version == 2, trust_env=False
            ) as client:
                url = f"http://127.0.0.1:{harness.port}/"
                response = await client.post(url, content=b"x" * size)
                assert response.status_code == status
                if status == 200:
                    text = f"{size} {{'tls': False, 'authenticated': False}}"
                    assert response.text == text
                else:
                    assert "500000 bytes" in response.text


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async with listening(app=collect, limits=limited(body_timeout_s=0.1)) as harness:
        reader, writer = await harness.connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345")
        answer = await everything(reader)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"within 0.1 s" in answer
        await gone(writer)


async def test_an_idle_connection_is_closed() -> None:
    async with listening(limits=limited(idle_timeout_s=0.1)) as harness:
        for request in (b"GET /livez HT", b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"):
            reader, writer = await harness.connect()
            writer.write(request)
            await everything(reader)
            await gone(writer)
        await until(lambda: harness.listener.foreign_connections == 0)


@pytest.mark.parametrize("version", [1, 2])
async def test_one_connection_too_many_is_told_so(version: int) -> None:
    async with listening(limits=limited(max_connections=1)) as harness:
        _, first = await harness.connect()
        first.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: harness.listener.foreign_connections == 1)
        reader, second = await harness.connect()
        if version == 1:
            second.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await everything(reader)).startswith(b"HTTP/1.1 503")
        else:
            second.write(PREFACE + settings_frame([]))
            assert b"too many connections" in await everything(reader)
        await gone(second)
        await gone(first)
        await until(lambda: harness.listener.foreign_connections == 0)


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_a_client_that_does_not_read_loses_its_connection(secure: bool) -> None:
    tls = cluster_tls() if secure else None
    limits = limited(send_timeout_s=0.2)
    async with listening(app=endless, limits=limits, tls=tls) as harness:
        options: dict[str, Any] = {}
        if tls is not None:
            options = {"ssl": tls.client_context(), "server_hostname": tls.server_name}
        _, writer = await harness.connect(limit=1024, **options)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: harness.listener.foreign_connections == 1)
        await until(lambda: harness.listener.foreign_connections == 0)
        writer.transport.abort()


async def test_a_flood_of_frames_ends_with_enhance_your_calm() -> None:
    async with listening() as harness:
        reader, writer = await harness.connect()
        ping = frame_header(8, PING, 0, 0) + bytes(8)
        writer.write(PREFACE + settings_frame([]) + ping * 20_000)
        answer = await everything(reader)
        goaway = frame_header(8, GOAWAY, 0, 0) + bytes(4) + ErrorCode.ENHANCE_YOUR_CALM.to_bytes(4)
        assert answer.count(frame_header(8, PING, 1, 0)) < 1100
        assert goaway in answer or len(answer) < 20_000  # a reset may overtake it
        await gone(writer)
        await until(lambda: harness.listener.foreign_connections == 0)


async def test_a_client_that_upgraded_is_counted_too() -> None:
    async with listening() as harness:
        reader, writer = await harness.connect()
        writer.write(
            b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\n"
            b"upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        ping = frame_header(8, PING, 0, 0) + bytes(8)
        writer.write(PREFACE[:11])
        await writer.drain()
        writer.write(PREFACE[11:] + settings_frame([]) + ping * 20_000)
        await everything(reader)
        await gone(writer)
        await until(lambda: harness.listener.foreign_connections == 0)


async def test_a_rapid_reset_ends_early() -> None:
    requests = 0

    async def count(scope: Any, receive: Any, send: Any) -> None:
        nonlocal requests
        requests += 1
        await asyncio.sleep(0)

    async with listening(app=count) as harness:
        reader, writer = await harness.connect()
        client = h2.connection.H2Connection()
        client.initiate_connection()
        headers = [
            (":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x"),
        ]  # fmt: skip
        for stream_id in range(1, 6001, 2):
            client.send_headers(stream_id, headers, end_stream=True)
            client.reset_stream(stream_id)
        writer.write(client.data_to_send())
        await everything(reader)
        await gone(writer)
        assert requests <= 1100


async def broken(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("of the application")


async def test_a_broken_application_is_a_500_and_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pulsing")
    async with listening(app=broken) as harness, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            response = await client.get(f"http://127.0.0.1:{harness.port}/")
            assert response.status_code == 500
            assert "its log says why" in response.text
    assert caplog.text.count("of the application") == 1
    assert "Traceback" not in caplog.text


async def test_closing_waits_for_an_answer_under_way_but_not_for_ever() -> None:
    release = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await collect(scope, receive, send)

    before = descriptors()
    async with listening(app=slow) as harness:
        reader, writer = await harness.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: harness.listener.foreign_connections == 1)
        await until(lambda: harness.listener._foreign._hypercorn is not None)
        closing = asyncio.create_task(harness.listener.close(grace_s=5.0))
        await asyncio.sleep(0)
        release.set()
        assert (await everything(reader)).startswith(b"HTTP/1.1 200")
        await closing
        await gone(writer)
    release.clear()
    async with listening(app=slow) as harness:
        reader, writer = await harness.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: harness.listener.foreign_connections == 1)
        await harness.listener.close(grace_s=0.05)
        await everything(reader)
        await gone(writer)
    await until(lambda: descriptors() <= before + 3)  # the loop's own, made on first use


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_an_application_that_ignores_a_lost_client_is_cancelled(
    reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_LINGER_S", 0.1)
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with listening(app=stubborn, limits=limited(send_timeout_s=0.2)) as harness:
        _, writer = await harness.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await running.wait()
        if reset:
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        async with asyncio.timeout(3):
            await cancelled.wait()
        await until(lambda: harness.listener.foreign_connections == 0)


@pytest.mark.parametrize("name", ForeignLimits.__slots__)
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ForeignLimits(**{name: 0})
