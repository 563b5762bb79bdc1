"""The call object: what a method of a proxy gives. Nothing is sent before it is used."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from pulsing.actor.deadline import check_timeout

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

DEFAULT_TIMEOUT: Final = -1.0
"""Stands for the timeout that the system's configuration gives to calls."""


RAW_METHOD: Final = "-"
"""The name under which the ``receive`` of a message-style actor is called."""


class Items(Protocol):
    """What a stream gives its consumer: an async iterator that can be closed."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Any: ...

    async def aclose(self) -> None:
        """Take no more items: the callee is cancelled unless it has ended."""
        ...


class Sent(Protocol):
    """What a tell gives. Await it to know that the mailbox has taken the message, or ignore it."""

    def __await__(self) -> Generator[Any, None, None]: ...


class Waiting(Protocol):
    """The answer to a call that is awaited."""

    @property
    def deadline(self) -> float | None:
        """When it will have failed, on the clock of `pulsing.clock`; None for never."""
        ...

    def wait(self) -> Generator[Any, None, Any]:
        """Sleep until the answer is there and give it, or raise its error."""
        ...


class Target(Protocol):
    """Where calls go: an actor on this node or another, or one of several with the same name."""

    def start_ask(self, call: Call[Any]) -> Waiting:
        """Send a call whose caller waits for the result. Must not wait itself.

        Raises:
            PulsingError: it cannot be sent. Nothing was delivered.
        """
        ...

    def start_items(self, call: Call[Any]) -> Items:
        """Send a call whose caller iterates over the result. As `start_ask` otherwise."""
        ...

    def start_get(self, call: Call[Any]) -> Waiting:
        """Ask for the attribute ``call.method`` of the actor. As `start_ask` otherwise."""
        ...

    def tell(self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None) -> Sent:
        """Send a message that nobody waits for. Works in worker threads, too."""
        ...


class Call(Generic[T_co]):
    """One call of an actor's method, not sent yet: await it, or iterate over it.

    It is sent when it is first awaited or iterated, once. Awaiting a call of a generator method
    collects its items in a list. It can be given to ``asyncio.create_task``, ``gather`` and
    ``wait_for`` like a coroutine; unlike a coroutine, one that is never used is dropped silently.

    Cancellation: cancelling the task that awaits it, leaving the ``async for``, and `aclose`
    cancel the method that runs.

    Attributes:
        method: the name of the method.
        args: its positional arguments.
        kwargs: its keyword arguments, or None.
        timeout: seconds, None for off, or `DEFAULT_TIMEOUT`.
        buffer: items a stream may be ahead of its consumer, or None for the callee's choice.
    """

    __slots__ = (
        "__weakref__",
        "_items",
        "_steps",
        "_target",
        "args",
        "buffer",
        "kwargs",
        "method",
        "timeout",
    )

    def __init__(
        self, target: Target, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None
    ) -> None:
        self._target: Target | None = target
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.timeout: float | None = DEFAULT_TIMEOUT
        self.buffer: int | None = None
        self._steps: Generator[Any, None, T_co] | None = None

    @classmethod
    def ask(cls, target: Target, message: Any) -> Call[Any]:
        """A call of the actor's ``receive``."""
        return Call(target, RAW_METHOD, (message,), None)

    @classmethod
    def get(cls, target: Target, name: str) -> Call[Any]:
        """The reading of an attribute."""
        return _Read(target, name, (), None)

    @property
    def key(self) -> bytes | None:
        """What the callee recognises repetitions by, or None: there are none."""
        return None

    def __repr__(self) -> str:
        state = "sent" if self._target is None else "not sent"
        return f"<Call {self.method} {state}>"

    @property
    def __name__(self) -> str:
        """Shown for tasks that run the call."""
        return self.method

    def with_timeout(self, seconds: float | None) -> Self:
        """The same call, which fails with `DeadlineExceeded` after as many seconds.

        Args:
            seconds: counted from when it is sent; None for no timeout.

        Raises:
            ValueError: negative, or not a number.
        """
        self.timeout = check_timeout(seconds)
        return self

    def with_buffer(self, items: int) -> Self:
        """The same call; its stream may be as many items ahead of its consumer.

        Raises:
            ValueError: less than 1.
        """
        if items < 1:
            raise ValueError(f"a buffer of {items!r} items; a stream needs room for one")
        self.buffer = items
        return self

    def start(self) -> Waiting:
        """Send it now; what this gives is awaited later. For those who wait for many.

        Raises:
            PulsingError: it cannot be sent. Nothing was delivered.
        """
        return self._take_target().start_ask(self)

    # --- awaited

    def __await__(self) -> Generator[Any, None, T_co]:
        target = self._target
        if target is None:
            raise self._used()
        self._target = None
        return target.start_ask(self).wait()

    # --- iterated

    def __aiter__(self) -> AsyncIterator[Any]:
        items = self._take_target().start_items(self)
        # Weak: leaving the loop drops the iterator, which is how the callee hears of it at once.
        self._items: weakref.ref[Items] = weakref.ref(items)
        return items

    async def aclose(self) -> None:
        """Stop a stream that was begun; a call not sent yet will not be."""
        if self._target is not None:
            self._target = None
        elif (items := self._begun()) is not None:
            await items.aclose()

    def _begun(self) -> Items | None:
        try:
            return self._items()
        except AttributeError:
            return None

    # --- as a coroutine

    def send(self, value: None) -> Any:
        """Run the next step, as of a coroutine. For event loops."""
        steps = self._steps
        if steps is None:
            steps = self._steps = self.__await__()
        return steps.send(value)

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        """Raise an exception at the current step, as in a coroutine. For event loops."""
        error = _as_exception(kind, value, trace)
        if self._steps is None:
            self._take_target()
            raise error
        return self._steps.throw(error)

    def close(self) -> None:
        """Give the call up, as a coroutine. For event loops."""
        self._target = None
        if self._steps is not None:
            self._steps.close()

    def _take_target(self) -> Target:
        target, self._target = self._target, None
        if target is None:
            raise self._used()
        return target

    def _used(self) -> RuntimeError:
        return RuntimeError(
            f"this call of {self.method}() was used already; a call is sent once, make a new one"
        )


class StreamCall(Call[list[T]], Generic[T]):
    """A call of a generator method: iterate over it, or await it for a list of all items."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __aiter__(self) -> AsyncIterator[T]: ...


class _Read(Call[Any]):
    """The reading of an attribute; it has no arguments and gives no stream."""

    __slots__ = ()

    def start(self) -> Waiting:
        """See `Call.start`."""
        return self._take_target().start_get(self)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._take_target().start_get(self).wait()


class Tell:
    """A message that was sent and that nobody answers.

    Awaiting it is optional: it waits until the actor's mailbox has taken the message, and raises
    what prevented that. Failures that nobody awaits are counted and logged.
    """

    __slots__ = ("_sent",)

    def __init__(
        self, target: Target, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None
    ) -> None:
        self._sent = target.tell(method, args, kwargs)

    @classmethod
    def message(cls, target: Target, message: Any) -> Tell:
        """Send a message to the actor's ``receive``."""
        return cls(target, RAW_METHOD, (message,), None)

    def __await__(self) -> Generator[Any, None, None]:
        return self._sent.__await__()


def _as_exception(
    kind: type[BaseException] | BaseException, value: object, trace: TracebackType | None
) -> BaseException:
    error: BaseException
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(value, BaseException):
        error = value
    else:
        error = kind() if value is None else kind(value)
    return error if trace is None else error.with_traceback(trace)
