from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pulsing.gateway import Gateway


@dataclass
class Node:
    node_id: str = "ab" * 16
    addr: str | None = "10.0.0.7:8000"
    version: str = "1.2.3"
    status: str = "ready"
    ready: bool = True
    actors: int = 5
    uptime_s: float = 1.23456
    node_name: str = "n1"
    members: dict[str, int] = field(default_factory=lambda: {"Alive": 2, "Busy": 1, "Dead": 4})
    messages: Mapping[str, int] = field(default_factory=lambda: {"expired": 2})
    last_stall: dict[str, object] | None = None


@dataclass
class Response:
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    path: str,
    method: str = "GET",
    *,
    node: Node | None = None,
    state: dict[str, bool] | None = None,
) -> Response:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the gateway needs no body")

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path}
    if state is not None:
        scope["state"] = state
    await Gateway(node or Node())(scope, receive, send)
    start, body = sent
    assert start["type"] == "http.response.start"
    assert body["type"] == "http.response.body"
    return Response(start["status"], dict(start["headers"]), body["body"])


async def test_a_living_node_says_so() -> None:
    response = await request("/livez")
    assert response.status == 200
    assert response.json() == {"status": "alive"}
    assert response.headers[b"content-type"] == b"application/json"
    assert response.headers[b"cache-control"] == b"no-store"
    assert int(response.headers[b"content-length"]) == len(response.body)


async def test_a_ready_node_is_ready() -> None:
    response = await request("/readyz")
    assert (response.status, response.json()) == (200, {"status": "ready"})


async def test_a_draining_node_lives_but_is_not_ready() -> None:
    node = Node(status="draining", ready=False)
    assert (await request("/livez", node=node)).status == 200
    response = await request("/readyz", node=node)
    assert (response.status, response.json()) == (503, {"status": "draining"})
    health = await request("/health", node=node)
    assert health.status == 200
    assert health.json()["ready"] is False


async def test_health_tells_who_the_node_is() -> None:
    response = await request("/health")
    assert response.json() == {
        "node_id": "ab" * 16,
        "addr": "10.0.0.7:8000",
        "version": "1.2.3",
        "status": "ready",
        "ready": True,
        "actors": 5,
        "uptime_s": 1.235,
        "name": "n1",
        "members": 3,
        "members_by_status": {"Alive": 2, "Busy": 1, "Dead": 4},
        "messages": {"expired": 2},
        "last_stall": None,
    }


async def test_a_standalone_node_has_no_address() -> None:
    assert (await request("/health", node=Node(addr=None))).json()["addr"] is None


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/nowhere"])
async def test_head_is_get_without_content(path: str) -> None:
    get, head = await request(path), await request(path, "HEAD")
    assert head.body == b""
    assert (head.status, head.headers) == (get.status, get.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_other_methods_are_told_which_are_allowed(method: str) -> None:
    response = await request("/health", method)
    assert response.status == 405
    assert response.headers[b"allow"] == b"GET, HEAD"
    assert method in response.json()["error"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/health/", "/../etc/passwd", "/\0", "", "/é"])
async def test_other_paths_are_told_which_there_are(path: str) -> None:
    response = await request(path)
    assert response.status == 404
    assert "/livez, /readyz, /health" in response.json()["error"]


async def test_a_long_path_is_not_repeated_in_full() -> None:
    response = await request("/" + "x" * 10_000, "M" * 10_000)
    assert len(response.body) < 300


STRANGER = {"tls": True, "authenticated": False}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
async def test_a_stranger_over_tls_gets_the_probes(path: str) -> None:
    assert (await request(path, state=STRANGER)).status == 200


async def test_a_stranger_over_tls_gets_nothing_else() -> None:
    response = await request("/anything", "POST", state=STRANGER)
    assert response.status == 403
    assert "certificate" in response.json()["error"]


@pytest.mark.parametrize(
    "state", [{"tls": True, "authenticated": True}, {"tls": False, "authenticated": False}, None]
)
async def test_everyone_else_learns_what_does_not_exist(state: dict[str, bool] | None) -> None:
    assert (await request("/anything", state=state)).status == 404


async def test_servers_that_ask_about_the_lifespan_get_their_answers() -> None:
    asked = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> Any:
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await Gateway(Node())({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_refused() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("not asked")

    await Gateway(Node())({"type": "websocket", "path": "/"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_what_held_the_loop_last_is_told_but_no_code_to_a_stranger() -> None:
    node = Node(last_stall={"seconds": 3.0, "culprit": "actors/a.load", "stack": "File ..."})
    assert (await request("/health", node=node)).json()["last_stall"] == node.last_stall
    stranger = {"tls": True, "authenticated": False}
    told = (await request("/health", node=node, state=stranger)).json()["last_stall"]
    assert told == {"seconds": 3.0, "culprit": "actors/a.load"}
    member = {"tls": True, "authenticated": True}
    assert (await request("/health", node=node, state=member)).json()["last_stall"]["stack"]
