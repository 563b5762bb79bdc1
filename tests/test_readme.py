"""The README and the docs say what is true: every Python snippet runs, every command exists.

The ```python blocks of one page run in order, in one namespace, with ``await`` at the top level.
``expression  # -> text`` also checks that the ``repr`` of the expression is that text. A block
whose fence reads ```python no-run is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pulsing as pul

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "ARCHITECTURE.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\S*)[ ]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTATION = re.compile(r"#\s*->\s*(.+?)\s*$")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


class Expectations(ast.NodeTransformer):
    """Turns ``expression  # -> text`` into a check."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines()

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        assert node.end_lineno is not None
        match = EXPECTATION.search(self.lines[node.end_lineno - 1])
        if match is None:
            return self.generic_visit(node)
        check = ast.Call(
            ast.Name("__expect__", ast.Load()), [node.value, ast.Constant(match[1])], []
        )
        return ast.copy_location(ast.Expr(ast.copy_location(check, node)), node)


def expect(value: object, text: str) -> None:
    assert repr(value) == text, f"gives {value!r}, the page says {text}"


def snippets(page: Path) -> Iterator[tuple[str, types.CodeType, bool]]:
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        if match[1] != "python":
            continue
        line = text.count("\n", 0, match.start()) + 2
        tree = ast.parse("\n" * (line - 1) + match[3])
        tree = ast.fix_missing_locations(Expectations("\n" * (line - 1) + match[3]).visit(tree))
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, str(page), "exec", flags=flags, dont_inherit=True)
        yield f"{page.name}:{line}", code, match[2] != "no-run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(f"snippets_of_{page.stem.replace('-', '_').lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(REPOSITORY)
    namespace: dict[str, Any] = vars(module)
    namespace.update(__expect__=expect, pul=pul)
    with asyncio.Runner() as runner:
        for place, code, runs in snippets(page):
            if not runs:
                continue
            try:
                outcome = eval(code, namespace)
                if inspect.iscoroutine(outcome):
                    runner.run(outcome)
            except BaseException as error:
                error.add_note(f"in the snippet at {place}")
                raise
        if pul.is_initialized():
            runner.run(pul.shutdown())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text("utf-8"))
    missing = [each for each in targets if not (page.parent / each).exists()]
    assert not missing, f"{page.name} links to {missing}"


def test_the_commands_of_the_readme_are_marked_for_ci() -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    assert re.findall(r"^<!-- ci: (\w+) -->\n```bash\n(?=\S)", text, re.MULTILINE) == [
        "run",
        "test",
    ]


def test_two_processes_talk() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.two_processes"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for said in (
        "ready on 127.0.0.1:",
        "incr(5) -> 5",
        "get() -> 15",
        "TypeError",
        "exited with 0",
    ):
        assert said in done.stdout, done.stdout


def test_every_guarantee_names_a_test_that_exists() -> None:
    text = (REPOSITORY / "docs" / "semantics.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert named
    missing: list[str] = []
    for file, test in named:
        path = REPOSITORY / file
        if not path.exists() or not re.search(rf"def {test}\(", path.read_text("utf-8")):
            missing.append(f"{file}::{test}")
    assert not missing, f"docs/semantics.md names tests that do not exist: {missing}"


def test_the_architecture_page_points_at_what_exists() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    named = {
        path
        for row in rows
        for path in re.findall(r"`([\w./]+)`", row)
        if path.endswith((".py", ".toml", "/"))
    }
    roots = (REPOSITORY, REPOSITORY / "src" / "pulsing")
    missing = [path for path in named if not any((root / path).exists() for root in roots)]
    assert named
    assert not missing, f"ARCHITECTURE.md names {missing}"
