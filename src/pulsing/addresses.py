"""Where things are: ``HOST:PORT`` of nodes and ``actor://`` addresses of actors.

====================================  ==================================================
``actor:///services/llm/router``      a name, wherever it is registered
``actor:///services/llm/router@N``    that name on the node ``N``
``actor://N/<number>``                one exact actor of the node ``N``
``actor://localhost/<number>``        one exact actor of this process
``actor://HOST:PORT/llm/router``      a name on the node that listens there
``actor://HOST:PORT/N/<number>``      one exact actor of the node that listens there
====================================  ==================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pulsing.ids import ActorId, canonical_name

SCHEME: Final = "actor://"
LOCALHOST: Final = "localhost"
"""The node part of an address that means: the node that reads it."""

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,251}[A-Za-z0-9_.])?")
_NODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_LOCAL: Final = re.compile(r"[0-9]{1,19}")


def split_host_port(text: str) -> tuple[str, int]:
    """The host and port in ``HOST:PORT``; an IPv6 host stands in brackets there, not here.

    Raises:
        ValueError: not such an address; says what to write instead.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"not an address: {text!r}; expected HOST:PORT, port 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        import ipaddress

        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            raise ValueError(f"not an address: {text!r}; no IPv6 host in the brackets") from None
    if ":" in host:
        raise ValueError(f"not an address: {text!r}; write an IPv6 host in brackets: [::1]:8000")
    if not host:
        raise ValueError(f"not an address: {text!r}; for all interfaces write 0.0.0.0:{port}")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"not an address: {text!r}; {host!r} is not a host name")
    return host, int(port)


def join_host_port(host: str, port: int) -> str:
    """``HOST:PORT`` as text, with brackets where IPv6 needs them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_everywhere(host: str) -> bool:
    """Whether a host stands for all interfaces of a machine."""
    return host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def is_loopback(address: str) -> bool:
    """Whether ``HOST:PORT`` can be reached from this machine only."""
    import ipaddress

    host = split_host_port(address)[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761 6.3


@dataclass(frozen=True, slots=True)
class ActorAddress:
    """Where an actor is. Exactly one of ``name`` and ``local`` is set.

    Attributes:
        name: canonical name.
        node: id or name of a node; `LOCALHOST` for the reader's own.
        local: the number the node gave the actor.
        host_port: ``HOST:PORT`` the node listens on.
    """

    name: str | None = None
    node: str | None = None
    local: int | None = None
    host_port: str | None = None

    def __post_init__(self) -> None:
        if (self.name is None) == (self.local is None):
            raise ValueError("an actor address has either a name or a number")
        if self.local is not None and self.node is None:
            raise ValueError("an actor's number means something only together with its node")

    def __str__(self) -> str:
        if self.host_port is not None:
            what = self.name if self.name is not None else f"{self.node}/{self.local}"
            return f"{SCHEME}{self.host_port}/{what}"
        if self.local is not None:
            return f"{SCHEME}{self.node}/{self.local}"
        at_node = f"@{self.node}" if self.node is not None else ""
        return f"{SCHEME}/{self.name}{at_node}"

    @property
    def target(self) -> str:
        """What a node looks up: a canonical name, or ``@<node>/<number>``."""
        return self.name if self.name is not None else f"@{self.node}/{self.local}"

    @classmethod
    def parse(cls, text: str) -> ActorAddress:
        """Read an ``actor://`` address, a bare ``name`` or ``name@node``, or ``<node>/<number>``.

        Raises:
            ValueError: none of these; says which part is wrong.
        """
        if not text.startswith(SCHEME):
            if "://" in text:
                raise ValueError(f"not an actor address: {text!r}; expected {SCHEME}...")
            return _parse_bare(text)
        authority, slash, path = text[len(SCHEME) :].partition("/")
        if not slash or not path:
            raise ValueError(f"not an actor address: {text!r}; it names a place but no actor")
        if not authority:
            return _parse_named(text, path)
        if ":" in authority:
            return _parse_at_host(authority, path)
        _check_node(text, authority)
        if _LOCAL.fullmatch(path):
            return cls(node=authority, local=int(path))
        return cls(node=authority, name=canonical_name(path))


def _parse_bare(text: str) -> ActorAddress:
    actor_id = _actor_id(text)
    if actor_id is not None:
        return ActorAddress(node=actor_id.node, local=actor_id.local)
    return _parse_named(text, text)


def _parse_named(text: str, path: str) -> ActorAddress:
    name, at, node = path.partition("@")
    if at:
        _check_node(text, node)
    return ActorAddress(name=canonical_name(name), node=node if at else None)


def _parse_at_host(authority: str, path: str) -> ActorAddress:
    host, port = split_host_port(authority)
    if not port:
        raise ValueError(f"not an address to call: {authority!r}; port 0 is for listening only")
    host_port = join_host_port(host, port)
    actor_id = _actor_id(path)
    if actor_id is not None:
        return ActorAddress(host_port=host_port, node=actor_id.node, local=actor_id.local)
    return ActorAddress(host_port=host_port, name=canonical_name(path))


def _actor_id(text: str) -> ActorId | None:
    try:
        return ActorId.parse(text)
    except ValueError:
        return None


def _check_node(text: str, node: str) -> None:
    if not _NODE.fullmatch(node):
        raise ValueError(f"not an actor address: {text!r}; {node!r} is not a node")
