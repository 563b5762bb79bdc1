"""Requests between simulated processes: on their way, lost, late, refused.

Second layer of a world. A message that is lost is a request that times out. Two processes that
have spoken have a connection, which ends when one of them does.
"""

from __future__ import annotations

from heapq import heappush
from typing import Any, Final

from pulsing.cluster.effects import CloseLinks, SendAnswer, SendRequest
from pulsing.cluster.stimuli import (
    AnswerReceived,
    Failure,
    LinkLost,
    RequestFailed,
    RequestReceived,
    Stimulus,
)

from .introduction import Introduction
from .process import Call, Process
from .stage import Stage

_NO_SUCH_ADDRESS_S: Final = 0.001
_NEW_CONNECTION_TAKES: Final = 3
"""One way becomes three: there, back, and there again with the request."""
_TEXTS: Final = {
    Failure.TIMEOUT: "no answer in time",
    Failure.REFUSED: "connection refused",
    Failure.LOST: "connection lost",
    Failure.UNREACHABLE: "no such address",
}


class Requests(Stage):
    """A stage whose processes ask each other.

    Args:
        max_message_bytes: no message may be larger.
        common: of `Stage`.

    Attributes:
        messages: how many requests and answers were sent, lost ones included.
        wire_bytes: their bodies.
        largest: the largest of them.
        introduction: answers instead of whom a request is for; None: nobody does.
    """

    def __init__(self, *, max_message_bytes: int, **common: Any) -> None:
        super().__init__(**common)
        self.messages = 0
        self.wire_bytes = 0
        self.largest = 0
        self.introduction: Introduction | None = None
        self._max_message_bytes = max_message_bytes
        self._last_inbound = 0
        self._silent: set[int] = set()
        self._do |= {
            SendRequest: self._send_request,
            SendAnswer: self._send_answer,
            CloseLinks: self._close_links,
        }

    def speak_for(self, process: Process, addr: str, body: bytes, timeout_s: float) -> None:
        """Send a request past a process's loop, as its guard does; the answer goes nowhere."""
        self._count(process, body)
        self._transmit(Call(process, -1, addr, body, self.now + timeout_s))

    # --- the way there

    def _send_request(self, process: Process, effect: SendRequest, _: object) -> None:
        number = effect.exchange
        if number in process.calls:
            self.violated(f"{process} gave two open exchanges the number {number}")
        if not effect.timeout_s > 0:
            self.violated(f"{process} gave a request {effect.timeout_s} s")
        self._count(process, effect.body)
        call = Call(process, number, effect.addr, effect.body, self.now + effect.timeout_s)
        process.calls[number] = call
        if process.is_clogged:
            process.outgoing.append((self._transmit, call))
            self._expect_timeout(call)
        else:
            self._transmit(call)

    def _transmit(self, call: Call) -> None:
        sender = call.sender
        slot = self._slots.get(call.addr)
        if slot is None:
            self.at(self.now + _NO_SUCH_ADDRESS_S, self._fail, (call, Failure.UNREACHABLE))
            return
        call.slot = slot
        if self.introduction is not None and self._is_introduced(call):
            return
        delay = self.network.delay(sender.slot, slot)
        if delay is None:
            self._expect_timeout(call)
            return
        if slot not in sender.links:
            delay *= _NEW_CONNECTION_TAKES
        self._sequence += 1
        heappush(self._events, (self.now + delay, self._sequence, self._request_arrives, call))

    def _is_introduced(self, call: Call) -> bool:
        assert self.introduction is not None
        known_by = self._at.get(call.addr)
        answer = None if known_by is None else self.introduction.answer(call)
        if answer is None:
            return False
        call.body = answer
        self.at(self.now, self._answer_arrives, (call, known_by))
        return True

    def _request_arrives(self, call: Call) -> None:
        sender, receiver = call.sender, self._at.get(call.addr)
        linked = sender.links.get(call.slot, -1)
        if receiver is None or linked not in {-1, receiver.serial}:
            self._bounce(call, linked)
            return
        call.receiver = receiver.serial
        if sender.ended is None:  # else these are its last words
            sender.links[call.slot] = receiver.serial
            receiver.links[sender.slot] = sender.serial
        self._deliver(call)

    def _deliver(self, call: Call) -> None:
        receiver = self.observed.processes[call.receiver]
        if receiver.ended is not None:
            return
        if receiver.is_frozen or receiver.is_clogged:
            receiver.waiting.append((self._deliver, call))
            self._expect_timeout(call)
            return
        self._last_inbound = number = self._last_inbound + 1
        receiver.inbound[number] = call
        self._handle(receiver, RequestReceived(number, call.sender.node_id, call.body))
        if number in receiver.inbound:
            self._expect_timeout(call)

    def _bounce(self, call: Call, linked: int) -> None:
        """Nobody is where a request arrived, or not the process its connection was with."""
        sender = call.sender
        silent = call.slot in self._silent
        delay = None if silent else self.network.delay(call.slot, sender.slot)
        if delay is None:
            self._expect_timeout(call)
        elif linked >= 0:
            call.receiver = linked
            self.at(self.now + delay, self._link_ends, (sender, self.observed.processes[linked]))
        else:
            self.at(self.now + delay, self._fail, (call, Failure.REFUSED))

    # --- the way back

    def _send_answer(self, process: Process, effect: SendAnswer, _: object) -> None:
        call = process.inbound.pop(effect.exchange, None)
        if call is None:
            self.violated(f"{process} answered exchange {effect.exchange} twice, or unasked")
        self._count(process, effect.body)
        call.body = effect.body
        if process.is_clogged:
            process.outgoing.append((self._transmit_answer, (call, process)))
            self._expect_timeout(call)
        else:
            self._transmit_answer((call, process))

    def _transmit_answer(self, what: tuple[Call, Process]) -> None:
        call, process = what
        delay = self.network.delay(process.slot, call.sender.slot)
        if delay is None or self.now + delay >= call.deadline:
            self._expect_timeout(call)
        else:
            self._sequence += 1
            heappush(self._events, (self.now + delay, self._sequence, self._answer_arrives, what))

    def _answer_arrives(self, what: tuple[Call, Process]) -> None:
        call, answering = what
        sender = call.sender
        if call.is_over:
            return
        if sender.is_frozen or sender.is_clogged:
            sender.waiting.append((self._answer_arrives, what))
            self._expect_timeout(call)
        else:
            self._finish(call, AnswerReceived(call.number, answering.node_id, call.body))

    # --- no answer

    def _expect_timeout(self, call: Call) -> None:
        if not (call.has_timeout or call.is_over):
            call.has_timeout = True
            self.at(call.deadline, self._time_out, call)

    def _time_out(self, call: Call) -> None:
        if call.is_over:
            return
        if call.sender.is_frozen:
            call.sender.late_timers.append((self._time_out, call))
        else:
            self._finish(call, RequestFailed(call.number, Failure.TIMEOUT, _TEXTS[Failure.TIMEOUT]))

    def _fail(self, what: tuple[Call, Failure]) -> None:
        call, failure = what
        sender = call.sender
        if call.is_over:
            return
        if sender.is_frozen or sender.is_clogged:
            sender.waiting.append((self._fail, what))
            self._expect_timeout(call)
        else:
            self._finish(call, RequestFailed(call.number, failure, _TEXTS[failure]))

    def _finish(self, call: Call, stimulus: Stimulus) -> None:
        call.is_over = True
        if call.number >= 0:
            del call.sender.calls[call.number]
            self._handle(call.sender, stimulus)

    # --- connections

    def _link_ends(self, what: tuple[Process, Process]) -> None:
        """A process sees its connection to another one reset."""
        process, peer = what
        if process.is_frozen or process.is_clogged:
            process.waiting.append((self._link_ends, what))
        elif self._drop_link(process, peer):
            self._handle(process, LinkLost(peer.node_id))

    def _link_closes(self, what: tuple[Process, Process]) -> None:
        """A process sees its connection to another one end with a goodbye."""
        process, peer = what
        if process.is_frozen or process.is_clogged:
            process.waiting.append((self._link_closes, what))
        else:
            self._drop_link(process, peer)

    def _drop_link(self, process: Process, peer: Process) -> bool:
        if process.ended is not None or process.links.get(peer.slot) != peer.serial:
            return False
        del process.links[peer.slot]
        for call in [each for each in process.calls.values() if each.receiver == peer.serial]:
            self._fail((call, Failure.LOST))
        return True

    def _close_links(self, process: Process, effect: CloseLinks, _: object) -> None:
        peer = self.observed.process_of(effect.node_id)
        if peer is None:
            self.violated(f"{process} closed its links to {effect.node_id}, which never was")
        # Not within the step: what fails by it is told to the core afterwards.
        self.at(self.now, self._closed_here, (process, peer))

    def _closed_here(self, what: tuple[Process, Process]) -> None:
        process, peer = what
        if not self._drop_link(process, peer) or peer.ended is not None:
            return
        delay = self.network.delay(process.slot, peer.slot)
        if delay is not None:  # else the peer finds out when it uses the connection
            self.at(self.now + delay, self._link_ends, (peer, process))

    def _count(self, process: Process, body: bytes) -> None:
        size = len(body)
        if size > self.largest:
            if size > self._max_message_bytes:
                self.violated(f"{process} sent {size} bytes in one message")
            self.largest = size
        process.messages_sent += 1
        process.bytes_sent += size
        self.messages += 1
        self.wire_bytes += size
        self.history.sent(body)
