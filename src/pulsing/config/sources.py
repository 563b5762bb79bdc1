"""Where settings come from: each source yields ``(place, key, value)``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ENVIRONMENT_PREFIX: Final = "PULSING_"

# A Kubernetes Service called "pulsing" puts variables of these shapes into every pod.
_FROM_KUBERNETES: Final = re.compile(
    r"PULSING_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


def from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, object]]:
    """What ``PULSING_*`` variables say: place, key and value."""
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX) and not _FROM_KUBERNETES.fullmatch(variable):
            key = variable[len(ENVIRONMENT_PREFIX) :].lower()
            yield f"environment variable {variable}", key, environ[variable]


def from_file(directory: Path, problems: list[str]) -> Iterator[tuple[str, str, object]]:
    """What ``pulsing.toml`` or else ``pyproject.toml`` says; adds what is wrong to ``problems``."""
    table: object = None
    path = directory / "pulsing.toml"
    if (document := _read_toml(path, problems)) is not None:
        table = document
    else:
        path = directory / "pyproject.toml"
        tool = (_read_toml(path, problems) or {}).get("tool", {})
        table = tool.get("pulsing")
    if isinstance(table, dict):
        for key, value in cast("dict[str, object]", table).items():
            yield str(path), key, value
    elif table is not None:
        problems.append(f"{path}: [tool.pulsing] is not a table")


def _read_toml(path: Path, problems: list[str]) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            import tomllib

            return tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        problems.append(f"{path}: cannot be read: {error}")
        return {}
