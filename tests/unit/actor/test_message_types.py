"""Which messages an annotation allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NewType,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
    runtime_checkable,
)

import pytest

from pulsing.actor.message_types import Accepts, message_annotation, returned_annotation

if TYPE_CHECKING:
    from pulsing.nowhere import OnlyForCheckers  # type: ignore[import-not-found]

T = TypeVar("T")


@dataclass
class Add:
    by: int = 1


class More(Add):
    pass


@dataclass
class Reset:
    pass


class Fields(TypedDict):
    name: str


class Silent(Protocol):
    def speak(self) -> str: ...


@runtime_checkable
class Speaking(Protocol):
    def speak(self) -> str: ...


class Duck:
    def speak(self) -> str:
        return "quack"


Serial = NewType("Serial", int)
Command = Add | Reset


@pytest.mark.parametrize(
    ("annotation", "allowed", "refused"),
    [
        (Add, [Add(), More()], [Reset(), "add", None]),
        (Add | Reset, [Add(), Reset()], [1, Add]),
        (Command, [Add(), Reset()], ["x"]),
        (Union[Add, Reset], [Add(), Reset()], [1]),  # noqa: UP007 - users write it
        (Optional[Add], [Add(), None], [0]),  # noqa: UP045 - same
        (None, [None], [0, ""]),
        (Literal["start", "stop"], ["start", "stop"], ["pause", 1, None]),
        (Literal[1], [1], [True, 1.0, 2]),
        (Literal["start"] | Add, ["start", Add()], ["stop", 1]),
        (Annotated[Add, "some"], [Add()], [1]),
        (list[int] | dict[str, int], [[1], ["x"], {}], [(1,), 1]),
        (Sequence[int], [[1], (1,), "text"], [1]),
        (Serial, [1], ["1"]),
        (Fields, [{"name": "x"}], [[("name", "x")]]),
        (float, [1.5, 1], ["1.5", 1j]),
        (complex, [1j, 1.5, 1], ["1"]),
        (Speaking, [Duck()], [1]),
        (Callable[[], int], [len], [1]),
        (tuple[str, int], [("a", 1), ()], [["a", 1]]),
    ],
    ids=str,
)
def test_what_an_annotation_allows(annotation: Any, allowed: list[Any], refused: list[Any]) -> None:
    accepts = Accepts.of(annotation)
    assert accepts is not None
    assert [each for each in allowed if not accepts.allows(each)] == []
    assert [each for each in refused if accepts.allows(each)] == []


@pytest.mark.parametrize("annotation", [Any, object, T, Silent, Add | Any, list[Any] | object, 5])
def test_what_cannot_be_checked_allows_everything(annotation: Any) -> None:
    assert Accepts.of(annotation) is None


def test_it_reads_like_source() -> None:
    assert str(Accepts.of(Add | None | Literal["go", 1])) == "Add | None | 'go' | 1"
    assert Accepts.of_classes(Add, Reset) == Accepts.of(Add | Reset)
    assert Accepts.of_classes() is None


def test_the_annotation_of_a_handler_is_that_of_its_second_parameter() -> None:
    def plain(state: int, msg: Add | Reset, ctx: Any) -> None: ...
    def bare(state, msg, ctx): ...  # type: ignore[no-untyped-def]
    def text(state: int, msg: Add, ctx: Any) -> None: ...
    def unknown(state: int, msg: OnlyForCheckers, ctx: Any) -> None: ...
    def short() -> None: ...

    class Handler:
        def __call__(self, state: int, msg: Add, ctx: Any) -> None: ...

        def method(self, state: int, msg: Reset, ctx: Any) -> None: ...

    assert message_annotation(plain) == Add | Reset
    assert message_annotation(text) is Add
    assert message_annotation(Handler().method) is Reset
    for handler in (bare, unknown, short, print):
        assert message_annotation(handler) is Any, handler
    assert message_annotation(Handler()) is Add


def test_the_annotation_of_a_result() -> None:
    def factory(ctx: Any) -> list[Add]: ...  # type: ignore[empty-body]

    assert returned_annotation(factory) == list[Add]
    assert returned_annotation(lambda ctx: 1) is Any
