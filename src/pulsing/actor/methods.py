"""What a class offers as an actor: its callable methods and its readable attributes.

A class is inspected once and the result is cached in it. Public names only: a leading underscore,
a hook (``on_start``) or ``receive`` can never be called by name from outside.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from types import CodeType, FunctionType
from typing import Any, ClassVar, Final, cast

_AnyFunction = Callable[..., Any]

HOOKS: Final = frozenset(
    {"on_start", "on_stop", "on_restart", "metadata", "receive", "on_terminated"}
)
"""Names the runtime calls on an actor. They are never remote methods."""

STATE_HOOKS: Final = frozenset({"snapshot", "restore"})
"""Hooks of a class that has both; one of them alone is a method like any other."""

PART_OF_PULSING: Final = "__pulsing_part__"
"""Marks what Pulsing itself puts into a class (``spawn``): not methods of the actor."""

DECLARED: Final = "__pulsing_declared__"
"""Where ``@pul.method`` keeps its `Declaration` on the descriptor it makes."""

_CACHE: Final = "__pulsing_tables__"


class MethodKind(Enum):
    """How a method runs and what a call of it gives."""

    ASYNC = "async"
    """``async def``: on the loop, one result."""
    SYNC = "sync"
    """``def``: exclusive within its actor, one result."""
    ASYNC_GEN = "async_gen"
    """``async def`` with ``yield``: on the loop, a stream."""
    SYNC_GEN = "sync_gen"
    """``def`` with ``yield``: a stream, exclusive step by step."""

    @property
    def streams(self) -> bool:
        """Whether a call gives a stream of items instead of one result."""
        return self in _STREAMS


_STREAMS: Final = frozenset({MethodKind.ASYNC_GEN, MethodKind.SYNC_GEN})
_ON_LOOP: Final = frozenset({MethodKind.ASYNC, MethodKind.ASYNC_GEN})


class Executor(Enum):
    """Where the code of ``def`` methods runs."""

    LOOP = "loop"
    """Inline on the event loop: for methods of microseconds."""
    THREAD = "thread"
    """In a worker thread: blocking is fine."""
    PROCESS = "process"
    """In a process of the actor's own, with all of its code; there in a worker thread."""


class Declaration:
    """What ``@pul.method`` was told about one method. ``None`` leaves it to the actor's options."""

    __slots__ = ("executor", "function", "retries", "stream_buffer")

    def __init__(
        self,
        function: _AnyFunction,
        executor: Executor | None,
        stream_buffer: int | None,
        retries: int = 0,
    ) -> None:
        self.function = function
        self.executor = executor
        self.stream_buffer = stream_buffer
        self.retries = retries


class Method:
    """One method that can be called by name.

    Attributes:
        name: the name it is called by.
        kind: how it runs.
        executor: where it runs; always `Executor.LOOP` for async kinds.
        stream_buffer: items a stream of it may be ahead of its consumer; ``None``: the actor's.
        retries: how often a call of it is repeated at most; 0 unless it is idempotent.
        function: called as ``function(instance, *args, **kwargs)``, whatever kind of descriptor
            the class holds.
    """

    __slots__ = (
        "_owner",
        "_raw",
        "_signature",
        "executor",
        "function",
        "kind",
        "name",
        "retries",
        "stream_buffer",
    )

    def __init__(self, owner: type, name: str, raw: object, executor: Executor) -> None:
        declaration = cast("Declaration | None", getattr(raw, DECLARED, None))
        self.stream_buffer: int | None = None
        self.retries = 0
        if declaration is not None:
            raw = declaration.function
            executor = declaration.executor or executor
            self.stream_buffer = declaration.stream_buffer
            self.retries = declaration.retries
        self.name = name
        self.kind = _kind(raw)
        self.executor = Executor.LOOP if self.kind in _ON_LOOP else executor
        self.function = raw if isinstance(raw, FunctionType) else _caller(name)
        self._owner = owner
        self._raw = raw
        self._signature: inspect.Signature | None = None

    def __repr__(self) -> str:
        return f"<Method {self._owner.__name__}.{self.name}{self.signature_text} {self.kind.value}>"

    @property
    def signature(self) -> inspect.Signature:
        """The signature a caller sees: without ``self``."""
        if self._signature is None:
            self._signature = _signature(self._owner, self.name, self._raw)
        return self._signature

    @property
    def signature_text(self) -> str:
        """The signature as source text, as ``(n: int = 1) -> int``."""
        return str(self.signature)

    @property
    def doc(self) -> str:
        """The docstring, cleaned; empty when there is none."""
        target = self._raw if isinstance(self._raw, FunctionType) else _lookup(self)
        return inspect.getdoc(target) or ""


