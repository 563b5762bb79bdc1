"""The same scenarios as real OTP supervisors played: the same happens, in the same order."""

import json
import random
from collections import Counter, deque
from pathlib import Path

import pytest

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.restart_policy import (
    Budget,
    ChildSpec,
    RestartPolicy,
    Strategy,
    SupervisorSpec,
)
from pulsing.actor.supervisor_core import SupervisorCore
from pulsing.actor.supervisor_events import (
    ChildAdded,
    ChildEnded,
    ChildGone,
    ChildStarted,
    ChildStopped,
    EndChild,
    Escalate,
    ReportStopped,
    StartChild,
    StartFailed,
    StopAsked,
    StopChild,
)

ROWS = json.loads((Path(__file__).parent / "erlang" / "traces.json").read_text())

POLICIES = {
    "permanent": RestartPolicy.ALWAYS,
    "transient": RestartPolicy.ON_FAILURE,
    "temporary": RestartPolicy.NEVER,
}
REASONS = {
    "normal": ExitReason.NORMAL,
    "error": ExitReason.ERROR,
    "killed": ExitReason.KILLED,
}


class Worker:
    """Starts and stops at once, unless this start is one that fails."""

    def __init__(self, world, tree, parent):
        _, self.name, self.restart, self.fails = tree
        self.world, self.parent = world, parent
        self.runs = False

    def start(self, done):
        self.world.starts[self.name] += 1
        ok = self.world.starts[self.name] not in self.fails
        self.runs = ok
        self.world.note("start" if ok else "start_failed", self.name)
        self.world.later(done, ok)

    def stop(self, done):
        if self.runs:
            self.world.note("stop", self.name)
        self.runs = False
        self.world.later(done)


class Supervisor:
    """A core, and the children it decides about."""

    def __init__(self, world, tree, parent):
        _, self.name, self.restart, strategy, intensity, period, children = tree
        self.world, self.parent = world, parent
        self.spec = SupervisorSpec(Strategy(strategy), Budget(intensity, period))
        self.children = {each[1]: world.make(each, self) for each in children}
        self.core = None
        self.stopped = None

    def start(self, done):
        self.world.note("start", self.name)
        self.core = SupervisorCore(self.spec, random.Random(1))
        self.stopped = None
        waiting = deque(self.children.values())

        def started(ok):
            if not ok:
                self.stop(lambda: done(False))
                return
            child = waiting.popleft()
            spec = ChildSpec(policy=POLICIES[child.restart], min_backoff_s=0, max_backoff_s=0)
            self.tell(ChildAdded(child.name, spec))
            go_on()

        def go_on():
            if waiting:
                waiting[0].start(started)
            else:
                self.world.later(done, True)

        go_on()

    def stop(self, done):
        if self.core is None:
            self.world.later(done)
            return
        self.stopped = done
        self.tell(StopAsked())

    def tell(self, stimulus):
        if self.core is None:
            return
        for effect in self.core.handle(stimulus, now=self.world.now):
            self.do(effect)

    def do(self, effect):
        match effect:
            case StartChild(name):
                self.children[name].start(
                    lambda ok: self.tell(ChildStarted(name) if ok else StartFailed(name))
                )
            case StopChild(name):
                self.children[name].stop(lambda: self.tell(ChildStopped(name)))
            case EndChild(name):
                self.children[name].stop(lambda: self.tell(ChildGone(name)))
            case ReportStopped():
                self.core = None
                self.stopped()
            case Escalate():
                self.core = None
                self.world.later(lambda: self.world.ended(self, ExitReason.ERROR))


class World:
    def __init__(self, tree):
        self.now = 0.0
        self.trace = []
        self.starts = Counter()
        self.nodes = {}
        self.todo = deque()
        self.root = self.make(tree, None)

    def make(self, tree, parent):
        node = (Worker if tree[0] == "worker" else Supervisor)(self, tree, parent)
        self.nodes[node.name] = node
        return node

    def note(self, what, name):
        self.trace.append([what, name])

    def later(self, function, *arguments):
        self.todo.append((function, arguments))

    def settle(self):
        while self.todo:
            function, arguments = self.todo.popleft()
            function(*arguments)

    def ended(self, node, reason):
        if node.parent is None:
            self.note("gave_up", node.name)
        else:
            node.parent.tell(ChildEnded(node.name, reason))

    def gone(self, _ok=False):
        self.note("gave_up", self.root.name)

    def play(self, events):
        self.root.start(lambda ok: None if ok else self.gone())
        self.settle()
        for event in events:
            match event:
                case ["exits", ends]:
                    for name, reason in ends:
                        self.note("exit", name)
                        self.nodes[name].runs = False
                        self.later(self.ended, self.nodes[name], REASONS[reason])
                case ["sleep", ms]:
                    self.now += ms / 1000
                case ["stop_child", parent, name]:
                    self.note("stop_asked", name)
                    supervisor = self.nodes[parent]
                    self.nodes[name].stop(lambda s=supervisor, n=name: s.tell(ChildGone(n)))
                case ["stop_all"]:
                    self.note("stop_asked", self.root.name)
                    self.root.stop(self.gone)
            self.settle()
        return self.trace


@pytest.mark.parametrize("row", ROWS, ids=[each["name"] for each in ROWS])
def test_what_happens_is_what_happens_in_erlang(row):
    assert World(row["tree"]).play(row["events"]) == row["trace"]


def test_there_are_enough_scenarios():
    assert len(ROWS) >= 60
    assert len({each["name"] for each in ROWS}) == len(ROWS)
