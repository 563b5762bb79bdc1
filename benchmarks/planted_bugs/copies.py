"""Copies of the cores, beside the real ones, with replacements in their source."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Final

import pulsing.cluster
from benchmarks.planted_bugs.bugs import Bug
from pulsing.cluster.members import NodeInfo
from pulsing.cluster.settings import SwimSettings
from pulsing.cluster.wire import ClusterCore
from pulsing.testing.simulation.cores import CoreFactory

SHARED: Final = frozenset({"effects", "members", "settings", "stimuli", "wire"})
"""What cores and their surroundings exchange: the simulation must recognize it."""
_SOURCES: Final = Path(pulsing.cluster.__path__[0])
_numbers = itertools.count(1)


class OutOfDate(Exception):
    """A bug cannot be planted any more: the source was changed, so the list must be, too."""


class _Copies(MetaPathFinder, Loader):
    """Finds the modules of one copy of the package `pulsing.cluster`."""

    def __init__(self, package: str, bug: Bug) -> None:
        self._package = package
        self._bug = bug
        self.planted = 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._package and not fullname.startswith(f"{self._package}."):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == self._package)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.removeprefix(self._package).lstrip(".")
        if not name:
            return
        path = _SOURCES / f"{name}.py"
        source = path.read_text("utf-8")
        for change in self._bug.changes:
            if change.module == name:
                if source.count(change.old) != 1:
                    raise OutOfDate(
                        f"{self._bug.name}: {path.name} has not exactly one {change.old!r}"
                    )
                source = source.replace(change.old, change.new)
                self.planted += 1
        exec(compile(source, str(path), "exec"), vars(module))


@contextmanager
def planted(bug: Bug) -> Iterator[CoreFactory]:
    """Make cores with a bug, inside the block.

    Raises:
        OutOfDate: the source is not what the bug was written for.
    """
    package = f"_planted_{next(_numbers)}"
    copies = _Copies(package, bug)
    sys.meta_path.insert(0, copies)
    try:
        importlib.import_module(package)
        for name in SHARED:
            sys.modules[f"{package}.{name}"] = importlib.import_module(f"pulsing.cluster.{name}")
        core = importlib.import_module(f"{package}.gossip_core").GossipCore
        if copies.planted != len(bug.changes):
            raise OutOfDate(f"{bug.name}: it changes a module that no gossip core uses")

        def make(info: NodeInfo, settings: SwimSettings, dice: Random) -> ClusterCore:
            made: ClusterCore = core(info, settings, dice, seeds_configured=True)
            return made

        yield make
    finally:
        sys.meta_path.remove(copies)
        for name in [each for each in sys.modules if each.split(".")[0] == package]:
            del sys.modules[name]
