"""What became of the calls of a group: an outcome for each member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar, overload

from pulsing.errors import PulsingRuntimeError

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[M]):
    """What became of the call of one member.

    Attributes:
        member: a proxy of the actor.
        value: what it answered, unless there is an error.
        error: why it did not, or None.
        key: what the call was about, for `Group.scatter`.
    """

    member: M
    value: Any = None
    error: Exception | None = None
    key: Any = None


class Results(Sequence[Outcome[M]]):
    """The outcomes of all members, in the order of the group."""

    __slots__ = ("_outcomes",)

    def __init__(self, outcomes: Iterable[Outcome[M]]) -> None:
        self._outcomes = tuple(outcomes)

    @property
    def ok(self) -> list[Outcome[M]]:
        """Those that went well."""
        return [each for each in self._outcomes if each.error is None]

    @property
    def errors(self) -> list[Outcome[M]]:
        """Those that failed; each has its ``error``."""
        return [each for each in self._outcomes if each.error is not None]

    @property
    def values(self) -> list[Any]:
        """What those answered that went well."""
        return [each.value for each in self._outcomes if each.error is None]

    def raise_if_failed(self) -> Self:
        """Give these results if all went well.

        Raises:
            GroupFailed: one failed, or several.
        """
        if self.errors:
            raise GroupFailed(self)
        return self

    @overload
    def __getitem__(self, index: int, /) -> Outcome[M]: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Outcome[M]]: ...
    def __getitem__(self, index: int | slice, /) -> Outcome[M] | Sequence[Outcome[M]]:
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[Outcome[M]]:
        return iter(self._outcomes)

    def __repr__(self) -> str:
        return f"<Results {len(self.ok)} ok, {len(self.errors)} failed>"


class GroupFailed(PulsingRuntimeError):
    """Members of a group failed.

    Attributes:
        results: the outcomes of all members.
    """

    def __init__(self, results: Results[Any]) -> None:
        errors = results.errors
        first = errors[0].error if errors else None
        shown = "; ".join(f"{each.member!r}: {each.error!r}" for each in errors[:_SHOWN])
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        super().__init__(f"{len(errors)} of {len(results)} members failed: {shown}{more}", first)
        self.results = results


_SHOWN: Final = 5
