"""What a member of a cluster can be told: timings and bounds, with presets for networks.

Source of the defaults: SWIM (Das, Gupta, Motivala 2002), Lifeguard (Dadgar, Phillips, Currey 2018),
and the measurements in docs/performance.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class SwimSettings:
    """Timings and bounds of membership by gossip. Seconds unless the name says otherwise.

    Attributes:
        probe_interval_s: each member probes another one this often. Lower finds hangs sooner and
            costs as much more traffic.
        probe_timeout_s: after as long without an answer, others are asked to probe. Above the
            network's round trip; lower costs needless indirect probes.
        indirect_probes: how many are asked (k of SWIM).
        gossip_interval_s: news that were passed on once are repeated this often.
        gossip_nodes: to how many members at a time.
        retransmit_mult: a piece of news is passed on by each member this many times log10(n + 1).
        eager_gossip_s: a first transmission waits at most this long for company.
        suspicion_min_mult: with enough confirmations a suspect is dead after this many probe
            intervals times max(1, log10(n)). Lower finds hangs sooner, and kills slow members.
        suspicion_max_mult: without confirmations it takes this many times longer.
        confirmations: how many other accusers make the wait shortest.
        verifiers: members that probe a suspect at once when they hear of it.
        max_local_health: by how much a member that seems slow itself stretches its own timeouts.
        lifeguard: local health, dynamic suspicion, verification and telling the suspect first.
            ``False`` is plain SWIM, for comparison.
        sync_interval_s: tables are compared with a random member this often.
        reprobe_interval_s: seeds and members believed dead are tried again this often, so that a
            healed partition merges by itself.
        remember_dead_s: how long dead members are remembered, so that late gossip does not revive
            them, and are tried again.
        busy_lease_s: a member that said it is busy is not suspected for as long.
        leave_timeout_s: a goodbye takes no longer than this.
        max_members: members beyond are refused.
        max_message_bytes: a gossip message is no larger.
        max_piggyback_bytes: news in one probe or answer.
    """

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    indirect_probes: int = 3
    gossip_interval_s: float = 0.2
    gossip_nodes: int = 3
    retransmit_mult: int = 5
    eager_gossip_s: float = 0.02
    suspicion_min_mult: float = 1.0
    suspicion_max_mult: float = 6.0
    confirmations: int = 3
    verifiers: int = 6
    max_local_health: int = 8
    lifeguard: bool = True
    sync_interval_s: float = 10.0
    reprobe_interval_s: float = 2.0
    remember_dead_s: float = 3600.0
    busy_lease_s: float = 5.0
    leave_timeout_s: float = 2.0
    max_members: int = 20_000
    max_message_bytes: int = 64 * 1024
    max_piggyback_bytes: int = 1200

    def __post_init__(self) -> None:
        problems = [
            f"{name}: {getattr(self, name)} is too low; more than 0 is needed"
            for name in _POSITIVE
            if not getattr(self, name) > 0
        ]
        if self.probe_timeout_s >= self.probe_interval_s:
            problems.append(
                f"probe_timeout_s: {self.probe_timeout_s} must be below probe_interval_s, "
                f"{self.probe_interval_s}, to leave time for indirect probes"
            )
        if self.suspicion_max_mult < 1:
            problems.append("suspicion_max_mult: at least 1, the shortest wait itself")
        if self.max_message_bytes < 4096 or self.max_piggyback_bytes > self.max_message_bytes // 2:
            problems.append("max_message_bytes: at least 4096, and twice max_piggyback_bytes")
        if problems:
            raise ValueError("cluster settings: " + "; ".join(problems))

    @classmethod
    def local(cls) -> Self:
        """One machine: loopback answers within a millisecond."""
        return cls(probe_interval_s=0.5, probe_timeout_s=0.2, gossip_interval_s=0.1)

    @classmethod
    def lan(cls) -> Self:
        """A data centre; the default."""
        return cls()

    @classmethod
    def wan(cls) -> Self:
        """Sites far apart, or a network that loses much."""
        return cls(
            probe_interval_s=5.0,
            probe_timeout_s=3.0,
            gossip_interval_s=0.5,
            gossip_nodes=4,
            suspicion_min_mult=2.0,
            sync_interval_s=30.0,
            reprobe_interval_s=10.0,
            leave_timeout_s=5.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSettings:
    """Timings of head mode.

    Attributes:
        sync_interval_s: workers pull members and names from the head this often.
        heartbeat_interval_s: workers tell the head this often that they live.
        heartbeat_timeout_s: the head declares a silent worker dead after as long. Lower finds dead
            machines sooner; processes that die are found at once either way.
        leave_timeout_s: a goodbye takes no longer than this.
        remember_dead_s: how long members that are gone are shown.
        max_members: workers beyond are refused.
        max_message_bytes: a message between head and worker is no larger.
    """

    sync_interval_s: float = 5.0
    heartbeat_interval_s: float = 10.0
    heartbeat_timeout_s: float = 30.0
    leave_timeout_s: float = 2.0
    remember_dead_s: float = 3600.0
    max_members: int = 20_000
    max_message_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        if not (self.sync_interval_s > 0 and self.heartbeat_interval_s > 0):
            raise ValueError("head settings: intervals must be more than 0 seconds")
        if self.heartbeat_timeout_s <= self.heartbeat_interval_s:
            raise ValueError(
                f"head settings: heartbeat_timeout_s ({self.heartbeat_timeout_s}) must be above "
                f"heartbeat_interval_s ({self.heartbeat_interval_s}), or healthy workers die"
            )
        if not (self.leave_timeout_s > 0 and self.remember_dead_s > 0 and self.max_members > 0):
            raise ValueError("head settings: timeouts and bounds must be more than 0")
        if self.max_message_bytes < 4096:
            raise ValueError("head settings: max_message_bytes: at least 4096")


_POSITIVE: Final = (
    "probe_interval_s",
    "probe_timeout_s",
    "indirect_probes",
    "gossip_interval_s",
    "gossip_nodes",
    "retransmit_mult",
    "eager_gossip_s",
    "suspicion_min_mult",
    "confirmations",
    "verifiers",
    "max_local_health",
    "sync_interval_s",
    "reprobe_interval_s",
    "remember_dead_s",
    "busy_lease_s",
    "leave_timeout_s",
    "max_members",
    "max_piggyback_bytes",
)
