"""``executor="process"`` that cannot be: it is refused at once, with what to do instead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pulsing as pul
from pulsing.actor.main_guard import running_main_again
from pulsing.actor.methods import Executor, MethodKind, MethodTable
from pulsing.actor.process_start import ClassSource
from pulsing.actor.stand_in import has_async_code, stand_in_of
from pulsing.testing import pulsing_system


@pul.remote(executor="process")
class Model:
    """Computes."""

    def __init__(self) -> None:
        self.size = 1

    def run(self, number: int, *, twice: bool = False) -> int:
        """Run once."""
        return number * (2 if twice else 1)

    def stream(self) -> Any:
        """Say little."""
        yield 1

    @staticmethod
    def fixed(number: int) -> int:
        return number


@pul.remote(executor="process")
class Plain:
    """Has ``def`` methods only."""

    def run(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"A": 1}, "names and values are texts"),
        ({1: "a"}, "names and values are texts"),
        ({"": "a"}, "no environment can hold"),
        ({"A=B": "a"}, "no environment can hold"),
        ({"A": "\0"}, "no environment can hold"),
        ("A=1", "maps names of variables"),
    ],
)
def test_an_environment_that_cannot_be_is_refused(env: Any, problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        Model.options(env=env)


async def test_an_environment_without_a_process_is_refused() -> None:
    async with pulsing_system() as system:
        with pytest.raises(ValueError, match="add executor='process'"):
            await Model.options(executor="thread", env={"A": "1"}, system=system).spawn()


async def test_an_instance_stays_where_it_is() -> None:
    async with pulsing_system() as system:
        with pytest.raises(pul.PulsingUnsupportedError, match="spawn the class"):
            await system.spawn(Model(), name="m")
        with pytest.raises(pul.PulsingUnsupportedError, match="spawn the class"):
            system.mount(Model(), name="m")
        ref = await system.spawn(Model(), name="m", executor="thread")
        assert await ref.run(2) == 2


async def test_a_class_that_no_other_process_can_find_is_refused() -> None:
    @pul.remote(executor="process")
    class Inner:
        """Made inside a function."""

    async with pulsing_system() as system:
        with pytest.raises(pul.PulsingUnsupportedError, match="move the class to the top"):
            await Inner.spawn(name="i", system=system)
        assert system.actors() == []


async def test_an_argument_that_cannot_travel_is_refused() -> None:
    async with pulsing_system() as system:
        with pytest.raises(pul.WireError):
            await Model.options(system=system).spawn(asyncio.get_running_loop())


def test_a_single_method_has_no_process() -> None:
    with pytest.raises(ValueError, match="not for single methods"):
        pul.method(executor="process")


async def test_no_node_starts_while_a_script_is_run_again() -> None:
    with running_main_again(), pytest.raises(RuntimeError, match="__main__"):
        await pul.actor_system()


def test_a_stand_in_looks_like_what_it_stands_for() -> None:
    made = stand_in_of(Model)
    assert made is stand_in_of(Model)
    table = MethodTable.of(made, Executor.PROCESS)
    assert table.names == ("fixed", "run", "stream")
    run = table.get("run")
    assert run is not None
    assert run.signature_text == "(number: 'int', *, twice: 'bool' = False) -> 'int'"
    assert run.doc == "Run once."
    stream = table.get("stream")
    assert stream is not None
    assert stream.kind is MethodKind.ASYNC_GEN
    assert "size" in table.attributes
    assert (made.__name__, made.__module__) == (Model.__name__, Model.__module__)


def test_only_a_class_with_async_code_or_streams_is_sent_many_calls_ahead() -> None:
    assert has_async_code(Model)
    assert not has_async_code(Plain)


def test_a_class_is_found_by_its_file_where_its_module_is_on_no_path() -> None:
    source = ClassSource.of(Model)
    assert source.name == f"{__name__}:Model"
    assert source.path == __file__
    assert source.load() is Model
