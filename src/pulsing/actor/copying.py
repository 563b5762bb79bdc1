"""Calls within one node that copy as between nodes: ``copy_local``, to find what isolation hides.

By default a local call hands over its arguments and its result as they are. Code that goes on
changing them works on one node and fails on two. Here they are encoded and decoded on the way, so
that it fails on one node, too; and what does not travel is refused as a peer would refuse it.
"""

from __future__ import annotations

import threading
from asyncio import (
    _get_running_loop,  # pyright: ignore[reportPrivateUsage]  # documented; None in threads
)
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pulsing.actor.call import DEFAULT_TIMEOUT
from pulsing.actor.carried import carried
from pulsing.actor.deadline import SCOPE, call_deadline
from pulsing.actor.local import LocalAsk, LocalTarget, LocalTell
from pulsing.actor.local_streams import Collector, LocalItems, LocalStream
from pulsing.actor.travel import WITHIN_NODE
from pulsing.errors import WireError
from pulsing.wire import CALL, Codec, WireLimits

if TYPE_CHECKING:
    from pulsing.actor.call import Call
    from pulsing.actor.cell import Cell
    from pulsing.actor.invocation import ItemSink
    from pulsing.actor.methods import Method
    from pulsing.actor.system import ActorSystem


class Copier:
    """Copies values as the wire would, in any thread. What streams is passed on as it is."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._codecs = threading.local()

    def __call__(self, value: Any) -> Any:
        """The copy of a result.

        Raises:
            WireError: it does not travel; names the part and the path to it.
        """
        return self._copy(value, "value")

    def call(
        self, args: Sequence[Any], kwargs: dict[str, Any] | None
    ) -> tuple[Sequence[Any], dict[str, Any] | None]:
        """The copies of arguments. Raises as for results."""
        _, copied_kwargs, _, *copied = self._copy([None, kwargs or None, None, *args], CALL)
        return copied, copied_kwargs

    def _copy(self, value: Any, root: str) -> Any:
        codec = self._codec()
        streams: list[Any] = []
        token = WITHIN_NODE.set(True)
        try:
            body = codec.encode(value, streams, root=root)
            octets = body if isinstance(body, bytes) else bytearray(b"".join(body))
            return codec.decode(octets, streams[0] if streams else None)
        finally:
            WITHIN_NODE.reset(token)

    def _codec(self) -> Codec:
        """One for each thread: they cannot be shared."""
        codec = cast("Codec | None", getattr(self._codecs, "codec", None))
        if codec is None:
            config = self._system.config
            codec = self._codecs.codec = Codec(
                limits=WireLimits(max_message_bytes=config.max_message_bytes),
                allow_pickle=config.allow_pickle or config.passphrase is not None,
                context=self._system,
            )
        return codec


class CopyingTarget(LocalTarget):
    """An actor of this node, as the target of calls that copy."""

    __slots__ = ("_copy",)

    def __init__(self, cell: Cell, copy: Copier) -> None:
        super().__init__(cell)
        self._copy = copy

    def start_ask(self, call: Call[Any], method: Method | None = None) -> LocalAsk:
        """See `Target.start_ask`."""
        cell = self.cell
        if method is None:
            method = self.method_of(call.method)
        self._check_loop(call.method)
        timeout = call.timeout
        if timeout is DEFAULT_TIMEOUT:
            timeout = cell.dispatcher.default_timeout_s
        args, kwargs = self._copy.call(call.args, call.kwargs)
        ask = CopiedAsk(cell, method, args, kwargs, call_deadline(timeout))
        ask.copy = self._copy
        scope = SCOPE.get()
        ask.sender = None if scope is None else scope.cell
        ask.caller = scope
        ask.meta = self._copy(carried())
        cell.deliver(ask)
        return ask

    def start_items(self, call: Call[Any]) -> LocalItems:
        """See `Target.start_items`."""
        cell = self.cell
        method = self.method_of(call.method)
        self._check_loop(call.method)
        timeout = call.timeout
        deadline = call_deadline(None if timeout is None or timeout < 0 else timeout)
        args, kwargs = self._copy.call(call.args, call.kwargs)
        stream = LocalStream(cell, method, args, kwargs, deadline, call.buffer)
        append, copy = stream.items.append, self._copy
        stream.write = lambda item: append(copy(item))
        scope = SCOPE.get()
        stream.sender = None if scope is None else scope.cell
        stream.caller = scope
        stream.meta = self._copy(carried())
        items = LocalItems(stream)
        cell.deliver(stream)
        return items

    def tell(self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None) -> LocalTell:
        """See `Target.tell`."""
        return super().tell(method, *self._copy.call(args, kwargs))

    def _check_loop(self, method: str) -> None:
        if _get_running_loop() is not self.cell.dispatcher.loop:
            self.refuse_loop(method)


class CopiedAsk(LocalAsk):
    """A message whose result is copied on its way to the caller."""

    __slots__ = ("copy",)

    copy: Copier

    def reply(self, value: Any) -> None:
        """See `Invocation.reply`."""
        if not self.settled:
            try:
                copied = self.copy(value)
            except WireError as error:
                self.settle_error(error)
            else:
                super().reply(copied)

    def open_items(self, buffer_items: int) -> ItemSink:
        """See `Invocation.open_items`."""
        return CopyingCollector(self)


class CopyingCollector(Collector):
    """A sink that collects copies."""

    __slots__ = ("_copy",)

    def __init__(self, ask: CopiedAsk) -> None:
        super().__init__(ask)
        self._copy = ask.copy

    def write(self, value: Any, /) -> None:
        """See `ItemSink.write`."""
        super().write(self._copy(value))
