"""Requests that must wait: for a free stream, or for one of their order that is being sent.

Order: requests with the same ``order`` key leave in the order in which they were made. While the
body of one is being sent, those of its key wait behind it; they go before everything that waits
for a free stream, for whatever of their key is there was made later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pulsing.errors import MessageTooLarge

from .frames import DEFAULT_MAX_FRAME_BYTES, END_HEADERS, HEADERS, frame_header
from .header_blocks import encode_headers

if TYPE_CHECKING:
    from .streams import Body, ClientStream

RequestBlock: TypeAlias = "tuple[bytes, bytes]"
"""First five octets of the HEADERS frame, and the header block."""
Request: TypeAlias = "tuple[ClientStream, RequestBlock, Body, int]"
"""The stream, its header block, the body, and how many items it may be ahead if items follow."""


_MAX_BLOCK_BYTES: Final = DEFAULT_MAX_FRAME_BYTES - 64
"""Every peer takes a block of this length, and the fields that large bodies and items add."""


def request_block(
    path: str, authority: str, *, scheme: str = "http", extra: Sequence[tuple[str, str]] = ()
) -> RequestBlock:
    """The header block of a request; make it once per target and method and keep it.

    Raises:
        MessageTooLarge: the path is too long for every peer.
    """
    headers = [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":authority", authority.encode()),
        (b":path", path.encode()),
    ]
    headers += [(name.encode(), value.encode()) for name, value in extra]
    return _framed(encode_headers(headers))


def bare_request_block(path: str, *, scheme: str = "http") -> RequestBlock:
    """The shortest block of a request, which names no authority (RFC 9113 8.3.1 allows it)."""
    headers = [(b":method", b"POST"), (b":scheme", scheme.encode()), (b":path", path.encode())]
    return _framed(encode_headers(headers))


def _framed(block: bytes) -> RequestBlock:
    if len(block) > _MAX_BLOCK_BYTES:
        raise MessageTooLarge(len(block), _MAX_BLOCK_BYTES, "request header")
    return frame_header(len(block), HEADERS, END_HEADERS, 0)[:5], block


class _Queue:
    """What waits behind one request."""

    __slots__ = ("first", "requests")

    def __init__(self, first: ClientStream) -> None:
        self.first = first
        self.requests: deque[Request] = deque()


class RequestQueue:
    """All requests of a connection that wait.

    Attributes:
        waiting: for a free stream, in order.
        behind: by order key, the request being sent and those behind it.
    """

    __slots__ = ("_behind_count", "_most", "behind", "waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._behind_count = 0
        self.waiting: deque[Request] = deque()
        self.behind: dict[object, _Queue] = {}

    def __len__(self) -> int:
        return len(self.waiting) + self._behind_count

    def full(self) -> bool:
        """There is no room for another request, even without those that were given up."""
        if len(self) < self._most:
            return False
        for requests in (self.waiting, *(queue.requests for queue in self.behind.values())):
            alive = [request for request in requests if not request[0].closed]
            requests.clear()
            requests.extend(alive)
        self._behind_count = sum(len(queue.requests) for queue in self.behind.values())
        return len(self) >= self._most

    def join_behind(self, request: Request) -> bool:
        """Let the request wait if one of its order is being sent."""
        queue = self.behind.get(request[0].order)
        if queue is None:
            return False
        queue.requests.append(request)
        self._behind_count += 1
        return True

    def sending(self, stream: ClientStream) -> None:
        """The body of ``stream`` takes a while: those of its order wait from now on."""
        if stream.order is not None:
            self.behind[stream.order] = _Queue(stream)

    def sent(self, stream: ClientStream) -> bool:
        """``stream`` is out, or given up. Says whether others wait for a stream now."""
        queue = self.behind.get(stream.order)
        if queue is not None and queue.first is stream:
            del self.behind[stream.order]
            self._behind_count -= len(queue.requests)
            self.waiting.extendleft(reversed(queue.requests))
        return bool(self.waiting)

    def __iter__(self) -> Iterator[Request]:
        yield from self.waiting
        for queue in self.behind.values():
            yield from queue.requests

    def take_all(self) -> list[Request]:
        """Empty the queue: what was made first comes first, for each order key."""
        requests = [request for queue in self.behind.values() for request in queue.requests]
        requests += self.waiting
        self.waiting.clear()
        self.behind.clear()
        self._behind_count = 0
        return [request for request in requests if not request[0].closed]
