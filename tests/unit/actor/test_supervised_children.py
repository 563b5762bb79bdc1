"""Parents that look after their children: who is restarted with whom, and when the parent fails."""

import asyncio

import pytest

import pulsing as pul
from pulsing.actor.exits import ExitReason
from pulsing.actor.lifecycle import CellState
from pulsing.errors import ActorStopped, PulsingSystemError
from pulsing.testing import pulsing_system
from tests.unit.actor.crashing import Crashed

NAMES = ("a", "b", "c")


class Child:
    def __init__(self, name, log):
        self.name, self.log = name, log

    async def on_start(self, actor_id):
        self.log.append(f"start {self.name}")

    async def on_stop(self):
        self.log.append(f"stop {self.name}")

    async def fail(self):
        raise Crashed(self.name)

    async def lives(self):
        return self.name

    async def end(self):
        pul.current().stop()


class Parent:
    def __init__(self, log, child=Child):
        self.log, self.child = log, child
        self.children = {}

    async def on_start(self, actor_id):
        self.log.append("start parent")
        for name in NAMES:
            owner = pul.remote(self.child) if isinstance(self.child, type) else self.child(name)
            self.children[name] = await pul.current().spawn(owner, name, self.log, name=name)

    async def on_stop(self):
        self.log.append("stop parent")

    async def get(self, name):
        return self.children[name]


AT_ONCE = {"restart_policy": "on_failure", "min_backoff": 0.0, "max_backoff": 0.0}


def child_with(**options):
    return lambda _name: pul.remote(**{**AT_ONCE, **options})(type("Child", (Child,), {}))


def parent_with(owner=Parent, **options):
    return pul.remote(**options)(type("Parent", (owner,), {}))


async def fail(proxy):
    with pytest.raises(Crashed):
        await proxy.fail()


async def family(log, strategy="one_for_one", child=None, **options):
    child = child or child_with()
    declared = pul.supervisor(strategy, **options)
    parent = await parent_with(supervisor=declared).options(name="parent").spawn(log, child)
    return parent, {name: await parent.get(name) for name in NAMES}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["stop b", "start b"]),
        ("one_for_all", ["stop b", "stop c", "stop a", "start a", "start b", "start c"]),
        ("rest_for_one", ["stop b", "stop c", "start b", "start c"]),
    ],
)
async def test_a_strategy_says_who_is_restarted_and_in_which_order(strategy, expected, until):
    async with pulsing_system():
        log = []
        _, children = await family(log, strategy)
        log.clear()
        await fail(children["b"])
        await until(lambda: log == expected)
        assert [await children[name].lives() for name in NAMES] == list(NAMES)
        assert log == expected


async def test_children_of_a_parent_that_supervises_are_restarted_by_default(until):
    async with pulsing_system() as system:
        log = []
        _, children = await family(log, child=Child)
        cell = system.numbered(children["a"].actor_id.local)
        await fail(children["a"])
        await until(lambda: cell.state is CellState.RUNNING)
        assert log[-2:] == ["stop a", "start a"]


async def test_children_of_a_parent_that_says_nothing_are_not():
    async with pulsing_system():
        log = []
        parent = await parent_with().spawn(log)
        child = await parent.get("a")
        await fail(child)
        assert await child.lives() == "a"
        assert log.count("start a") == 1


async def test_a_child_of_its_own_policy_keeps_to_its_own_budget_when_the_parent_says_nothing():
    async with pulsing_system():
        log = []
        parent = await parent_with().spawn(log, child_with(max_restarts=1))
        child, other = await parent.get("a"), await parent.get("b")
        event = pul.watch(child)
        await fail(child)
        await fail(child)
        assert (await event).reason is ExitReason.ERROR
        assert await other.lives() == "b"


async def test_a_budget_used_up_ends_the_children_and_fails_the_parent():
    async with pulsing_system() as system:
        log = []
        parent, children = await family(log, max_restarts=1)
        event, sibling = pul.watch(parent), pul.watch(children["a"])
        log.clear()
        await fail(children["b"])
        await fail(children["b"])
        ended = await event
        assert ended.reason is ExitReason.ERROR
        assert "the children of actors/parent failed more than 1 times" in ended.error
        assert (await sibling).reason is ExitReason.NORMAL
        assert log == ["stop b", "start b", "stop b", "stop c", "stop a", "stop parent"]
        assert system.named("actors/parent") is None


