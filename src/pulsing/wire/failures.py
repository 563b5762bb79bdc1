"""The exceptions of actors on their way to the caller.

A failure travels as names, text and, where they can travel, the arguments and attributes of the
exception; never as code. The caller gets the class that was raised if it knows it (or the nearest
base that it knows), combined with a Pulsing error (see ``duals``), with the traceback of the actor
as ``__cause__`` and a note that names node, actor and method. Local calls get the same.

The record is one encoded list: version, names of the classes in method resolution order, letter of
the family, text, traceback, notes, encoded arguments or nil, encoded attributes or nil (each a body
of its own, so that one that cannot be read spoils no other), whether these are complete, and
[node, actor, method].
"""

from __future__ import annotations

from dataclasses import dataclass
from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.errors import (
    PulsingActorError,
    PulsingBusinessError,
    PulsingError,
    PulsingSystemError,
    PulsingTimeoutError,
    WireError,
)
from pulsing.wire import _msgpack
from pulsing.wire.container import Body, body_size
from pulsing.wire.duals import (
    TEXT_ATTRIBUTE,
    family_of,
    is_safe,
    make_dual,
    origin_of,
    plain_error,
)
from pulsing.wire.exceptions import args_of, notes_of, state_of
from pulsing.wire.failure_text import (
    TEXT_BYTES,
    RemoteTraceback,
    clean,
    cut,
    labelled,
    text_of,
    traceback_text,
)
from pulsing.wire.lookup import find_class, wire_name
from pulsing.wire.tags import expect_list, expect_names

if TYPE_CHECKING:
    from pulsing.wire.codec import Codec

_VERSION: Final = 1
# In bytes; with TEXT_BYTES 64 KiB together.
_TRACEBACK_BYTES: Final = 16 * 1024
_VALUES_BYTES: Final = 14 * 1024  # the arguments, and again the attributes
_MOST_NOTES: Final = 8
_NOTE_BYTES: Final = 512
_MOST_BASES: Final = 16
_NAME_BYTES: Final = 256

_FAMILIES: Final[dict[str, type[PulsingActorError]]] = {
    "b": PulsingBusinessError,
    "t": PulsingTimeoutError,
    "s": PulsingSystemError,
}


@dataclass(frozen=True, slots=True)
class _Record:
    """A failure between the two sides."""

    names: list[str]
    family: type[PulsingActorError]
    text: str
    traceback: str
    notes: list[str]
    args: bytes | None
    state: bytes | None
    complete: bool
    node: str
    actor: str
    method: str

    @property
    def label(self) -> str:
        """The text with the class in front, for a caller that gets another class."""
        return labelled(self.names[0].partition(":")[2], self.text)


def encode_failure(codec: Codec, exc: BaseException, *, node: str, actor: str, method: str) -> Body:
    """The body of a failure, of 64 KiB at most, whatever the exception is. Never raises.

    Args:
        codec: encodes its arguments and attributes; those that cannot travel are left out.
        exc: what an actor's code raised, or an error of Pulsing itself.
        node: where it was raised.
        actor: name or id of the actor.
        method: what was called.
    """
    cls = origin_of(type(exc))
    state = state_of(exc)
    complete = state.pop(TEXT_ATTRIBUTE, None) is None
    if isinstance(exc, PulsingError) and "cause" in state:
        state["cause"] = None  # its story is in the traceback
    args = _encoded(codec, list(args_of(exc)))
    attributes = _encoded(codec, state)
    complete = complete and args is not None and attributes is not None
    record: list[object] = [
        _VERSION,
        [clean(wire_name(base), _NAME_BYTES) for base in cls.__mro__[:_MOST_BASES]],
        next(letter for letter, family in _FAMILIES.items() if family is family_of(cls)),
        clean(text_of(exc), TEXT_BYTES),
        clean(traceback_text(exc), _TRACEBACK_BYTES),
        [clean(note, _NOTE_BYTES) for note in notes_of(exc)[-_MOST_NOTES:]],
        args,
        attributes if attributes is not None else _encoded_one_by_one(codec, state),
        complete,
        [clean(part, _NAME_BYTES) for part in (node, actor, method)],
    ]
    try:
        return codec.encode(record)
    except WireError:  # a limit below what failures need: the bare text
        record[3] = clean(text_of(exc), _NAME_BYTES)
        record[4:9] = ["", [], None, None, False]
        return _msgpack.new_packer(str)(record)


def decode_failure(codec: Codec, body: bytes | bytearray | memoryview) -> BaseException:
    """The exception for the caller to raise. Never raises itself; a bad body gives a WireError."""
    try:
        record = _read(codec.decode(body))
    except WireError as error:
        return WireError(f"a call failed, and the description of why cannot be read: {error}")
    made = _rebuild(codec, record)
    notes = [*record.notes, _note(record.node, record.actor, record.method)]
    if find_class(record.names[0]) is None:
        notes.append(f"its class {record.names[0]} is not imported here")
    return _told(made, RemoteTraceback(record.traceback, method=record.method), notes)


