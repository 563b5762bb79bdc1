from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys

import httpx
import pytest

from pulsing.transport.frames import PREFACE, frame_header
from pulsing.transport.preface import settings_frame
from tests.integration.listening import (
    HELLO,
    NODE_ID,
    cluster_tls,
    everything,
    gone,
    listening,
    run_program,
    until,
)


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed; skipping its test"
    )


# --- real clients ------------------------------------------------------------------------------


@needs("curl")
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
async def test_curl_gets_the_health_of_a_node(version: str, secure: bool) -> None:
    prior = "--http2" if secure else "--http2-prior-knowledge"
    option = prior if version == "2" else f"--http{version}"
    scheme = "https" if secure else "http"
    async with listening(tls=cluster_tls() if secure else None) as harness:
        code, out, error = await run_program(
            "curl", "-sS", "-k", option, "-w", "\n%{http_code} %{http_version}",
            f"{scheme}://127.0.0.1:{harness.port}/health",
        )  # fmt: skip
        assert code == 0, error
        body, status = out.rsplit("\n", 1)
        assert status == ("200 2" if version == "2" else "200 1.1")
        assert json.loads(body)["node_id"] == NODE_ID


@needs("curl")
async def test_curl_may_upgrade_to_http_2() -> None:
    async with listening() as harness:
        url = f"http://127.0.0.1:{harness.port}/livez"
        code, out, error = await run_program("curl", "-sS", "--http2", "-w", "%{http_version}", url)
        assert code == 0, error
        assert out.endswith("2")


@needs("nghttp")
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_nghttp_gets_the_health_of_a_node(secure: bool) -> None:
    async with listening(tls=cluster_tls() if secure else None) as harness:
        url = f"http{'s' if secure else ''}://127.0.0.1:{harness.port}/health"
        code, out, error = await run_program("nghttp", "--no-verify-peer", url)
        assert code == 0, error
        assert json.loads(out)["node_id"] == NODE_ID


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
@pytest.mark.parametrize("version", [1, 2])
async def test_httpx_keeps_one_connection_for_many_requests(version: int, secure: bool) -> None:
    scheme = "https" if secure else "http"
    async with listening(tls=cluster_tls() if secure else None) as harness:
        async with httpx.AsyncClient(
            http1=version == 1,
            http2=version == 2,
            verify=False,
            trust_env=False,
            base_url=f"{scheme}://127.0.0.1:{harness.port}",
        ) as client:
            for _ in range(30):
                response = await client.get("/readyz")
                assert response.status_code == 200
                assert response.http_version == ("HTTP/2" if version == 2 else "HTTP/1.1")
            harness.node.ready, harness.node.status = False, "draining"
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.head("/health")).status_code == 200
            assert (await client.post("/health", content=b"x" * 50_000)).status_code == 405
            assert (await client.get("/nowhere")).status_code == (403 if secure else 404)
        assert harness.listener.counters.foreign == 1
        await until(lambda: harness.listener.foreign_connections == 0)


async def test_a_member_of_the_cluster_gets_more_than_the_probes_over_https() -> None:
    tls = cluster_tls()
    async with listening(tls=tls) as harness:
        reader, writer = await harness.connect(
            ssl=tls.client_context(), server_hostname=tls.server_name
        )
        writer.write(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await everything(reader)).startswith(b"HTTP/1.1 404")
        await gone(writer)


async def test_peers_and_foreign_clients_share_the_port_at_the_same_time() -> None:
    async with listening() as harness, httpx.AsyncClient(trust_env=False) as client:
        reader, writer = await harness.connect()
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO))
        url = f"http://127.0.0.1:{harness.port}/health"
        answers = await asyncio.gather(*(client.get(url) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        writer.write(b"on and on")
        assert await reader.readexactly(9)
        await gone(writer)


# --- bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("grain", [1, 5, 1000])
async def test_a_request_may_come_in_pieces(grain: int) -> None:
    request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with listening() as harness:
        reader, writer = await harness.connect()
        for start in range(0, len(request), grain):
            writer.write(request[start : start + grain])
            await asyncio.sleep(0)
        assert b"alive" in await everything(reader)
        await gone(writer)


async def test_a_client_that_stops_sending_still_gets_its_answer() -> None:
    async with listening() as harness:
        reader, writer = await harness.connect()
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        writer.write_eof()
        assert b"alive" in await everything(reader)
        await gone(writer)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /livez HTTP/1.1\r\n\r\n", b"400"),  # no Host: RFC 9112 3.2
        (b"GET /li vez HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nno header\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"hello world\r\n\r\n", b"400"),
        (b"GET /%00 HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"GET /%ff HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"431"),
    ],
)
async def test_odd_requests_get_an_answer(request_: bytes, status: bytes) -> None:
    async with listening() as harness:
        reader, writer = await harness.connect()
        writer.write(request_)
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == status
        await gone(writer)
        await until(lambda: harness.listener.foreign_connections == 0)


async def test_broken_http_2_ends_its_own_connection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pulsing")
    async with listening() as harness:
        for rest in (
            frame_header(4, 0x9, 0, 1) + b"xxxx",
            settings_frame([]) + frame_header((1 << 24) - 1, 0, 0, 1),
            settings_frame([]) + frame_header(3, 1, 5, 1) + b"\x80\x80\x80",
        ):
            reader, writer = await harness.connect()
            writer.write(PREFACE + rest)
            await everything(reader)
            await gone(writer)
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{harness.port}/livez"
            assert (await client.get(url)).status_code == 200
    assert "Traceback" not in caplog.text


def test_a_node_that_no_foreign_client_asks_never_imports_hypercorn() -> None:
    program = (
        "import sys; import pulsing.transport.listener, pulsing.gateway; "
        "heavy = {'hypercorn', 'h2', 'hpack', 'cryptography', 'httpx'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
