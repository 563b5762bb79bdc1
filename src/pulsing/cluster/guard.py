"""The stall guard: a thread that tells a node whose loop stands still from a dead one.

Everything of a node runs on one event loop. Code that holds the loop (a model being loaded, an
endless computation) also holds the gossip, and peers would take the node for dead. The guard
watches the loop from outside: when it stands still it says in the log what holds it, and tells a
few peers, on connections of its own, "alive, but busy", until the loop turns again.

What it does not call a stall: a process that was stopped as a whole (the guard slept as well), and
a loop that is not running.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final, Protocol

from pulsing import chance
from pulsing.logs import LimitedLogger

__all__ = ["GuardWire", "Stall", "StallGuard"]

_logger = logging.getLogger(__name__)

_BEAT_S: Final = 0.25
_WATCH_S: Final = 0.5
_NEAR_S: Final = 0.02
"""A beat that is this late is late; below it is the grain of the clocks."""
_TOLD: Final = 3
_TRIED: Final = 6
_TELL_TIMEOUT_S: Final = 1.0
_RENEWALS: Final = 2.5
"""How often a lease is renewed before it would run out."""
_MAX_FRAMES: Final = 40
_LOG_INTERVAL_S: Final = 5.0
"""Stalls of one culprit are told no more often."""
_CLOSE_S: Final = 5.0
_NOBODY: Final = "code that belongs to no actor"


class GuardWire(Protocol):
    """Sends messages of the cluster without the loop."""

    def tell(self, addr: str, body: bytes, timeout_s: float) -> bool:
        """Send a message on a connection of its own and wait until it was answered.

        Called in the guard's thread. Blocks it for ``timeout_s`` at most; never raises.

        Returns:
            Whether it was answered.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """One time in which the loop stood still.

    Attributes:
        began: when, in seconds since 1970.
        duration_s: how long; None while it lasts.
        culprit: the actor and method that held the loop, or None when it was none.
        stack: where that code was when the guard looked, as text of several lines.
    """

    began: float
    duration_s: float | None = None
    culprit: str | None = None
    stack: str = ""

    def as_dict(self) -> dict[str, object]:
        """For the node's status."""
        return {
            "began": round(self.began, 3),
            "duration_s": None if self.duration_s is None else round(self.duration_s, 3),
            "culprit": self.culprit,
            "stack": self.stack,
        }


