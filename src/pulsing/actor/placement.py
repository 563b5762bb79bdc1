"""Where an actor is started: on this node, or by the steward of another one.

====================  =========================================================
``"local"``           this node; the default
``"remote"``          any other node
a node's id or name   that node
``"label:gpu"``       any node with this label, this one included
``"label:zone=eu"``   any node whose label has this value, this one included
====================  =========================================================

Among those that fit, nodes take turns; busy and suspect ones only when there is no other. A node
that cannot be reached has started nothing, so the next one is asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.call import Call
from pulsing.actor.describe import ActorDescription
from pulsing.actor.failover import nothing_was_delivered
from pulsing.actor.membership import is_well
from pulsing.actor.place import Place
from pulsing.actor.steward import NODE_ACTOR, class_to_send
from pulsing.errors import PulsingRuntimeError, WireError

if TYPE_CHECKING:
    from pulsing.actor.options import ActorOptions
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.members import Member

_LABEL: Final = "label:"
_VISIBLE_S: Final = 1.0
_LOOK_S: Final = 0.005


class PlacementKind(Enum):
    """What a placement asks of a node."""

    LOCAL = "local"
    REMOTE = "remote"
    NODE = "node"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an actor is to be started.

    Attributes:
        kind: what is asked of a node.
        text: as it was written.
        what: the node, or the label.
        value: that the label must have; None: any.
    """

    kind: PlacementKind
    text: str
    what: str = ""
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> Placement:
        """Read what a user wrote.

        Raises:
            ValueError: it is none of the forms.
        """
        if text in (PlacementKind.LOCAL.value, PlacementKind.REMOTE.value):
            return cls(PlacementKind(text), text)
        if text.startswith(_LABEL):
            label, equals, value = text[len(_LABEL) :].partition("=")
            if label:
                return cls(PlacementKind.LABEL, text, label, value if equals else None)
        elif text and ":" not in text and "/" not in text:
            return cls(PlacementKind.NODE, text, text)
        raise ValueError(
            f"placement is {text!r}; it can be 'local', 'remote', the id or name of a node, "
            "'label:NAME' or 'label:NAME=VALUE'"
        )

    def fits(self, member: Member, *, ours: bool) -> bool:
        """Whether a present member will do."""
        if self.kind is PlacementKind.NODE:
            return self.what in (member.node_id, member.info.name)
        if self.kind is PlacementKind.LABEL:
            found = member.info.labels.get(self.what)
            return found is not None and self.value in (None, found)
        return ours == (self.kind is PlacementKind.LOCAL)


async def spawn_elsewhere(
    system: ActorSystem,
    placement: Placement,
    owner: type[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    name: str | None,
    public: bool | None,
    options: ActorOptions,
) -> Place | None:
    """Start an actor on a node that fits; None when it is this node's turn to do so.

    Raises:
        PulsingRuntimeError: no node fits, or the chosen one has not imported the class.
        NodeUnreachable: none of those that fit could be reached.
        Exception: what starting it there raised.
    """
    fitting = candidates(system, placement)
    request = [name, public, options.given()]
    for tried, member in enumerate(fitting, 1):
        if member.node_id == system.node_id:
            return None
        class_name = class_to_send(owner)
        steward = system.remote_target(member.info.addr, NODE_ACTOR)
        # No timeout, as for a local spawn: a constructor may load a model.
        call: Call[Any] = Call(steward, "spawn", [class_name, list(args), kwargs, *request], None)
        try:
            said = await call.with_timeout(None)
        except PulsingRuntimeError as error:
            if tried == len(fitting) or not nothing_was_delivered(error):
                raise
        else:
            place = _place(system, member, said)
            if name is not None and public is not False:
                await _until_visible(system, place)
            return place
    raise AssertionError("candidates() gives at least one")


def candidates(system: ActorSystem, placement: Placement) -> list[Member]:
    """The members that fit, in the order in which they should be asked.

    Raises:
        PulsingRuntimeError: there is none; says what there is.
    """
    cluster = system.cluster
    members = [] if cluster is None else [each for each in cluster.members() if each.is_present]
    fitting = [
        each for each in members if placement.fits(each, ours=each.node_id == system.node_id)
    ]
    if not fitting:
        raise PulsingRuntimeError(_nowhere(placement, members))
    turn = system.next_turn(placement.text)
    in_turn = [fitting[(turn + offset) % len(fitting)] for offset in range(len(fitting))]
    return sorted(in_turn, key=lambda each: not is_well(each))


def _nowhere(placement: Placement, members: list[Member]) -> str:
    begin = f"no node for placement={placement.text!r}: "
    if not members:
        return begin + "this system is standalone; give it an addr=, and seeds= of other nodes"
    if placement.kind is PlacementKind.LABEL:
        labels = sorted(
            {
                f"{label}={value}" if value else label
                for each in members
                for label, value in each.info.labels.items()
            }
        )
        there = f"there are {', '.join(labels)}" if labels else "no node has any label"
        return f"{begin}none of {len(members)} nodes has it; {there}"
    names = ", ".join(each.info.name for each in members[:20])
    return f"{begin}the nodes are {names}"


async def _until_visible(system: ActorSystem, place: Place) -> None:
    """Wait a moment until this node knows the name, as it does after a spawn of its own."""
    cluster, name = system.cluster, place.name
    assert cluster is not None
    assert name is not None
    give_up_at = system.loop.time() + _VISIBLE_S
    await cluster.wait_for_name(name, _VISIBLE_S)
    actor_id = place.actor_id
    while system.loop.time() < give_up_at:
        if any((each.node_id, each.local) == (actor_id.node, actor_id.local)
               for each in cluster.lookup(name)):  # fmt: skip
            return
        await asyncio.sleep(_LOOK_S)


def _place(system: ActorSystem, member: Member, said: object) -> Place:
    match said:
        case {"name": str(name)}:
            description = ActorDescription.from_dict(said)
        case _:
            raise WireError(f"node {member.info.name} does not describe what it started")
    if description.actor_id.node != member.node_id:
        raise WireError(f"node {member.info.name} describes an actor that is not its own")
    return Place(
        system,
        system.remote_target(member.info.addr, f"@{description.actor_id}"),
        description.actor_id,
        name=name,
        host_port=member.info.addr,
        class_name=description.class_name.rpartition(".")[2],
        offer=description,
    )
