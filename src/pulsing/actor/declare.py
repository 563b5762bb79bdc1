"""``@pul.method``: a method of an actor that type checkers know from both sides.

Through the class it is the plain function. Through an instance checkers see a handle, because that
is what `pulsing.actor.remote.Actor.spawn` gives; at run time an instance binds it as any method.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from inspect import isasyncgenfunction, isgeneratorfunction
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

from pulsing.actor.methods import DECLARED, Declaration, Executor
from pulsing.actor.options import ActorOptions

if TYPE_CHECKING:
    from pulsing.actor.handles import MethodHandle, StreamHandle

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


class _DeclaredMethod:
    """What ``@pul.method`` leaves in the class: the function, with what was said about it."""

    def __init__(self, declaration: Declaration) -> None:
        function = declaration.function
        functools.update_wrapper(cast("Callable[..., Any]", self), function)
        setattr(self, DECLARED, declaration)
        self._function = function
        self.__isabstractmethod__ = getattr(function, "__isabstractmethod__", False)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self._function if instance is None else MethodType(self._function, instance)


if TYPE_CHECKING:

    class UnaryMethod(Generic[S, P, R, T]):
        """A method with one result, as type checkers see it."""

        @overload
        def __get__(self, instance: None, owner: type[Any]) -> Callable[Concatenate[S, P], R]: ...
        @overload
        def __get__(self, instance: object, owner: type[Any]) -> MethodHandle[P, T]: ...
        def __get__(self, instance: object, owner: type[Any]) -> Any: ...

    class StreamMethod(Generic[S, P, R, T]):
        """A method that streams, as type checkers see it."""

        @overload
        def __get__(self, instance: None, owner: type[Any]) -> Callable[Concatenate[S, P], R]: ...
        @overload
        def __get__(self, instance: object, owner: type[Any]) -> StreamHandle[P, T]: ...
        def __get__(self, instance: object, owner: type[Any]) -> Any: ...

    class MethodDecorator:
        """What ``pul.method(...)`` with options gives, as type checkers see it."""

        @overload
        def __call__(
            self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]], /
        ) -> UnaryMethod[S, P, Coroutine[Any, Any, T], T]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]
            self, function: Callable[Concatenate[S, P], AsyncIterator[T]], /
        ) -> StreamMethod[S, P, AsyncIterator[T], T]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]
            self, function: Callable[Concatenate[S, P], Iterator[T]], /
        ) -> StreamMethod[S, P, Iterator[T], T]: ...
        @overload
        def __call__(
            self, function: Callable[Concatenate[S, P], T], /
        ) -> UnaryMethod[S, P, T, T]: ...
        def __call__(self, function: Any, /) -> Any: ...


@overload
def method(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]], /
) -> UnaryMethod[S, P, Coroutine[Any, Any, T], T]: ...
@overload
def method(  # type: ignore[overload-overlap]
    function: Callable[Concatenate[S, P], AsyncIterator[T]], /
) -> StreamMethod[S, P, AsyncIterator[T], T]: ...
@overload
def method(  # type: ignore[overload-overlap]
    function: Callable[Concatenate[S, P], Iterator[T]], /
) -> StreamMethod[S, P, Iterator[T], T]: ...
@overload
def method(function: Callable[Concatenate[S, P], T], /) -> UnaryMethod[S, P, T, T]: ...
@overload
def method(
    *,
    executor: str | Executor | None = None,
    stream_buffer: int | None = None,
    idempotent: bool = False,
    retries: int | None = None,
) -> MethodDecorator: ...
def method(
    function: Callable[..., Any] | None = None,
    /,
    *,
    executor: str | Executor | None = None,
    stream_buffer: int | None = None,
    idempotent: bool = False,
    retries: int | None = None,
) -> Any:
    """Declare a method of an actor, so that type checkers know what calling it gives.

    Through the class it is the plain function; through what `Actor.spawn` gives it is a handle
    whose calls are awaited or iterated. At run time an instance binds it as any other method.

    Args:
        function: the method, when used as ``@pul.method`` without parentheses.
        executor: ``"thread"`` or ``"loop"`` for this ``def`` method; default: the actor's.
        stream_buffer: items this stream may be ahead of its consumer; default: the actor's.
        idempotent: running it twice does no more than running it once. Then calls of it through
            proxies are repeated when the connection, the node or the actor was lost while they
            ran, within their deadline, with growing pauses; the actor runs what arrives twice
            once and gives both the same answer. All other calls are sent once.
        retries: how often at most; default: 3 for an idempotent method.

    Raises:
        ValueError: an option has no such value; or ``retries`` of a method that is not idempotent.
        TypeError: an idempotent method that streams.
    """
    if executor in ("process", Executor.PROCESS):
        raise ValueError("executor='process' is for actors, not for single methods of them")
    checked = ActorOptions.checked(executor=executor, stream_buffer=stream_buffer)
    most = _checked_retries(idempotent, retries)

    def declare(function: Callable[..., Any]) -> _DeclaredMethod:
        if idempotent and (isgeneratorfunction(function) or isasyncgenfunction(function)):
            raise TypeError(f"{function.__qualname__} streams; a stream cannot be repeated")
        return _DeclaredMethod(Declaration(function, checked.executor, checked.stream_buffer, most))

    return declare if function is None else declare(function)


_RETRIES: Final = 3


def _checked_retries(idempotent: bool, retries: int | None) -> int:
    if not idempotent:
        if retries:
            raise ValueError(
                f"retries={retries!r} needs idempotent=True: a call that may have run is repeated "
                "only where running it twice does no harm"
            )
        return 0
    if retries is None:
        return _RETRIES
    if isinstance(retries, bool) or not 0 <= retries <= _MOST_RETRIES:
        raise ValueError(f"retries is {retries!r}; from 0 to {_MOST_RETRIES}")
    return retries


_MOST_RETRIES: Final = 100
