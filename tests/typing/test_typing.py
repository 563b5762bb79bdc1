"""mypy and pyright, run on small programs: exactly the lines marked ``E:`` are errors."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.py"))
SOURCE = Path(__file__).parents[2] / "src"


def marked(path):
    lines = path.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# E:")}


def compare(found, cases):
    wanted = {(path.name, line) for path in cases for line in marked(path)}
    surplus = {key: text for key, text in found.items() if key not in wanted}
    assert surplus == {}
    assert wanted - found.keys() == set()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_mypy_infers_what_users_rely_on(tmp_path):
    pytest.importorskip("mypy")
    cases = [path for path in CASES if path.name != "untyped_actor.py"]
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context",
            "--config-file=", f"--cache-dir={tmp_path}", "--follow-imports=silent",
            *map(str, cases),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"MYPYPATH": str(SOURCE), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert not done.stderr
    pattern = re.compile(r"(?P<path>.+?):(?P<line>\d+): error: (?P<text>.*)")
    found = {
        (Path(match["path"]).name, int(match["line"])): match["text"]
        for match in map(pattern.match, done.stdout.splitlines())
        if match
    }
    compare(found, cases)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_pyright_infers_what_users_rely_on(tmp_path):
    pytest.importorskip("pyright")
    shutil.copytree(HERE / "cases", tmp_path / "cases", ignore=shutil.ignore_patterns("__*"))
    project = tmp_path / "pyrightconfig.json"
    project.write_text(
        json.dumps(
            {
                "include": ["cases"],
                "extraPaths": [str(SOURCE)],
                "typeCheckingMode": "standard",
                "pythonVersion": "3.11",
            }
        )
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable,
            "-p", str(project),
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(CASES)
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    }
    compare(found, CASES)
