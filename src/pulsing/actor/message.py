"""Messages of ``receive``-style actors: a type, a payload, and streams of chunks.

`Message` carries one payload. `StreamMessage` carries chunks that are still being made: its
writer waits whenever the reader is ``buffer_size`` chunks behind.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn, Self

from pulsing.errors import PulsingActorError, PulsingRuntimeError

DEFAULT_BUFFER_CHUNKS: Final = 32


class Message:
    """One message: what it is, and what it carries.

    Attributes:
        msg_type: tells the receiver what to do with it.
        payload: any value that can travel.
    """

    __slots__ = ("msg_type", "payload")

    def __init__(self, msg_type: str, payload: Any = b"") -> None:
        self.msg_type = msg_type
        self.payload = payload

    @classmethod
    def from_json(cls, msg_type: str, data: Any) -> Message:
        """A message whose payload is ``data`` as JSON text in UTF-8.

        Raises:
            TypeError: JSON cannot hold the data.
        """
        return Message(msg_type, json.dumps(data, separators=(",", ":")).encode())

    def to_json(self) -> Any:
        """The data in a JSON payload; a payload that is data already is given as it is.

        Raises:
            ValueError: the payload is bytes or text, but not JSON.
        """
        payload = self.payload
        if isinstance(payload, memoryview):
            payload = payload.tobytes()
        if isinstance(payload, bytes | bytearray | str):
            return json.loads(payload)
        return payload

    @property
    def is_stream(self) -> bool:
        """Whether chunks come with it: then it is a `StreamMessage`."""
        return False

    def stream_reader(self) -> AsyncIterator[Any]:
        """The chunks, in order. Raises TypeError: a plain message has a payload instead."""
        raise TypeError(f"{self!r} is not a stream; read its payload")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Message)
        return self.msg_type == other.msg_type and bool(self.payload == other.payload)

    def __hash__(self) -> int:
        return hash(self.msg_type)

    def __repr__(self) -> str:
        shown = repr(self.payload)
        return f"Message({self.msg_type!r}, {shown if len(shown) <= 80 else shown[:77] + '...'})"


class StreamMessage(Message):
    """A message whose chunks follow while they are made.

    It has one reader. What is not read is not buffered beyond the bound given to `create`.
    """

    __slots__ = ("_chunks",)

    def __init__(self, msg_type: str, chunks: AsyncIterator[Any]) -> None:
        super().__init__(msg_type, None)
        self._chunks: AsyncIterator[Any] | None = chunks

    @classmethod
    def create(
        cls, msg_type: str, buffer_size: int = DEFAULT_BUFFER_CHUNKS
    ) -> tuple[StreamMessage, StreamWriter]:
        """A stream and the writer that feeds it.

        Args:
            msg_type: tells the receiver what to do with it.
            buffer_size: chunks the writer may be ahead of the reader, at least 1. Higher smooths
                bursts and takes memory.
        """
        if buffer_size < 1:
            raise ValueError(f"buffer_size is {buffer_size}; a stream needs room for one chunk")
        pipe = _Pipe(buffer_size)
        return cls(msg_type, _Chunks(pipe)), StreamWriter(pipe)

    @property
    def is_stream(self) -> bool:
        """Always true."""
        return True

    def stream_reader(self) -> AsyncIterator[Any]:
        """The chunks, in order. Leaving the loop early and closing it stops the writer.

        Raises:
            PulsingRuntimeError: it has been taken before; a stream has one reader.
        """
        chunks, self._chunks = self._chunks, None
        if chunks is None:
            raise PulsingRuntimeError(f"{self!r} has a reader already; a stream is read once")
        return chunks

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.stream_reader()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"StreamMessage({self.msg_type!r})"


class StreamWriter:
    """Feeds a `StreamMessage`. Use it as ``async with writer:`` or call `close` at the end."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe

    async def write(self, chunk: Any) -> None:
        """Append a chunk; wait while the reader is a whole buffer behind.

        Raises:
            PulsingRuntimeError: the stream was closed, or its reader is gone.
        """
        pipe = self._pipe
        pipe.check_writable()
        while len(pipe.chunks) >= pipe.capacity:
            await pipe.wait_changed()
            pipe.check_writable()
        pipe.chunks.append(chunk)
        pipe.changed()

    async def close(self) -> None:
        """End the stream: what was written still arrives. Again does nothing."""
        self._pipe.end(None)

    async def error(self, text: str | BaseException) -> None:
        """End the stream with a failure, which the reader gets after what was written."""
        self._pipe.end(text if isinstance(text, BaseException) else PulsingActorError(text))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self._pipe.end(error)


class _Pipe:
    """A bounded queue between one writer and one reader of the same loop."""

    __slots__ = ("_waiters", "abandoned", "capacity", "chunks", "ended", "failure")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.chunks: deque[Any] = deque()
        self.ended = False
        self.failure: BaseException | None = None
        self.abandoned = False
        self._waiters: list[asyncio.Future[None]] = []

    def check_writable(self) -> None:
        if self.abandoned:
            raise PulsingRuntimeError("the reader of the stream is gone; stop writing")
        if self.ended:
            raise PulsingRuntimeError("the stream is closed; nothing can be written any more")

    def end(self, failure: BaseException | None) -> None:
        if not self.ended:
            self.ended = True
            self.failure = failure
            self.changed()

    def abandon(self) -> None:
        self.abandoned = True
        self.chunks.clear()
        self.changed()

    def changed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_changed(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


class _Chunks(AsyncIterator[Any]):
    """The reading end."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe

    async def __anext__(self) -> Any:
        pipe = self._pipe
        while not pipe.chunks:
            if pipe.abandoned or (pipe.ended and pipe.failure is None):
                raise StopAsyncIteration
            if pipe.ended:
                self._fail()
            await pipe.wait_changed()
        chunk = pipe.chunks.popleft()
        pipe.changed()
        return chunk

    async def aclose(self) -> None:
        """Stop reading: the writer's next write raises."""
        self._pipe.abandon()

    def _fail(self) -> NoReturn:
        failure, self._pipe.failure = self._pipe.failure, None
        assert failure is not None
        raise failure

    def __del__(self) -> None:
        pipe = self._pipe
        if not (pipe.ended or pipe.abandoned):
            pipe.abandoned = True
            for waiter in pipe._waiters:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
                waiter.get_loop().call_soon_threadsafe(pipe.changed)
                break
