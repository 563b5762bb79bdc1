"""What ``import pulsing`` gives: every name resolves, is documented, and costs nothing unasked."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import pulsing as pul

NAMES = sorted(pul.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_says_what_it_promises(name: str) -> None:
    value = getattr(pul, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return
    assert inspect.getdoc(value), f"pulsing.{name} has no docstring"
    if inspect.isclass(value) and value.__module__.startswith("pulsing"):
        silent = [
            method
            for method, thing in vars(value).items()
            if not method.startswith("_") and callable(thing) and not inspect.getdoc(thing)
        ]
        assert not silent, f"pulsing.{name}: without a docstring: {silent}"


def test_dir_shows_what_is_there() -> None:
    assert set(NAMES) <= set(dir(pul))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pul.nonsense  # type: ignore[attr-defined]


def test_import_pulsing_loads_nothing_heavy() -> None:
    heavy = ["numpy", "torch", "ray", "httpx", "hypercorn", "cryptography", "h2", "pytest"]
    code = f"import sys, pulsing; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
