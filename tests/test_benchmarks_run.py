"""The benchmark harness runs from end to end; its figures are not looked at here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run_benchmarks(*options: str, module: str = "benchmarks") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.timeout(180)
def test_the_quick_benchmarks_all_run_and_write_their_files(tmp_path: Path) -> None:
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.svg"
    done = run_benchmarks("--quick", "--json", str(figures), "--svg", str(plot))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())
    assert found["errors"] == {}
    for name, benchmark in found["benchmarks"].items():
        assert benchmark["figures"], f"{name} measured nothing"
    assert {"raw_ask_64", "ask_async_64", "stream_1", "echo_32m"} <= set(found["benchmarks"])
    assert ET.parse(plot).getroot().tag.endswith("svg")


def test_an_unknown_benchmark_is_refused_with_its_name() -> None:
    done = run_benchmarks("--only", "nonsense")
    assert done.returncode != 0
    assert "nonsense" in done.stderr


def test_yardsticks_run_alone_on_the_standard_loop() -> None:
    done = run_benchmarks("--quick", "--only", "raw_ask_1,raw_ask_64", "--loop", "asyncio")
    assert done.returncode == 0, done.stderr
    assert "raw ceiling, 64 in flight" in done.stdout


@pytest.mark.timeout(180)
def test_reliability_is_measured_a_line_for_each_row_and_plotted(tmp_path: Path) -> None:
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.svg"
    options = ["--short", "--only", "crash-5,join-5", "--json", str(figures), "--svg", str(plot)]
    done = run_benchmarks(*options, module="benchmarks.reliability")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["crash-5", "ok"],
        ["join-5", "ok"],
    ]
    rows = json.loads(figures.read_text())["rows"]
    assert all(row["met"] and row["figures"][0]["values"] for row in rows.values())
    assert "N = 5: median" in plot.read_text()
    assert ET.parse(plot).getroot().tag.endswith("svg")


def test_an_unknown_row_of_reliability_is_refused_with_its_name() -> None:
    done = run_benchmarks("--only", "nonsense", module="benchmarks.reliability")
    assert done.returncode != 0
    assert "nonsense" in done.stderr


@pytest.mark.timeout(120)
def test_watchers_of_stopped_and_killed_actors_hear_once() -> None:
    done = run_benchmarks(
        "--kills", "1", "--stops", "2", "--actors", "50", module="benchmarks.watching"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" p99 ") == 5 + 1  # each line, and one title
