"""Pulsing: distributed actors for Python. ``import pulsing as pul``.

Decorate a class with `remote`, `init` a node, and ``await`` what its instances do, wherever they
live. This module only names the public surface; everything behind it is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pulsing._version import __version__

if TYPE_CHECKING:
    from pulsing.actor import sync as sync
    from pulsing.actor import trace as trace
    from pulsing.actor.api import (
        actor_system,
        get_system,
        init,
        is_initialized,
        run,
        running,
        shutdown,
    )
    from pulsing.actor.behaviors import (
        Become,
        Behavior,
        BehaviorAction,
        BehaviorContext,
        ReceiveTimeout,
        setup,
        stateful,
    )
    from pulsing.actor.call import Call, StreamCall, Tell
    from pulsing.actor.carried import propagate
    from pulsing.actor.context import ActorContext, current
    from pulsing.actor.dead_letters import DeadLetter, LetterReason
    from pulsing.actor.deadline import deadline
    from pulsing.actor.declare import method
    from pulsing.actor.exit_reason import ExitReason
    from pulsing.actor.exits import Terminated
    from pulsing.actor.group_results import GroupFailed, Results
    from pulsing.actor.groups import Group, group
    from pulsing.actor.handles import MethodHandle, StreamHandle
    from pulsing.actor.message import Message, StreamMessage, StreamWriter
    from pulsing.actor.proxy import ActorProxy
    from pulsing.actor.refs import ActorRef
    from pulsing.actor.remote import Actor, remote
    from pulsing.actor.restart_policy import RestartPolicy
    from pulsing.actor.shortcuts import (
        mount,
        refer,
        register,
        resolve,
        spawn,
        unmount,
        unregister,
        watch,
        whereis,
    )
    from pulsing.actor.supervision import supervisor
    from pulsing.actor.system import ActorSystem
    from pulsing.actor.timers import Timer
    from pulsing.actor.typed_refs import TypedRef
    from pulsing.addresses import ActorAddress
    from pulsing.cluster.agent import MemberEvent
    from pulsing.cluster.members import Member, MemberStatus
    from pulsing.cluster.policies import (
        LeastInFlight,
        LocalFirst,
        Policy,
        PowerOfTwoChoices,
        RandomChoice,
        RendezvousHash,
        RoundRobin,
    )
    from pulsing.config import SystemConfig
    from pulsing.errors import (
        ActorNotFound,
        ActorStopped,
        ConnectionLost,
        DeadlineExceeded,
        Deadlock,
        Delivery,
        MailboxFull,
        MessageTooLarge,
        NameTaken,
        NodeUnreachable,
        NotAuthenticated,
        ProtocolMismatch,
        PulsingActorError,
        PulsingBusinessError,
        PulsingError,
        PulsingRuntimeError,
        PulsingSystemError,
        PulsingTimeoutError,
        PulsingUnsupportedError,
        WireError,
    )
    from pulsing.ids import ActorId

_EXPORTS = {
    "pulsing.actor": ("sync", "trace"),
    "pulsing.actor.api": (
        "actor_system",
        "get_system",
        "init",
        "is_initialized",
        "run",
        "running",
        "shutdown",
    ),
    "pulsing.actor.behaviors": (
        "Become",
        "Behavior",
        "BehaviorAction",
        "BehaviorContext",
        "ReceiveTimeout",
        "setup",
        "stateful",
    ),
    "pulsing.actor.call": ("Call", "StreamCall", "Tell"),
    "pulsing.actor.carried": ("propagate",),
    "pulsing.actor.context": ("ActorContext", "current"),
    "pulsing.actor.dead_letters": ("DeadLetter", "LetterReason"),
    "pulsing.actor.deadline": ("deadline",),
    "pulsing.actor.declare": ("method",),
    "pulsing.actor.exit_reason": ("ExitReason",),
    "pulsing.actor.exits": ("Terminated",),
    "pulsing.actor.group_results": ("GroupFailed", "Results"),
    "pulsing.actor.groups": ("Group", "group"),
    "pulsing.actor.handles": ("MethodHandle", "StreamHandle"),
    "pulsing.actor.message": ("Message", "StreamMessage", "StreamWriter"),
    "pulsing.actor.proxy": ("ActorProxy",),
    "pulsing.actor.refs": ("ActorRef",),
    "pulsing.actor.remote": ("Actor", "remote"),
    "pulsing.actor.restart_policy": ("RestartPolicy",),
    "pulsing.actor.shortcuts": (
        "mount",
        "refer",
        "register",
        "resolve",
        "spawn",
        "unmount",
        "unregister",
        "watch",
        "whereis",
    ),
    "pulsing.actor.supervision": ("supervisor",),
    "pulsing.actor.system": ("ActorSystem",),
    "pulsing.actor.timers": ("Timer",),
    "pulsing.actor.typed_refs": ("TypedRef",),
    "pulsing.addresses": ("ActorAddress",),
    "pulsing.cluster.agent": ("MemberEvent",),
    "pulsing.cluster.members": ("Member", "MemberStatus"),
    "pulsing.cluster.policies": (
        "LeastInFlight",
        "LocalFirst",
        "Policy",
        "PowerOfTwoChoices",
        "RandomChoice",
        "RendezvousHash",
        "RoundRobin",
    ),
    "pulsing.config": ("SystemConfig",),
    "pulsing.errors": (
        "ActorNotFound",
        "ActorStopped",
        "ConnectionLost",
        "DeadlineExceeded",
        "Deadlock",
        "Delivery",
        "MailboxFull",
        "MessageTooLarge",
        "NameTaken",
        "NodeUnreachable",
        "NotAuthenticated",
        "ProtocolMismatch",
        "PulsingActorError",
        "PulsingBusinessError",
        "PulsingError",
        "PulsingRuntimeError",
        "PulsingSystemError",
        "PulsingTimeoutError",
        "PulsingUnsupportedError",
        "WireError",
    ),
    "pulsing.ids": ("ActorId",),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}
_SUBMODULES = frozenset({"config", "core", "errors", "exceptions", "ids", "testing", "wire"})

__all__ = [
    "Actor",
    "ActorAddress",
    "ActorContext",
    "ActorId",
    "ActorNotFound",
    "ActorProxy",
    "ActorRef",
    "ActorStopped",
    "ActorSystem",
    "Become",
    "Behavior",
    "BehaviorAction",
    "BehaviorContext",
    "Call",
    "ConnectionLost",
    "DeadLetter",
    "DeadlineExceeded",
    "Deadlock",
    "Delivery",
    "ExitReason",
    "Group",
    "GroupFailed",
    "LeastInFlight",
    "LetterReason",
    "LocalFirst",
    "MailboxFull",
    "Member",
    "MemberEvent",
    "MemberStatus",
    "Message",
    "MessageTooLarge",
    "MethodHandle",
    "NameTaken",
    "NodeUnreachable",
    "NotAuthenticated",
    "Policy",
    "PowerOfTwoChoices",
    "ProtocolMismatch",
    "PulsingActorError",
    "PulsingBusinessError",
    "PulsingError",
    "PulsingRuntimeError",
    "PulsingSystemError",
    "PulsingTimeoutError",
    "PulsingUnsupportedError",
    "RandomChoice",
    "ReceiveTimeout",
    "RendezvousHash",
    "RestartPolicy",
    "Results",
    "RoundRobin",
    "StreamCall",
    "StreamHandle",
    "StreamMessage",
    "StreamWriter",
    "SystemConfig",
    "Tell",
    "Terminated",
    "Timer",
    "TypedRef",
    "WireError",
    "__version__",
    "actor_system",
    "current",
    "deadline",
    "get_system",
    "group",
    "init",
    "is_initialized",
    "method",
    "mount",
    "propagate",
    "refer",
    "register",
    "remote",
    "resolve",
    "run",
    "running",
    "setup",
    "shutdown",
    "spawn",
    "stateful",
    "supervisor",
    "sync",
    "trace",
    "unmount",
    "unregister",
    "watch",
    "whereis",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home == "pulsing.actor":
        value: Any = import_module(f"{home}.{name}")
    elif home is not None:
        value = getattr(import_module(home), name)
    elif name in _SUBMODULES:
        value = import_module(f"pulsing.{name}")
    else:
        raise AttributeError(f"module 'pulsing' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES})
