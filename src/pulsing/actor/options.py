"""The options of an actor class, as ``@pul.remote`` and ``.options()`` take them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, TypeVar, Unpack, cast

from pulsing.actor.mailbox import CellOptions, OnFull
from pulsing.actor.methods import Executor
from pulsing.actor.restart_policy import (
    DEFAULT_MAX_BACKOFF_S,
    DEFAULT_MAX_RESTARTS,
    DEFAULT_MIN_BACKOFF_S,
    DEFAULT_WINDOW_S,
    Budget,
    ChildSpec,
    RestartPolicy,
    SupervisorSpec,
)

if TYPE_CHECKING:
    from pulsing.config import SystemConfig


class RestartOptions(TypedDict, total=False):
    """When an actor is restarted, as ``@pul.remote`` and ``.options()`` take it.

    Attributes:
        restart_policy: ``"never"`` (default): what its code raises goes to the caller, and the
            actor goes on. ``"on_failure"``: when its code failed. ``"always"``: also when it
            stopped and nobody had asked for it. A child of a parent with ``supervisor`` is
            restarted ``"on_failure"`` by default.
        max_restarts: within ``restart_window``; 3 by default. One more failure stops the actor.
        restart_window: seconds for which a restart counts; 60 by default.
        min_backoff: the least wait before a restart in seconds; 0.1 by default, 0 for none.
        max_backoff: the longest; 30 by default. Waits double from failure to failure.
        supervisor: how it looks after its children; see `pulsing.supervisor`.
    """

    restart_policy: str | RestartPolicy | None
    max_restarts: int | None
    restart_window: float | None
    min_backoff: float | None
    max_backoff: float | None
    supervisor: SupervisorSpec | None


class SpawnOptions(RestartOptions, total=False):
    """What can be said about an actor besides its concurrency, its mailbox and its streams.

    Attributes:
        env: variables of the environment of its process, for ``executor="process"``; they are set
            before it starts. None as a value: the process does not have this one.
    """

    env: Mapping[str, str | None] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorOptions:
    """What was said about an actor; ``None`` leaves it to the configuration of the system.

    Attributes:
        max_concurrency: calls it works on at a time.
        executor: where its ``def`` methods run.
        mailbox_size: messages that may wait for it.
        on_full: what a caller gets when they do.
        stream_buffer: items a stream of it may be ahead of its consumer.
        restart_policy: see `RestartOptions`, as all that follow.
        max_restarts: see there.
        restart_window: see there.
        min_backoff: see there.
        max_backoff: see there.
        supervisor: see there.
        env: see `SpawnOptions`; as pairs.
    """

    max_concurrency: int | None = None
    executor: Executor | None = None
    mailbox_size: int | None = None
    on_full: OnFull | None = None
    stream_buffer: int | None = None
    restart_policy: RestartPolicy | None = None
    max_restarts: int | None = None
    restart_window: float | None = None
    min_backoff: float | None = None
    max_backoff: float | None = None
    supervisor: SupervisorSpec | None = None
    env: tuple[tuple[str, str | None], ...] | None = None

    @classmethod
    def checked(
        cls,
        *,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
        mailbox_size: int | None = None,
        on_full: str | OnFull | None = None,
        stream_buffer: int | None = None,
        **restart: Unpack[SpawnOptions],
    ) -> Self:
        """Options from what a user wrote.

        Raises:
            ValueError: an option has no such value; says which there are.
            TypeError: a number is not one, or there is no such option.
        """
        for unknown in restart.keys() - SpawnOptions.__annotations__.keys():
            raise TypeError(f"there is no option {unknown!r}")
        for name, value in (
            ("max_concurrency", max_concurrency),
            ("mailbox_size", mailbox_size),
            ("stream_buffer", stream_buffer),
        ):
            _check_count(name, value)
        _check_count("max_restarts", restart.get("max_restarts"), least=0)
        for name in ("restart_window", "min_backoff", "max_backoff"):
            _check_seconds(name, restart.get(name))
        given = cast("object", restart.get("supervisor"))
        if not isinstance(given, SupervisorSpec | None):
            raise TypeError(f"supervisor is {given!r}; make it with pul.supervisor(...)")
        made = cls(
            max_concurrency=max_concurrency,
            executor=_member(Executor, "executor", executor),
            mailbox_size=mailbox_size,
            on_full=_member(OnFull, "on_full", on_full),
            stream_buffer=stream_buffer,
            restart_policy=_member(RestartPolicy, "restart_policy", restart.get("restart_policy")),
            max_restarts=restart.get("max_restarts"),
            restart_window=restart.get("restart_window"),
            min_backoff=restart.get("min_backoff"),
            max_backoff=restart.get("max_backoff"),
            supervisor=given,
            env=_environment(restart.get("env")),
        )
        made.child_spec()  # checks them together
        return made

    @property
    def restarts(self) -> bool:
        """Whether the actor is to be restarted."""
        return self.restart_policy not in (None, RestartPolicy.NEVER)

    def child_spec(self) -> ChildSpec:
        """How the actor is restarted.

        Raises:
            ValueError: the numbers do not go together.
        """
        return ChildSpec(
            policy=self.restart_policy or RestartPolicy.NEVER,
            min_backoff_s=_or(self.min_backoff, DEFAULT_MIN_BACKOFF_S),
            max_backoff_s=_or(self.max_backoff, DEFAULT_MAX_BACKOFF_S),
            budget=Budget(
                DEFAULT_MAX_RESTARTS if self.max_restarts is None else self.max_restarts,
                _or(self.restart_window, DEFAULT_WINDOW_S),
            ),
        )

    def cell_options(self, config: SystemConfig) -> CellOptions:
        """What is to be known of an actor; what was not said is taken from the configuration."""
        return CellOptions(
            max_concurrency=self.max_concurrency or config.max_concurrency,
            executor=self.executor or Executor.THREAD,
            mailbox_size=self.mailbox_size or config.mailbox_size,
            on_full=self.on_full or OnFull.WAIT,
            stream_buffer=self.stream_buffer or config.stream_buffer,
            restart=self.child_spec() if self.restarts else None,
            supervisor=self.supervisor,
        )

    def updated(self, others: ActorOptions) -> ActorOptions:
        """These options, with those of ``others`` that were given."""
        given = {name: each for name, each in others.as_dict().items() if each is not None}
        return replace(self, **given)

    def given(self) -> dict[str, Any]:
        """What was said, as plain data that `checked` understands, to be sent to other nodes."""
        said = {
            name: each.value if isinstance(each, Enum) else each
            for name, each in self.as_dict().items()
            if each is not None
        }
        if self.env is not None:
            said["env"] = dict(self.env)
        return said

    def as_dict(self) -> dict[str, Any]:
        """All options by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _environment(env: object) -> tuple[tuple[str, str | None], ...] | None:
    """Variables of an environment, as pairs.

    Raises:
        TypeError: they are not names and texts.
    """
    if env is None:
        return None
    if not isinstance(env, Mapping):
        raise TypeError(f"env is {env!r}; it maps names of variables to texts")
    pairs = list(cast("Mapping[object, object]", env).items())
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str | None):
            raise TypeError(f"env has {name!r}: {value!r}; names and values are texts, or None")
        if not name or "=" in name or "\0" in name + (value or ""):
            raise ValueError(f"env has {name!r}, which no environment can hold")
    return tuple(cast("list[tuple[str, str | None]]", pairs))


NO_OPTIONS: Final = ActorOptions()
"""Everything is left to the configuration."""


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}; 0 or more seconds, and not for ever")


def _check_count(name: str, value: object, *, least: int = 1) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} is {value}; at least {least}")


E = TypeVar("E", bound=Enum)


def _member(kind: type[E], name: str, value: object) -> E | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = " or ".join(repr(each.value) for each in kind)
        raise ValueError(f"{name} is {value!r}; it can be {known}") from None
