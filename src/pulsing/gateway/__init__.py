"""The HTTP face of a node: an ASGI application for everyone who is not a peer.

Owns what foreign clients see: paths, status codes, JSON. Must not know sockets, TLS or Hypercorn
(`pulsing.transport.foreign` serves it) nor how actors work; it asks a `NodeStatus`.

Reading order: ``app``.
"""

from pulsing.gateway.app import Gateway, NodeStatus

__all__ = ["Gateway", "NodeStatus"]
