"""Reading an attribute of an actor: a message like any other, so nothing else runs meanwhile."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.chain import waiting_for
from pulsing.actor.deadline import SCOPE
from pulsing.actor.invocation import CANCELLED, RUNNING
from pulsing.actor.methods import HOOKS, Executor, Method
from pulsing.errors import PulsingActorError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell


BARRIER: Final = "-barrier"
"""Reading this is answered when all that ran before has ended."""
_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05


async def _wait_for_others(_instance: object) -> None:
    scope = SCOPE.get()
    assert scope is not None
    assert scope.cell is not None
    ours = (scope.invocation, *waiting_for(scope))  # which wait for this, in turn
    before = [each for each in scope.cell.running if each not in ours]
    pause_s = _PAUSE_S
    while any(each.stage in _AT_WORK for each in before):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


_AT_WORK: Final = frozenset({RUNNING, CANCELLED})


def attribute_reader(cell: Cell, name: str) -> Method:
    """A method that gives the attribute's value.

    Raises:
        PulsingActorError: the name is private, or is a method.
    """
    if name == BARRIER:
        return Method(cell.table.owner, name, _wait_for_others, Executor.LOOP)
    if name.startswith("_") or name in HOOKS:
        raise PulsingActorError(f"Not found: {name!r} of {cell.label} is private", cell.label)
    if cell.table.get(name) is not None:
        text = f"{name!r} of {cell.label} is a method; call it: {name}(...)"
        raise PulsingActorError(text, cell.label)
    return _reader(cell.table.owner, name)


def _forward(name: str) -> Callable[[Any], Any]:
    async def read(stand_in: Any) -> Any:
        return await stand_in.__pulsing_read__(name)

    return read


@lru_cache(maxsize=1024)
def _reader(owner: type[Any], name: str) -> Method:
    def read(instance: object) -> Any:
        try:
            return getattr(instance, name)
        except AttributeError as error:
            text = f"Not found: {owner.__name__} has no attribute {name!r}"
            raise PulsingActorError(text) from error

    if hasattr(owner, "__pulsing_read__"):
        return Method(owner, name, _forward(name), Executor.LOOP)
    # A property is code, and may block; anything else is a look-up.
    is_code = isinstance(inspect.getattr_static(owner, name, None), property)
    return Method(owner, name, read, Executor.THREAD if is_code else Executor.LOOP)