class MethodTable:
    """Everything a class offers by name. Made by `MethodTable.of`, shared by all its actors.

    Attributes:
        owner: the class.
        get: the `Method` of a name, or None. Hot path: a bound ``dict.get``.
        receive: the ``receive`` method of a message-style actor, or None.
    """

    __slots__ = ("_attributes", "_methods", "get", "owner", "receive")

    DEFAULT_EXECUTOR: ClassVar = Executor.THREAD

    def __init__(self, owner: type, executor: Executor) -> None:
        self.owner = owner
        self._methods = dict(_find_methods(owner, executor))
        self._attributes: frozenset[str] | None = None
        self.get: Callable[[str], Method | None] = self._methods.get
        receive = inspect.getattr_static(owner, "receive", None)
        self.receive = Method(owner, "receive", receive, executor) if receive is not None else None

    @classmethod
    def of(cls, owner: type, executor: Executor = DEFAULT_EXECUTOR) -> MethodTable:
        """The table of a class; inspected once per class and executor."""
        tables = cast("dict[Executor, MethodTable] | None", owner.__dict__.get(_CACHE))
        if tables is None:
            tables = {}
            try:
                setattr(owner, _CACHE, tables)
            except (AttributeError, TypeError):
                return cls(owner, executor)  # a class in C: nowhere to keep it
        table = tables.get(executor)
        if table is None:
            table = tables[executor] = cls(owner, executor)
        return table

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all methods, sorted."""
        return tuple(sorted(self._methods))

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods, sorted by name."""
        return tuple(self._methods[name] for name in sorted(self._methods))

    @property
    def attributes(self) -> frozenset[str]:
        """Names that ``await proxy.name`` reads, as far as the source tells.

        Annotations, properties, class attributes, slots, and what methods store on ``self``.
        """
        if self._attributes is None:
            found = frozenset(_find_attributes(self.owner))
            self._attributes = found - self._methods.keys() - hooks_of(self.owner)
        return self._attributes


def is_part_of_pulsing(raw: object) -> bool:
    """Whether Pulsing itself put this into a class."""
    return hasattr(_unbound(raw), PART_OF_PULSING)


def _public(name: str) -> bool:
    return not name.startswith("_")


def hooks_of(owner: type) -> frozenset[str]:
    """The names that the runtime calls on actors of a class, as far as the class has them."""
    return HOOKS | STATE_HOOKS if keeps_state(owner) else HOOKS


def keeps_state(owner: type) -> bool:
    """Whether what ``snapshot`` of an instance gives goes to ``restore`` of the next one."""
    return all(callable(getattr(owner, name, None)) for name in STATE_HOOKS)


def _find_methods(owner: type, executor: Executor) -> Iterator[tuple[str, Method]]:
    hooks = hooks_of(owner)
    seen: set[str] = set()
    for base in owner.__mro__:
        if base is object:
            continue
        for name, raw in base.__dict__.items():
            if name in seen:
                continue
            seen.add(name)
            if _public(name) and name not in hooks and _is_method(raw):
                yield name, Method(owner, name, raw, executor)