async def test_a_parent_that_failed_through_its_children_is_restarted_by_its_own_policy(until):
    async with pulsing_system():
        log = []
        declared = pul.supervisor("one_for_all", max_restarts=0)
        owner = parent_with(supervisor=declared, **AT_ONCE)
        parent = await owner.spawn(log, child_with())
        log.clear()
        await fail(await parent.get("a"))
        await until(lambda: log[-1:] == ["start c"])
        assert await (await parent.get("a")).lives() == "a"
        assert log == [
            "stop a", "stop c", "stop b", "stop parent",
            "start parent", "start a", "start b", "start c",
        ]  # fmt: skip


async def test_escalation_goes_up_from_parent_to_parent():
    class Grandparent:
        async def on_start(self, actor_id):
            owner = parent_with(supervisor=pul.supervisor(max_restarts=0))
            self.parent = await pul.current().spawn(owner, [], child_with())

        async def get(self):
            return self.parent

    async with pulsing_system():
        top = await pul.remote(supervisor=pul.supervisor(max_restarts=0))(Grandparent).spawn()
        event = pul.watch(top)
        await fail(await (await top.get()).get("c"))
        assert (await event).reason is ExitReason.ERROR


async def test_children_stop_with_a_parent_that_restarts_and_are_made_again():
    class Fails(Parent):
        async def fail(self):
            raise Crashed("parent")

    async with pulsing_system():
        log = []
        parent = await pul.remote(**AT_ONCE)(Fails).spawn(log)
        before = await parent.get("a")
        log.clear()
        await fail(parent)
        assert await (await parent.get("a")).lives() == "a", "the new parent answers"
        assert log == [
            "stop c", "stop b", "stop a", "stop parent",
            "start parent", "start a", "start b", "start c",
        ]  # fmt: skip
        with pytest.raises(ActorStopped):
            await before.lives()


async def test_a_child_that_never_restarts_is_gone_when_its_siblings_are_restarted(until):
    async with pulsing_system():
        log = []

        def child(name):
            policy = "never" if name == "a" else "on_failure"
            return child_with(restart_policy=policy)(name)

        _, children = await family(log, "one_for_all", child)
        event = pul.watch(children["a"])
        log.clear()
        await fail(children["c"])
        assert (await event).reason is ExitReason.NORMAL
        await until(lambda: log == ["stop c", "stop b", "stop a", "start b", "start c"])
        assert await children["b"].lives() == "b"


async def test_a_child_that_was_stopped_is_restarted_with_nobody(until):
    async with pulsing_system() as system:
        log = []
        _, children = await family(log, "one_for_all")
        await system.stop(children["b"])
        log.clear()
        await fail(children["a"])
        await until(lambda: log == ["stop a", "stop c", "start a", "start c"])


async def test_a_fatal_error_ends_the_child_alone():
    class Fatal(Child):
        async def fail(self):
            raise PulsingSystemError("gone", recoverable=False)

    async with pulsing_system():
        log = []
        _, children = await family(log, "one_for_all", lambda _name: pul.remote(**AT_ONCE)(Fatal))
        log.clear()
        event = pul.watch(children["a"])
        with pytest.raises(PulsingSystemError):
            await children["a"].fail()
        assert (await event).reason is ExitReason.ERROR
        assert await children["b"].lives() == "b"
        assert log == ["stop a"]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_stopping_a_parent_during_a_restart_of_its_children_ends_all(strategy):
    async with pulsing_system() as system:
        log = []
        slow = child_with(min_backoff=30.0, max_backoff=30.0)
        parent, children = await family(log, strategy, slow)
        await fail(children["b"])
        async with asyncio.timeout(3):
            await system.stop(parent)
        assert system.actor_count == 0
        assert sorted(each for each in log if each.startswith("stop")) == [
            "stop a", "stop b", "stop c", "stop parent",
        ]  # fmt: skip


async def test_all_children_failing_at_once_under_one_for_all_all_come_back(until):
    async with pulsing_system() as system:
        log = []
        _, children = await family(log, "one_for_all", max_restarts=9)
        for _ in range(3):
            failures = [asyncio.ensure_future(fail(each)) for each in children.values()]
            await asyncio.gather(*failures, return_exceptions=True)
            assert [await children[name].lives() for name in NAMES] == list(NAMES)
        assert system.actor_count == 4
