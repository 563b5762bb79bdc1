"""Exceptions that are both what the actor raised and a Pulsing error.

For an exception class ``E`` that is no Pulsing error there is one class that inherits from ``E``
and from the Pulsing error of its family, made on first use:

=====================  ========================
``E``                  the Pulsing error
=====================  ========================
ValueError, TypeError  PulsingBusinessError (400)
TimeoutError           PulsingTimeoutError
anything else          PulsingSystemError
=====================  ========================

So ``except E``, ``except PulsingBusinessError`` and ``except PulsingActorError`` all catch it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, TypeVar, cast

from pulsing.errors import (
    PulsingActorError,
    PulsingBusinessError,
    PulsingError,
    PulsingSystemError,
    PulsingTimeoutError,
    WireError,
)
from pulsing.wire.exceptions import args_of, make_exception, state_of
from pulsing.wire.tags import expect_names

T = TypeVar("T")

_MOST_CLASSES: Final = 256
_ORIGIN: Final = "__pulsing_origin__"
TEXT_ATTRIBUTE: Final = "__pulsing_text__"
"""Attribute of dual exceptions: what ``str()`` says when the original could not travel whole."""

_classes: OrderedDict[type[Exception], type[Exception] | None] = OrderedDict()


def family_of(cls: type[BaseException]) -> type[PulsingActorError]:
    """The Pulsing error that an exception of a user's class also is."""
    if issubclass(cls, PulsingActorError):
        families: tuple[type[PulsingActorError], ...] = (PulsingBusinessError, PulsingTimeoutError)
        return next((family for family in families if issubclass(cls, family)), PulsingSystemError)
    if issubclass(cls, ValueError | TypeError):
        return PulsingBusinessError
    return PulsingTimeoutError if issubclass(cls, TimeoutError) else PulsingSystemError


def is_safe(cls: type[BaseException]) -> bool:
    """Whether raising it in the caller means failure there, and not the end of something else."""
    return issubclass(cls, Exception) and not issubclass(cls, StopIteration | StopAsyncIteration)


def origin_of(cls: type[T]) -> type[T]:
    """The class a user raised, for a dual class; any other class itself."""
    return cast("type[T]", vars(cls).get(_ORIGIN, cls))


def dual_of(cls: type[Exception]) -> type[Exception] | None:
    """The class that is ``cls`` and a Pulsing error; None when the two do not go together."""
    if issubclass(cls, PulsingError):
        return cls
    if cls in _classes:
        _classes.move_to_end(cls)
        return _classes[cls]
    made = _classes[cls] = _new_dual(cls)
    if len(_classes) > _MOST_CLASSES:
        _classes.popitem(last=False)
    return made


def _new_dual(cls: type[Exception]) -> type[Exception] | None:
    family = family_of(cls)
    bases: tuple[type, ...] = (family,) if issubclass(family, cls) else (cls, family)
    namespace: dict[str, Any] = {
        _ORIGIN: cls,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__str__": _dual_str,
        "__reduce_ex__": _dual_reduce,
    }
    try:
        return cast("type[Exception]", type(cls.__name__, bases, namespace))
    except Exception:  # noqa: BLE001 - metaclasses and __init_subclass__ may refuse or fail
        return None


def _dual_str(self: Exception) -> str:
    text = self.__dict__.get(TEXT_ATTRIBUTE)
    if isinstance(text, str):
        return text
    return origin_of(type(self)).__str__(self)


def _dual_reduce(self: Exception, _protocol: object) -> tuple[Any, ...]:
    return _restore, (origin_of(type(self)), args_of(self), state_of(self))


def _restore(cls: type[Exception], args: tuple[Any, ...], state: object) -> BaseException:
    """What pickle and copy call: a dual class has no name of its own to find it by."""
    return make_exception(dual_of(cls) or family_of(cls), args, expect_names(state))


def make_dual(
    cls: type[Exception],
    args: tuple[Any, ...],
    state: dict[str, Any],
    *,
    text: str,
    actor: str,
    keeps_text: bool,
) -> BaseException:
    """An exception of the dual class of ``cls``, with the attributes of its Pulsing error.

    Args:
        cls: a safe exception class, a Pulsing error or not.
        args: arguments of the original.
        state: attributes of the original.
        text: what ``str()`` of the original said.
        actor: the actor that raised it.
        keeps_text: ``str()`` of the result says ``text`` instead of asking ``cls``, because its
            arguments or attributes are incomplete.

    Raises:
        WireError: the arguments do not fit the class, or the class goes with no Pulsing error.
    """
    made_of = dual_of(cls)
    if made_of is None:
        raise WireError(f"no class can be both a {cls.__qualname__} and a Pulsing error")
    made = make_exception(made_of, args, state)
    if made_of is not cls:
        for name, value in _defaults(family_of(cls), text, actor).items():
            if name not in state and not hasattr(cls, name):
                made.__dict__[name] = value
        if keeps_text:
            made.__dict__[TEXT_ATTRIBUTE] = text
    return made


def plain_error(family: type[PulsingActorError], text: str, actor: str) -> PulsingActorError:
    """A Pulsing error alone, for exceptions of classes that the caller does not know."""
    made = cast(PulsingActorError, make_exception(family, (text,), {}))
    made.__dict__.update(_defaults(family, text, actor))
    return made


def _defaults(family: type[PulsingActorError], text: str, actor: str) -> dict[str, Any]:
    common: dict[str, Any] = {"message": text, "actor_name": actor, "cause": None}
    if family is PulsingBusinessError:
        return {**common, "code": 400, "details": None}
    if family is PulsingTimeoutError:
        return {**common, "operation": text, "duration_ms": 0}
    return {**common, "error": text, "recoverable": True}
