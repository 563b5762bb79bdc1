"""Whole nodes in virtual storms: whatever happened, they agree again once it is over."""

from __future__ import annotations

import pytest

from benchmarks.virtual_storm import storm_of

MINUTES = 3.0


@pytest.mark.parametrize("seed", range(6))
def test_after_a_storm_all_nodes_agree_on_members_and_names(seed: int) -> None:
    storm = storm_of(seed, MINUTES * 60)
    again = f"python -m benchmarks.virtual_storm --seeds {seed} --minutes {MINUTES:g}"
    assert not storm.error, f"{storm.error}\nagain: {again}"
    assert storm.calls > 5 * MINUTES * 60 * 0.8  # the load was there, and was mostly served
    assert sum(storm.faults.values()) >= MINUTES  # and so was the weather


def test_a_storm_repeats_itself_octet_by_octet() -> None:
    first, again = storm_of(3, 60.0), storm_of(3, 60.0)
    assert first.digest
    assert (first.digest, first.octets, first.faults) == (again.digest, again.octets, again.faults)
