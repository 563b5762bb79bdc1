"""What ``proxy.method`` is before it is called.

A handle is made on first access and kept in the proxy; calling it makes a `Call` and nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from pulsing.actor.call import Call, StreamCall, Tell

if TYPE_CHECKING:
    from pulsing.actor.call import Target
    from pulsing.actor.describe import MethodFacts
    from pulsing.actor.place import Place

P = ParamSpec("P")
T = TypeVar("T")


class _Handle:
    """What all handles share: which method of which actor, and how it presents itself."""

    def __init__(self, place: Place, name: str, facts: MethodFacts | None) -> None:
        self._place = place
        self._target: Target = place.target
        self._name = self.__name__ = name
        self._facts = facts
        self.__qualname__ = f"{place.class_name}.{name}"
        if facts is not None:
            self.__doc__ = facts.doc or None
            if facts.retries:
                from pulsing.actor.retrying import RetryingTarget

                dispatcher = place.system.dispatcher
                self._target = RetryingTarget(place.target, facts.retries, dispatcher)

    @property
    def __signature__(self) -> inspect.Signature:
        if self._facts is None:
            raise AttributeError("__signature__")  # inspect then looks at __call__
        return self._facts.signature

    def __repr__(self) -> str:
        signature = self._facts.signature if self._facts is not None else "(...)"
        return f"<{self.__qualname__}{signature} of {self._place.label}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Handle):
            return NotImplemented
        same = self._place.identity == other._place.identity
        return same and self._name == other._name

    def __hash__(self) -> int:
        return hash((self._place.identity, self._name))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or sent; send the proxy")


class MethodHandle(_Handle, Generic[P, T]):
    """A method of an actor: call it, then await the call. Made by proxies."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """A call, which starts when it is awaited (or made a task)."""
        return Call(self._target, self._name, args, kwargs)

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> Tell:
        """Send the call now and ask for no answer.

        Awaiting what this gives is optional: it waits until the actor's mailbox took the call, and
        raises what prevented that.
        """
        return Tell(self._target, self._name, args, kwargs)

    def sync(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call and wait, from synchronous code of another thread. See `pulsing.sync`."""
        from pulsing.actor.threadsafe import block

        return block(self._place.system.loop, lambda: self(*args, **kwargs))


class StreamHandle(_Handle, Generic[P, T]):
    """A method of an actor that streams: call it, then iterate the call. Made by proxies."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> StreamCall[T]:
        """A call, which starts when it is iterated, or awaited to collect a list."""
        return StreamCall(self._target, self._name, args, kwargs)

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> Tell:
        """Send the call now and ask for none of its items. See `MethodHandle.tell`."""
        return Tell(self._target, self._name, args, kwargs)

    def sync(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        """Call, and iterate from synchronous code of another thread. See `pulsing.sync`."""
        from pulsing.actor.threadsafe import blocking_iterator

        return blocking_iterator(self._place.system.loop, lambda: self(*args, **kwargs))


class AttributeHandle(_Handle):
    """An attribute of an actor: await it to read it. Made by proxies."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return Call.get(self._target, self._name).__await__()

    def __call__(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: it is no method."""
        raise TypeError(
            f"{self.__qualname__} is an attribute, not a method; read it with "
            f"'await proxy.{self._name}'"
        )

    def __repr__(self) -> str:
        return f"<attribute {self.__qualname__} of {self._place.label}>"


class AnyHandle(MethodHandle[..., Any]):
    """A name of an actor of unknown class: call it as a method, or await it as an attribute."""

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._facts is not None:
            raise TypeError(f"{self.__qualname__} is a method; call it: '{self._name}(...)'")
        return Call.get(self._target, self._name).__await__()
