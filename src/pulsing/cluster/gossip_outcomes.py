"""What became of a gossip core's own requests, and which part hears it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pulsing.errors import WireError

from .effects import SendRequest
from .gossip_parts import Parts
from .members import MemberStatus
from .message_codec import decode, encode
from .messages import NO_NEWS, Ack, Nack, News, NotMe
from .outbox import Ask, Purpose
from .stimuli import AnswerReceived, Failure, RequestFailed

Answered = Callable[[Ask, str, Any, float], None]
Failed = Callable[[Ask, Failure, str, float], None]


class Outcomes:
    """Numbers requests, and gives each outcome to the part that asked, exactly once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: dict[int, Ask] = {}
        self._last_exchange = 0
        swim: tuple[Answered, Failed] = (parts.swim.answered, self._swim_failed)
        gossip: tuple[Answered, Failed] = (self._gossip_answered, self._gossip_failed)
        self._of: Final[Mapping[Purpose, tuple[Answered, Failed]]] = {
            **dict.fromkeys(Purpose, swim),
            Purpose.JOIN: (self._join_answered, self._join_failed),
            Purpose.SYNC: (self._sync_answered, self._sync_failed),
            Purpose.GOSSIP: gossip,
            Purpose.CORRECTION: gossip,
            Purpose.GOODBYE: (parts.leaving.answered, parts.leaving.failed),
        }

    def request(self, ask: Ask) -> SendRequest:
        """A request as it leaves: with news, if it carries any, and a number of its own."""
        request: Any = ask.request
        if ask.purpose not in _WITHOUT_NEWS:
            news = self._parts.spreading.news_for(ask.peer_id)
            if news is not NO_NEWS:
                said = request.news
                if said is not NO_NEWS:
                    news = News((*said.claims, *news.claims), said.deltas + news.deltas)
                request = request._replace(news=news)
        self._last_exchange += 1
        self._under_way[self._last_exchange] = ask
        return SendRequest(self._last_exchange, ask.addr, encode(request), ask.timeout_s)

    def answer_received(self, stimulus: AnswerReceived, now: float) -> None:
        """A request was answered. What is no message is as good as from a foreign node."""
        ask = self._under_way.pop(stimulus.exchange, None)
        if ask is None:
            return
        answered, failed = self._of[ask.purpose]
        try:
            answer: Any = decode(stimulus.body)
        except WireError as error:
            failed(ask, Failure.FOREIGN, str(error), now)
            return
        peer_id = stimulus.peer_id
        if isinstance(answer, Ack | Nack):
            if answer.news is not NO_NEWS:
                wrong = self._parts.learn(answer.news, peer_id, now)
                if ask.purpose is not Purpose.CORRECTION:
                    self._parts.correct(peer_id, wrong)
        elif isinstance(answer, NotMe) and answer.claim.node_id == peer_id:
            self._parts.learn(News((answer.claim,)), peer_id, now)
        answered(ask, peer_id, answer, now)

    def request_failed(self, stimulus: RequestFailed, now: float) -> None:
        """A request has no answer."""
        ask = self._under_way.pop(stimulus.exchange, None)
        if ask is not None:
            self._of[ask.purpose][1](ask, stimulus.failure, stimulus.text, now)

    # --- of each purpose

    def _swim_failed(self, ask: Ask, failure: Failure, text: str, now: float) -> None:
        self._parts.swim.failed(ask, failure, now)

    def _gossip_answered(self, ask: Ask, peer_id: str, answer: Any, now: float) -> None:
        if peer_id != ask.peer_id:
            self._parts.swim.probe(ask.peer_id)

    def _gossip_failed(self, ask: Ask, failure: Failure, text: str, now: float) -> None:
        if failure in (Failure.REFUSED, Failure.LOST):
            self._parts.swim.probe(ask.peer_id)

    def _join_answered(self, ask: Ask, peer_id: str, answer: Any, now: float) -> None:
        parts = self._parts
        step = parts.joining.answered(ask.addr, peer_id, answer, now)
        parts.out.effects += step.effects
        was_alone = not parts.table.alive_others()
        wrong = parts.learn_table(step.claims, peer_id, now)
        parts.correct(peer_id, wrong)
        if was_alone:  # then all of it is news to this node only
            for claim in step.claims:
                if claim.status is MemberStatus.ALIVE and claim.node_id != parts.own_id:
                    parts.news.drop_member(claim.node_id)
        if step.joined:
            parts.sync.hurry(now, peer_id)
            parts.announce_names()

    def _join_failed(self, ask: Ask, failure: Failure, text: str, now: float) -> None:
        self._parts.out.effects += self._parts.joining.failed(ask.addr, failure, text, now)

    def _sync_answered(self, ask: Ask, peer_id: str, answer: Any, now: float) -> None:
        parts = self._parts
        if peer_id != ask.peer_id:
            parts.swim.probe(ask.peer_id)
            parts.sync.failed(ask.peer_id, ask.request, now)
            return
        step = parts.sync.answered(peer_id, ask.request, answer, now)
        parts.correct(peer_id, parts.learn_table(step.claims, peer_id, now))
        for delta in step.news:
            parts.news.put_delta(delta)
        for request in step.follow_ups:
            parts.ask_sync(peer_id, request)

    def _sync_failed(self, ask: Ask, failure: Failure, text: str, now: float) -> None:
        self._parts.sync.failed(ask.peer_id, ask.request, now)


_WITHOUT_NEWS: Final = frozenset(
    {Purpose.JOIN, Purpose.SYNC, Purpose.GOSSIP, Purpose.CORRECTION, Purpose.GOODBYE}
)
"""They have no place for news, or are nothing but news."""
