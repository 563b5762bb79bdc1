"""What a call costs on a node with 100k other actors, compared to a node with a handful."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.env import CLEAR, CROWD, Env
from benchmarks.items.asks import FIGURES, ask
from benchmarks.registry import Benchmark, Target, register

if TYPE_CHECKING:
    from benchmarks.slices import Slice

IN_FLIGHT = 64


async def ask_on(env: Env, kind: str) -> Slice:
    """The same call on either node."""
    return await ask(env, IN_FLIGHT, "bench/async", kind)


register(
    Benchmark(
        name="ask_alone",
        title="ask, 64 in flight, few actors on the node",
        block="growth",
        run=partial(ask_on, kind=CLEAR),
        figures=FIGURES,
        slices=5,
    )
)
register(
    Benchmark(
        name="ask_in_crowd",
        title="ask, 64 in flight, 100k actors on the node",
        block="growth",
        run=partial(ask_on, kind=CROWD),
        figures=FIGURES,
        against="ask_alone",
        targets=(
            Target(
                label="100k actors on the node: calls/s over alone",
                figure="rate",
                at_least=0.9,
                of="ask_alone",
            ),
            Target(
                label="100k actors on the node: CPU per call over alone",
                figure="cpu_us",
                at_most=1.1,
                of="ask_alone",
            ),
        ),
        slices=5,
    )
)
