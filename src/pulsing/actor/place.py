"""Where an actor is and what is known of it: what references and proxies have in common."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from pulsing.addresses import LOCALHOST, ActorAddress, join_host_port, split_host_port

if TYPE_CHECKING:
    from pulsing.actor.call import Target
    from pulsing.actor.describe import Offer
    from pulsing.actor.system import ActorSystem
    from pulsing.ids import ActorId


@lru_cache(maxsize=16)
def reachable(host_port: str) -> str:
    """The address to give to others: one of this machine instead of 0.0.0.0 or [::].

    It is that of the interface through which the network is reached; no packet is sent.
    """
    host, port = split_host_port(host_port)
    if host not in _EVERYWHERE:
        return host_port
    family, outside = _EVERYWHERE[host]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))
            return join_host_port(str(probe.getsockname()[0]), port)
        except OSError:
            return join_host_port("127.0.0.1" if family is socket.AF_INET else "::1", port)


def advertised(host_port: str, advertise: str | None) -> str:
    """The address to give to others: as configured, or else as `reachable` finds it.

    Args:
        host_port: where the node listens.
        advertise: ``HOST`` or ``HOST:PORT``, or None.
    """
    if advertise is None:
        return reachable(host_port)
    if ":" in advertise.rpartition("]")[2]:
        return advertise
    return f"{advertise}:{split_host_port(host_port)[1]}"


_EVERYWHERE: Final = {
    "0.0.0.0": (socket.AF_INET, "192.0.2.1"),  # noqa: S104 - RFC 5737
    "::": (socket.AF_INET6, "2001:db8::1"),  # RFC 3849
}


NO_ADDR: Final = "node.invalid:1"
"""Where a node without a port is, for the processes of its actors (RFC 2606 2)."""


class Place:
    """Where one actor is, seen from one system. Shared by references that were made together.

    Attributes:
        system: whose calls these are.
        target: where calls go.
        actor_id: its exact identity; what makes references equal.
        name: its canonical name, or None.
        host_port: where its node listens, or None for this node.
        class_name: of its class, for display.
        offer: what is known of its methods and attributes, or None.
    """

    __slots__ = ("actor_id", "class_name", "host_port", "name", "offer", "system", "target")

    def __init__(
        self,
        system: ActorSystem,
        target: Target,
        actor_id: ActorId,
        *,
        name: str | None,
        host_port: str | None = None,
        class_name: str = "actor",
        offer: Offer | None = None,
    ) -> None:
        self.system = system
        self.target = target
        self.actor_id = actor_id
        self.name = name
        self.host_port = host_port
        self.class_name = class_name
        self.offer = offer

    is_service = False
    """It stands for a name, not for one actor."""

    @property
    def identity(self) -> object:
        """What references to it have in common for as long as they live."""
        return self.actor_id

    @property
    def latest_id(self) -> ActorId | None:
        """The actor that got the latest call, or would get the next; None when there is none."""
        return self.actor_id

    def with_key(self, key: str) -> Place:
        """Where calls for this key go: of one actor, always there. See `ActorRef.with_key`."""
        return self

    @property
    def label(self) -> str:
        """What to call the actor in messages to people: its name or id, and where it is."""
        where = f" at {self.host_port}" if self.host_port is not None else ""
        return f"{self.name or self.actor_id}{where}"

    @property
    def address(self) -> ActorAddress:
        """The exact address of the actor, for use on any node that can reach its node."""
        host_port = self.host_port or self.system.reachable_addr
        if host_port == NO_ADDR:
            host_port = None
        node = self.actor_id.node if host_port is not None else LOCALHOST
        return ActorAddress(node=node, local=self.actor_id.local, host_port=host_port)


class Reference:
    """Something that stands for an actor: equal to whatever stands for the same actor."""

    __slots__ = ("__weakref__", "_place")

    _place: Place

    def __init__(self, place: Place) -> None:
        object.__setattr__(self, "_place", place)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        ours, theirs = self._place, other._place
        if ours.is_service is theirs.is_service:
            return ours.identity == theirs.identity
        return ours.latest_id == theirs.latest_id

    def __hash__(self) -> int:
        return hash(self._place.identity)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled, because it belongs to a running system. It travels as an "
            "argument or result of actors' methods; elsewhere pass its address, str(ref.address), "
            "and use pul.refer(address)"
        )


def place_of(reference: Reference) -> Place:
    """Where the actor of a reference or proxy is."""
    return reference._place  # noqa: SLF001 - the one door # pyright: ignore[reportPrivateUsage]
