"""Reading an attribute of an actor: a message like any other, so nothing else runs meanwhile."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pulsing.actor.methods import HOOKS, Executor, Method
from pulsing.errors import PulsingActorError

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell


def attribute_reader(cell: Cell, name: str) -> Method:
    """A method that gives the attribute's value.

    Raises:
        PulsingActorError: the name is private, or is a method.
    """
    if name.startswith("_") or name in HOOKS:
        raise PulsingActorError(f"Not found: {name!r} of {cell.label} is private", cell.label)
    if cell.table.get(name) is not None:
        text = f"{name!r} of {cell.label} is a method; call it: {name}(...)"
        raise PulsingActorError(text, cell.label)
    return _reader(cell.table.owner, name)


@lru_cache(maxsize=1024)
def _reader(owner: type[Any], name: str) -> Method:
    def read(instance: object) -> Any:
        try:
            return getattr(instance, name)
        except AttributeError as error:
            text = f"Not found: {owner.__name__} has no attribute {name!r}"
            raise PulsingActorError(text) from error

    # A property is code, and may block; anything else is a look-up.
    is_code = isinstance(inspect.getattr_static(owner, name, None), property)
    return Method(owner, name, read, Executor.THREAD if is_code else Executor.LOOP)
