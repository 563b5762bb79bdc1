"""The chain of a call: the actors that wait for it, and whether it waits for itself.

A call that an actor's code makes is linked to the message that this code runs for, that one to the
message it was sent from, and so on; between nodes the chain travels as text. Nobody looks at it
until a message finds its actor occupied. Then, if the code that occupies it waits for this very
message, it is refused with `Deadlock`: it would never have been started.

A link counts only while its code runs, so that what an actor's background tasks call later is no
part of it. A tell begins a new chain: nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.invocation import QUEUED, RUNNING
from pulsing.actor.lifecycle import CellState
from pulsing.actor.methods import Executor, MethodKind
from pulsing.errors import Deadlock

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell
    from pulsing.actor.deadline import Scope
    from pulsing.actor.invocation import Invocation

CHAIN: Final = "c"
"""The key under which the chain travels: a list of texts, the nearest actor first."""
MAX_LINKS: Final = 256
"""Links that are looked at, and that travel; a longer loop ends by its deadline."""
_IN_THREAD: Final = "!"
"""In front of a link: the code occupies its actor, as a ``def`` in a worker thread does."""


def link_of(cell: Cell) -> str:
    """What stands for an actor in a chain: its id, and its name for people."""
    return f"{cell.actor_id} {cell.label}"


def chain_of(scope: Scope | None) -> list[str]:
    """The chain of a call made now, for its journey."""
    links: list[str] = []
    for invocation in waiting_for(scope):
        mark = _IN_THREAD if _occupies(invocation) else ""
        links.append(mark + link_of(invocation.cell))
        links.extend(_travelled(invocation))
    return links[:MAX_LINKS]


def refuse_deadlock(cell: Cell, invocation: Invocation) -> None:
    """A message finds its actor occupied: refuse it if that would be for ever."""
    links: list[str] = []
    ours = link_of(cell)
    for waiting in waiting_for(invocation.caller):
        links.append(link_of(waiting.cell))
        if waiting.cell is cell and (_one_at_a_time(cell) or _occupies(waiting)):
            _refuse(invocation, links, ours)
            return
        for link in _travelled(waiting):
            links.append(link.removeprefix(_IN_THREAD))
            if _is_held_by(cell, link, ours):
                _refuse(invocation, links, ours)
                return
    for link in _travelled(invocation):
        links.append(link.removeprefix(_IN_THREAD))
        if _is_held_by(cell, link, ours):
            _refuse(invocation, links, ours)
            return


def waiting_for(scope: Scope | None) -> Iterator[Invocation]:
    """The messages of this node whose code waits for what is done in a scope, the nearest first."""
    for _ in range(MAX_LINKS):
        invocation = None if scope is None else scope.invocation
        if invocation is None or invocation.stage is not RUNNING:
            return
        yield invocation
        scope = invocation.caller


def _travelled(invocation: Invocation) -> list[str]:
    """The links that came with a message from another node. From a peer: anything is possible."""
    found: Any = invocation.meta.get(CHAIN) if invocation.meta is not None else None
    if not isinstance(found, list):
        return []
    links = cast("list[object]", found)
    return [each for each in links[:MAX_LINKS] if isinstance(each, str)]


def _is_held_by(cell: Cell, link: str, ours: str) -> bool:
    """Whether the code that a link stands for occupies the actor."""
    if link == ours:
        return _one_at_a_time(cell) and (cell.active > 0 or cell.exclusive)
    return link[:1] == _IN_THREAD and link[1:] == ours and cell.exclusive


def _one_at_a_time(cell: Cell) -> bool:
    return cell.options.max_concurrency == 1 or cell.state is not CellState.RUNNING


def _occupies(invocation: Invocation) -> bool:
    """Whether its code is in a worker thread now, so that nothing else of its actor runs."""
    method = invocation.method
    if not invocation.cell.exclusive or method.executor is not Executor.THREAD:
        return False
    return method.kind is MethodKind.SYNC_GEN or invocation.context is None


def _refuse(invocation: Invocation, links: list[str], ours: str) -> None:
    ids = [each.partition(" ")[2] for each in (ours, *links)]
    chain = tuple(reversed(ids))
    error = Deadlock(
        f"{' -> '.join(chain)}: the call would wait for itself, as {chain[-1]} takes no other "
        "message before the first one is answered; use tell, call without waiting, or give it "
        "async methods and a max_concurrency above 1",
        chain,
    )
    # Not now: the task that will wait for the answer may not have come to rest yet.
    invocation.cell.dispatcher.loop.call_soon(_give_up, invocation, error)


def _give_up(invocation: Invocation, error: Deadlock) -> None:
    if invocation.stage is QUEUED:
        invocation.withdraw(error)
