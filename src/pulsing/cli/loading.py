"""``--import``: the user's modules, and what they start.

``--import pkg.mod`` imports the module; when it has a function ``pulsing_setup(system)``, sync or
async, that is called once the node listens and before it is announced ready: the place to spawn
actors. ``--import pkg.mod:Class`` also spawns that class, without arguments, as a public actor
named after the class in lower case with underscores (``LlmRouter`` is ``llm_router``).
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pulsing.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from types import ModuleType

    from pulsing.actor.system import ActorSystem

SETUP_HOOK: Final = "pulsing_setup"
_SPEC: Final = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*)(:(?P<attribute>[^\W\d]\w*))?")
_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Import:
    """One loaded ``--import``: the module, and the class to spawn if one was named."""

    spec: str
    module: ModuleType
    spawned_class: type | None

    async def set_up(self, system: ActorSystem) -> None:
        """Spawn what this import asks for.

        Raises:
            CommandError: the module's hook or the class's constructor failed.
        """
        hook = getattr(self.module, SETUP_HOOK, None)
        try:
            if hook is not None:
                outcome = hook(system)
                if inspect.isawaitable(outcome):
                    await outcome
            if self.spawned_class is not None:
                name = actor_name(self.spawned_class.__name__)
                await system.spawn(self.spawned_class, name=name, public=True)
        except Exception as error:
            raise CommandError(f"setting up {self.spec} failed: {_describe(error)}") from error


def actor_name(class_name: str) -> str:
    """The name under which ``pkg.mod:Class`` is spawned."""
    return _WORD_START.sub("_", class_name).lower()


def load(spec: str) -> Import:
    """Import what one ``--import`` names, with the current directory on the path.

    Raises:
        CommandError: not of the form ``pkg.mod[:Class]`` (usage), or the import failed.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise CommandError(
            f"--import {spec!r} is not of the form pkg.mod or pkg.mod:Class", ExitCode.USAGE
        )
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    name = match["module"]
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and _is_within(name, error.name):
            raise CommandError(
                f"--import {spec}: there is no module {error.name!r} in {here} or on PYTHONPATH"
            ) from error
        raise CommandError(f"importing {name} failed: {_describe(error)}") from error
    if not match["attribute"]:
        return Import(spec, module, None)
    spawned_class: object = getattr(module, match["attribute"], None)
    if not isinstance(spawned_class, type):
        raise CommandError(f"--import {spec}: {name} has no class {match['attribute']!r}")
    return Import(spec, module, spawned_class)


def _is_within(name: str, missing: str | None) -> bool:
    return missing is not None and (name == missing or name.startswith(missing + "."))


def _describe(error: BaseException) -> str:
    """The error and the line it comes from, without a traceback."""
    notes = "\n".join(getattr(error, "__notes__", ())).splitlines()
    text = traceback.format_exception_only(error)[-1 - len(notes)].strip()
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ")
    ]
    if isinstance(error, SyntaxError):
        return f"{text} ({error.filename}:{error.lineno})"
    if frames[1:]:  # the first is ours
        return f"{text} ({frames[-1].filename}:{frames[-1].lineno})"
    return text
