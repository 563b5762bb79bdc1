"""Every exception Pulsing raises, grouped by who has to act.

``PulsingRuntimeError`` and its children come from the framework: a name, a node, a link, a limit.
``PulsingActorError`` and its children come from the code of an actor. Facts are attributes; the
message is made from them and says what was tried, where, and what to do next.
"""

from __future__ import annotations

from enum import Enum


class Delivery(Enum):
    """Whether a failed call may have run at the callee."""

    NO = "no"
    """It never reached the callee: calling again is safe."""
    UNKNOWN = "unknown"
    """It was sent; whether it ran cannot be known from here."""


class PulsingError(Exception):
    """Root of everything Pulsing raises."""


# --- the framework -----------------------------------------------------------------------------


class PulsingRuntimeError(PulsingError):
    """The framework could not do what was asked.

    Attributes:
        cause: the exception underneath, if there is one.
        delivered: whether the call may have run at the callee.
    """

    delivered: Delivery = Delivery.NO

    def __init__(self, message: str = "", cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        if cause is not None:
            self.__cause__ = cause


class ActorNotFound(PulsingRuntimeError):
    """No actor answers to this name or id. Nothing ran."""


class ActorStopped(PulsingRuntimeError):
    """The actor stopped before it answered."""

    def __init__(
        self,
        message: str = "",
        cause: BaseException | None = None,
        *,
        delivered: Delivery = Delivery.UNKNOWN,
    ) -> None:
        super().__init__(message, cause)
        self.delivered = delivered


class NameTaken(PulsingRuntimeError):
    """An actor of this name lives on this node already."""


class NodeUnreachable(PulsingRuntimeError):
    """No connection to the node could be made. Nothing was delivered."""


class ConnectionLost(PulsingRuntimeError):
    """The connection ended while the call was under way.

    Attributes:
        delivered: ``Delivery.NO`` when the peer said that it did not process the call,
            otherwise ``Delivery.UNKNOWN``.
    """

    def __init__(
        self,
        message: str = "",
        cause: BaseException | None = None,
        *,
        delivered: Delivery = Delivery.UNKNOWN,
    ) -> None:
        super().__init__(message, cause)
        self.delivered = delivered


class DeadlineExceeded(PulsingRuntimeError, TimeoutError):
    """The deadline of the call passed. The callee, if it runs, is being cancelled."""

    def __init__(
        self,
        message: str = "",
        cause: BaseException | None = None,
        *,
        delivered: Delivery = Delivery.UNKNOWN,
    ) -> None:
        super().__init__(message, cause)
        self.delivered = delivered


class MailboxFull(PulsingRuntimeError):
    """The mailbox of the actor, or the send queue towards its node, is at its bound."""


class Deadlock(PulsingRuntimeError):
    """The call would have waited for itself: its actor waits for it. It was not started.

    Attributes:
        chain: names or ids of the actors, from the one that was called first to itself again.
    """

    def __init__(self, message: str = "", chain: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.chain = chain


class NotAuthenticated(PulsingRuntimeError):
    """The peer is not a member of this cluster: passphrase missing, superfluous or different."""


class WireError(PulsingRuntimeError):
    """A value cannot be encoded or a body cannot be decoded."""


class MessageTooLarge(WireError):
    """A message exceeds the size limit. It was refused before it was sent or stored.

    Attributes:
        size_bytes: the size that was asked for.
        limit_bytes: the largest size accepted.
    """

    def __init__(self, size_bytes: int, limit_bytes: int, what: str = "message") -> None:
        super().__init__(
            f"{what} of {size_bytes} bytes exceeds the limit of {limit_bytes} bytes; send it in "
            "pieces (a stream) or raise max_message_bytes on both nodes"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ProtocolMismatch(PulsingRuntimeError):
    """The peer speaks another protocol version, or belongs to another cluster."""


# --- the code of actors ------------------------------------------------------------------------


class PulsingActorError(PulsingError):
    """An actor's code failed, or was asked for something it does not have.

    Attributes:
        actor_name: the actor it happened in, as a name or an id.
        cause: the exception underneath, if there is one.
    """

    def __init__(
        self,
        message: str = "",
        actor_name: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.actor_name = actor_name
        self.cause = cause
        if cause is not None:
            self.__cause__ = cause


class PulsingBusinessError(PulsingActorError):
    """The caller asked for something the actor refuses. Never restarts the actor.

    Attributes:
        code: a number for the caller's program, in the manner of HTTP (400 for bad input).
        details: anything more that helps, as text.
    """

    def __init__(self, code: int = 400, message: str = "", details: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class PulsingSystemError(PulsingActorError):
    """The actor itself failed.

    Attributes:
        error: what failed, as text.
        recoverable: ``False`` stops the actor for good, whatever its restart policy.
    """

    def __init__(self, error: str = "", recoverable: bool = True) -> None:
        super().__init__(error)
        self.error = error
        self.recoverable = recoverable


class PulsingTimeoutError(PulsingActorError, TimeoutError):
    """Something the actor waited for took too long. Never restarts the actor."""

    def __init__(self, operation: str = "", duration_ms: int = 0) -> None:
        super().__init__(
            f"{operation} timed out after {duration_ms} ms" if duration_ms else operation
        )
        self.operation = operation
        self.duration_ms = duration_ms


class PulsingUnsupportedError(PulsingActorError):
    """The actor does not offer this operation. Never restarts the actor."""

    def __init__(self, operation: str = "") -> None:
        super().__init__(f"unsupported operation: {operation}")
        self.operation = operation