def localize(exc: BaseException, *, node: str, actor: str, method: str) -> BaseException:
    """The exception that the caller of a local actor gets for one that the actor raised.

    The same as after a journey, but for arguments and attributes, which are shared with the
    original. The original is the ``original`` of the ``__cause__``.
    """
    cls = origin_of(type(exc))
    text = cut(text_of(exc), TEXT_BYTES)
    try:
        made = make_dual(
            _safe(cls), args_of(exc), state_of(exc), text=text, actor=actor, keeps_text=False
        )
    except WireError:
        made = plain_error(family_of(cls), labelled(cls.__qualname__, text), actor)
    notes = [*notes_of(exc), _note(node, actor, method)]
    return _told(made, RemoteTraceback(original=exc, method=method), notes)


def came_from_actor(error: BaseException) -> bool:
    """Whether an actor's code raised it, so that a call has run; else the framework gave up."""
    cause = error.__cause__
    return isinstance(cause, RemoteTraceback) and bool(cause.method)


def _safe(cls: type[BaseException]) -> type[Exception]:
    if not is_safe(cls):
        raise WireError(f"{cls.__qualname__} would end more than the call")
    return cast("type[Exception]", cls)


def _told(made: BaseException, cause: RemoteTraceback, notes: list[str]) -> BaseException:
    """Add the cause and the notes, past any ``__setattr__`` of a frozen class."""
    cast(GetSetDescriptorType, vars(BaseException)["__cause__"]).__set__(made, cause)
    made.__dict__["__notes__"] = list(dict.fromkeys(notes))
    return made


# --- the sender --------------------------------------------------------------------------------


def _encoded(codec: Codec, value: object) -> bytes | None:
    """A value that can travel and is not too large; otherwise None."""
    try:
        if _weight(value) > _VALUES_BYTES:
            return None
        body = codec.encode(value)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the failure itself must travel
        return None
    if body_size(body) > _VALUES_BYTES:
        return None
    return body if isinstance(body, bytes) else b"".join(body)


def _encoded_one_by_one(codec: Codec, state: dict[str, Any]) -> bytes | None:
    """The attributes that can travel, as long as there is room."""
    room = _VALUES_BYTES // 2
    kept: dict[str, Any] = {}
    for name, value in state.items():
        alone = _encoded(codec, value)
        if alone is not None and len(alone) + len(name) < room:
            room -= len(alone) + len(name)
            kept[name] = value
    return _encoded(codec, kept)


def _weight(value: object) -> int:
    """A lower bound of the encoded size that costs nothing: texts and bytes one level deep."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, list):
        return sum(map(_weight, cast("list[object]", value)))
    if isinstance(value, dict):
        return sum(map(_weight, cast("dict[object, object]", value).values()))
    return 0


# --- the receiver ------------------------------------------------------------------------------


def _read(record: object) -> _Record:
    """The fields of a decoded record, checked. Raises WireError."""
    _, names, letter, text, trace, notes, args, state, complete, origin = expect_list(record, 10)
    texts = [letter, text, trace, *expect_list(names), *expect_list(notes), *expect_list(origin, 3)]
    bodies = (args, state)
    if (
        not all(type(item) is str for item in texts)
        or not all(body is None or type(body) is bytes for body in bodies)
        or letter not in _FAMILIES
        or not names
    ):
        raise WireError("not a failure record of this version")
    family = _FAMILIES[letter]
    return _Record(names, family, text, trace, notes, args, state, complete is True, *origin)


def _rebuild(codec: Codec, record: _Record) -> BaseException:
    """The exception of the first class in the record that is known here and accepts it."""
    args = _decoded_args(codec, record.args)
    state = _decoded_state(codec, record.state)
    for position, name in enumerate(record.names):
        cls = find_class(name)
        if cls is None or not issubclass(cls, BaseException):
            continue
        if not is_safe(cls) or (cls is Exception and position):
            break
        made = _attempt(cast("type[Exception]", cls), position == 0, args, state, record)
        if made is not None:
            return made
    return plain_error(record.family, record.label, record.actor)


def _attempt(
    cls: type[Exception],
    exact: bool,
    args: tuple[Any, ...] | None,
    state: dict[str, Any] | None,
    record: _Record,
) -> BaseException | None:
    """The exception as an instance of ``cls``: whole if it can be, or else of its text alone."""
    whole = exact and record.complete and args is not None and state is not None
    known = state if state is not None and (exact or issubclass(cls, PulsingError)) else {}
    text = record.text if exact else record.label
    for arguments in ((text,),) if args is None else (args, (text,)):
        keeps_text = not whole or arguments is not args
        try:
            return make_dual(
                cls, arguments, known, text=text, actor=record.actor, keeps_text=keeps_text
            )
        except WireError:
            continue
    return None


def _decoded_args(codec: Codec, body: bytes | None) -> tuple[Any, ...] | None:
    try:
        return None if body is None else tuple(expect_list(codec.decode(body)))
    except WireError:
        return None


def _decoded_state(codec: Codec, body: bytes | None) -> dict[str, Any] | None:
    try:
        return None if body is None else expect_names(codec.decode(body))
    except WireError:
        return None


def _note(node: str, actor: str, method: str) -> str:
    return f"raised by actor {actor} on node {node} in method {method}"
