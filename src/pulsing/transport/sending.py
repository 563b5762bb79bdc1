"""What waits to be sent: queued DATA takes turns, stream by stream, one frame each.

Small messages never come here: they go straight into the output. A body that does not fit a frame
or a window is queued on its stream, and the streams with something to send form a round.

Source: RFC 9113 5.2 and 6.9 (flow control).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from .frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame_header

if TYPE_CHECKING:
    from .connection_core import Connection
    from .streams import Body, Flow, Stream


class SendRound:
    """The streams that have DATA queued and window to send it."""

    __slots__ = ("_connection", "ready")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ready: OrderedDict[Stream, None] = OrderedDict()

    @property
    def waiting(self) -> bool:
        """Something could be sent now."""
        ready = self.ready
        return (
            bool(ready)
            and self._connection.closing is None
            and (self._connection.send_window > 0 or not next(iter(ready)).send_blocked)
        )

    def enqueue(self, stream: Stream, body: Body, end: bytes | None) -> None:
        """Queue ``body``, then its end: b"" for END_STREAM, a block for trailers, None for more."""
        flow = stream.flow or self._connection.open_flow(stream)
        parts = body if isinstance(body, list) else [body]
        for part in parts:
            view = memoryview(part).cast("B") if len(part) else None
            if view is not None:
                flow.queue.append(view)
        if end is not None:
            flow.end = end
        self.schedule(stream, flow)

    def schedule(self, stream: Stream, flow: Flow) -> None:
        """Let the stream take part if it has something to send and may."""
        if not flow.scheduled and (
            (flow.queue and flow.send_window > 0) or (not flow.queue and flow.end is not None)
        ):
            flow.scheduled = True
            self.ready[stream] = None
            if not flow.queue:  # an end takes no window, and so waits for none
                self.ready.move_to_end(stream, last=False)

    def forget(self, stream: Stream) -> None:
        """The stream is gone: drop what it had queued."""
        flow = stream.flow
        if flow is not None:
            flow.queue.clear()
            flow.end = None
            if flow.scheduled:
                flow.scheduled = False
                del self.ready[stream]

    def fill(self, budget: int) -> None:
        """Put up to ``budget`` bytes of queued DATA (at least one frame) into the output."""
        connection = self._connection
        if connection.in_batch:
            self._fill(budget)
            return
        connection.in_batch = True  # what the ends of requests set off, the caller will send
        try:
            self._fill(budget)
        finally:
            connection.in_batch = False

    def _fill(self, budget: int) -> None:
        ready = self.ready
        while budget > 0 and self.waiting:
            stream, _ = ready.popitem(last=False)
            flow = stream.flow
            assert flow is not None
            flow.scheduled = False
            if flow.queue and flow.send_window <= 0:
                continue  # the peer made the window smaller (6.9.2)
            budget -= self._send_one(stream, flow)
            if stream.closed:
                continue
            self.schedule(stream, flow)
            if not flow.queue:
                self._connection.queue_drained(stream)

    def _send_one(self, stream: Stream, flow: Flow) -> int:
        connection = self._connection
        out = connection.out
        if not flow.queue:
            self._send_end(stream, flow)
            return 9
        view = flow.queue[0]
        size = min(len(view), flow.send_window, connection.send_window, connection.send_frame_bytes)
        if size == len(view):
            flow.queue.popleft()
        else:
            flow.queue[0] = view[size:]
            view = view[:size]
        flow.send_window -= size
        connection.send_window -= size
        last = not flow.queue and flow.end == b""
        out.append(frame_header(size, DATA, END_STREAM if last else 0, stream.id))
        out.append(view)
        if last:
            flow.end = None
            connection.local_end(stream)
        elif not flow.queue and flow.end is not None:
            self._send_end(stream, flow)
        return size

    def _send_end(self, stream: Stream, flow: Flow) -> None:
        block, flow.end = flow.end, None
        out = self._connection.out
        if block == b"":
            out.append(frame_header(0, DATA, END_STREAM, stream.id))
        elif block is not None:
            out.append(frame_header(len(block), HEADERS, END_HEADERS | END_STREAM, stream.id))
            out.append(block)
        self._connection.local_end(stream)
