"""One clock and one source of chance, which a simulation can replace."""

from __future__ import annotations

import ast
import random
import time
from pathlib import Path

import pytest

import pulsing
from pulsing import chance, clock

SOURCE = Path(pulsing.__file__).parent

# Where the machine's own clock, dice or secrets are meant, and why.
REAL = {
    "clock.py": "what it is, until it is replaced",
    "chance.py": "same",
    "cluster/guard.py": "watches a real loop from a real thread",
    "transport/tls.py": "the validity of certificates is calendar time; keys are secrets",
    "transport/certificates.py": "keys and serial numbers are secrets",
}
SIMULATED = ("wire", "transport", "cluster", "actor")
CLOCKS = {("time", "monotonic"), ("time", "perf_counter"), ("time", "time"), ("random", "random")}


def test_the_clock_is_that_of_the_machine_until_it_is_replaced() -> None:
    assert clock.monotonic is time.monotonic
    with clock.replaced(lambda: 5.0):
        assert clock.monotonic() == 5.0
        with clock.replaced(lambda: 6.0):
            assert clock.monotonic() == 6.0
        assert clock.monotonic() == 5.0
    assert clock.monotonic is time.monotonic


def test_the_clock_comes_back_after_an_error() -> None:
    with pytest.raises(LookupError), clock.replaced(lambda: 5.0):
        raise LookupError
    assert clock.monotonic is time.monotonic


def test_chance_repeats_itself_only_when_it_is_seeded() -> None:
    def draw() -> tuple[str, float, float]:
        return chance.token_hex(16), chance.dice().random(), chance.dice().random()

    with chance.seeded(random.Random(1)):
        first = draw()
    with chance.seeded(random.Random(1)):
        assert draw() == first
    assert len(first[0]) == 32
    assert first[1] != first[2]
    assert draw() != first
    assert draw() != draw()


def uses_of_the_machine(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.ImportFrom(module="time" | "secrets" as module):
                found.append(f"line {node.lineno} takes names of {module}")
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (
                module,
                name,
            ) in CLOCKS or module == "secrets":
                found.append(f"line {node.lineno} uses {module}.{name}")
            case ast.Call(func=ast.Attribute(attr="Random"), args=[]):
                found.append(f"line {node.lineno} makes dice without a seed")
            case _:
                pass
    return found


def test_nodes_read_no_other_clock_and_throw_no_other_dice() -> None:
    wrong: list[str] = []
    for package in SIMULATED:
        for path in sorted((SOURCE / package).rglob("*.py")):
            name = path.relative_to(SOURCE).as_posix()
            if name not in REAL:
                wrong += [f"{name}: {use}" for use in uses_of_the_machine(path)]
    assert not wrong, "a simulation could not repeat these: " + "; ".join(wrong)


def test_every_exception_to_the_rule_is_needed() -> None:
    assert all(uses_of_the_machine(SOURCE / name) for name in REAL)
