"""What other nodes ask a gossip core, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pulsing.errors import WireError

from .effects import Severity, WriteLog
from .gossip_parts import Parts
from .message_codec import decode
from .messages import (
    NO_NEWS,
    Ack,
    Answer,
    Compare,
    Exchange,
    Gossip,
    Join,
    News,
    NotMe,
    Ping,
    Probe,
    Pull,
    RejectCode,
    Rejected,
)
from .outbox import Reply
from .stimuli import RequestReceived

_ACK: Final = Ack()


class Requests:
    """Answers every request once: at once, or when a probe on its behalf has an outcome."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._handlers: Final[Mapping[type, Callable[[RequestReceived, Any, float], None]]] = {
            Ping: self._ping_received,
            Probe: self._probe_received,
            Gossip: self._gossip_received,
            Join: self._join_received,
            Compare: self._sync_received,
            Exchange: self._exchange_received,
            Pull: self._sync_received,
        }

    def received(self, stimulus: RequestReceived, now: float) -> None:
        """Another node asks. What is no request of this mode is refused, and changes nothing."""
        try:
            request = decode(stimulus.body)
        except WireError as error:
            self._reply(stimulus, Rejected(RejectCode.INVALID, str(error)))
            text = f"what node {stimulus.peer_id} sent is {error}"
            self._parts.out.effects.append(WriteLog("bad-message", text, Severity.WARNING))
            return
        handler = self._handlers.get(type(request))
        if handler is None:
            addr = self._parts.table.self_member.info.addr
            reason = f"the node at {addr} belongs to a cluster without a head: use it as a seed"
            self._reply(stimulus, Rejected(RejectCode.MODE, reason))
        else:
            handler(stimulus, request, now)

    def _reply(self, to: RequestReceived, answer: Answer) -> None:
        self._parts.out.replies.append(Reply(to.exchange, to.peer_id, answer))

    def _acknowledge(self, to: RequestReceived, news: News, now: float) -> None:
        parts = self._parts
        if news is NO_NEWS:
            parts.out.replies.append(Reply(to.exchange, to.peer_id, _ACK))
            return
        about = parts.learn(news, to.peer_id, now)
        heard = {each.node_id for each in news.claims}.union(each.owner for each in news.deltas)
        reply = Reply(to.exchange, to.peer_id, _ACK, about, frozenset(heard))
        parts.out.replies.append(reply)

    def _ping_received(self, stimulus: RequestReceived, ping: Ping, now: float) -> None:
        parts = self._parts
        if ping.target == parts.own_id:
            self._acknowledge(stimulus, ping.news, now)
        else:
            self._reply(stimulus, NotMe(parts.table.introduction(parts.own_id)))

    def _probe_received(self, stimulus: RequestReceived, probe: Probe, now: float) -> None:
        self._parts.learn(probe.news, stimulus.peer_id, now, quiet_about=probe.target)
        self._parts.swim.probe_received(stimulus.exchange, stimulus.peer_id, probe)

    def _gossip_received(self, stimulus: RequestReceived, gossip: Gossip, now: float) -> None:
        self._acknowledge(stimulus, gossip.news, now)

    def _join_received(self, stimulus: RequestReceived, join: Join, now: float) -> None:
        parts = self._parts
        reply = parts.joining.join_received(stimulus.peer_id, join, now)
        parts.learn(News(reply.claims), stimulus.peer_id, now)
        for node_id in reply.supplanted:
            parts.swim.probe(node_id)
        self._reply(stimulus, reply.answer)

    def _exchange_received(self, stimulus: RequestReceived, request: Exchange, now: float) -> None:
        self._parts.learn_table(request.claims, stimulus.peer_id, now)
        self._sync_received(stimulus, request, now)

    def _sync_received(
        self, stimulus: RequestReceived, request: Compare | Exchange | Pull, now: float
    ) -> None:
        self._reply(stimulus, self._parts.sync.answer(request, stimulus.peer_id, now))
