"""What a name stands for now: the actors registered by it, as one system sees them.

`Services` are those of one system. A `Service` follows the registry and the members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from pulsing import chance, clock
from pulsing.cluster.members import Member, MemberStatus, Registration
from pulsing.cluster.policies import Policy, policy_of
from pulsing.errors import ActorNotFound
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from pulsing.actor.call import Target
    from pulsing.actor.cell import Cell
    from pulsing.actor.system import ActorSystem

_MAX_POLICIES: Final = 64
AVOID_S: Final = 1.0
"""For as long, an instance that could not be reached is picked only if there is no other."""


class Instance:
    """One actor of a service, seen from one system; what policies choose between.

    Attributes:
        registration: its name, node and number.
        target: where calls to it go.
        addr: of its node.
        is_local: it is on this node.
        in_flight: calls of this system that it works on.
        busy: its node is stalled.
        suspect: its node may be dead, or could not be reached a moment ago.
    """

    __slots__ = (
        "actor_id",
        "addr",
        "busy",
        "in_flight",
        "is_local",
        "registration",
        "suspect",
        "target",
    )

    def __init__(self, registration: Registration, target: Target, member: Member | None) -> None:
        self.registration = registration
        self.actor_id = ActorId(registration.node_id, registration.local)
        self.target = target
        self.is_local = member is None
        self.addr = "this node" if member is None else member.info.addr
        self.in_flight = 0
        self.busy = False
        self.suspect = False

    @property
    def node_id(self) -> str:
        """Of its node."""
        return self.registration.node_id

    def __repr__(self) -> str:
        return f"<Instance {self.actor_id} at {self.addr}>"


class Services:
    """The names that references of one system stand for."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.random = chance.dice()
        self.changes = 0
        """Grows whenever something is believed of a member that was not before."""
        self._known: WeakValueDictionary[str, Service] = WeakValueDictionary()
        assert system.cluster is not None
        self.cluster = system.cluster
        self.cluster.subscribe(self._changed)

    def _changed(self, _event: object) -> None:
        self.changes += 1

    def named(self, name: str) -> Service:
        """The service of a canonical name; one for all references to it."""
        service = self._known.get(name)
        if service is None:
            service = self._known[name] = Service(self, name)
        return service


class Service:
    """A name, and the actors it stands for now.

    Attributes:
        name: canonical.
        last: the instance that got the latest call, or None.
    """

    def __init__(self, services: Services, name: str) -> None:
        self.name = name
        self.services = services
        self.last: Instance | None = None
        self._registrations: Sequence[Registration] = ()
        self._changes = -1
        self._known: dict[tuple[str, int], Instance] = {}
        self._instances: list[Instance] = []
        self._avoided_until = 0.0
        self._policies: dict[str, Policy] = {}

    def policy(self, policy: Policy | str | None) -> Policy:
        """The policy that is meant. Those given by name are one for all references here.

        So that whoever resolves a name for each call gets each instance in turn as well.

        Raises:
            ValueError: there is no policy of this name.
        """
        if policy is not None and not isinstance(policy, str):
            return policy_of(policy)
        key = policy or ""
        known = self._policies.get(key)
        if known is None:
            known = policy_of(policy)
            if len(self._policies) < _MAX_POLICIES:
                self._policies[key] = known
        return known

    def instances(self) -> list[Instance]:
        """The actors there are now. Not to be changed."""
        services = self.services
        registrations = services.cluster.lookup(self.name)
        if (
            registrations is not self._registrations
            or services.changes != self._changes
            or (self._avoided_until and clock.monotonic() >= self._avoided_until)
        ):
            self._refresh(registrations)
        if not self._instances:
            return self._only_here()
        return self._instances

    def avoid(self, instance: Instance) -> None:
        """It could not be reached: others first, for a moment."""
        instance.suspect = True
        self._avoided_until = clock.monotonic() + AVOID_S

    def not_found(self) -> ActorNotFound:
        """Why nothing could be picked."""
        return ActorNotFound(f"no actor {self.name!r} in the cluster")

    def _refresh(self, registrations: Sequence[Registration]) -> None:
        services = self.services
        self._registrations = registrations
        self._changes = services.changes
        self._avoided_until = 0.0
        before, self._known = self._known, {}
        for each in registrations:
            key = (each.node_id, each.local)
            instance = before.get(key) or self._make(each)
            if instance is None:
                continue
            self._known[key] = instance
            member = services.cluster.member(each.node_id)
            if member is not None:
                instance.busy = member.busy and not instance.is_local
                alive = instance.is_local or member.status is MemberStatus.ALIVE
                instance.suspect = not alive
        self._instances = list(self._known.values())

    def _make(self, registration: Registration) -> Instance | None:
        system = self.services.system
        if registration.node_id == system.node_id:
            cell = system.numbered(registration.local)
            return None if cell is None else Instance(registration, system.local_target(cell), None)
        member = self.services.cluster.member(registration.node_id)
        if member is None:
            return None
        actor_id = ActorId(registration.node_id, registration.local)
        target = system.remote_target(member.info.addr, f"@{actor_id}")
        return Instance(registration, target, member)

    def _only_here(self) -> list[Instance]:
        """One that starts on this node, and is not announced yet."""
        cell = self.local_cell()
        if cell is None:
            return []
        actor_id = cell.actor_id
        class_name = cell.table.owner.__name__
        found = Registration(self.name, actor_id.node, actor_id.local, class_name)
        return [Instance(found, self.services.system.local_target(cell), None)]

    def local_cell(self) -> Cell | None:
        """The actor of this node that has the name."""
        return self.services.system.named(self.name)
