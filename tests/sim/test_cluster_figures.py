"""The figures that are promised of a cluster, in their short form.

The long form is `python -m pulsing.testing.simulate --scenario ...` with more rounds and seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from statistics import median

import pytest

from pulsing.testing.simulation import Simulation, scenarios
from pulsing.testing.simulation.scenarios import Setting, without_lifeguard

at_50 = partial(Setting, nodes=50, seed=11, rounds=3)
at_16 = partial(Setting, nodes=16, seed=11, rounds=3)


def test_a_crash_is_known_to_every_member_within_a_second() -> None:
    samples = scenarios.crash(at_50())
    assert median(samples["last_s"]) <= 1.0
    assert max(samples["last_s"]) <= 2.0
    assert samples["false_deaths"] == [0]


def test_a_hang_is_known_to_the_first_within_4_s_and_to_the_last_within_6_s() -> None:
    samples = scenarios.hang(at_50(rounds=5))
    assert median(samples["first_s"]) <= 4.0
    assert max(samples["last_s"]) <= 6.0
    assert samples["false_deaths"] == [0]


def test_a_lost_machine_is_known_like_a_hang() -> None:
    samples = scenarios.power_loss(at_50())
    assert median(samples["first_s"]) <= 4.0
    assert max(samples["last_s"]) <= 6.0


def test_a_goodbye_is_known_to_all_within_300_ms() -> None:
    assert max(scenarios.leave(at_50())["last_s"]) <= 0.3


def test_one_more_node_is_known_to_all_at_once() -> None:
    assert median(scenarios.join(Setting(nodes=5, seed=11))["all_know_s"]) <= 0.4


def test_a_newcomer_does_not_tell_the_cluster_what_the_cluster_told_it() -> None:
    simulation = Simulation(100, seed=11, informed=True)
    simulation.run_for(5)
    newcomer = simulation.process(simulation.add())
    assert newcomer is not None
    simulation.settle()
    simulation.run_for(5)
    assert len(newcomer.core.members) == 101
    assert newcomer.bytes_sent < 5_000  # its table alone, passed on twelve times, has 60,000 bytes


def test_fifty_nodes_that_start_together_know_each_other_soon_after_the_last() -> None:
    assert max(scenarios.join_at_once(at_50())["all_know_s"]) <= 2.5


def test_a_new_process_at_an_old_address_takes_its_place_within_a_second() -> None:
    assert max(scenarios.restart(at_16())["all_know_s"]) <= 1.0


def test_a_name_is_seen_everywhere_within_a_second() -> None:
    seen = sorted(scenarios.names(at_50())["seen_s"])
    assert len(seen) > 1000
    assert seen[int(len(seen) * 0.99)] <= 1.0


def test_nobody_healthy_dies_of_10_percent_loss() -> None:
    assert scenarios.quiet(at_50(loss=0.1), minutes=1.0)["false_deaths"] == [0]


def test_nobody_healthy_dies_of_30_percent_loss() -> None:
    assert scenarios.quiet(at_16(loss=0.3), minutes=3.0)["false_deaths"] == [0]


def test_a_quiet_cluster_is_quiet_whatever_its_size() -> None:
    load = {
        nodes: scenarios.quiet(Setting(nodes=nodes, seed=11), minutes=1.0)["bytes_per_s"][0]
        for nodes in (50, 150)
    }
    assert load[50] <= 1000
    assert load[150] <= 1.3 * load[50]


def test_nobody_healthy_dies_while_a_quarter_is_paused_and_all_are_back_after() -> None:
    samples = scenarios.pauses(at_16())
    assert samples["false_deaths"] == [0]
    assert samples["deaths"][0] >= 3 * 4 * 12  # the paused ones were believed dead meanwhile
    assert max(samples["back_s"]) <= 5.0


def test_nobody_dies_when_the_whole_cluster_was_frozen() -> None:
    samples = scenarios.suspended(at_16())
    assert samples["deaths"] == [0]
    assert max(samples["back_s"]) <= 2.0


def test_a_blocked_loop_kills_nobody() -> None:
    assert scenarios.stalls(Setting(nodes=5, seed=11, rounds=3))["false_deaths"] == [0]


@pytest.mark.parametrize(("nodes", "within_s"), [(16, 3.0), (50, 5.0)])
def test_two_halves_are_one_again_soon_after_healing(nodes: int, within_s: float) -> None:
    samples = scenarios.partition(Setting(nodes=nodes, seed=11, rounds=1))
    assert samples["deaths"] == [nodes * nodes / 2]  # they really were two
    assert max(samples["whole_s"]) <= within_s
    assert samples["false_deaths"] == [0]


def test_lifeguard_spares_healthy_members_when_others_are_slow() -> None:
    setting = Setting(nodes=32, seed=11)
    on = scenarios.slow_members(setting, slow=4, minutes=2.0)
    off = scenarios.slow_members(without_lifeguard(setting), slow=4, minutes=2.0)
    assert off["false_deaths"][0] >= 50
    assert on["false_deaths"][0] * 50 <= off["false_deaths"][0]


def test_the_same_seed_gives_the_same_history_in_every_process() -> None:
    command = [sys.executable, "-m", "pulsing.testing.simulate"]
    command += ["--nodes", "12", "--minutes", "1", "--loss", "0.1", "--kill-every", "10", "--json"]

    def history(hash_seed: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        (line,) = [each for each in done.stdout.splitlines() if '"history"' in each]
        return line

    assert history("1") == history("2")