class StallGuard:
    """Watches one event loop.

    Args:
        loop: the loop of the node.
        threshold_s: a loop that stands still for longer has stalled. Lower notices more, and
            blames code that is only slow.
        lease_s: how long a peer believes that this node is busy (``busy_lease_s``).
        wire: reaches the peers; None: nobody is told.
        peers: the addresses of the members that are present.
        incarnation: the highest incarnation that is known to have been claimed for this node.
        claim: the message that says that this node is alive, but busy, with an incarnation.
        on_stall_ended: called on the loop after a stall in which something was claimed, with the
            highest incarnation that was.
        culprit: names the actor and method that a stack of the loop's thread belongs to, given its
            innermost frame.
        rng: picks the peers.

    ``peers``, ``incarnation``, ``claim`` and ``culprit`` are called in the guard's thread while the
    loop stands still: they only read.

    Attributes:
        last_stall: the stall that goes on, or the last one.
        stalls: how many there were.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        threshold_s: float = 0.5,
        lease_s: float = 5.0,
        wire: GuardWire | None = None,
        peers: Callable[[], Sequence[str]] = tuple,
        incarnation: Callable[[], int] = int,
        claim: Callable[[int], bytes] | None = None,
        on_stall_ended: Callable[[int], None] | None = None,
        culprit: Callable[[FrameType], str | None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.last_stall: Stall | None = None
        self.stalls = 0
        self._loop = loop
        self._threshold_s = threshold_s
        self._renew_s = lease_s / _RENEWALS
        self._beat_s = min(_BEAT_S, threshold_s / 2)
        self._watch_s = min(_WATCH_S, threshold_s)
        self._wire = wire
        self._peers = peers
        self._incarnation = incarnation
        self._claim = claim
        self._on_stall_ended = on_stall_ended
        self._culprit = culprit
        self._random = rng or chance.dice()
        # One for each thread.
        self._begin_log = LimitedLogger(_logger, interval_s=_LOG_INTERVAL_S)
        self._end_log = LimitedLogger(_logger, interval_s=_LOG_INTERVAL_S)
        self._lock = threading.Lock()
        # Under the lock:
        self._stalled_since: float | None = None
        self._claimed = 0
        self._hushed = False
        # Written by the loop, read by the guard:
        self._beat_at = 0.0
        self._stop = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._ended: asyncio.Future[None] | None = None

    # --- on the loop

    def start(self) -> None:
        """Begin to watch. On the loop, once."""
        self._loop_thread = threading.get_ident()
        self._ended = self._loop.create_future()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="pulsing-guard", daemon=True)
        self._thread.start()

    def hush(self) -> int:
        """Claim nothing any more: the node says goodbye, and nothing may contradict it.

        Returns:
            The highest incarnation that was claimed and not yet told to ``on_stall_ended``, or 0.
        """
        with self._lock:
            self._hushed = True
            claimed, self._claimed = self._claimed, 0
        return claimed

    async def close(self) -> None:
        """Stop watching, and wait for the thread: not for long, whatever it is doing."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ended is not None:
            await asyncio.wait((self._ended,), timeout=_CLOSE_S)

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        if not self._stop.is_set():
            self._timer = self._loop.call_later(self._beat_s, self._beat)
        if self._stalled_since is not None:
            self._stall_ended()

    def _stall_ended(self) -> None:
        with self._lock:
            since, self._stalled_since = self._stalled_since, None
            claimed, self._claimed = self._claimed, 0
        stall = self.last_stall
        if since is None or stall is None:
            return
        stall = self.last_stall = replace(stall, duration_s=self._beat_at - since)
        culprit = stall.culprit or _NOBODY
        text = "the event loop turns again after %.1f s; it was held by %s"
        self._end_log.warning(culprit, text, stall.duration_s, culprit)
        if claimed and self._on_stall_ended is not None and not self._stop.is_set():
            self._on_stall_ended(claimed)

    # --- in the thread

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            with suppress(RuntimeError):  # the loop was closed without us
                self._loop.call_soon_threadsafe(self._thread_ended)

    def _thread_ended(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _watch(self) -> None:
        asleep_s = 0.0  # how long the guard could not look since the last beat
        beat_at = self._beat_at
        pause_s = self._watch_s
        while True:
            looked_at = time.monotonic()
            if self._stop.wait(pause_s) or self._loop.is_closed():
                return
            now = time.monotonic()
            if self._beat_at != beat_at:
                beat_at, asleep_s = self._beat_at, 0.0
            overslept = now - looked_at - pause_s
            if overslept > _NEAR_S:
                # The process, or the machine, stood still for us as well: since the beat, that is.
                asleep_s += min(overslept, now - beat_at)
            silence = now - beat_at - asleep_s
            if not self._loop.is_running():
                asleep_s, pause_s = now - beat_at, self._watch_s
            elif silence >= self._threshold_s:
                self._stalled(beat_at, silence)
                beat_at, asleep_s, pause_s = self._beat_at, 0.0, self._watch_s
            elif silence > self._beat_s + _NEAR_S:  # late: look again when it counts
                pause_s = max(_NEAR_S, self._threshold_s - silence)
            else:
                pause_s = self._watch_s

    def _stalled(self, beat_at: float, silence: float) -> None:
        """Stay with one stall until it ends."""
        culprit, stack = self._look(_frame_of(self._loop_thread))
        with self._lock:
            if self._beat_at != beat_at:
                return
            self.last_stall = Stall(began=time.time() - silence, culprit=culprit, stack=stack)
            self._stalled_since = beat_at
            self.stalls += 1
        self._tell_peers()  # before the log, which may be what the loop waits for
        self._begin_log.warning(
            culprit or _NOBODY,
            "the event loop has been held for %.1f s by %s: nobody gets an answer meanwhile; "
            "code that blocks belongs into a def method, which runs in a thread\n%s",
            silence,
            culprit or _NOBODY,
            stack,
        )
        renew_at = time.monotonic() + self._renew_s
        while not self._stop.wait(min(self._watch_s, self._renew_s)):
            if not self._stalling() or not self._loop.is_running():
                return
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + self._renew_s
                self._tell_peers()

    def _stalling(self) -> bool:
        return self._stalled_since is not None

    def _may_claim(self) -> bool:
        return self._stalling() and not self._hushed

    def _look(self, frame: FrameType | None) -> tuple[str | None, str]:
        """Who holds the loop, and where."""
        if frame is None:
            return None, ""
        culprit: str | None = None
        if self._culprit is not None:
            try:
                culprit = self._culprit(frame)
            except Exception as error:  # noqa: BLE001 # it reads what others change
                culprit = f"code of which is not known what it belongs to ({error!r})"
        frames = traceback.extract_stack(frame)[-_MAX_FRAMES:]
        return culprit, "".join(traceback.format_list(frames)).rstrip()

    def _tell_peers(self) -> None:
        """Claim to be busy; whatever is wrong with that, the guard goes on."""
        try:
            self._claim_busy()
        except Exception as error:  # noqa: BLE001 # the next time may do better
            if self._stalling():  # else it read what the loop changes again
                _logger.error("cannot tell the peers that this node is busy: %r", error)

    def _claim_busy(self) -> None:
        """Claim to be busy, with one incarnation more than ever, to a few peers."""
        if self._wire is None or self._claim is None:
            return
        addresses = list(self._peers())
        known = self._incarnation()
        if not addresses:
            return
        with self._lock:
            if not self._may_claim():
                return
            incarnation = self._claimed = max(self._claimed, known) + 1
        message = self._claim(incarnation)
        told = 0
        for addr in self._random.sample(addresses, min(_TRIED, len(addresses))):
            if self._stop.is_set() or not self._may_claim() or told >= _TOLD:
                return
            told += self._wire.tell(addr, message, _TELL_TIMEOUT_S)


def _frame_of(thread: int) -> FrameType | None:
    """What a thread executes now."""
    frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # documented
    return frames.get(thread)
