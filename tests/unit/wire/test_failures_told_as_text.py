"""Exceptions that cannot travel as they are: told anyway, in a safe form of bounded size."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsing.errors import (
    PulsingActorError,
    PulsingBusinessError,
    PulsingSystemError,
    PulsingTimeoutError,
    WireError,
)
from pulsing.wire import Codec, WireLimits, body_size
from pulsing.wire.failure_text import RemoteTraceback
from pulsing.wire.failures import decode_failure, encode_failure, localize

CODEC = Codec()
WHERE = {"node": "n" * 32, "actor": "actors/shop", "method": "order"}
Journey = Callable[[BaseException], BaseException]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules.get(__name__)
    if module is None:
        module = types.ModuleType(__name__)
        module.__dict__.update(globals())
        monkeypatch.setitem(sys.modules, __name__, module)


def remotely(exc: BaseException) -> BaseException:
    body = encode_failure(CODEC, exc, **WHERE)
    assert body_size(body) <= 64 * 1024
    return decode_failure(CODEC, body if isinstance(body, bytes) else b"".join(body))


def locally(exc: BaseException) -> BaseException:
    return localize(exc, **WHERE)


@pytest.fixture(params=[remotely, locally])
def journey(request: pytest.FixtureRequest) -> Journey:
    return request.param  # type: ignore[no-any-return]


def raised(exc: BaseException) -> BaseException:
    """The exception with a traceback, as an actor leaves it."""
    try:
        raise exc
    except BaseException as caught:  # noqa: BLE001
        return caught


class OutOfStock(ValueError):
    def __init__(self, item: str, *, left: int) -> None:
        super().__init__(f"no {item}")
        self.item, self.left = item, left

    def __str__(self) -> str:
        return f"{self.item}: {self.left} left"


class Slow(TimeoutError):
    pass


class Unmixable(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses")


class BadText(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    "exc",
    [
        ValueError(lambda: 1),
        ValueError("x", object()),
        OutOfStock(object(), left=1),  # type: ignore[arg-type]
        KeyError("\ud800"),
        ValueError("x" * 50_000_000),
        ValueError(b"x" * 5_000_000),
        ValueError(["x" * 100_000] * 100),
        ValueError("\u4e2d" * 100_000),
    ],
    ids=lambda exc: f"{type(exc).__name__} {type(exc.args[0]).__name__}",
)
def test_what_cannot_travel_is_told_as_text_of_bounded_size(exc: Exception) -> None:
    got = remotely(raised(exc))
    assert isinstance(got, type(exc))
    assert isinstance(got, PulsingActorError)
    assert 0 < len(str(got)) <= 8 * 1024


def test_attributes_that_cannot_travel_are_left_out_and_the_others_stay() -> None:
    error = OutOfStock("pen", left=2)
    error.handle = lambda: 1  # type: ignore[attr-defined]
    got: Any = remotely(raised(error))
    assert (str(got), got.left) == ("pen: 2 left", 2)
    assert not hasattr(got, "handle")
    locally_got: Any = locally(error)
    assert locally_got.handle() == 1


def test_an_exception_whose_str_raises_is_told_anyway(journey: Journey) -> None:
    got = journey(raised(BadText()))
    assert isinstance(got, PulsingSystemError)
    assert "str() raised SystemExit" in got.error


def test_a_class_that_allows_no_subclass_arrives_as_a_pulsing_error(journey: Journey) -> None:
    got = journey(raised(Unmixable("no")))
    assert type(got) is PulsingSystemError
    assert "Unmixable: no" in str(got)


@pytest.mark.parametrize(
    ("base", "family"),
    [
        (ValueError, PulsingBusinessError),
        (KeyError, PulsingSystemError),
        (Slow, PulsingTimeoutError),
    ],
)
def test_a_class_that_the_caller_does_not_know_arrives_as_its_nearest_known_base(
    base: type[Exception], family: type[Exception]
) -> None:
    cls = type("Custom", (base,), {"__module__": "not_imported_here"})
    got = remotely(raised(cls("boom")))
    assert isinstance(got, base)
    assert isinstance(got, family)
    assert "Custom" in str(got)
    assert "boom" in str(got)
    assert any("not_imported_here:Custom is not imported" in note for note in got.__notes__)
    assert "not_imported_here" not in sys.modules


def test_an_unknown_business_error_keeps_its_code_and_details() -> None:
    cls = type("Custom", (PulsingBusinessError,), {"__module__": "not_imported_here"})
    got: Any = remotely(raised(cls(402, "pay", "how")))
    assert type(got) is PulsingBusinessError
    assert (got.code, got.details, str(got)) == (402, "how", "pay")


def test_a_deep_chain_of_causes_and_a_deep_recursion_are_told(journey: Journey) -> None:
    def deep(n: int) -> None:
        deep(n + 1)

    try:
        deep(0)
    except RecursionError as error:
        got = journey(error)
    assert isinstance(got, RecursionError)
    assert 0 < len(str(got.__cause__)) < 20_000
    chain: BaseException = ValueError("0")
    for number in range(3000):
        following = KeyError(str(number))
        following.__cause__ = chain
        chain = following
    assert isinstance(journey(chain), KeyError)
    loop = ValueError([])
    loop.args[0].append(loop.args[0])
    assert isinstance(journey(loop), ValueError)


def test_a_failure_fits_into_any_limit() -> None:
    codec = Codec(limits=WireLimits(max_message_bytes=100))
    body = encode_failure(codec, ValueError("x" * 500), **WHERE)
    assert isinstance(body, bytes)
    assert isinstance(CODEC.decode(body), list)
    assert isinstance(decode_failure(CODEC, body), ValueError)


@pytest.mark.parametrize(
    "record",
    [
        None, [], [1], [1, [], "s", "t", "", [], None, None, True, ["n", "a", "m"]],
        [1, ["x"], [], "t", "", [], None, None, True, ["n", "a", "m"]],
        [1, ["x"], "q", "t", "", [], None, None, True, ["n", "a", "m"]],
        [1, ["x"], "s", "t", "", [], 5, None, True, ["n", "a", "m"]],
        [1, ["x"], "s", "t", "", [], None, None, True, ["n", "a", 5]],
        [1, ["x"], "s", "t", "", [5], None, None, True, ["n", "a", "m"]],
    ],
    ids=lambda record: str(record)[:20],
)  # fmt: skip
def test_a_record_that_is_none_is_a_wire_error(record: Any) -> None:
    assert type(decode_failure(CODEC, CODEC.encode(record))) is WireError  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200, database=None)
@given(
    st.sampled_from([
        "builtins:OSError", "builtins:UnicodeDecodeError", "builtins:ValueError", "builtins:int",
        "builtins:SyntaxError", "builtins:ExceptionGroup", "builtins:SystemExit", "os:system",
        "pulsing.errors:ConnectionLost", "builtins:ImportError",
    ]),
    st.lists(st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3), max_size=6),
    st.dictionaries(
        st.sampled_from(["errno", "code", "message", "__notes__", "__cause__", "__class__",
                         "__pulsing_text__", "args", "__dict__", "start", "object"]),
        st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    ),
    st.booleans(),
)  # fmt: skip
def test_a_hostile_record_gives_an_exception_that_can_be_printed(
    name: str, args: list[Any], state: dict[str, Any], complete: bool
) -> None:
    record = [
        1,
        [name],
        "s",
        "t",
        "tb",
        [],
        CODEC.encode(args),
        CODEC.encode(state),
        complete,
        ["n", "a", "m"],
    ]
    got = decode_failure(CODEC, CODEC.encode(record))  # type: ignore[arg-type]
    assert isinstance(got, Exception)
    str(got)
    repr(got)
    assert all(isinstance(note, str) for note in got.__notes__)


def test_remote_traceback_is_text() -> None:
    assert str(RemoteTraceback("a\nb")) == "a\nb"
    assert str(RemoteTraceback()) == ""
