"""Names of classes on the wire, and classes found by name, without ever importing anything.

A class is ``module:qualified.name``. Looking one up reads ``sys.modules`` and the dictionaries of
modules and classes directly, so that no ``__getattr__``, lazy module or descriptor runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import cast

MAIN = "__main__"
_MAIN_AGAIN = "__mp_main__"
"""The name of the program in processes that it has started; see `multiprocessing`."""


def wire_name(cls: type) -> str:
    """The name a class travels under. A program started with ``-m`` uses its module's name."""
    module = cls.__module__
    return f"{_main_module() if module in (MAIN, _MAIN_AGAIN) else module}:{cls.__qualname__}"


def find_class(name: str) -> type | None:
    """The class of this name, when its module is already imported; otherwise None."""
    module_name, _, qualified = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None and module_name == _main_module():
        module = sys.modules.get(MAIN)
    found: object = module
    for part in qualified.split("."):
        found = _namespace(found).get(part)
    return found if isinstance(found, type) else None


def findable(cls: type) -> bool:
    """Whether the name of a class leads back to it: not so for classes made inside functions."""
    return find_class(wire_name(cls)) is cls


def _main_module() -> str:
    """The name under which others import the running program; ``__main__`` for a plain script."""
    spec = getattr(sys.modules.get(MAIN), "__spec__", None)
    return spec.name if spec is not None else MAIN


def _namespace(holder: object) -> Mapping[str, object]:
    if isinstance(holder, ModuleType):
        return cast(Mapping[str, object], object.__getattribute__(holder, "__dict__"))
    if isinstance(holder, type):
        return cast(Mapping[str, object], type.__getattribute__(holder, "__dict__"))
    return {}
