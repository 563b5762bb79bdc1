"""Probes: ``/livez``, ``/readyz`` and ``/health``, the same over HTTP/1.1 and HTTP/2.

    /livez    200 while the event loop turns
    /readyz   200 when calls are welcome, 503 while the node starts or drains; never waits for
              other nodes
    /health   200 with what the node says about itself; ``ready`` tells the rest

Source: the ASGI specification 3.0; RFC 9110 9.3.2 (HEAD), 15.5.6 (405 and Allow).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol

from pulsing.transport.exchange import Receive, Scope, Send

_JSON: Final = b"application/json"
_METHODS: Final = "GET, HEAD"
_PRESENT: Final = ("Alive", "Busy", "Suspect")


class NodeStatus(Protocol):
    """What the gateway asks of the node it stands for. Read on the loop, per request."""

    @property
    def node_id(self) -> str:
        """32 hex digits."""
        ...

    @property
    def node_name(self) -> str:
        """For people; unique in the cluster."""
        ...

    @property
    def addr(self) -> str | None:
        """``HOST:PORT`` other nodes reach it at."""
        ...

    @property
    def version(self) -> str:
        """Of Pulsing."""
        ...

    @property
    def status(self) -> str:
        """One word for people, such as ``ready`` or ``draining``."""
        ...

    @property
    def ready(self) -> bool:
        """Whether new calls are welcome: false while it starts and while it drains."""
        ...

    @property
    def actors(self) -> int:
        """How many actors live on the node."""
        ...

    @property
    def uptime_s(self) -> float:
        """Seconds since its start."""
        ...

    @property
    def members(self) -> Mapping[str, int]:
        """How many nodes of the cluster are in which status, this one included."""
        ...

    @property
    def messages(self) -> Mapping[str, int]:
        """What happened to messages since the start, by kind: numbers that only grow."""
        ...

    @property
    def last_stall(self) -> Mapping[str, object] | None:
        """When its loop stood still last, for how long, and what held it: ``stack`` and others."""
        ...


Answer = tuple[HTTPStatus, Mapping[str, object]]


class Gateway:
    """An ASGI 3 application that answers for one node.

    A TLS client without a certificate of the cluster gets the probes and nothing else; the
    transport says so in ``scope["state"]``.

    Args:
        node: the node it stands for.
    """

    def __init__(self, node: NodeStatus) -> None:
        self._node = node
        self._probes: dict[str, Callable[[Scope], Answer]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/health": self._health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks."""
        match scope["type"]:
            case "http":
                await self._http(scope, send)
            case "lifespan":
                await _lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "no such path"})
            case _:
                pass

    async def _http(self, scope: Scope, send: Send) -> None:
        path: str = scope["path"]
        method: str = scope["method"]
        probe = self._probes.get(path)
        if probe is None:
            status, content = _refuse(scope) or _not_found(path, self._probes)
            await _answer(send, method, status, content)
        elif method not in ("GET", "HEAD"):
            problem = f"{path} answers {_METHODS}, not {_shown(method)}"
            await _answer(
                send, method, HTTPStatus.METHOD_NOT_ALLOWED, {"error": problem}, allow=_METHODS
            )
        else:
            status, content = probe(scope)
            await _answer(send, method, status, content)

    def _livez(self, _scope: Scope) -> Answer:
        return HTTPStatus.OK, {"status": "alive"}

    def _readyz(self, _scope: Scope) -> Answer:
        if self._node.ready:
            return HTTPStatus.OK, {"status": "ready"}
        return HTTPStatus.SERVICE_UNAVAILABLE, {"status": self._node.status}

    def _health(self, scope: Scope) -> Answer:
        node = self._node
        members = node.members
        stall = node.last_stall
        if stall is not None and _is_stranger(scope):
            stall = {key: value for key, value in stall.items() if key != "stack"}
        return HTTPStatus.OK, {
            "node_id": node.node_id,
            "name": node.node_name,
            "addr": node.addr,
            "version": node.version,
            "status": node.status,
            "ready": node.ready,
            "actors": node.actors,
            "uptime_s": round(node.uptime_s, 3),
            "members": sum(members.get(status, 0) for status in _PRESENT),
            "members_by_status": dict(members),
            "messages": dict(node.messages),
            "last_stall": stall,
        }


def _is_stranger(scope: Scope) -> bool:
    """A TLS client without a certificate of the cluster."""
    state: Mapping[str, Any] = scope.get("state", {})
    return bool(state.get("tls", False)) and not state.get("authenticated", False)


def _refuse(scope: Scope) -> Answer | None:
    if _is_stranger(scope):
        return HTTPStatus.FORBIDDEN, {
            "error": "without a client certificate of this cluster only the probes are served"
        }
    return None


def _not_found(path: str, known: Mapping[str, object]) -> Answer:
    return HTTPStatus.NOT_FOUND, {
        "error": f"nothing at {_shown(path)}; there are {', '.join(known)}"
    }


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "...")


async def _answer(
    send: Send,
    method: str,
    status: HTTPStatus,
    content: Mapping[str, object],
    *,
    allow: str | None = None,
) -> None:
    body = json.dumps(content).encode() + b"\n"
    headers = [
        (b"content-type", _JSON),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if allow is not None:
        headers.append((b"allow", allow.encode()))
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    # HEAD: the same head, no content (RFC 9110 9.3.2).
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    """The node starts and stops by itself; a server that asks is told that all is well."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
