"""What a caller gets for an exception of an actor: the same remotely and locally."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pulsing import errors
from pulsing.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Delivery,
    MessageTooLarge,
    PulsingActorError,
    PulsingBusinessError,
    PulsingError,
    PulsingSystemError,
    PulsingTimeoutError,
    WireError,
)
from pulsing.wire import Codec, body_size
from pulsing.wire import duals as duals_module
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


class HttpError(Exception):
    code = 404

    @property
    def message(self) -> str:
        return "own"


class Refused(PulsingBusinessError):
    def __init__(self, who: str) -> None:
        super().__init__(403, f"not {who}", details="d")
        self.who = who


@dataclass(frozen=True)
class Frozen(Exception):
    why: str


class Slow(TimeoutError):
    pass


class Abort(BaseException):
    pass


@pytest.mark.parametrize(
    ("exc", "family"),
    [
        (ValueError("bad", 3), PulsingBusinessError),
        (TypeError("t"), PulsingBusinessError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), PulsingBusinessError),
        (OutOfStock("pen", left=2), PulsingBusinessError),
        (json.JSONDecodeError("bad", "doc", 1), PulsingBusinessError),
        (TimeoutError("late"), PulsingTimeoutError),
        (Slow("late"), PulsingTimeoutError),
        (KeyError("k"), PulsingSystemError),
        (FileNotFoundError(2, "gone", "/x"), PulsingSystemError),
        (RuntimeError(), PulsingSystemError),
        (Exception("plain"), PulsingSystemError),
        (ZeroDivisionError("zero"), PulsingSystemError),
        (RecursionError("deep"), PulsingSystemError),
        (MemoryError(), PulsingSystemError),
        (HttpError("x"), PulsingSystemError),
        (Frozen("why"), PulsingSystemError),
        (ImportError("m", name="n", path="p"), PulsingSystemError),
        (SyntaxError("bad", ("f.py", 1, 2, "x=")), PulsingSystemError),
        (
            ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeyError(2)])]),
            PulsingSystemError,
        ),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, Exception) else "",
)
def test_an_exception_arrives_as_its_own_type_and_as_a_pulsing_error(
    journey: Journey, exc: Exception, family: type[Exception]
) -> None:
    got = journey(raised(exc))
    assert isinstance(got, type(exc))
    assert isinstance(got, family)
    assert isinstance(got, PulsingActorError)
    assert str(got) == str(exc)
    assert repr(got.args) == repr(exc.args)
    assert (type(got).__name__, type(got).__module__) == (type(exc).__name__, type(exc).__module__)
    for name, value in vars(exc).items():
        assert getattr(got, name) == value
    others = {PulsingBusinessError, PulsingTimeoutError, PulsingSystemError} - {family}
    assert not isinstance(got, tuple(others))


def test_the_pulsing_side_has_its_attributes(journey: Journey) -> None:
    got: Any = journey(ValueError("bad"))
    assert (got.code, got.details, got.message, got.actor_name, got.cause) == (
        400, None, "bad", "actors/shop", None,
    )  # fmt: skip
    got = journey(KeyError("k"))
    assert (got.error, got.recoverable, got.actor_name) == ("'k'", True, "actors/shop")
    got = journey(TimeoutError("late"))
    assert (got.operation, got.duration_ms) == ("late", 0)


def test_attributes_of_the_users_class_win(journey: Journey) -> None:
    got: Any = journey(HttpError("x"))
    assert (got.code, got.message) == (404, "own")
    error = ValueError("x")
    error.code = "E7"  # type: ignore[attr-defined]
    got = journey(error)
    assert got.code == "E7"
    got = journey(FileNotFoundError(2, "gone", "/x"))
    assert (got.errno, got.strerror, got.filename) == (2, "gone", "/x")


@pytest.mark.parametrize("cls", [ValueError, KeyError, TimeoutError, Exception, OSError])
def test_empty_messages_survive(journey: Journey, cls: type[Exception]) -> None:
    got = journey(cls())
    assert (str(got), got.args) == (str(cls()), ())
    assert str(journey(cls(""))) == str(cls(""))


@pytest.mark.parametrize(
    "exc",
    [
        PulsingBusinessError(409, "taken", details="more"),
        PulsingSystemError("broken", recoverable=False),
        PulsingTimeoutError("load", 1500),
        errors.PulsingUnsupportedError("fly"),
        PulsingActorError("m", actor_name="a"),
        Refused("you"),
        errors.ActorNotFound("no such"),
        errors.ActorStopped("gone", delivered=Delivery.NO),
        errors.NameTaken("n"),
        errors.NodeUnreachable("u"),
        ConnectionLost("lost", delivered=Delivery.UNKNOWN),
        ConnectionLost("lost", delivered=Delivery.NO),
        DeadlineExceeded("late"),
        errors.MailboxFull("full"),
        errors.NotAuthenticated("who"),
        WireError("bad"),
        MessageTooLarge(7, 5),
        errors.ProtocolMismatch("v"),
        errors.PulsingRuntimeError(""),
        PulsingError(),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_pulsing_errors_arrive_as_themselves_with_their_attributes(
    journey: Journey, exc: PulsingError
) -> None:
    got = journey(raised(exc))
    assert type(got) is type(exc)
    assert (str(got), got.args) == (str(exc), exc.args)
    assert vars(got).items() >= vars(exc).items()
    assert got is not exc


def test_a_cause_of_a_pulsing_error_is_told_in_the_traceback_only() -> None:
    exc = errors.NodeUnreachable("no way", ConnectionRefusedError(111, "refused"))
    got: Any = remotely(raised(exc))
    assert got.cause is None
    assert "ConnectionRefusedError" in str(got.__cause__)


def test_the_traceback_is_the_cause_and_a_note_says_where(journey: Journey) -> None:
    error = ValueError("x")
    error.add_note("own note")
    got = journey(raised(error))
    assert isinstance(got.__cause__, RemoteTraceback)
    text = str(got.__cause__)
    assert text.startswith("Traceback (most recent call last)")
    assert "in raised" in text
    assert "ValueError: x" in text
    assert got.__notes__ == [
        "own note",
        f"raised by actor actors/shop on node {'n' * 32} in method order",
    ]


def test_the_original_is_at_hand_locally_and_untouched() -> None:
    error = raised(ValueError("x"))
    got = locally(error)
    assert isinstance(got.__cause__, RemoteTraceback)
    assert got.__cause__.original is error
    assert not hasattr(error, "__notes__")
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "exc",
    [
        SystemExit(3), KeyboardInterrupt("k"), GeneratorExit(), asyncio.CancelledError("c"),
        StopIteration(5), StopAsyncIteration(), Abort("a"),
        BaseExceptionGroup("g", [KeyboardInterrupt()]),
    ],
    ids=lambda exc: type(exc).__name__,
)  # fmt: skip
def test_exceptions_that_would_end_more_than_the_call_arrive_as_system_errors(
    journey: Journey, exc: BaseException
) -> None:
    got = journey(raised(exc))
    assert type(got) is PulsingSystemError
    assert str(got).startswith(type(exc).__name__)
    assert str(exc) in str(got)
    assert got.actor_name == "actors/shop"


def test_an_exception_group_keeps_its_members_for_except_star(journey: Journey) -> None:
    got = journey(raised(ExceptionGroup("g", [ValueError(1), KeyError("k")])))
    seen = []
    try:
        raise got
    except* ValueError as group:
        seen.append([str(one) for one in group.exceptions])
    except* KeyError as group:
        seen.append([str(one) for one in group.exceptions])
    assert seen == [["1"], ["'k'"]]


def test_a_failure_that_passes_through_two_actors_stays_what_it_is(journey: Journey) -> None:
    first = journey(raised(OutOfStock("pen", left=2)))
    got: Any = journey(raised(first))
    assert type(got) is type(first)
    assert (str(got), got.left, got.code) == ("pen: 2 left", 2, 400)
    assert "pen: 2 left" in str(got.__cause__)
    first = remotely(raised(ValueError(object())))
    assert str(remotely(raised(first))) == str(first)


def test_a_dual_exception_as_a_value_arrives_as_the_original_class() -> None:
    got = locally(ValueError("x"))
    body = CODEC.encode([got])
    assert isinstance(body, bytes)
    (back,) = CODEC.decode(body)
    assert (type(back), str(back)) == (ValueError, "x")


def test_dual_exceptions_can_be_copied_and_pickled(journey: Journey) -> None:
    got: Any = journey(OutOfStock("pen", left=2))
    for again in (copy.copy(got), copy.deepcopy(got), pickle.loads(pickle.dumps(got))):
        assert type(again) is type(got)
        assert (str(again), again.left, again.code) == ("pen: 2 left", 2, 400)


def test_dual_classes_are_made_once_and_forgotten_when_there_are_many() -> None:
    assert type(locally(ValueError("a"))) is type(locally(ValueError("b")))
    for number in range(duals_module._MOST_CLASSES + 20):
        locally(type(f"E{number}", (Exception,), {})("x"))
    assert len(duals_module._classes) <= duals_module._MOST_CLASSES
