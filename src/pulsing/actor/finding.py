"""Finding actors by name or address, on this node and on others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pulsing.actor.describe import ActorDescription
from pulsing.actor.place import Place
from pulsing.addresses import LOCALHOST
from pulsing.errors import ActorNotFound, NodeUnreachable

if TYPE_CHECKING:
    from pulsing.actor.directory import Directory
    from pulsing.actor.system import ActorSystem
    from pulsing.addresses import ActorAddress
    from pulsing.ids import ActorId

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


async def find(
    system: ActorSystem, directory: Directory, address: ActorAddress, timeout_s: float
) -> Place:
    """Where the actor of an address is.

    Args:
        system: who wants to know.
        directory: the actors of this node.
        address: of the actor.
        timeout_s: how long to wait until it exists and its node answers.

    Raises:
        ActorNotFound: there is none, or there was none for as long.
        NodeUnreachable: the node in the address did not answer.
    """
    host_port = address.host_port
    if host_port is not None and host_port != system.addr:
        return await _find_remote(system, address, host_port, timeout_s)
    ours = (None, LOCALHOST, system.node_id)
    if host_port is None and address.node not in ours:
        raise ActorNotFound(
            f"{address}: node {address.node} is not this node ({system.node_id}), and nothing is "
            "known of others; use an address with a host: actor://HOST:PORT/..."
        )
    if address.name is not None:
        cell = await directory.wait_named(address.name, timeout_s)
    else:
        assert address.local is not None
        same_node = address.node in ours
        cell = directory.numbered(address.local) if same_node else None
    if cell is None:
        waited = f"; waited {timeout_s:g} s for it" if timeout_s else ""
        raise ActorNotFound(f"no actor {address.target!r} on this node{waited}")
    return system.place(cell)


async def _find_remote(
    system: ActorSystem, address: ActorAddress, host_port: str, timeout_s: float
) -> Place:
    give_up_at = system.loop.time() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            said = await system.describe_remote(host_port, address.target)
            break
        except (ActorNotFound, NodeUnreachable):
            remaining = give_up_at - system.loop.time()
            if remaining <= 0:
                raise
            await asyncio.sleep(min(pause_s, remaining))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    description = ActorDescription.from_dict(said)
    return Place(
        system,
        system.remote_target(host_port, address.target),
        description.actor_id,
        name=address.name,
        host_port=host_port,
        class_name=description.class_name.rpartition(".")[2],
        offer=description,
    )


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

    Raises:
        ActorNotFound: it was of this node and has stopped, or it cannot be reached.
    """
    if actor_id.node == system.node_id:
        cell = directory.numbered(actor_id.local)
        if cell is None:
            raise ActorNotFound(f"actor {name or actor_id} of this node has stopped")
        return system.place(cell)
    if host_port is None:
        raise ActorNotFound(f"actor {name or actor_id} lives on a node without an address")
    target = system.remote_target(host_port, f"@{actor_id}")
    return Place(system, target, actor_id, name=name, host_port=host_port, class_name=class_name)
