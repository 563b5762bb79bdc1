"""Scenarios, the command and its pictures, as far as a toy of a core can play them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pulsing.testing import simulate
from pulsing.testing.simulation import scenarios
from pulsing.testing.simulation.life import live
from pulsing.testing.simulation.plot import Dot, Panel, Series, round_step, svg
from pulsing.testing.simulation.report import as_data, merged, summarize, table
from pulsing.testing.simulation.scenarios import SCENARIOS, Setting
from tests.unit.testing.simulation.toy_core import toy

BEYOND_A_TOY = {"power-loss", "hang", "slow-members"}
"""It notices only what refuses a connection."""


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in BEYOND_A_TOY])
def test_a_scenario_gives_samples(name: str) -> None:
    samples = SCENARIOS[name](Setting(nodes=4, rounds=1, make_core=toy()))
    assert samples
    assert all(value >= 0 for values in samples.values() for value in values)


def test_a_departure_that_nobody_notices_is_a_violation() -> None:
    with pytest.raises(AssertionError, match="not everybody knows of node"):
        scenarios.hang(Setting(nodes=3, rounds=1, make_core=toy()))


def test_a_life_has_a_load_over_time_and_counts_its_deaths() -> None:
    watched: list[tuple[float, float]] = []
    setting = Setting(
        nodes=4, make_core=toy(), watch=lambda now, until: watched.append((now, until))
    )
    life, simulation = live(setting, 2.0, kill_every_s=30.0)
    assert life.killed >= 3
    assert len(life.loads) == 24
    assert {round(load.messages_per_s) for load in life.loads} <= {1, 2, 3}
    assert watched[-1][0] >= watched[-1][1] - 1e-6
    assert simulation.now > 120


# --- the command ---------------------------------------------------------------------------------


def play_with(monkeypatch: pytest.MonkeyPatch, flaw: str = "") -> None:
    monkeypatch.setattr(simulate, "gossip_core", toy(flaw))


@pytest.fixture(autouse=True)
def _toy_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    play_with(monkeypatch)


def test_the_command_prints_a_table_and_the_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["--nodes", "4", "--minutes", "0.5", "--seed", "7"]) == 0
    shown = capsys.readouterr()
    assert "sent by a node" in shown.out
    assert "seed 7" in shown.out
    assert "history " in shown.out
    assert not shown.err


def test_the_command_prints_plain_data(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> dict[str, object]:
        assert simulate.main(["--nodes", "4", "--minutes", "0.2", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    first, second = run(), run()
    assert first["nodes"] == 4
    assert first["figures"]["killed"]["max"] == 0
    assert first["history"] == second["history"]


def test_the_command_plots_a_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "life.svg"
    assert simulate.main(["--nodes", "4", "--minutes", "0.5", "--plot", str(file)]) == 0
    words = " ".join(ET.parse(file).getroot().itertext())
    assert "Bytes a node sends per second" in words
    assert "nodes 4" in words


def test_the_command_runs_several_seeds_as_one_measurement(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--nodes", "3", "--scenario", "join", "--seeds", "3", "--rounds", "2", "--json"]
    assert simulate.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["all_know_s"]["samples"] == 6


def test_the_command_plays_a_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["--nodes", "3", "--schedule", "2 kill 1; 4 restart 1"]) == 0
    assert "one membership again" in capsys.readouterr().out


def test_a_broken_rule_is_printed_with_the_command_that_shows_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play_with(monkeypatch, "answers twice")
    assert simulate.main(["--nodes", "3", "--minutes", "1", "--seed", "5", "--seeds", "2"]) == 1
    first = capsys.readouterr().err
    (command,) = [line for line in first.splitlines() if line.startswith("again: ")]
    arguments = command.removeprefix("again: python -m pulsing.testing.simulate ").split()
    assert simulate.main(arguments) == 1
    assert capsys.readouterr().err.splitlines()[0] == first.splitlines()[0]


def test_a_schedule_that_is_none_is_a_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["--schedule", "2 explode 1"]) == 2
    assert "explode" in capsys.readouterr().err


# --- words and pictures --------------------------------------------------------------------------


def test_samples_are_summed_up_by_median_p99_and_maximum() -> None:
    summary = summarize([float(each) for each in range(1000, 0, -1)])
    assert summary is not None
    assert (summary.count, summary.low, summary.high) == (1000, 1, 1000)
    assert (summary.median, summary.p99) == (500.5, 991)
    assert summarize([]) is None


def test_figures_without_samples_are_shown_as_such() -> None:
    samples = merged([{"first_s": [1.0]}, {"first_s": [3.0], "last_s": []}])
    assert samples == {"first_s": [1.0, 3.0], "last_s": []}
    lines = table(samples).splitlines()
    assert lines[1].split() == ["known", "to", "the", "first", "2", "2", "3", "3", "s"]
    assert lines[2].split()[-4:] == ["0", "-", "-", "-"]
    assert as_data(samples, {"seed": 1})["figures"].keys() == {"first_s"}


def test_a_plot_leaves_out_what_was_not_measured() -> None:
    panels = [
        Panel("empty", "x", [Series("none", [])]),
        Panel("full <&>", "nodes", [Series("some", [Dot(5, 2, 1, 3), Dot.at(500, 9)])], True),
    ]
    root = ET.fromstring(svg(panels, "made by hand"))
    words = list(root.itertext())
    assert "full <&>" in words
    assert "empty" not in words
    assert {"5", "500", "made by hand"} <= set(words)


@pytest.mark.parametrize("top", [0.003, 0.9, 1.0, 7.0, 9.99, 10.0, 12345.0])
def test_an_axis_has_a_handful_of_ticks(top: float) -> None:
    assert 3 <= top / round_step(top) <= 10
