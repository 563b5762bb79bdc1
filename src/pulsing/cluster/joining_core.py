"""Finding a cluster, and finding it again: seeds, and members believed dead.

Decides whom to send a `Join`, and answers those of others. As long as this node knows nobody else,
all its seeds are tried in rounds with growing pauses; afterwards one seed that is no present
member, or one member believed dead, is tried from time to time for as long as the node runs. That
is what merges the halves of a healed partition, and two clusters that started apart.

A part of `GossipCore`, which sends what `tick` says, hands back every outcome (exactly one for each
`Join`), and learns the claims.

Invariants: at most one Join to an address is under way; nothing that goes wrong ends the attempts;
the log says it once for each address and cause; who refuses is left alone for a while.

Source: SWIM 4.1 leaves joining open; that dead members are tried again is from Serf (reconnect).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final, NamedTuple

from .admission import Believed, JoinReply, admit
from .claims import Claim
from .effects import Effect, ResolveSeeds, Severity, WriteLog
from .members import Member, MemberStatus, NodeInfo
from .messages import Answer, Join, RejectCode, Rejected, Welcome
from .settings import SwimSettings
from .stimuli import Failure

JOIN_TIMEOUT_S: Final = 3.0
"""A Join is answered within this time or has failed."""

MAX_SEEDS: Final = 256
_AT_A_TIME: Final = 8
_FIRST_PAUSE_S: Final = 0.1
_RESOLVE_ALONE_S: Final = 10.0
_RESOLVE_JOINED_S: Final = 30.0
_FIRST_RESOLVE_PAUSE_S: Final = 1.0
"""Names that do not resolve are looked up again this soon, then less and less often."""
_REFUSED_PAUSE_S: Final = 10.0
"""Whoever said no, or is no member of this cluster, is not asked again before."""
_RECENT: Final = 16
"""Every other attempt at a dead member goes to one of as many that died last."""
_RECOUNT_EVERY: Final = 8
"""After as many picks the dead are counted again even when their number seems the same."""


class Attempts(NamedTuple):
    """What is due: Joins to send, each with the address it goes to, and other effects."""

    joins: list[tuple[str, Join]]
    effects: list[Effect]


class JoinStep(NamedTuple):
    """What the answer to our Join means.

    Attributes:
        claims: to learn, and to spread.
        joined: the answering node was no present member before: compare tables with it at once.
        effects: lines for the log.
    """

    claims: tuple[Claim, ...] = ()
    joined: bool = False
    effects: tuple[Effect, ...] = ()


class Joining:
    """Seeds and members believed dead: whom to ask to be let in, and whom to let in.

    Args:
        info: this node.
        table: what is believed of members.
        settings: timings and bounds.
        rng: for jitter and choices.
        has_seeds: some were configured; their addresses come with `seeds_resolved`.
        own_addrs: addresses of this node besides that in ``info``.

    Attributes:
        rejection: why the last seed that decided did not let this node in; None when one did.
    """

    def __init__(
        self,
        info: NodeInfo,
        table: Believed,
        settings: SwimSettings,
        rng: Random,
        has_seeds: bool,
        own_addrs: Iterable[str] = (),
    ) -> None:
        self.rejection: Rejected | None = None
        self._info = info
        self._table = table
        self._settings = settings
        self._rng = rng
        self._has_seeds = has_seeds
        self._own = {info.addr, *own_addrs}
        self._seeds: tuple[str, ...] = ()
        self._round: deque[str] = deque()
        self._in_flight: dict[str, bool] = {}  # address: we knew nobody when we asked
        self._node_at: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._said: dict[str, set[str]] = {}
        self._alone = True
        self._announced = False
        self._pause_s = _FIRST_PAUSE_S
        self._try_at: float | None = None
        self._resolve_at: float | None = None
        self._resolve_pause_s = _FIRST_RESOLVE_PAUSE_S
        self._gone = _Gone()

    # --- life

    def start(self, now: float) -> list[Effect]:
        """Begin."""
        self._try_at = now + self._settings.reprobe_interval_s
        if not self._has_seeds:
            return []
        self._resolve_at = now + _RESOLVE_ALONE_S
        return [ResolveSeeds()]

    def stop(self) -> None:
        """Ask nobody any more: this node leaves."""
        self._try_at = self._resolve_at = None
        self._has_seeds = False
        self._round.clear()

    def shift(self, by_s: float) -> None:
        """This node stood still: everything it meant to do is due as much later."""
        if self._try_at is not None:
            self._try_at += by_s
        if self._resolve_at is not None:
            self._resolve_at += by_s

    def next_deadline(self) -> float | None:
        """When `tick` is due; None: not at all."""
        if self._resolve_at is None or self._try_at is None:
            return self._try_at
        return min(self._try_at, self._resolve_at)

    # --- whom to ask

    def seeds_resolved(self, addresses: Sequence[str], now: float) -> None:
        """These are the addresses of the seeds now. New ones are tried at once.

        None at all means that nothing could be looked up: then those of before are kept.
        """
        if self._try_at is None or not self._has_seeds:
            return
        if not addresses:
            self._resolve_at = now + self._resolve_pause_s
            self._resolve_pause_s = min(2 * self._resolve_pause_s, _RESOLVE_ALONE_S)
            return
        self._resolve_pause_s = _FIRST_RESOLVE_PAUSE_S
        self._resolve_at = now + (_RESOLVE_ALONE_S if self._alone else _RESOLVE_JOINED_S)
        before = set(self._seeds)
        distinct = dict.fromkeys(each for each in addresses if each not in self._own)
        self._seeds = tuple(distinct)[:MAX_SEEDS]
        new = [each for each in self._seeds if each not in before]
        for gone in before.difference(self._seeds):
            for of_address in (self._node_at, self._not_before, self._said):
                of_address.pop(gone, None)
        if new:
            self._rng.shuffle(new)
            self._round.extendleft(new)
            self._try_at = now

    def tick(self, now: float) -> Attempts:
        """Time has passed: what is due now."""
        effects: list[Effect] = []
        if self._resolve_at is not None and now >= self._resolve_at:
            self._resolve_at = now + (_RESOLVE_ALONE_S if self._alone else _RESOLVE_JOINED_S)
            effects.append(ResolveSeeds())
        if self._try_at is None or now < self._try_at:
            return Attempts([], effects)
        joins: list[tuple[str, Join]] = []
        addresses = self._whom_to_ask(now)
        if addresses:
            ask = Join(self._table.claim_about(self._info.node_id))
            joins = [(each, ask) for each in addresses]
            self._in_flight.update(dict.fromkeys(addresses, self._alone))
        return Attempts(joins, effects)

    def _whom_to_ask(self, now: float) -> list[str]:
        settings = self._settings
        alone = self._table.present_count <= 1
        if alone != self._alone:  # found or lost everybody: the other seeds are owed an attempt
            self._alone = alone
            self._announced &= not alone
            self._pause_s = _FIRST_PAUSE_S
            self._refill(now)
        elif alone and not self._round:
            self._refill(now)
        slowly = not alone and not self._round
        chosen: list[str] = []
        while self._round and len(chosen) < _AT_A_TIME:
            address = self._round.popleft()
            if self._may_ask(address, now):
                chosen.append(address)
        if slowly:
            chosen.extend(self._pick_one(now))
        elif alone:
            chosen.extend(self._pick_gone(now))
        if self._round:
            self._try_at = now + _FIRST_PAUSE_S
        elif alone:
            self._try_at = now + self._jitter(self._pause_s)
            # Half of the interval is the longest pause: who waits for its first seed waits most.
            self._pause_s = min(2 * self._pause_s, settings.reprobe_interval_s / 2)
        else:
            self._try_at = now + self._jitter(settings.reprobe_interval_s)
        return list(dict.fromkeys(chosen))

    def _jitter(self, pause_s: float) -> float:
        return pause_s * self._rng.uniform(0.75, 1.0)

    def _refill(self, now: float) -> None:
        missing = [each for each in self._seeds if self._may_ask(each, now)]
        self._rng.shuffle(missing)
        self._round = deque(missing)

    def _may_ask(self, address: str, now: float) -> bool:
        """It is no member, not ourselves, not being asked, and did not say no a moment ago."""
        if address in self._in_flight or address in self._own:
            return False
        if now < self._not_before.get(address, now) or self._table.present_at(address):
            return False
        # A seed may be known to others by another address.
        member = self._table.members.get(self._node_at.get(address, ""))
        return member is None or not member.is_present

    def _pick_one(self, now: float) -> list[str]:
        seeds = [each for each in self._seeds if self._may_ask(each, now)]
        gone = self._pick_gone(now)
        if seeds and (not gone or self._rng.random() < 0.5):
            return [self._rng.choice(seeds)]
        return gone

    def _pick_gone(self, now: float) -> list[str]:
        """The address of a member believed dead."""
        member = self._gone.pick(self._table, self._rng)
        if member is None or not self._may_ask(member.info.addr, now):
            return []
        return [member.info.addr]

    # --- what became of it

    def answered(self, addr: str, peer_id: str, answer: Answer, now: float) -> JoinStep:
        """The node at ``addr`` answered our Join."""
        asked_alone = self._in_flight.pop(addr, False)
        if peer_id == self._info.node_id:
            return JoinStep(effects=self._found_itself(addr, now))
        if isinstance(answer, Rejected):
            return JoinStep(effects=self._rejected(addr, answer, now))
        if not isinstance(answer, Welcome):
            kind = type(answer).__name__
            text = f"it answers a join with {kind}"
            return JoinStep(effects=self._no_member(addr, text, now))
        self.rejection = None
        self._not_before.pop(addr, None)
        self._said.pop(addr, None)
        if addr in self._seeds:
            self._node_at[addr] = peer_id
        known = self._table.members.get(peer_id)
        is_news = known is None or not known.is_present
        effects: list[Effect] = []
        if is_news or (asked_alone and not self._announced):
            self._announced = True
            count = sum(each.status <= MemberStatus.SUSPECT for each in answer.claims)
            text = f"joined the cluster through {addr}: it names {count} member{'s'[: count != 1]}"
            effects.append(WriteLog("joined", text))
        # Its gossip may have come before its answer: alone is who asked alone.
        return JoinStep(answer.claims, is_news or asked_alone, tuple(effects))

    def failed(self, addr: str, failure: Failure, text: str, now: float) -> list[Effect]:
        """There is no answer to our Join to ``addr``."""
        self._in_flight.pop(addr, None)
        if failure is Failure.FOREIGN:
            return list(self._no_member(addr, text, now))
        why = f"{failure.value}: {text}" if text else failure.value
        line = f"seed {addr} does not answer ({why}); it is tried again as long as this node runs"
        return list(self._say(addr, "silent", line, Severity.INFO))

    def _found_itself(self, addr: str, now: float) -> tuple[Effect, ...]:
        # Rarely, and not never: the address may be one that is shared with others in front of us.
        self._not_before[addr] = now + _REFUSED_PAUSE_S
        return self._say(addr, "self", f"seed {addr} leads to this node itself", Severity.INFO)

    def _rejected(self, addr: str, answer: Rejected, now: float) -> tuple[Effect, ...]:
        if answer.code == RejectCode.NAME_TAKEN:  # perhaps by a member that is about to be dead
            pause_s = self._settings.reprobe_interval_s
        else:
            pause_s = _REFUSED_PAUSE_S
        self._not_before[addr] = now + pause_s
        if addr not in self._seeds:
            return ()
        self.rejection = answer
        line = f"seed {addr} does not let this node in: {answer.reason}"
        return self._say(addr, f"rejected {answer.code}", line, Severity.ERROR)

    def _no_member(self, addr: str, text: str, now: float) -> tuple[Effect, ...]:
        self._not_before[addr] = now + _REFUSED_PAUSE_S
        line = (
            f"seed {addr} is no node of this cluster: {text}. Use the same passphrase, cluster "
            f"name and version of Pulsing on both, or take {addr} out of the seeds"
        )
        return self._say(addr, "foreign", line, Severity.ERROR)

    def _say(self, addr: str, cause: str, line: str, severity: Severity) -> tuple[Effect, ...]:
        """A line for the log: once for each seed and cause, until the seed lets us in."""
        if addr not in self._seeds:
            return ()
        said = self._said.setdefault(addr, set())
        if cause in said:
            return ()
        said.add(cause)
        return (WriteLog(f"seed {addr}", line, severity),)

    # --- whom to let in

    def join_received(self, peer_id: str, join: Join, now: float) -> JoinReply:
        """Another node asks to be let in."""
        return admit(peer_id, join, self._info, self._table, self._settings, self._rng)


class _Gone:
    """Members believed dead, to pick one of them without looking at all members each time."""

    __slots__ = ("_counted", "_left", "_node_ids", "_recent")

    def __init__(self) -> None:
        self._node_ids: list[str] = []
        self._recent = 0
        self._counted = (0, 0)
        self._left = 0

    def pick(self, table: Believed, rng: Random) -> Member | None:
        """One that is dead: every other time one of the latest, because a partition made them."""
        members = table.members
        self._left -= 1
        if self._left < 0 or self._counted != (len(members), table.present_count):
            self._count(table)
        if not self._node_ids:
            return None
        within = self._recent if rng.random() < 0.5 else len(self._node_ids)
        member = members.get(self._node_ids[rng.randrange(within)])
        if member is None or member.status is not MemberStatus.DEAD:
            self._left = 0  # out of date: counted again next time
            return None
        return member

    def _count(self, table: Believed) -> None:
        members = table.members
        dead = [each for each in members.values() if each.status is MemberStatus.DEAD]
        dead.sort(key=lambda each: each.since, reverse=True)
        self._node_ids = [each.node_id for each in dead]
        self._recent = min(_RECENT, len(dead))
        self._counted = (len(members), table.present_count)
        self._left = _RECOUNT_EVERY
