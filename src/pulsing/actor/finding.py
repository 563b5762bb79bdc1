"""Finding actors by name or address, on this node and on others."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.call import Call
from pulsing.actor.describe import ActorDescription
from pulsing.actor.gone import gone
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.service_place import service_place
from pulsing.actor.steward import NODE_ACTOR
from pulsing.addresses import LOCALHOST, ActorAddress
from pulsing.cluster.policies import policy_of
from pulsing.errors import ActorNotFound, NodeUnreachable, PulsingRuntimeError
from pulsing.ids import ActorId

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pulsing.actor.call import Target
    from pulsing.actor.directory import Directory
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.policies import Policy

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


def at_node(address: ActorAddress, node: str | None) -> ActorAddress:
    """The address on a node of which the id or name is known besides.

    Raises:
        ValueError: the address names another node.
    """
    if node is None or node == address.node:
        return address
    if address.node is not None or address.host_port is not None:
        raise ValueError(f"{address} says where it is; node_id={node!r} says otherwise")
    return replace(address, node=node)


async def find(
    system: ActorSystem,
    directory: Directory,
    address: ActorAddress,
    timeout_s: float,
    policy: Policy | str | None,
) -> Place:
    """Where the actor of an address is.

    Args:
        system: who wants to know.
        directory: the actors of this node.
        address: of the actor.
        timeout_s: how long to wait until it exists and its node answers.
        policy: which of many actors of one name gets a call.

    Raises:
        ValueError: there is no such policy.
        ActorNotFound: there is none, or there was none for as long.
        NodeUnreachable: the node in the address did not answer.
    """
    policy_of(policy)  # a wrong one is wrong also where it would not be asked
    host_port = address.host_port
    if host_port is not None and host_port not in (system.addr, system.reachable_addr):
        return await _find_remote(system, address, timeout_s)
    ours = (None, LOCALHOST, system.node_id, system.node_name)
    if host_port is None and address.node not in ours:
        return await _find_remote(system, address, timeout_s)
    if address.name is not None and address.node is None and host_port is None and system.cluster:
        return await _find_service(system, directory, address.name, timeout_s, policy)
    if address.name is not None:
        cell = await directory.wait_named(address.name, timeout_s)
    else:
        assert address.local is not None
        same_node = address.node in ours
        cell = directory.numbered(address.local) if same_node else None
    if cell is None:
        raise ActorNotFound(f"no actor {address.target!r} on this node{_waited(timeout_s)}")
    return system.place(cell)


def _waited(timeout_s: float) -> str:
    return f"; waited {timeout_s:g} s for it" if timeout_s else ""


async def _find_service(
    system: ActorSystem,
    directory: Directory,
    name: str,
    timeout_s: float,
    policy: Policy | str | None,
) -> Place:
    """The actors of a name, wherever they are; an actor that only this node knows comes first."""
    cluster = system.cluster
    assert cluster is not None
    if timeout_s > 0 and directory.named(name) is None and not cluster.lookup(name):
        await _first(directory.wait_named(name, timeout_s), cluster.wait_for_name(name, timeout_s))
    cell = directory.named(name)
    if cell is not None and not directory.is_public(cell):
        return system.place(cell)
    if cell is None and not cluster.lookup(name):
        raise ActorNotFound(f"no actor {name!r} in the cluster{_waited(timeout_s)}")
    return service_place(system, name, policy)


async def _first(*awaited: Awaitable[Any]) -> None:
    """Wait until one of them has something, or all have ended. Raises what the first raises."""
    tasks = {asyncio.ensure_future(each) for each in awaited}
    pending = tasks
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(each.result() for each in done):
                return
    finally:
        for each in pending:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # they end at once


async def _find_remote(system: ActorSystem, address: ActorAddress, timeout_s: float) -> Place:
    give_up_at = system.loop.time() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            host_port = address.host_port or addr_of(system, address)
            said = await system.describe_remote(host_port, _target(system, address))
            break
        except (ActorNotFound, NodeUnreachable):
            remaining = give_up_at - system.loop.time()
            if remaining <= 0:
                raise
            await asyncio.sleep(min(pause_s, remaining))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    description = ActorDescription.from_dict(said)
    # At an address, a name is whoever has it; of a node, it is the actor that has it now.
    by_name = address.host_port is not None
    target = address.target if by_name else f"@{description.actor_id}"
    return Place(
        system,
        system.remote_target(host_port, target),
        description.actor_id,
        name=address.name,
        host_port=host_port,
        class_name=description.class_name.rpartition(".")[2],
        offer=description,
    )


def addr_of(system: ActorSystem, address: ActorAddress) -> str:
    """Where the node of an address listens, as the cluster knows it.

    Raises:
        ActorNotFound: no such node is known.
        NodeUnreachable: it is dead or has left.
    """
    node = address.node
    assert node is not None
    if system.cluster is None:
        raise ActorNotFound(
            f"{address}: node {node} is not this node ({system.node_id}), and nothing is known of "
            "others; use an address with a host: actor://HOST:PORT/..."
        )
    member = system.cluster.member(node)
    if member is None:
        present = [each.info.name for each in system.cluster.members() if each.is_present][:20]
        raise ActorNotFound(
            f"{address}: there is no node {node} in the cluster; the nodes are {', '.join(present)}"
        )
    if not member.is_present:
        raise NodeUnreachable(f"{address}: node {member.info.name} is {member.shown_status}")
    return member.info.addr


def _target(system: ActorSystem, address: ActorAddress) -> str:
    """What the node of an address is asked for: its own id instead of its name."""
    if address.name is not None or address.host_port is not None or system.cluster is None:
        return address.target
    assert address.node is not None
    member = system.cluster.member(address.node)
    return f"@{address.node if member is None else member.node_id}/{address.local}"


def arrived(
    system: ActorSystem,
    directory: Directory,
    actor_id: ActorId,
    *,
    name: str | None,
    host_port: str | None,
    class_name: str,
) -> Place:
    """Where an actor is whose reference arrived in a message. Asks nobody.

    One of this node that has stopped may arrive as well: only calls of it fail.

    Raises:
        ActorNotFound: its node has no address that is known here.
    """
    if actor_id.node == system.node_id:
        cell = directory.numbered(actor_id.local)
        if cell is not None:
            return system.place(cell)
        target: Target = gone(system.dispatcher, actor_id, name)
        return Place(system, target, actor_id, name=name, class_name=class_name)
    process = system.process_of(actor_id.node) if system.processes else None
    if process is not None:
        target = process.target(f"@{actor_id}")
        return Place(system, target, actor_id, name=name, class_name=class_name)
    if not host_port:
        member = system.cluster.member(actor_id.node) if system.cluster is not None else None
        if member is None:
            raise ActorNotFound(f"actor {name or actor_id} lives on a node without an address")
        host_port = member.info.addr
    target = system.remote_target(host_port, f"@{actor_id}")
    return Place(system, target, actor_id, name=name, host_port=host_port, class_name=class_name)


async def stop_elsewhere(
    system: ActorSystem, actor: str | ActorId | Reference, grace_s: float | None
) -> None:
    """Stop an actor that is not of this node; see `ActorSystem.stop`. Without a grace: kill it."""
    host_port, target = whereabouts(system, actor)
    steward = system.remote_target(host_port, NODE_ACTOR)
    # No timeout: its code may take as long to leave as it does here.
    order, args = ("kill", [target]) if grace_s is None else ("stop", [target, grace_s])
    call: Call[Any] = Call(steward, order, args, None)
    await call.with_timeout(None)


def whereabouts(system: ActorSystem, actor: str | ActorId | Reference) -> tuple[str, str]:
    """Address of the node, and what to call the actor there."""
    if isinstance(actor, Reference):
        place = place_of(actor)
        if not place.is_service:
            if place.host_port is None:
                raise ActorNotFound(f"actor {place.label} has stopped")
            return place.host_port, f"@{place.actor_id}"
        address = place.address
    elif isinstance(actor, ActorId):
        address = ActorAddress(node=actor.node, local=actor.local)
    else:
        address = ActorAddress.parse(actor)
    if address.host_port is not None:
        return address.host_port, address.target
    if address.node in (LOCALHOST, system.node_id) or system.cluster is None:
        raise ActorNotFound(f"no actor {address.target!r} on this node")
    if address.node is not None:
        return addr_of(system, address), _target(system, address)
    name = address.name
    assert name is not None
    found = system.cluster.lookup(name)
    if not found:
        raise ActorNotFound(f"no actor {name!r} in the cluster")
    if len(found) > 1:
        known = [system.cluster.member(each.node_id) for each in found]
        forms = ", ".join(f"{name}@{each.info.name}" for each in known if each is not None)
        raise PulsingRuntimeError(f"{len(found)} nodes have an actor {name!r}; say which: {forms}")
    one = ActorAddress(node=found[0].node_id, local=found[0].local)
    return addr_of(system, one), one.target
