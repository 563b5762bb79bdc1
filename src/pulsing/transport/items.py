"""Item streams over the body of one HTTP/2 stream: records out, records in, credit both ways.

A record is a 32-bit big-endian length and that many octets; the length's high bit marks the one
record that tells why the stream failed. How far the producer may be ahead is counted in items:
it remembers where each item ended, and the stream's WINDOW_UPDATEs tell how many octets, hence
items, were consumed. For that the consumer returns window only for what was really taken.

Pure: no clock, no loop, no socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Final

from pulsing.errors import MessageTooLarge, PulsingRuntimeError

from .faults import StreamFault
from .frames import ErrorCode
from .streams import Body, body_size, new_buffer

if TYPE_CHECKING:
    from .streams import Stream

_FAILURE_BIT: Final = 0x8000_0000
RECORD_HEADER_BYTES: Final = 4


_LENGTHS: Final = [size.to_bytes(4, "big") for size in range(1024)]
"""The lengths of small items, as they are sent."""
_unpack_length: Final = Struct(">I").unpack_from


class ItemWriter:
    """The producing end of an item stream.

    The producer asks ``credit``, writes that many items, flushes, and asks again.

    Attributes:
        on_writable: called when credit comes back after it was used up, and when the stream
            closes.
        closed: why nothing more can be written, or None.
    """

    __slots__ = (
        "_acked",
        "_ahead",
        "_buffer_items",
        "_ends",
        "_item_bytes",
        "_pieces",
        "_starved",
        "_stream",
        "_unflushed",
        "_written",
        "closed",
        "on_writable",
    )

    def __init__(self, stream: Stream, buffer_items: int) -> None:
        self._stream = stream
        self._buffer_items = buffer_items
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._item_bytes = 1
        self._ends: deque[int] = deque()
        self._written = 0
        self._unflushed = 0
        self._acked = 0
        self._starved = False
        self.on_writable: Callable[[], None] | None = None
        self.closed: PulsingRuntimeError | None = None

    def credit(self) -> int:
        """Items that may be written now. With 0, ``on_writable`` tells when to ask again.

        Never more than the buffer has room for, nor than the peer's window is expected to take.
        """
        if self.closed is not None:
            return 0
        credit = self._room()
        if credit <= 0:
            self._starved = True
            return 0
        return credit

    def _room(self) -> int:
        credit = self._buffer_items - len(self._ends)
        if credit > 0:
            flow = self._stream.flow or self._stream.connection.open_flow(self._stream)
            window = flow.send_window - self._unflushed
            if flow.queue or window <= 0:
                return 0
            if credit * self._item_bytes > window:
                return window // self._item_bytes or 1
        return credit

    def write(self, body: Body) -> None:
        """Append one item; it leaves with the next ``flush``. Nothing happens once closed."""
        if type(body) is bytes and self.closed is None and len(body) < len(_LENGTHS):
            # `_append`, inlined for tokens.
            item_bytes = self._item_bytes = len(body) + RECORD_HEADER_BYTES
            self._unflushed += item_bytes
            self._pieces += (_LENGTHS[len(body)], body)
            self._written += item_bytes
            self._ends.append(self._written)
        else:
            self._append(body, 0)

    def flush(self) -> None:
        """Send what was written, in as few DATA frames as possible."""
        if self._pieces and self.closed is None:
            pieces, self._pieces = self._pieces, []
            self._unflushed = 0
            self._stream.connection.send_item_data(self._stream, pieces)

    def finish(self) -> None:
        """End the stream: everything was written."""
        self._end(b"ok")

    def fail(self, body: Body) -> None:
        """End the stream with a failure record; the items before it still arrive."""
        self._append(body, _FAILURE_BIT)
        self._end(b"failed")

    def _append(self, body: Body, flag: int) -> None:
        if self.closed is not None:
            return
        size = body_size(body)
        limit = self._stream.connection.limits.max_message_bytes
        if size > limit:
            raise MessageTooLarge(size, limit, "stream item")
        self._item_bytes = size + RECORD_HEADER_BYTES
        self._unflushed += self._item_bytes
        self._pieces.append((size | flag).to_bytes(4, "big"))
        if isinstance(body, list):
            self._pieces.extend(body)
        else:
            self._pieces.append(body)
        self._written += self._item_bytes
        self._ends.append(self._written)

    def _end(self, status: bytes) -> None:
        if self.closed is None:
            self.flush()
            self.closed = PulsingRuntimeError("the stream has ended")
            self._stream.connection.end_items(self._stream, status)

    # --- from the connection

    def acknowledged(self, size: int) -> bool:
        """The peer consumed ``size`` more bytes of this stream. Says if an item ends in them."""
        before = len(self._ends)
        # Never more than there was: what is granted beyond is no consumption.
        self._acked = min(self._acked + size, self._written)
        ends = self._ends
        while ends and ends[0] <= self._acked:
            ends.popleft()
        took_items = len(ends) < before
        self.unblocked()
        return took_items

    def unblocked(self) -> None:
        """Queued data of the stream has left, or items were consumed."""
        if self._starved and self.closed is None and self._room() > 0:
            self._starved = False
            if self.on_writable is not None:
                self.on_writable()

    def close(self, error: PulsingRuntimeError) -> None:
        """The stream is gone."""
        if self.closed is None:
            self.closed = error
            self._pieces.clear()
            self._ends.clear()
            if self.on_writable is not None:
                self.on_writable()


class ItemReader:
    """The consuming end of an item stream.

    Attributes:
        items: complete bodies, not yet taken; take them with ``pop``.
        on_items: called when items came, and when the stream ended in any way.
        ended: no more items will come.
        failure: the record that told why the producer failed, or None.
        error: why the stream broke off (connection lost, reset), or None.
    """

    __slots__ = (
        "_ack_items",
        "_credited",
        "_filled",
        "_head",
        "_partial",
        "_partial_failed",
        "_partial_held",
        "_popped_items",
        "_received",
        "_stream",
        "_taken",
        "ended",
        "error",
        "failure",
        "items",
        "on_items",
    )

    def __init__(self, stream: Stream, buffer_items: int) -> None:
        self._stream = stream
        self._ack_items = max(1, buffer_items // 2)
        self._head = b""
        self._partial: bytearray | None = None
        self._partial_failed = False
        self._partial_held = 0
        self._filled = 0
        self._received = 0
        self._taken = 0
        self._credited = 0
        self._popped_items = 0
        self.items: deque[bytes | bytearray] = deque()
        self.on_items: Callable[[], None] | None = None
        self.ended = False
        self.failure: bytes | bytearray | None = None
        self.error: PulsingRuntimeError | None = None

    def pop(self) -> bytes | bytearray:
        """Take the oldest item. The producer hears of it in batches. IndexError when empty."""
        body = self.items.popleft()
        self._taken += len(body) + RECORD_HEADER_BYTES
        self._popped_items += 1
        if self._popped_items >= self._ack_items or not self.items:
            self._return_credit()
        return body

    def cancel(self) -> None:
        """Tell the producer to stop: RST_STREAM(CANCEL). Items not taken are dropped."""
        self.items.clear()
        self._stream.reset(ErrorCode.CANCEL)

    def _return_credit(self) -> None:
        """Return window for what was taken; an item the window has no room for is helped through.

        Helped with no more than it needs: when it is complete, the producer has to wait again.
        """
        connection = self._stream.connection
        window = connection.limits.stream_window_bytes
        target = self._taken
        urgent = False
        partial = self._partial
        if partial is not None and not self.items:
            needed = self._received - self._filled + len(partial) - window
            if needed > self._credited:
                target = max(target, min(self._received, needed))
                urgent = target >= needed
        due = target - self._credited
        if due > 0 and (urgent or self._popped_items >= self._ack_items or due >= window // 2):
            self._popped_items = 0
            self._credited = target
            connection.release(due)
            if not self.ended:
                connection.return_stream_window(self._stream, due)

    # --- from the connection

    def feed(self, data: bytes) -> None:
        """Octets of the body, in order.

        Raises:
            StreamFault: an item over the limit, or for which there is no room, or that follows
                the failure record.
        """
        self._received += len(data)
        if self._partial is not None:
            data = self._fill(data)
        if data:
            self._split(self._head + data if self._head else data)
        if not self.items:
            self._return_credit()

    def _split(self, data: bytes) -> None:
        position, end = 0, len(data)
        limit = self._stream.connection.limits.max_message_bytes
        append = self.items.append
        if self.failure is None:
            while end - position >= RECORD_HEADER_BYTES:  # tokens: whole, and nothing special
                (length,) = _unpack_length(data, position)
                start = position + RECORD_HEADER_BYTES
                stop = start + length
                if stop > end or length > limit:
                    break
                append(data[start:stop])
                position = stop
        while end - position >= RECORD_HEADER_BYTES:
            start = position + RECORD_HEADER_BYTES
            length = int.from_bytes(data[position:start], "big")
            failed = length & _FAILURE_BIT
            if self.failure is not None:
                raise StreamFault("an item follows the failure record")
            if failed:
                length ^= _FAILURE_BIT
            if length > limit:
                raise StreamFault(
                    f"stream item of {length} bytes exceeds the limit of {limit}",
                    ErrorCode.ENHANCE_YOUR_CALM,
                )
            stop = start + length
            if stop > end:
                self._begin_partial(length)
                self._partial_failed = bool(failed)
                self._filled = end - start
                assert self._partial is not None
                self._partial[: self._filled] = data[start:]
                self._head = b""
                return
            if failed:
                self.failure = bytes(data[start:stop])
            else:
                append(bytes(data[start:stop]))
            position = stop
        self._head = bytes(data[position:])

    def _begin_partial(self, length: int) -> None:
        """Memory for an item that has not come completely."""
        connection = self._stream.connection
        if length > connection.limits.stream_window_bytes:
            connection.hold(length)  # smaller ones are within what the window lets come
            self._partial_held = length
        self._partial = new_buffer(length)

    def _fill(self, data: bytes) -> bytes:
        assert self._partial is not None
        need = len(self._partial) - self._filled
        piece = data[:need]
        self._partial[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)
        self._complete_partial()
        return data[need:]

    def _complete_partial(self) -> None:
        partial = self._partial
        if partial is not None and self._filled == len(partial):
            self._partial = None
            if self._partial_held:
                held, self._partial_held = self._partial_held, 0
                self._stream.connection.release(held)
            if self._partial_failed:
                self.failure = partial
            else:
                self.items.append(partial)

    def space(self) -> memoryview | None:
        """Where the octets of the item under way belong, or None: saves a copy of large ones."""
        if self._partial is None:
            return None
        return memoryview(self._partial)[self._filled :]

    def space_filled(self, size: int) -> None:
        """``size`` octets were put into ``space()``."""
        self._received += size
        self._filled += size
        self._complete_partial()
        if not self.items:
            self._return_credit()

    def let_go(self) -> int:
        """The stream is closed: no window is returned any more.

        Returns:
            Bytes that the connection counts as kept for this reader.
        """
        held = self._received - self._credited + self._partial_held
        self._credited = self._received
        self._partial_held = 0
        return held

    @property
    def truncated(self) -> bool:
        """The body ended inside a record."""
        return self._partial is not None or bool(self._head)

    def end(self, error: PulsingRuntimeError | None) -> None:
        """No more will come: the stream ended, or broke off for ``error``."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._partial = None
            if self.on_items is not None:
                self.on_items()
