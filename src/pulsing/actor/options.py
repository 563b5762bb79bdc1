"""The options of an actor class, as ``@pul.remote`` and ``.options()`` take them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final, Self, TypeVar

from pulsing.actor.mailbox import OnFull
from pulsing.actor.methods import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorOptions:
    """What was said about an actor; ``None`` leaves it to the configuration of the system.

    Attributes:
        max_concurrency: calls it works on at a time.
        executor: where its ``def`` methods run.
        mailbox_size: messages that may wait for it.
        on_full: what a caller gets when they do.
        stream_buffer: items a stream of it may be ahead of its consumer.
    """

    max_concurrency: int | None = None
    executor: Executor | None = None
    mailbox_size: int | None = None
    on_full: OnFull | None = None
    stream_buffer: int | None = None

    @classmethod
    def checked(
        cls,
        *,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
        mailbox_size: int | None = None,
        on_full: str | OnFull | None = None,
        stream_buffer: int | None = None,
    ) -> Self:
        """Options from what a user wrote.

        Raises:
            ValueError: an option has no such value; says which there are.
            TypeError: a number is not one.
        """
        for name, value in (
            ("max_concurrency", max_concurrency),
            ("mailbox_size", mailbox_size),
            ("stream_buffer", stream_buffer),
        ):
            _check_count(name, value)
        return cls(
            max_concurrency=max_concurrency,
            executor=_member(Executor, "executor", executor),
            mailbox_size=mailbox_size,
            on_full=_member(OnFull, "on_full", on_full),
            stream_buffer=stream_buffer,
        )

    def updated(self, others: ActorOptions) -> ActorOptions:
        """These options, with those of ``others`` that were given."""
        given = {name: each for name, each in others.as_dict().items() if each is not None}
        return replace(self, **given)

    def as_dict(self) -> dict[str, Any]:
        """All options by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


NO_OPTIONS: Final = ActorOptions()
"""Everything is left to the configuration."""


def _check_count(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} is {value}; at least 1")


E = TypeVar("E", bound=Enum)


def _member(kind: type[E], name: str, value: object) -> E | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = " or ".join(repr(each.value) for each in kind)
        raise ValueError(f"{name} is {value!r}; it can be {known}") from None
