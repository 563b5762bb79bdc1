"""The actor system under the import name users of the original know.

Defined in `pulsing.actor`; the public surface is `pulsing` itself.
"""

from pulsing.actor.declare import method
from pulsing.actor.message import Message, StreamMessage
from pulsing.actor.proxy import ActorProxy
from pulsing.actor.refs import ActorRef
from pulsing.actor.remote import Actor, remote
from pulsing.actor.system import ActorSystem
from pulsing.config import SystemConfig
from pulsing.ids import ActorId

__all__ = [
    "Actor",
    "ActorId",
    "ActorProxy",
    "ActorRef",
    "ActorSystem",
    "Message",
    "StreamMessage",
    "SystemConfig",
    "method",
    "remote",
]
