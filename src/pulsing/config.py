"""The configuration of a node: one frozen value, checked when it is made.

Where a setting comes from, first match wins: an argument, a ``PULSING_*`` environment variable,
``pulsing.toml`` or else ``[tool.pulsing]`` of ``pyproject.toml`` in the working directory, the
default. `SystemConfig.load` reads them all; the constructor and the presets read nothing.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from pulsing.addresses import split_host_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ENVIRONMENT_PREFIX: Final = "PULSING_"

# A Kubernetes Service called "pulsing" puts variables of these shapes into every pod.
_FROM_KUBERNETES: Final = re.compile(
    r"PULSING_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemConfig:
    """Everything a node can be told. ``None`` means off.

    Attributes:
        addr: ``HOST:PORT`` to listen on; port 0 picks one. ``None`` (default): standalone, no port
            is opened.
        passphrase: the secret all nodes of a cluster share; turns on mutual TLS. ``None``
            (default): cleartext, anybody who reaches the port may call. Never shown in a repr.
        cluster_name: nodes of another cluster name are refused. Default ``pulsing``.
        allow_pickle: accept pickled values from peers that hold no passphrase. Whoever reaches
            the port can then run code here. Default off.
        default_timeout_s: seconds a call may take when it says nothing itself, default 30. Higher:
            a frozen node holds its callers longer. ``None``: they wait for ever.
        max_message_bytes: the largest message accepted or sent, default 1 GiB. Higher: one peer
            can make this node take more memory.
        max_concurrency: calls one actor works on at a time, default 1000. 1 makes actors strictly
            sequential; higher costs a task for each suspended call.
        mailbox_size: messages that may wait for one actor, default 10 000. Higher costs memory
            and waiting under overload, lower refuses or delays bursts.
        stream_buffer: items a stream may be ahead of its consumer, default 256. Higher smooths
            bursts, lower keeps producer and consumer in step.
        worker_threads: threads for ``def`` methods, at most, default 256. A blocking call holds
            one; calls beyond wait.
        connect_timeout_s: seconds a connection to a node may take, handshake included, default 5.
        keepalive_interval_s: seconds of silence after which a link is probed with a PING, default
            10; a probe unanswered for as long ends the link. ``None``: a frozen peer is noticed by
            deadlines only.
    """

    addr: str | None = None
    passphrase: str | None = field(default=None, repr=False)
    cluster_name: str = "pulsing"
    allow_pickle: bool = False
    default_timeout_s: float | None = 30.0
    max_message_bytes: int = 1 << 30
    max_concurrency: int = 1000
    mailbox_size: int = 10_000
    stream_buffer: int = 256
    worker_threads: int = 256
    connect_timeout_s: float = 5.0
    keepalive_interval_s: float | None = 10.0

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ValueError(_listing(problems))

    @classmethod
    def standalone(cls) -> Self:
        """A node for itself: opens no port, has only local actors."""
        return cls()

    def with_addr(self, addr: str) -> Self:
        """The same, listening on ``addr`` (``HOST:PORT``)."""
        return dataclasses.replace(self, addr=addr)

    def with_passphrase(self, passphrase: str) -> Self:
        """The same, with mutual TLS between all nodes that hold this passphrase."""
        return dataclasses.replace(self, passphrase=passphrase)

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        **arguments: Any,
    ) -> Self:
        """The configuration from all its sources; an argument of ``None`` counts as not given.

        Args:
            environ: instead of ``os.environ``.
            directory: where ``pulsing.toml`` and ``pyproject.toml`` are looked for, instead of
                the working directory.
            arguments: fields, as for the constructor.

        Raises:
            ValueError: lists every problem of every source, each with the place it came from.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        sources = [
            _from_file(Path(directory) if directory is not None else Path(), problems),
            _from_environment(os.environ if environ is None else environ),
            (("argument", key, value) for key, value in arguments.items() if value is not None),
        ]
        for source in sources:  # later ones win
            for place, key, value in source:
                try:
                    values[key] = _convert(key, value)
                except ValueError as error:
                    problems.append(f"{place}: {error}")
        unchecked = object.__new__(cls)
        for each in dataclasses.fields(cls):
            object.__setattr__(unchecked, each.name, values.get(each.name, each.default))
        problems.extend(_problems(unchecked))
        if problems:
            raise ValueError(_listing(problems))
        return unchecked


def _listing(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"configuration: {problems[0]}"
    return f"configuration has {len(problems)} problems:\n  " + "\n  ".join(problems)


def _problems(config: SystemConfig) -> Iterator[str]:
    if config.addr is not None:
        try:
            split_host_port(config.addr)
        except ValueError as error:
            yield f"addr: {error}"
    if config.passphrase is not None and not config.passphrase:
        yield "passphrase: is empty; leave it out to run without TLS"
    if not re.fullmatch(r"[A-Za-z0-9_.\-]{1,64}", config.cluster_name):
        yield "cluster_name: expected 1-64 letters, digits, '_', '-' or '.'"
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if value is not None and not value >= least:
            yield f"{name}: {value} is too low; at least {least}"
    for name in ("default_timeout_s", "connect_timeout_s", "keepalive_interval_s"):
        value = getattr(config, name)
        if value is not None and not 0 < value < 1e9:
            yield f"{name}: {value} is not a positive number of seconds"


_LEAST: Final = {
    "max_message_bytes": 1024,
    "max_concurrency": 1,
    "mailbox_size": 1,
    "stream_buffer": 1,
    "worker_threads": 1,
}

# --- sources: yield (place, key, value) ----------------------------------------------------------


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, object]]:
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX) and not _FROM_KUBERNETES.fullmatch(variable):
            key = variable[len(ENVIRONMENT_PREFIX) :].lower()
            yield f"environment variable {variable}", key, environ[variable]


def _from_file(directory: Path, problems: list[str]) -> Iterator[tuple[str, str, object]]:
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


# --- conversion ---------------------------------------------------------------------------------

_WORDS: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False}
_OFF: Final = frozenset({"", "none", "off", "no", "false"})


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _WORDS or word in _OFF:
        return _WORDS.get(word, False)
    raise ValueError("expected true or false")


def _to_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise ValueError("expected a whole number")


def _to_float(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError("expected a number")


def _to_str(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("expected text")


_CONVERTERS: Final[Mapping[str, Callable[[object], object]]] = {
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
}
_TYPES: Final = {each.name: str(each.type) for each in dataclasses.fields(SystemConfig)}


def _convert(key: str, value: object) -> object:
    """The value as the type of its field. Raises ValueError; never shows the value of a secret."""
    kind, _, rest = _TYPES.get(key, "").partition(" | ")
    if not kind:
        import difflib

        close = difflib.get_close_matches(key, _TYPES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(_TYPES))}"
        raise ValueError(f"unknown key {key!r}; {hint}")
    if rest and (value is False or (isinstance(value, str) and value.lower() in _OFF)):
        return None
    try:
        return _CONVERTERS[kind](value)
    except ValueError as error:
        shown = "" if key == "passphrase" else f", not {value!r}"
        raise ValueError(f"{key}: {error}{shown}") from None
