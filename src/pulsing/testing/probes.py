"""A stand-in for an actor: it records what it is sent, and the test decides what it answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from pulsing import clock
from pulsing.actor.methods import MethodTable

if TYPE_CHECKING:
    from types import TracebackType

    from pulsing.actor.place import Reference
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.system import ActorSystem

_WITHIN_S: Final = 3.0
_UNANSWERED: Final = 1_000_000
_SHOWN: Final = 10
_RECEIVE: Final = "receive"


class Received:
    """Something a probe was sent, and what the test answers to it.

    Attributes:
        method: the name of the method that was called; ``receive`` for raw messages.
        args: its positional arguments; of a raw message, the message.
        kwargs: its keyword arguments.
        at: when it came, in the clock of the loop.
    """

    __slots__ = ("_answer", "args", "at", "kwargs", "method")

    def __init__(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.method = method
        self.args = tuple(args)
        self.kwargs = dict(kwargs)
        self.at = clock.monotonic()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        if self.method == _RECEIVE:
            return f"<message {self.message!r}>"
        named = [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"<call {self.method}({', '.join([*map(repr, self.args), *named])})>"

    @property
    def message(self) -> Any:
        """The message, or the first argument of a call; None when there is none."""
        return self.args[0] if self.args else None

    @property
    def is_answered(self) -> bool:
        """It has its answer, or nobody waits for one any more."""
        return self._answer.done()

    def reply(self, value: Any = None) -> None:
        """Answer; to the call of a streaming method, with the items of the stream.

        Raises:
            RuntimeError: it was answered already.
        """
        self._open().set_result(value)

    def fail(self, error: Exception) -> None:
        """Answer with an exception, as if the actor had raised it. Raises as `reply` does."""
        self._open().set_exception(error)

    async def forward(self, actor: Reference | Any) -> Any:
        """Send it on to another actor, and answer what that answers.

        Args:
            actor: a reference or proxy.

        Returns:
            The answer; also raises what the other actor raised.
        """
        from pulsing.actor.place import place_of
        from pulsing.actor.refs import ActorRef

        ref = ActorRef(place_of(actor))
        if self.method == _RECEIVE:
            call = ref.ask(self.message)
        else:
            call = ref.call(self.method, *self.args, **self.kwargs)
        try:
            value = await call
        except Exception as error:
            self.fail(error)
            raise
        self.reply(value)
        return value

    async def answer(self) -> Any:
        """Wait for what the test answers. For the probe."""
        return await self._answer

    def _open(self) -> asyncio.Future[Any]:
        if self._answer.done():
            raise RuntimeError(f"{self!r} was answered already, or its sender has given up")
        return self._answer


class ActorProbe:
    """An actor that the test plays: use it with ``async with``, or `start` and `stop`.

    Raw messages come to it as to any actor; with ``like`` it also has the methods of a class, so
    that it can stand in for one of its actors. Whoever asks waits until the test answers, or until
    time is up for them. Messages come in order; each is expected once.

    Args:
        system: where it lives.
        name: under which it is found; default: none.
        like: a class whose actors it stands in for.
        answer: answers everything at once: a function of `Received`, or None to answer by hand.

    Attributes:
        received: everything it was sent, in order.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        name: str | None = None,
        like: type[Any] | None = None,
        answer: Callable[[Received], Any] | None = None,
    ) -> None:
        self.received: list[Received] = []
        self._system = system
        self._name = name
        self._like = like
        self._answer = answer
        self._unexpected: deque[Received] = deque()
        self._arrived = asyncio.Event()
        self._ref: ActorRef | None = None

    # --- life

    async def start(self) -> Self:
        """Start it. Raises what `ActorSystem.spawn` does."""
        self._ref = await self._system.spawn(
            _stand_in(self, self._like),
            name=self._name,
            max_concurrency=_UNANSWERED,
            mailbox_size=_UNANSWERED,
        )
        return self

    async def stop(self) -> None:
        """Stop it; who still waits for an answer gets `pulsing.errors.ActorStopped`."""
        if self._ref is not None:
            ref, self._ref = self._ref, None
            await self._system.stop(ref)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def ref(self) -> ActorRef:
        """A reference to it, for the code under test."""
        assert self._ref is not None, "the probe was not started, or has been stopped"
        return self._ref

    @property
    def proxy(self) -> Any:
        """A proxy of it: typed by ``like``, if that was given."""
        return self.ref.as_any() if self._like is None else self.ref.as_type(self._like)

    # --- expecting

    async def expect(self, *, within_s: float = _WITHIN_S) -> Received:
        """Wait for the next message or call, whatever it is.

        Raises:
            AssertionError: none came in time.
        """
        return await self._next("anything", within_s)

    async def expect_message(self, wanted: Any, *, within_s: float = _WITHIN_S) -> Received:
        """Wait for the next message, which must be the one that is wanted.

        Args:
            wanted: a type, a predicate of the message, or an equal message.
            within_s: how long it may take.

        Raises:
            AssertionError: none came in time, or another one did.
        """
        found = await self._next(_described(wanted), within_s)
        if found.method != _RECEIVE or not _is_wanted(wanted, found.message):
            raise AssertionError(f"expected {_described(wanted)}, and {found!r} came")
        return found

    async def expect_call(
        self, method: str, *args: Any, within_s: float = _WITHIN_S, **kwargs: Any
    ) -> Received:
        """Wait for the next call, which must be of this method.

        Args:
            method: its name.
            args: its arguments; when none are given here, any will do.
            within_s: how long it may take.
            kwargs: as ``args``.

        Raises:
            AssertionError: none came in time, or another one did.
        """
        wanted = Received(method, args, kwargs)
        found = await self._next(repr(wanted), within_s)
        same = (found.args, found.kwargs) == (wanted.args, wanted.kwargs)
        if found.method != method or not (same or not (args or kwargs)):
            raise AssertionError(f"expected {wanted!r}, and {found!r} came")
        return found

    async def fish(self, wanted: Any, *, within_s: float = _WITHIN_S) -> Received:
        """Wait for a message that is wanted, and skip all others; as `expect_message` otherwise."""
        give_up_at = clock.monotonic() + within_s
        while True:
            left_s = give_up_at - clock.monotonic()
            found = await self._next(_described(wanted), max(0.0, left_s))
            if found.method == _RECEIVE and _is_wanted(wanted, found.message):
                return found

    async def expect_none(self, *, for_s: float = 0.1) -> None:
        """Wait, and see that nothing comes that is not expected yet.

        Args:
            for_s: how long.

        Raises:
            AssertionError: something came, or was there already.
        """
        try:
            found = await self._next("nothing", for_s)
        except AssertionError:
            return
        raise AssertionError(f"expected nothing for {for_s:g} s, and {found!r} came")

    async def _next(self, wanted: str, within_s: float) -> Received:
        try:
            async with asyncio.timeout(within_s):
                while not self._unexpected:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            last = ", ".join(map(repr, self.received[-_SHOWN:])) or "nothing"
            raise AssertionError(
                f"expected {wanted} within {within_s:g} s, and nothing came; received so far: "
                f"{last}"
            ) from None
        return self._unexpected.popleft()

    # --- for the actor

    async def took(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record something, and give the answer to it."""
        received = Received(method, args, kwargs)
        self.received.append(received)
        self._unexpected.append(received)
        self._arrived.set()
        if self._answer is not None:
            return self._answer(received)
        return await received.answer()


def _stand_in(probe: ActorProbe, like: type[Any] | None) -> object:
    """The actor of a probe: an instance of a class made for it."""
    members: dict[str, Any] = {_RECEIVE: _single(probe, _RECEIVE)}
    if like is not None:
        table = MethodTable.of(like)
        for name in table.names:
            method = table.get(name)
            streams = method is not None and method.kind.streams
            members[name] = (_stream if streams else _single)(probe, name)
    title = "ActorProbe" if like is None else f"ActorProbe_{like.__name__}"
    return type(title, (), members)()


def _single(probe: ActorProbe, name: str) -> Callable[..., Any]:
    async def method(_self: object, *args: Any, **kwargs: Any) -> Any:
        return await probe.took(name, args, kwargs)

    return method


def _stream(probe: ActorProbe, name: str) -> Callable[..., Any]:
    async def method(_self: object, *args: Any, **kwargs: Any) -> Any:
        items: Iterable[Any] = await probe.took(name, args, kwargs)
        for item in items:
            yield item

    return method


def _is_wanted(wanted: Any, message: Any) -> bool:
    if isinstance(wanted, type):
        return isinstance(message, wanted)
    if callable(wanted):
        return bool(wanted(message))
    return bool(message == wanted)


def _described(wanted: Any) -> str:
    if isinstance(wanted, type):
        return f"a message of type {wanted.__name__}"
    if callable(wanted):
        return f"a message for which {getattr(wanted, '__qualname__', wanted)} is true"
    return f"the message {wanted!r}"
