import functools
import inspect

import pytest

from pulsing.actor.methods import Executor, MethodKind, MethodTable


def passing_through(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def collecting(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return list(function(*args, **kwargs))

    return wrapper


class Base:
    def inherited(self):
        """From the base."""
        return "inherited"

    def replaced(self):
        return "base"


class Thing(Base):
    declared: int
    constant = 3
    __slots__ = ("slotted",)

    def __init__(self):
        self.value, self.other = 1, 2
        self._hidden = 3

    def sync(self, n: int = 1) -> int:
        """Adds."""
        return n

    async def asynchronous(self): ...

    async def agen(self):
        yield 1

    def gen(self):
        yield 1

    def replaced(self):
        self.value += 1
        return "thing"

    @passing_through
    async def wrapped(self, q): ...

    @passing_through
    async def wrapped_stream(self):
        yield 1

    @collecting
    def collected(self):
        yield 1

    @staticmethod
    def static(a):
        return a

    @classmethod
    async def of_class(cls, a):
        return cls, a

    partial = functools.partialmethod(sync, 5)

    @functools.lru_cache  # noqa: B019
    def cached(self, key):
        return key

    @property
    def prop(self):
        return 1

    @functools.cached_property
    def lazy(self):
        return 1

    class Nested:
        pass

    def _private(self): ...

    def __dunder__(self): ...

    def on_start(self): ...

    def on_stop(self): ...

    def metadata(self): ...

    async def receive(self, msg): ...


TABLE = MethodTable.of(Thing)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sync", MethodKind.SYNC),
        ("asynchronous", MethodKind.ASYNC),
        ("agen", MethodKind.ASYNC_GEN),
        ("gen", MethodKind.SYNC_GEN),
        ("inherited", MethodKind.SYNC),
        ("replaced", MethodKind.SYNC),
        ("wrapped", MethodKind.ASYNC),
        ("wrapped_stream", MethodKind.ASYNC_GEN),
        ("collected", MethodKind.SYNC),
        ("static", MethodKind.SYNC),
        ("of_class", MethodKind.ASYNC),
        ("partial", MethodKind.SYNC),
        ("cached", MethodKind.SYNC),
    ],
)
def test_every_kind_of_method_is_recognised(name, kind):
    method = TABLE.get(name)
    assert method is not None
    assert method.kind is kind
    on_loop = kind in {MethodKind.ASYNC, MethodKind.ASYNC_GEN}
    assert method.executor is (Executor.LOOP if on_loop else Executor.THREAD)


def test_these_are_all_methods():
    assert set(TABLE.names) == {
        "sync", "asynchronous", "agen", "gen", "inherited", "replaced", "wrapped", "wrapped_stream",
        "collected", "static", "of_class", "partial", "cached",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["_private", "__init__", "__dunder__", "on_start", "on_stop", "metadata", "receive", "nothing"],
)
def test_private_names_and_hooks_cannot_be_called(name):
    assert TABLE.get(name) is None


def test_receive_is_found_on_its_own():
    assert TABLE.receive is not None
    assert TABLE.receive.kind is MethodKind.ASYNC
    assert MethodTable.of(Base).receive is None


def test_attributes_are_what_the_source_declares_or_stores():
    assert TABLE.attributes == {
        "declared", "constant", "value", "other", "prop", "lazy", "slotted",
    }  # fmt: skip


def test_the_function_of_every_method_takes_the_instance():
    thing = Thing()
    expected = {
        "sync": ((2,), 2),
        "inherited": ((), "inherited"),
        "replaced": ((), "thing"),
        "collected": ((), [1]),
        "static": ((7,), 7),
        "partial": ((), 5),
        "cached": ((7,), 7),
    }
    for name, (args, result) in expected.items():
        method = TABLE.get(name)
        assert method is not None
        assert method.function(thing, *args) == result


async def test_a_class_method_gets_the_class():
    method = TABLE.get("of_class")
    assert method is not None
    assert await method.function(Thing(), 1) == (Thing, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sync", "(n: int = 1) -> int"),
        ("inherited", "()"),
        ("wrapped", "(q)"),
        ("static", "(a)"),
        ("of_class", "(a)"),
        ("cached", "(key)"),
    ],
)
def test_the_signature_is_what_a_caller_sees(name, text):
    method = TABLE.get(name)
    assert method is not None
    assert method.signature_text == text
    assert isinstance(method.signature, inspect.Signature)


def test_docstrings_are_kept():
    sync, inherited, gen = TABLE.get("sync"), TABLE.get("inherited"), TABLE.get("gen")
    assert sync is not None
    assert inherited is not None
    assert gen is not None
    assert (sync.doc, inherited.doc, gen.doc) == ("Adds.", "From the base.", "")


def test_a_table_is_made_once_per_class_and_executor():
    assert MethodTable.of(Thing) is TABLE
    inline = MethodTable.of(Thing, Executor.LOOP)
    assert inline is not TABLE
    method = inline.get("sync")
    assert method is not None
    assert method.executor is Executor.LOOP


def test_a_subclass_has_its_own_table():
    class Child(Thing):
        inherited = None  # type: ignore[assignment]

        def more(self): ...

    table = MethodTable.of(Child)
    assert table is not TABLE
    assert "more" in table.names
    assert "inherited" not in table.names
    assert "inherited" in table.attributes


def test_a_class_in_c_has_a_table_too():
    table = MethodTable.of(dict)
    method = table.get("get")
    assert method is not None
    assert method.function({1: 2}, 1) == 2
