"""Where a name is: what references to a service hold instead of one actor's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pulsing.actor.local import LocalTarget
from pulsing.actor.place import Place
from pulsing.actor.service import Service
from pulsing.actor.service_target import ServiceTarget
from pulsing.addresses import ActorAddress
from pulsing.cluster.policies import Policy, RendezvousHash, name_of
from pulsing.ids import canonical_name

if TYPE_CHECKING:
    from pulsing.actor.describe import Offer
    from pulsing.actor.system import ActorSystem
    from pulsing.ids import ActorId

_KEY: Final = ":"
"""Stands between the name of a policy and its key."""


class ServicePlace(Place):
    """A name, wherever it is registered when a call is made.

    Its ``actor_id`` is that of the instance that got the latest call, or would get the next one.
    """

    __slots__ = ("_class_name", "service")

    is_service = True
    target: ServiceTarget

    def __init__(
        self, system: ActorSystem, service: Service, policy: Policy, class_name: str | None = None
    ) -> None:
        self.system = system
        self.service = service
        self.target = ServiceTarget(service, policy)
        self._class_name = class_name

    @property
    def policy(self) -> Policy:
        """Which instance gets a call."""
        return self.target.policy

    @property
    def policy_text(self) -> str:
        """The policy as text, for other nodes; "" for one of the user's own, which stays here."""
        policy = self.policy
        name = name_of(policy) or ""
        if isinstance(policy, RendezvousHash) and policy.key is not None:
            return f"{name}{_KEY}{policy.key}"
        return name

    @property
    def identity(self) -> object:
        """See `Place.identity`: references to one service are equal, whoever got the last call."""
        return self.service.name

    @property
    def latest_id(self) -> ActorId | None:
        """See `Place.latest_id`."""
        last = self.service.last
        if last is not None and last in self.service.instances():
            return last.actor_id
        picked = self.target.pick()
        return None if picked is None else picked.actor_id

    @property
    def actor_id(self) -> ActorId:  # type: ignore[override]
        """See `Place`.

        Raises:
            ActorNotFound: nothing is registered by the name now.
        """
        latest = self.latest_id
        if latest is None:
            raise self.service.not_found()
        return latest

    @property
    def name(self) -> str:  # type: ignore[override]
        """See `Place`."""
        return self.service.name

    @property
    def host_port(self) -> None:  # type: ignore[override]
        """Nowhere in particular."""
        return

    @property
    def class_name(self) -> str:  # type: ignore[override]
        """See `Place`."""
        if self._class_name is None:
            found = self.service.instances()
            self._class_name = found[0].registration.class_name if found else "actor"
        return self._class_name

    @property
    def offer(self) -> Offer | None:  # type: ignore[override]
        """See `Place`; known when an instance is on this node."""
        for each in self.service.instances():
            if isinstance(each.target, LocalTarget):
                return each.target.cell.table
        return None

    @property
    def label(self) -> str:
        """See `Place.label`."""
        return f"service {self.service.name}"

    @property
    def address(self) -> ActorAddress:
        """The address of the name."""
        return ActorAddress(name=self.service.name)

    def with_key(self, key: str) -> ServicePlace:
        """See `Place.with_key`."""
        before = self.policy
        policy = RendezvousHash(key) if not isinstance(before, RendezvousHash) else before
        return ServicePlace(self.system, self.service, policy.with_key(key), self._class_name)

    def whereabouts(self) -> tuple[str, str]:
        """Id and address of one of the actors, for those that are in no cluster; "" for none."""
        for each in self.service.instances():
            addr = self.system.reachable_addr if each.is_local else each.addr
            if addr is not None:
                return str(each.actor_id), addr
        return "", ""


def service_place(
    system: ActorSystem, name: str, policy: Policy | str | None, class_name: str | None = None
) -> ServicePlace:
    """Where a name of the cluster is.

    Args:
        system: who wants to know.
        name: with or without its namespace.
        policy: what a user said, or `ServicePlace.policy_text`.
        class_name: of the actors, for display; None: as it is registered.

    Raises:
        ValueError: it is no name; or there is no such policy.
    """
    service = system.services.named(canonical_name(name))
    if isinstance(policy, str) and _KEY in policy:
        policy = RendezvousHash(policy.partition(_KEY)[2])
    return ServicePlace(system, service, service.policy(policy), class_name)
