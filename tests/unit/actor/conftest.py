"""The actor runtime without a system: a dispatcher, cells, and something like a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools

import pytest

from pulsing.actor import lifecycle
from pulsing.actor.call import Call, Tell
from pulsing.actor.cell import Cell, CellOptions
from pulsing.actor.dispatcher import Dispatcher
from pulsing.actor.local import LocalTarget
from pulsing.actor.methods import Executor, MethodTable
from pulsing.ids import ActorId

NODE = "0123456789abcdef" * 2


class Handle:
    """``await actor.method(1)``, ``actor.method.tell(1)``."""

    def __init__(self, target, name):
        self.target, self.name = target, name

    def __call__(self, *args, **kwargs):
        return Call(self.target, self.name, args, kwargs)

    def tell(self, *args, **kwargs):
        return Tell(self.target, self.name, args, kwargs)


class Actor:
    def __init__(self, cell):
        self.cell = cell
        self.target = LocalTarget(cell)

    def __getattr__(self, name):
        return Handle(self.target, name)


class Runtime:
    def __init__(self, **options):
        self.dispatcher = Dispatcher(asyncio.get_running_loop(), host=self, **options)
        self.cells = []
        self.numbers = itertools.count(1)

    def cell(self, instance, name="thing", **options):
        executor = options.get("executor", Executor.THREAD)
        cell = Cell(
            instance,
            MethodTable.of(type(instance), executor),
            actor_id=ActorId(NODE, next(self.numbers)),
            name=name,
            options=CellOptions(**options),
            dispatcher=self.dispatcher,
        )
        self.cells.append(cell)
        return cell

    async def spawn(self, instance, name="thing", **options):
        cell = self.cell(instance, name, **options)
        await lifecycle.start(cell)
        return Actor(cell)

    def reference(self, whom):
        return ("reference", whom)


@contextlib.asynccontextmanager
async def running(**options):
    runtime = Runtime(**options)
    try:
        yield runtime
    finally:
        for cell in runtime.cells:
            await cell.stop()
        await runtime.dispatcher.close()
        assert runtime.dispatcher.runner_count == 0
        assert runtime.dispatcher.threads.count == 0
        assert len(runtime.dispatcher.deadlines) == 0


async def until(condition, seconds=5.0):
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)  # not 0: threads want the interpreter too


@pytest.fixture
def runtime():
    """``async with runtime() as r: actor = await r.spawn(instance)``."""
    return running


@pytest.fixture(name="until")
def until_fixture():
    """``await until(condition)``."""
    return until


@pytest.fixture
def with_runtime(loop_factory):
    """Decorates an async function: it is run at once, on the loop of this test."""

    def run(scenario):
        @functools.wraps(scenario)
        async def main():
            async with running() as r:
                return await scenario(r)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    return run
