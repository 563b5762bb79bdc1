"""Writes ``traces.json``: scenarios of supervision, and what real OTP supervisors did in them.

Run it with Erlang installed (Debian: ``apt-get install erlang-base``) after a change of the
scenarios: ``python tests/unit/actor/erlang/generate.py``. The tests read the JSON only.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
TYPES = ("permanent", "transient", "temporary")
REASONS = ("normal", "error", "killed")


def worker(name, restart="permanent", fails=()):
    return ["worker", name, restart, list(fails)]


def supervisor(name, strategy, children, *, restart="permanent", intensity=5, period=60):
    return ["sup", name, restart, strategy, intensity, period, children]


def exits(*names, reason="error"):
    return ["exits", [[name, reason] for name in names]]


def abc(restart="permanent"):
    return [worker(name, restart) for name in "abc"]


def scenarios():
    for strategy, restart, reason in itertools.product(STRATEGIES, TYPES, REASONS):
        yield (
            f"{strategy}: a {restart} child ends with {reason}",
            supervisor("root", strategy, abc(restart)),
            [exits("b", reason=reason)],
        )
    for strategy in STRATEGIES:
        yield from of_a_strategy(strategy)
    yield from nested()


def of_a_strategy(strategy):
    def named(text, children, events, **settings):
        return f"{strategy}: {text}", supervisor("root", strategy, children, **settings), events

    yield named("the first child fails", abc(), [exits("a")])
    yield named("the last child fails", abc(), [exits("c")])
    yield named("each child fails in turn", abc(), [exits("a"), exits("b"), exits("c")])
    mixed = [worker("a", "temporary"), worker("b"), worker("c", "temporary"), worker("d")]
    yield named("temporary siblings of one that fails", mixed, [exits("b"), exits("d")])
    yield named(
        "a transient sibling of one that fails",
        [worker("a", "transient"), worker("b"), worker("c", "transient")],
        [exits("b"), exits("c", reason="killed")],
    )
    for most in (0, 1, 3):
        events = [exits("b") for _ in range(most + 1)]
        yield named(f"{most + 1} failures, {most} allowed", abc(), events, intensity=most)
    yield named(
        "failures of several children count together",
        abc(),
        [exits("a"), exits("b"), exits("c")],
        intensity=2,
    )
    yield named(
        "normal ends of permanent children count",
        abc(),
        [exits("a", reason="normal"), exits("b", reason="normal")],
        intensity=1,
    )
    yield named(
        "a failure is forgotten after the period",
        abc(),
        [exits("b"), ["sleep", 2300], exits("b")],
        intensity=1,
        period=1,
    )
    flaky = [worker("a"), worker("b", fails=[2]), worker("c")]
    yield named("a restart fails once", flaky, [exits("b")])
    flaky = [worker("a"), worker("b", fails=[2, 3, 4, 5, 6]), worker("c")]
    yield named("a restart fails until the budget is used up", flaky, [exits("b")], intensity=3)
    flaky = [worker("a"), worker("b"), worker("c", fails=[2])]
    yield named("the restart of a sibling fails once", flaky, [exits("b")])
    flaky = [worker("a", fails=[2]), worker("b"), worker("c")]
    yield named("the restart of the first fails once", flaky, [exits("a"), exits("c")])
    flaky = [worker("a"), worker("b"), worker("c", fails=[1])]
    yield named("the first start of the last child fails", flaky, [])
    flaky = [worker("a", fails=[1]), worker("b")]
    yield named("the first start of the first child fails", flaky, [])
    for both in (("a", "b"), ("b", "a"), ("c", "a"), ("b", "c")):
        yield named(f"{both[0]} and {both[1]} fail at once", abc(), [exits(*both)])
    yield named("all fail at once", abc(), [exits("a", "b", "c")])
    yield named("all fail at once, one allowed", abc(), [exits("a", "b", "c")], intensity=1)
    yield named("all are stopped", abc(), [["stop_all"]])
    yield named("one is stopped, another fails", abc(), [["stop_child", "root", "b"], exits("a")])


def nested():
    for outer, restart in itertools.product(STRATEGIES, ("permanent", "temporary")):
        inner = supervisor(
            "inner", "one_for_one", [worker("x"), worker("y")], restart=restart, intensity=0
        )
        tree = supervisor("root", outer, [worker("a"), inner, worker("b")])
        yield f"nested: a {restart} inner one gives up under {outer}", tree, [exits("x")]
    for outer in STRATEGIES:
        inner = supervisor("inner", "one_for_all", [worker("x"), worker("y")])
        tree = supervisor("root", outer, [worker("a"), inner, worker("b")])
        yield f"nested: a sibling of an inner one fails under {outer}", tree, [exits("a")]
        yield f"nested: the inner one repairs itself under {outer}", tree, [exits("y")]
    inner = supervisor("inner", "rest_for_one", [worker("x"), worker("y")], intensity=1)
    tree = supervisor("root", "one_for_one", [inner, worker("b")], intensity=1)
    fails = [exits("x"), exits("x"), exits("y"), exits("y")]
    yield "nested: both give up in the end", tree, fails
    yield "nested: all are stopped", tree, [["stop_all"]]


def term(value):
    """A value as an Erlang term: words are atoms, but for names."""
    match value:
        case ["worker", name, restart, fails]:
            return f'{{worker, "{name}", {restart}, {fails}}}'
        case ["sup", name, restart, strategy, intensity, period, children]:
            inside = ", ".join(map(term, children))
            return f'{{sup, "{name}", {restart}, {strategy}, {intensity}, {period}, [{inside}]}}'
        case ["exits", ends]:
            each = ", ".join(f'{{"{name}", {reason}}}' for name, reason in ends)
            return f"{{exits, [{each}]}}"
        case ["sleep", ms]:
            return f"{{sleep, {ms}}}"
        case ["stop_child", supervisor_name, name]:
            return f'{{stop_child, "{supervisor_name}", "{name}"}}'
        case ["stop_all"]:
            return "stop_all"


def main():
    played = {name: (tree, events) for name, tree, events in scenarios()}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "scenarios"
        lines = (
            f'{{"{name}", {term(tree)}, [{", ".join(map(term, events))}]}}.\n'
            for name, (tree, events) in played.items()
        )
        file.write_text("".join(lines))
        ran = subprocess.run(
            ["escript", HERE / "trace.escript", file], capture_output=True, text=True, check=True
        )
    rows = []
    for line in ran.stdout.splitlines():
        if line.startswith("["):
            name, trace = json.loads(line)
            tree, events = played[name]
            row = {"name": name, "tree": tree, "events": events, "trace": trace}
            rows.append("  " + json.dumps(row))
    assert len(rows) == len(played), "some scenario was not played"
    (HERE / "traces.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
