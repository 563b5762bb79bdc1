"""References that know which messages their actor takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

import pulsing as pul
from pulsing.actor.travel import _unpack_typed  # pyright: ignore[reportPrivateUsage]
from tests.integration import nodes

T = TypeVar("T")


@dataclass
class Question:
    text: str


@dataclass
class Answer:
    text: str


@dataclass
class Give:
    """Asks for a reference."""


Message = Question | Give


def answering(
    asked: list[str], msg: Message, ctx: pul.BehaviorContext[Message]
) -> pul.BehaviorAction | None:
    match msg:
        case Question(text):
            asked.append(text)
            ctx.reply(Answer(text.upper()))
        case Give():
            ctx.reply(ctx.self_ref)
    return None


async def test_a_wrong_message_is_refused_before_anything_is_sent() -> None:
    async with nodes.system() as system:
        ref = await system.spawn(pul.stateful([], answering), name="oracle")
        for send in (ref.ask, ref.tell):
            with pytest.raises(
                TypeError,
                match=r"actors/oracle takes Question \| Give, not Answer: Answer.* was not sent",
            ):
                send(Answer("x"))  # type: ignore[arg-type]
        assert await ref.ask(Question("x")) == Answer("X")
        long = Answer("x" * 1000)
        with pytest.raises(TypeError, match=r"x\.\.\. was not sent"):
            ref.tell(long)  # type: ignore[arg-type]


async def test_any_reference_can_be_made_a_typed_one() -> None:
    async with nodes.system() as system:
        await system.spawn(pul.stateful([], answering), name="oracle")
        plain = await system.resolve("oracle")
        by_brackets = pul.TypedRef[Question | Give](plain)
        by_classes: pul.TypedRef[Question | Give] = pul.TypedRef(plain, Question, Give)
        for ref in (by_brackets, by_classes, by_classes.with_key("k")):
            assert ref == plain
            assert hash(ref) == hash(plain)
            assert await ref.ask(Question("a")) == Answer("A")
            with pytest.raises(TypeError, match=r"takes Question \| Give"):
                ref.tell("a")  # type: ignore[arg-type]
            assert "TypedRef[Question | Give]" in repr(ref)
        for unchecked in (pul.TypedRef[Any](plain), pul.TypedRef[T](plain), pul.TypedRef(plain)):
            assert unchecked.accepts is None
            with pytest.raises(pul.PulsingUnsupportedError):
                await unchecked.ask("a")
            assert "TypedRef[Any]" in repr(unchecked)
        assert by_brackets.untyped == plain
        assert isinstance(by_brackets.untyped, pul.ActorRef)
        assert by_brackets.actor_id == plain.actor_id
        assert by_brackets.address == plain.address
        assert by_brackets.name == "actors/oracle"


async def test_it_is_checked_at_another_node_and_works_where_it_lands() -> None:
    class Holder:
        async def take(self, ref: Any) -> Any:
            with pytest.raises(TypeError, match="was not sent"):
                ref.tell("wrong")
            return repr(ref).split(" actors")[0], await ref.ask(Question("there"))

    async with nodes.system("127.0.0.1:0") as host, nodes.system("127.0.0.1:0") as other:
        ref = await host.spawn(pul.stateful([], answering), name="oracle")
        holder = await other.spawn(Holder(), name="holder")
        assert holder.name is not None
        far_holder = await host.resolve(f"actor://{other.addr}/{holder.name.split('/')[1]}")
        assert await far_holder.take(ref) == ("<TypedRef[Question | Give]", Answer("THERE"))
        far = pul.TypedRef[Message](await other.resolve(f"actor://{host.addr}/oracle"))
        back = await far.ask(Give())
        assert isinstance(back, pul.TypedRef)
        assert back == far
        assert await back.ask(Question("b")) == Answer("B")


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        {},
        [],
        [1],
        [None, None],
        [[], []],
        ["a", "b", "c", "d", 5, []],
        ["x", [], 1],
        ["a", "b", "c", "d", ["builtins:int"] * 1000, []],
    ],
    ids=lambda each: repr(each)[:30],
)
async def test_what_arrives_as_a_typed_reference_is_checked(hostile: Any) -> None:
    async with nodes.system("127.0.0.1:0") as system:
        ref = await system.spawn(pul.stateful([], answering))
        place = [str(ref.actor_id), system.addr, None, "x"]
        assert _unpack_typed([*place, ["nowhere:Unknown"], []], system).accepts is None
        assert _unpack_typed([*place, [5], []], system).accepts is None
        assert _unpack_typed([*place, None, []], system).accepts is None
        known = _unpack_typed([*place, [], ["a"]], system).accepts
        assert known is not None
        assert known.allows("a")
        with pytest.raises(pul.WireError):
            _unpack_typed(hostile, system)


async def test_it_cannot_be_pickled() -> None:
    import pickle

    async with nodes.system() as system:
        ref = await system.spawn(pul.stateful([], answering))
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(ref)