def _is_method(raw: object) -> bool:
    if is_part_of_pulsing(raw) or isinstance(raw, type):
        return False
    if isinstance(raw, functools.partialmethod | functools.singledispatchmethod):
        return True
    return hasattr(raw, DECLARED) or callable(raw) or isinstance(raw, staticmethod | classmethod)


def _kind(raw: object) -> MethodKind:
    function = _unbound(raw)
    kind = _kind_of_function(function)
    if kind is MethodKind.SYNC and isinstance(function, FunctionType):
        # A wrapper that passes a coroutine or an async generator through, as most decorators do.
        wrapped = inspect.unwrap(function)
        if wrapped is not function and (under := _kind_of_function(wrapped)) in _ON_LOOP:
            return under
    return kind


def _kind_of_function(function: object) -> MethodKind:
    if inspect.iscoroutinefunction(function):
        return MethodKind.ASYNC
    if inspect.isasyncgenfunction(function):
        return MethodKind.ASYNC_GEN
    if inspect.isgeneratorfunction(function):
        return MethodKind.SYNC_GEN
    return MethodKind.SYNC


def _unbound(raw: object) -> object:
    """The function inside the descriptors of the standard library."""
    while True:
        if isinstance(raw, staticmethod | classmethod):
            raw = cast("object", raw.__func__)
        elif isinstance(raw, _HOLDERS):
            raw = cast("object", raw.func)
        else:
            return raw


_HOLDERS: Final = (functools.partialmethod, functools.partial, functools.singledispatchmethod)


def _caller(name: str) -> _AnyFunction:
    """Calls what ``getattr`` gives: for class methods, static methods and foreign descriptors."""

    def call(instance: object, /, *args: object, **kwargs: object) -> object:
        return getattr(instance, name)(*args, **kwargs)

    return call


def _lookup(method: Method) -> object:
    return _unbound(method._raw)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _signature(owner: type, name: str, raw: object) -> inspect.Signature:
    try:
        if isinstance(raw, staticmethod | classmethod):
            return inspect.signature(cast("_AnyFunction", getattr(owner, name)))
        bind = cast("Callable[[object, type], object] | None", getattr(raw, "__get__", None))
        target = raw if bind is None else bind(object(), owner)
        return inspect.signature(cast("_AnyFunction", target))
    except (TypeError, ValueError):
        return _ANYTHING  # code in C without a signature


_ANYTHING: Final = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def _find_attributes(owner: type) -> Iterator[str]:
    for base in owner.__mro__:
        if base is object:
            continue
        yield from filter(_public, inspect.get_annotations(base))
        for name, raw in base.__dict__.items():
            for code in _codes(raw):
                yield from filter(_public, _stored_on_self(code))
            ours = is_part_of_pulsing(raw)
            if _public(name) and not (ours or isinstance(raw, type) or _is_method(raw)):
                yield name


def _codes(raw: object) -> Iterator[CodeType]:
    """The code of the functions that a class holds under one name."""
    candidates = (raw.fget, raw.fset) if isinstance(raw, property) else (raw,)
    for candidate in candidates:
        declaration = cast("Declaration | None", getattr(candidate, DECLARED, None))
        function = _unbound(declaration.function if declaration is not None else candidate)
        if isinstance(function, FunctionType):
            innermost = inspect.unwrap(function)
            if isinstance(innermost, FunctionType):
                yield innermost.__code__


def _stored_on_self(code: CodeType) -> Iterator[str]:
    """Names of attributes that the code stores on its first argument."""
    if not code.co_argcount:
        return
    self_name = code.co_varnames[0]
    loaded: object = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR" and loaded == self_name:
            yield cast("str", instruction.argval)
        is_variable = "LOAD_FAST" in instruction.opname or "LOAD_DEREF" in instruction.opname
        loaded = cast("object", instruction.argval) if is_variable else None
        if isinstance(loaded, tuple):
            # Since 3.13 one instruction may load two names; the last is on top of the stack.
            loaded = cast("tuple[object, ...]", loaded)[-1]
