from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import statistics
import time

import pytest

from pulsing.errors import NotAuthenticated
from pulsing.transport.frames import GOAWAY, PREFACE, SETTINGS, unpack_frame_header
from pulsing.transport.listener import ListenerLimits
from pulsing.transport.preface import explain_refusal, read_introduction, settings_frame
from pulsing.transport.tls import PEER_ALPN, ClusterTls, explain_tls_error
from tests.integration.listening import (
    HELLO,
    NODE_ID,
    PASSPHRASE,
    BufferedPeer,
    Harness,
    PlainPeer,
    cluster_tls,
    everything,
    gone,
    listening,
    until,
)


async def dial(
    harness: Harness, tls: ClusterTls
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await harness.connect(ssl=tls.client_context(), server_hostname=tls.server_name)


def anonymous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while data:
        high, low, kind, _, _ = unpack_frame_header(data, 0)
        length = high << 8 | low
        frames.append((kind, data[9 : 9 + length]))
        data = data[9 + length :]
    return frames


def refusal_in(data: bytes) -> Exception | None:
    (first, settings), (second, goaway) = frames_in(data)
    assert (first, second) == (SETTINGS, GOAWAY)
    pairs = [settings[start : start + 6] for start in range(0, len(settings), 6)]
    said = {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}
    assert read_introduction(said).node_id == NODE_ID
    return explain_refusal(goaway[8:], "node7:8000")


@pytest.mark.parametrize("peer", [PlainPeer, BufferedPeer])
async def test_members_of_a_cluster_authenticate_each_other(
    peer: type[PlainPeer | BufferedPeer],
) -> None:
    async with listening(tls=cluster_tls(), peer=peer) as harness:
        reader, writer = await dial(harness, cluster_tls())
        sent = HELLO + b"x" * 100_000
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        info = harness.peers[0].info
        assert info.tls
        assert info.authenticated
        tls_object = writer.get_extra_info("ssl_object")
        assert tls_object.version() == "TLSv1.3"
        assert tls_object.selected_alpn_protocol() == PEER_ALPN
        await gone(writer)
        await harness.peers[0].lost.wait()


@pytest.mark.parametrize(
    ("passphrase", "cluster"), [("a different passphrase", "pulsing"), (PASSPHRASE, "staging")]
)
async def test_a_different_secret_fails_in_the_handshake_of_the_dialling_side(
    passphrase: str, cluster: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(tls=cluster_tls()) as harness:
        with pytest.raises(ssl.SSLError) as caught:
            await dial(harness, cluster_tls(passphrase, cluster))
        error = explain_tls_error(caught.value, "node7:8000")
        assert type(error) is NotAuthenticated
        assert "passphrase" in str(error)
        await until(lambda: harness.listener.counters.handshakes_failed == 1)
        assert harness.peers == []
        assert harness.listener.undecided == 0
    for secret in (passphrase, PASSPHRASE):
        assert secret not in caplog.text
        assert secret not in str(error)


async def test_a_member_of_another_cluster_who_trusts_anybody_is_kept_out() -> None:
    stranger = ClusterTls.derive("a different passphrase", "pulsing").client_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    async with listening(tls=cluster_tls()) as harness:
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)) as caught:  # noqa: PT012 - either
            reader, _ = await harness.connect(ssl=stranger)
            await reader.readexactly(1)
        if isinstance(caught.value, ssl.SSLError):
            assert type(explain_tls_error(caught.value, "x")) is NotAuthenticated
        await until(lambda: harness.listener.counters.handshakes_failed == 1)
        assert harness.peers == []


async def test_a_dialler_without_a_passphrase_is_told_to_get_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(tls=cluster_tls()) as harness:
        for _ in range(2):
            reader, writer = await harness.connect()
            writer.write(HELLO + b"requests sent ahead" * 1000)
            error = refusal_in(await everything(reader))
            assert type(error) is NotAuthenticated
            assert "requires a passphrase" in str(error)
            await gone(writer)
        assert harness.peers == []
    assert caplog.text.count("cleartext on TLS port") == 1


async def test_a_superfluous_passphrase_is_named_on_the_dialling_side(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening() as harness:
        for _ in range(2):
            with pytest.raises(ssl.SSLError) as caught:
                await dial(harness, cluster_tls())
            error = explain_tls_error(caught.value, "node7:8000")
            assert type(error) is NotAuthenticated
            assert "speaks cleartext" in str(error)
    assert caplog.text.count("TLS on cleartext port") == 1


async def test_a_peer_without_a_certificate_is_told_so() -> None:
    async with listening(tls=cluster_tls()) as harness:
        reader, writer = await harness.connect(ssl=anonymous())
        writer.write(HELLO)
        error = refusal_in(await everything(reader))
        assert type(error) is NotAuthenticated
        assert "certificate" in str(error)
        assert harness.peers == []
        await gone(writer)


async def test_cleartext_http_1_on_a_tls_port_is_told_to_use_https() -> None:
    async with listening(tls=cluster_tls()) as harness:
        reader, writer = await harness.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await everything(reader)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"use https" in answer
        await gone(writer)


async def test_cleartext_http_2_on_a_tls_port_is_told_to_use_https() -> None:
    async with listening(tls=cluster_tls()) as harness:
        reader, writer = await harness.connect()
        writer.write(PREFACE + settings_frame([]))
        (_, _), (kind, goaway) = frames_in(await everything(reader))
        assert kind == GOAWAY
        assert b"use https" in goaway
        await gone(writer)


@pytest.mark.parametrize("garbage", [b"\0\1\2", b"\x16\x03\x01\x00\x05hello", b"\x16" * 1000])
async def test_garbage_on_a_tls_port_ends_its_own_connection(garbage: bytes) -> None:
    async with listening(tls=cluster_tls()) as harness:
        reader, writer = await harness.connect()
        writer.write(garbage)
        await everything(reader)
        await gone(writer)
        await until(lambda: harness.listener.undecided == 0)
        reader, writer = await dial(harness, cluster_tls())
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO))
        await gone(writer)


async def test_tls_1_2_is_refused() -> None:
    old = anonymous()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(tls=cluster_tls()) as harness:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await harness.connect(ssl=old)
        await until(lambda: harness.listener.counters.handshakes_failed == 1)


async def test_stalled_handshakes_end_in_time_and_stop_nobody() -> None:
    limits = ListenerLimits(introduction_timeout_s=1.0)
    async with listening(tls=cluster_tls(), limits=limits) as harness:
        stalled = []
        for _ in range(200):
            sock = socket.create_connection(("127.0.0.1", harness.port))
            sock.send(b"\x16\x03\x01\x02\x00\x01")
            stalled.append(sock)
            await asyncio.sleep(0)
        reader, writer = await dial(harness, cluster_tls())
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO))
        await gone(writer)
        await until(lambda: harness.listener.undecided == 0)
        for sock in stalled:
            sock.close()


async def test_nothing_unusual_is_logged_when_a_member_comes_and_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with listening(tls=cluster_tls()) as harness:
        reader, writer = await dial(harness, cluster_tls())
        writer.write(HELLO)
        await reader.readexactly(len(HELLO))
        await gone(writer)
        await harness.peers[0].lost.wait()
    assert caplog.text == ""


async def test_a_handshake_is_quick() -> None:
    async with listening(tls=cluster_tls()) as harness:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            _, writer = await dial(harness, cluster_tls())
            times.append(time.perf_counter() - began)
            await gone(writer)
        median_ms = statistics.median(times) * 1000
        assert median_ms < 60  # 3 ms on an idle machine; the benchmark holds it to its target
