"""Which ends of an actor are repaired by a restart, how soon, and how often.

Pure: small functions and values; `pulsing.actor.supervisor_core` applies them.

Source: Erlang/OTP supervisor (restart types, intensity and period), Akka (backoff supervision).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .exit_reason import ExitReason

DEFAULT_MAX_RESTARTS: Final = 3
DEFAULT_MIN_BACKOFF_S: Final = 0.1
DEFAULT_MAX_BACKOFF_S: Final = 30.0
DEFAULT_WINDOW_S: Final = 60.0


class RestartPolicy(Enum):
    """When an actor is restarted."""

    __hash__ = object.__hash__  # that of enums is slow

    NEVER = "never"
    """What its code raises goes to the caller, and the actor goes on. (OTP: temporary.)"""
    ON_FAILURE = "on_failure"
    """When its code failed. (OTP: transient.)"""
    ALWAYS = "always"
    """When its code failed, or it stopped and nobody had asked for it. (OTP: permanent.)"""

    @classmethod
    def _missing_(cls, value: object) -> RestartPolicy | None:
        return cls.ON_FAILURE if value == "on-failure" else None


class Strategy(Enum):
    """Who is restarted together with a child that failed."""

    ONE_FOR_ONE = "one_for_one"
    """Nobody else."""
    ONE_FOR_ALL = "one_for_all"
    """All its siblings."""
    REST_FOR_ONE = "rest_for_one"
    """The siblings that were started after it."""


_RESTARTS: Final = {
    (RestartPolicy.NEVER, ExitReason.NORMAL): False,
    (RestartPolicy.NEVER, ExitReason.ERROR): False,
    (RestartPolicy.NEVER, ExitReason.KILLED): False,
    (RestartPolicy.ON_FAILURE, ExitReason.NORMAL): False,
    (RestartPolicy.ON_FAILURE, ExitReason.ERROR): True,
    (RestartPolicy.ON_FAILURE, ExitReason.KILLED): True,
    (RestartPolicy.ALWAYS, ExitReason.NORMAL): True,
    (RestartPolicy.ALWAYS, ExitReason.ERROR): True,
    (RestartPolicy.ALWAYS, ExitReason.KILLED): True,
    # The last two end no actor by themselves: a link brought them from another one.
    (RestartPolicy.NEVER, ExitReason.NODE_DOWN): False,
    (RestartPolicy.NEVER, ExitReason.NOT_FOUND): False,
    (RestartPolicy.ON_FAILURE, ExitReason.NODE_DOWN): True,
    (RestartPolicy.ON_FAILURE, ExitReason.NOT_FOUND): True,
    (RestartPolicy.ALWAYS, ExitReason.NODE_DOWN): True,
    (RestartPolicy.ALWAYS, ExitReason.NOT_FOUND): True,
}


def wants_restart(policy: RestartPolicy, reason: ExitReason) -> bool:
    """Whether an actor that ended by itself is restarted, as long as the budget lasts.

    One that somebody asked to stop, or killed, never is: nobody asks this then.
    """
    return _RESTARTS[policy, reason]


@dataclass(frozen=True, slots=True)
class Budget:
    """How many restarts are allowed.

    Attributes:
        max_restarts: within the window; the failure after that is one too many.
        window_s: seconds a restart counts. Longer forgives less.
    """

    max_restarts: int = DEFAULT_MAX_RESTARTS
    window_s: float = DEFAULT_WINDOW_S

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            raise ValueError(f"max_restarts is {self.max_restarts}; 0 or more")
        if not self.window_s > 0:
            raise ValueError(f"the window of a restart budget is {self.window_s} s; more than 0")


class Spending:
    """The restarts of the last while, against a budget."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def spend(self, budget: Budget, now: float) -> bool:
        """Count a restart. Returns False when it is one too many; then it is not to be done."""
        times = self._times
        while times and times[0] < now - budget.window_s:
            times.popleft()
        times.append(now)
        return len(times) <= budget.max_restarts


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """How a parent looks after its children.

    Attributes:
        strategy: who is restarted together with a child that failed.
        budget: restarts of all children together. When it is used up, the parent itself fails,
            and whoever supervises it decides. None: each child has its own; a child whose budget
            is used up is gone, and its siblings and its parent live on.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if self.budget is None and self.strategy is not Strategy.ONE_FOR_ONE:
            raise ValueError(f"{self.strategy.value} restarts actors together: it needs a budget")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How one actor is restarted.

    Attributes:
        policy: after which ends.
        min_backoff_s: the least wait before a restart; 0 restarts at once.
        max_backoff_s: the longest wait. Higher spares a broken service, and is back later.
        budget: its own, for a supervisor without one.
    """

    policy: RestartPolicy = RestartPolicy.ON_FAILURE
    min_backoff_s: float = DEFAULT_MIN_BACKOFF_S
    max_backoff_s: float = DEFAULT_MAX_BACKOFF_S
    budget: Budget = Budget()

    def __post_init__(self) -> None:
        if not 0 <= self.min_backoff_s <= self.max_backoff_s:
            raise ValueError(
                f"min_backoff is {self.min_backoff_s} and max_backoff {self.max_backoff_s}; "
                "the first can be 0 or more seconds, and no more than the second"
            )


def backoff_s(spec: ChildSpec, attempt: int, rng: random.Random) -> float:
    """How long to wait before a restart: doubling, with jitter, between the bounds of the spec.

    The first wait is between once and twice the minimum, the second between twice and four times
    that, and so on; the longest are between half the maximum and the maximum. Spread like this,
    actors that failed together do not come back together.

    Args:
        spec: gives the bounds.
        attempt: restarts in a row, this one included: 1 or more.
        rng: the dice.
    """
    low, high = spec.min_backoff_s, spec.max_backoff_s
    if low <= 0:
        return 0.0
    top = min(high, low * 2.0 ** min(attempt, _MAX_DOUBLINGS))
    return max(low, top * (0.5 + 0.5 * rng.random()))


_MAX_DOUBLINGS: Final = 64
