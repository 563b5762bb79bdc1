import inspect

import pytest

import pulsing as pul
from pulsing.actor.describe import ActorDescription, parse_signature
from pulsing.testing import pulsing_system


@pytest.mark.parametrize(
    "text",
    [
        "()",
        "(n: int = 1) -> int",
        "(a, /, b, *args, c=None, d: str, **kwargs)",
        "(x=[1, 2], y={'a': 1}, *, z=-1)",
        "(a: list[int] | None = None) -> dict[str, int]",
    ],
)
def test_a_signature_reads_as_it_was_written(text):
    assert str(parse_signature(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "(a=<object at 0x1>)", "(" * 5000, "(a, a)", "(): 1\ndef g()", "(a=1, b)"],
)
def test_what_is_no_signature_is_shown_as_anything(text):
    assert str(parse_signature(text)) == "(*args, **kwargs)"


def test_nothing_in_a_signature_is_run():
    signature = parse_signature("(a=__import__('os').abort()) -> exit()")
    assert repr(signature.parameters["a"].default) == "__import__('os').abort()"
    assert signature.return_annotation == "exit()"
    assert isinstance(signature, inspect.Signature)


class Plain:
    """Its description."""

    def __init__(self):
        self.value = 1

    async def stream(self, n: int = 3):
        """Yields."""
        for number in range(n):
            yield number


async def test_a_description_survives_a_round_trip():
    async with pulsing_system() as system:
        ref = await pul.spawn(Plain(), name="plain")
        cell = system.find_cell("actors/plain")
        assert cell is not None
        description = ActorDescription.from_dict(system.describe(cell))
        assert description.actor_id == ref.actor_id
        assert description.class_name.endswith(".Plain")
        assert description.names == ("stream",)
        assert description.attributes == {"value"}
        assert not description.receives
        stream = description.get("stream")
        assert stream is not None
        assert stream.kind.streams
        assert str(stream.signature) == "(n: int = 3)"
        assert stream.doc == "Yields."
        assert description.get("nothing") is None


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        {},
        {"actor_id": "x", "class": "C", "methods": [], "attributes": []},
        {
            "actor_id": "0" * 32 + "/1",
            "class": "C",
            "methods": [["a", "no kind", "()", ""]],
            "attributes": [],
            "receives": False,
            "metadata": {},
        },
    ],
)
def test_a_description_that_makes_no_sense_is_a_wire_error(data):
    with pytest.raises(pul.WireError, match="makes no sense"):
        ActorDescription.from_dict(data)
