"""The shape of the house: who may import whom, what a core may import, how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src"

# --- the rules, as data --------------------------------------------------------------------------

# Bottom first. A module may import its own layer's package and every layer below.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "_version",
            "errors",
            "exceptions",
            "ids",
            "addresses",
            "chance",
            "clock",
            "config",
            "logs",
        }
    ),
    frozenset({"wire"}),
    frozenset({"transport"}),
    frozenset({"cluster"}),
    frozenset({"actor"}),
    frozenset({"streaming", "gateway"}),
    frozenset({"integrations", "compat", "testing", "core", "sync"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)

# Imports that go up, and why each is right.
UPWARD = {
    ("pulsing.actor.system", "pulsing.gateway"): "ActorSystem is where all layers meet",
}

# What a core may take from the standard library: typing, containers and arithmetic.
CORE_STDLIB = frozenset(
    {
        "__future__", "abc", "bisect", "collections", "dataclasses", "enum", "functools", "heapq",
        "itertools", "math", "operator", "random", "re", "struct", "types", "typing",
    }
)  # fmt: skip

# What a core may take from outside besides, and why.
CORE_THIRD_PARTY = {
    ("pulsing.transport.header_blocks", "hpack"): "decodes header blocks not seen before; no I/O",
    ("pulsing.cluster.claim_codec", "msgpack"): "values to bytes and back; no I/O",
}

# What a core may import of Pulsing besides value modules of its own package.
CORE_SHARED = frozenset({"pulsing.errors", "pulsing.ids"})

# A file of tests is a list, and may be longer.
MAX_LINES = {"src": 400, "examples": 400, "benchmarks": 400, "tests": 600}
LONGER_FILES: dict[str, str] = {}

# --- reading the sources -------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    typing_only: bool
    late: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    """Every import of a module, as full names of modules (not of what is taken from them)."""
    found: list[Import] = []
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))

    def visit(node: ast.AST, typing_only: bool, late: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(each.name, node.lineno, typing_only, late) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = module.split(".")
                if modules()[module].name != "__init__.py":
                    package.pop()
                package = package[: len(package) + 1 - node.level]
                source = ".".join([*package, source] if source else package)
            for each in node.names:
                inner = f"{source}.{each.name}"
                name = inner if inner in modules() else source
                found.append(Import(name, node.lineno, typing_only, late))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, True, late)
            for child in node.orelse:
                visit(child, typing_only, late)
        else:
            inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                visit(child, typing_only, inside)

    visit(tree, False, False)
    return tuple(dict.fromkeys(found))


def layer_name(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def height(module: str) -> int:
    name = layer_name(module)
    for index, layer in enumerate(LAYERS):
        if name in layer:
            return index
    pytest.fail(f"{module} belongs to no layer: give {name!r} its place in LAYERS")


def cores() -> list[str]:
    return [name for name in modules() if name.endswith("_core")]


# --- the tests -----------------------------------------------------------------------------------


def test_imports_go_down_only() -> None:
    wrong: list[str] = []
    for module in modules():
        for each in imports_of(module):
            if each.module.split(".")[0] != "pulsing" or (module, each.module) in UPWARD:
                continue
            same_package = layer_name(module) == layer_name(each.module)
            values = height(module) == height(each.module) == 0
            if not same_package and not values and height(each.module) >= height(module):
                wrong.append(f"{module}:{each.line} imports {each.module}")
    assert not wrong, "\n".join(wrong)


def test_every_upward_import_on_the_list_still_exists() -> None:
    real = {(module, each.module) for module in modules() for each in imports_of(module)}
    assert set(UPWARD) <= real


def test_no_two_modules_need_each_other_to_be_imported() -> None:
    graph = {
        module: {
            each.module
            for each in imports_of(module)
            if not each.typing_only and not each.late and each.module in modules()
        }
        for module in modules()
    }
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "import cycle: " + " -> ".join((*path, module))
        if module not in done:
            for each in sorted(graph[module]):
                walk(each, (*path, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def test_cores_and_their_values_are_pure() -> None:
    wrong: list[str] = []
    seen: set[str] = set()
    waiting = [(core, core) for core in cores()]
    while waiting:
        core, module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for each in imports_of(module):
            if each.typing_only:
                continue
            top = each.module.split(".")[0]
            where = f"{module}:{each.line} imports {each.module}"
            if top != "pulsing":
                if each.module.split(".")[0] in sys.stdlib_module_names:
                    allowed = top in CORE_STDLIB
                else:
                    allowed = (module, top) in CORE_THIRD_PARTY
                if not allowed:
                    wrong.append(f"{where}, which the core {core} may not reach")
            elif each.module not in CORE_SHARED:
                if layer_name(each.module) != layer_name(core):
                    wrong.append(f"{where}, which is outside the package of the core {core}")
                elif each.module != f"pulsing.{layer_name(core)}":
                    waiting.append((core, each.module))
    assert not wrong, "\n".join(wrong)


def test_there_are_cores() -> None:
    assert cores(), "the rule about cores guards nothing"


def test_no_file_outgrows_its_plan() -> None:
    lengths = {
        path.relative_to(REPOSITORY).as_posix(): len(path.read_text("utf-8").splitlines())
        for folder in MAX_LINES
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    too_long = {
        name: lines for name, lines in lengths.items() if lines > MAX_LINES[name.split("/")[0]]
    }
    assert set(too_long) <= set(LONGER_FILES), f"split these, or say why not: {too_long}"
    assert set(LONGER_FILES) <= set(too_long), "LONGER_FILES names files that are short by now"


def test_every_package_says_what_it_owns() -> None:
    silent: list[str] = []
    for path in SOURCE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        text = " ".join(text.lower().split())
        at_top = path.parent == SOURCE / "pulsing"
        wanted = ["owns", "must not know", "read"] if not at_top else []
        if not text or not all(word in text for word in wanted):
            silent.append(path.relative_to(REPOSITORY).as_posix())
    assert not silent, f"no docstring with Owns / Must not know / Read: {silent}"


def test_nothing_refers_to_one_machine() -> None:
    places = ["work", "root", "home", "Users", "tmp/venv"]
    pattern = re.compile(rf"(?<![\w.])/({'|'.join(places)})/|\.\./{'shared'}\b")
    found: list[str] = []
    for path in repository_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line) and path != Path(__file__).resolve():
                found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def repository_files() -> list[Path]:
    """What is, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout
        names = listed.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        hidden = re.compile(r"(^|/)(\.(?!ci|pre|git)|__pycache__|build|dist)")
        names = [path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.rglob("*")]
        names = [name for name in names if not hidden.search(name)]
    return [REPOSITORY / name for name in names if name and (REPOSITORY / name).is_file()]
