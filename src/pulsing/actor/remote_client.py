"""Calls to other nodes: the target that sends them."""

from __future__ import annotations

from asyncio import _get_running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pulsing import clock
from pulsing.actor.beside import meta_of, packed_meta
from pulsing.actor.call import DEFAULT_TIMEOUT, RAW_METHOD
from pulsing.actor.carried import CARRIERS
from pulsing.actor.deadline import SCOPE
from pulsing.actor.once import KEY
from pulsing.actor.remote_items import RemoteItems
from pulsing.actor.remote_replies import ItemsRequest, RemoteReply, RemoteTell, Request
from pulsing.errors import PulsingError, PulsingRuntimeError, WireError
from pulsing.transport.client_core import RequestBlock, request_block
from pulsing.wire import CALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pulsing.actor.call import Call
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.transport.pool import Peer
    from pulsing.wire import Codec

_MAX_BLOCKS: Final = 4096
_ARGUMENT_ITEMS: Final = 256
"""Items of a streamed argument that the caller may be ahead of the callee."""


class RemoteTarget:
    """An actor of another node, as the target of calls; see `pulsing.actor.call.Target`.

    Attributes:
        name: the target as it is sent: canonical name, or ``@<node>/<number>``.
    """

    __slots__ = (
        "__weakref__",
        "_asks",
        "_blocks",
        "_default_ms",
        "_default_s",
        "_encode_call",
        "_loop",
        "_peer",
        "_scheme",
        "codec",
        "dispatcher",
        "name",
        "node_id",
    )

    def __init__(
        self,
        peer: Peer,
        name: str,
        *,
        dispatcher: Dispatcher,
        codec: Codec,
        node_id: str,
        scheme: str,
    ) -> None:
        self._peer = peer
        self.name = name
        self.dispatcher = dispatcher
        self.codec = codec
        self.node_id = node_id
        self._scheme = scheme
        self._asks: dict[str, RequestBlock] = {}
        self._blocks: dict[tuple[str, str, int | None], RequestBlock] = {}
        self._loop = dispatcher.loop
        self._encode_call = codec.encode_call
        self._default_s = dispatcher.default_timeout_s
        self._default_ms = None if self._default_s is None else int(self._default_s * 1000)

    @property
    def address(self) -> str:
        """Of its node."""
        return self._peer.address

    def label(self, method: str) -> str:
        """What to call a method of this actor in messages to people."""
        name = self.name if method == "-" else f"{self.name}.{method}"
        return f"{name} at {self._peer.address}"

    # --- Target

    def start_ask(self, call: Call[Any]) -> RemoteReply:
        """See `Target.start_ask`."""
        method = call.method
        block = self._asks.get(method)
        if block is None or call.buffer is not None:
            block = self._block("ask", method, call.buffer)
            if call.buffer is None:
                if len(self._asks) >= _MAX_BLOCKS:
                    self._asks.clear()
                self._asks[method] = block
        if (
            call.timeout is not DEFAULT_TIMEOUT
            or call.kwargs
            or SCOPE.get() is not None
            or CARRIERS
            or _get_running_loop() is not self._loop
        ):
            return self._ask(call, block)
        # `_ask`, inlined for what nearly every call outside actors is.
        core = self._peer.core
        if core is not None and core.accepting:
            arguments = call.args
            body = self._encode_call([self._default_ms, None, None, *arguments], arguments)
            if body is not None:
                default_s = self._default_s
                deadline = None if default_s is None else clock.monotonic() + default_s
                reply = RemoteReply(self, method, deadline)
                core.request(reply, block, body)
                return reply
        return self._ask(call, block)

    def start_get(self, call: Call[Any]) -> RemoteReply:
        """See `Target.start_get`."""
        return self._ask(call, self._block("get", call.method, None))

    def _ask(self, call: Call[Any], block: RequestBlock) -> RemoteReply:
        dispatcher = self.dispatcher
        if _get_running_loop() is not dispatcher.loop:
            self._refuse_loop(call.method)
        timeout = call.timeout
        if timeout is DEFAULT_TIMEOUT:
            timeout = dispatcher.default_timeout_s
            timeout_ms = self._default_ms
        else:
            timeout_ms = None if timeout is None else int(timeout * 1000)
        now = clock.monotonic()
        deadline = None if timeout is None else now + timeout
        scope = SCOPE.get()
        if scope is not None:
            inherited = scope.deadline
            if inherited is not None and (deadline is None or inherited < deadline):
                deadline = inherited
                timeout_ms = max(0, int((inherited - now) * 1000))
        reply = RemoteReply(self, call.method, deadline)
        if call.key is None:
            meta = packed_meta(scope, self.codec, waits=True)
        else:
            meta = {**(meta_of(scope, waits=True) or {}), KEY: call.key}
        self._send(reply, block, [timeout_ms, call.kwargs or None, meta, *call.args])
        return reply

    def start_items(self, call: Call[Any]) -> RemoteItems:
        """See `Target.start_items`. A stream has no timeout unless the call was given one."""
        dispatcher = self.dispatcher
        if _get_running_loop() is not dispatcher.loop:
            self._refuse_loop(call.method)
        timeout = call.timeout
        now = clock.monotonic()
        deadline = None if timeout is None or timeout < 0 else now + timeout
        scope = SCOPE.get()
        inherited = scope.deadline if scope is not None else None
        if inherited is not None and (deadline is None or inherited < deadline):
            deadline = inherited
        timeout_ms = None if deadline is None else max(0, int((deadline - now) * 1000))
        request = ItemsRequest(self, call.method, deadline)
        items = RemoteItems(dispatcher, request.source, request.leave)
        block = self._block("ask", call.method, call.buffer)
        meta = packed_meta(scope, self.codec, waits=True)
        self._send(request, block, [timeout_ms, call.kwargs or None, meta, *call.args])
        return items

    def tell(self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None) -> RemoteTell:
        """See `Target.tell`."""
        dispatcher = self.dispatcher
        default = dispatcher.default_timeout_s
        deadline = None if default is None else clock.monotonic() + default
        message = RemoteTell(self, method, deadline)
        if method == RAW_METHOD:
            message.message = type(args[0]).__qualname__
        scope = SCOPE.get()
        if scope is not None:
            message.sender = scope.cell
        block = self._block("tell", method, None)
        # How long the message may wait in the mailbox is not bounded: nobody waits for it.
        meta = None
        if scope is not None or CARRIERS:
            meta = packed_meta(scope, self.codec, waits=False)
        envelope = [None, kwargs or None, meta, *args]
        if _get_running_loop() is dispatcher.loop:
            self._send(message, block, envelope)
        else:
            dispatcher.loop.call_soon_threadsafe(self._send_late, message, block, envelope)
        return message

    # --- inside

    def _send_late(self, message: RemoteTell, block: RequestBlock, envelope: list[Any]) -> None:
        try:
            self._send(message, block, envelope)
        except PulsingError as error:
            message.settle_error(error)

    def _send(self, request: Request, block: RequestBlock, envelope: list[Any]) -> None:
        """Encode a call and hand it to the link.

        Raises:
            WireError: an argument does not travel, or is too large. Nothing was sent.
        """
        streams: list[AsyncIterator[Any]] = []
        body = self.codec.encode(envelope, streams, root=CALL)
        if streams:
            if isinstance(request, RemoteTell):
                raise WireError(
                    f"a tell to {self.label(request.method)} cannot carry a stream: it is over "
                    "when the mailbox has it; ask instead"
                )
            request.argument = aiter(streams[0])
            self._peer.submit(request, block, body, _ARGUMENT_ITEMS)
            return
        core = self._peer.core
        if core is not None and core.accepting:
            core.request(request, block, body)
        else:
            _ = request.order  # of the code that runs now, not of what dials
            self._peer.submit(request, block, body)

    def _block(self, kind: str, method: str, buffer: int | None) -> RequestBlock:
        key = (kind, method, buffer)
        block = self._blocks.get(key)
        if block is None:
            if len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.clear()
            path = f"/{kind}/{quote(method, safe='')}/{quote(self.name, safe='/@')}"
            extra = [("pulsing-buffer", str(buffer))] if buffer is not None else []
            block = request_block(path, self._peer.address, scheme=self._scheme, extra=extra)
            self._blocks[key] = block
        return block

    def _refuse_loop(self, method: str) -> None:
        raise PulsingRuntimeError(
            f"{self.label(method)}: the system it is called from runs on another event loop; "
            "call it from there, or from other threads through `.sync`"
        )

    async def describe(self) -> Any:
        """What the actor says about itself.

        Raises:
            ActorNotFound: there is no such actor at the address.
            NodeUnreachable: nobody answers there.
        """
        dispatcher = self.dispatcher
        timeout = dispatcher.default_timeout_s
        deadline = None if timeout is None else clock.monotonic() + timeout
        reply = RemoteReply(self, "-", deadline)
        self._send(reply, self._block("describe", "-", None), [self._default_ms, None, None])
        return await reply
