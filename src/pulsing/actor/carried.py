"""Context that travels with calls: the trace, and the context variables a program chose.

A message's code runs with the context variables of its actor, not with those of its caller. What is
to cross that border is registered here: each carrier adds something to the ``meta`` of every call,
and what came with a message is set before its code begins. While there is no carrier, calls cost
nothing more; the first message that brings something makes this node pass it on, too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from pulsing.actor.invocation import Invocation

TRACE: Final = "t"
"""The key of the ``traceparent`` (W3C Trace Context 3.2); empty asks for a new trace."""
STATE: Final = "ts"
"""The key of the ``tracestate`` (W3C Trace Context 3.3)."""
VALUES: Final = "v"
"""The key of the values of context variables, by name."""
MAX_VALUES: Final = 64
_MAX_TEXT_CHARS: Final = 1024

CARRIERS: Final[list[Callable[[dict[str, Any]], None]]] = []
"""Each adds to the ``meta`` of a call that is being made. Empty: nothing travels."""
WRAPPERS: Final[list[Callable[[Invocation, Callable[..., Any]], Callable[..., Any]]]] = []
"""Each may put something around the code of a message that came with a trace."""

TRACE_CONTEXT: Final[ContextVar[tuple[str, str] | None]] = ContextVar("pulsing_trace", default=None)
"""``traceparent`` and ``tracestate`` of the running code, as they are passed on."""
_UNKNOWN: Final[ContextVar[dict[str, Any] | None]] = ContextVar("pulsing_carried", default=None)
"""Values of variables that this program has not registered: they are passed on as they are."""
_variables: dict[str, ContextVar[Any]] = {}


def propagate(variable: ContextVar[Any]) -> None:
    """Let the value of a context variable travel with every call made where it is set.

    The code of the callee then finds it set, and so does everything that code calls, on this node
    and on others. Each node that reads it has to register a variable of this name; others pass the
    value on. It has to be something that can travel in a message.

    Args:
        variable: registered by its name, for the whole process. Again changes nothing.

    Raises:
        ValueError: another variable of this name is registered, or 64 are.
    """
    known = _variables.get(variable.name)
    if known is variable:
        return
    if known is not None:
        raise ValueError(
            f"another context variable named {variable.name!r} is propagated already; names are "
            "what nodes agree on, so give it one of its own"
        )
    if len(_variables) >= MAX_VALUES:
        raise ValueError(f"{MAX_VALUES} context variables are propagated already")
    _variables[variable.name] = variable
    add_carrier(_carry_values)


def add_carrier(carrier: Callable[[dict[str, Any]], None]) -> None:
    """From now on, calls take something along. Again changes nothing."""
    if carrier not in CARRIERS:
        CARRIERS.append(carrier)


def carried(meta: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The ``meta`` of a call that is made now, with everything that travels; None for nothing."""
    filled = {} if meta is None else meta
    for carrier in CARRIERS:
        carrier(filled)
    return filled or None


def carry_trace(meta: dict[str, Any]) -> None:
    """Pass the trace on as it came."""
    context = TRACE_CONTEXT.get()
    if context is not None:
        meta[TRACE], state = context
        if state:
            meta[STATE] = state


def _carry_values(meta: dict[str, Any]) -> None:
    values: dict[str, Any] = {**(_UNKNOWN.get() or {})}
    for name, variable in _variables.items():
        value = variable.get(_UNSET)
        if value is not _UNSET:
            values[name] = value
    if values:
        meta[VALUES] = values


_UNSET: Final = object()


def arrived(invocation: Invocation, function: Callable[..., Any]) -> Callable[..., Any]:
    """Set what came with a message, in whose context this runs. Gives the code to run for it.

    What a peer sent may be anything; what makes no sense is left out.
    """
    meta = invocation.meta
    assert meta is not None
    values = meta.get(VALUES)
    if isinstance(values, dict):
        _set_values(cast("dict[object, Any]", values))
    parent = meta.get(TRACE)
    if isinstance(parent, str) and len(parent) <= _MAX_TEXT_CHARS:
        if parent:
            state = meta.get(STATE)
            is_text = isinstance(state, str) and len(state) <= _MAX_TEXT_CHARS
            TRACE_CONTEXT.set((parent, cast("str", state) if is_text else ""))
            add_carrier(carry_trace)
        for wrapper in WRAPPERS:
            function = wrapper(invocation, function)
    return function


def _set_values(values: dict[object, Any]) -> None:
    unknown: dict[str, Any] = {}
    for name, value in list(values.items())[:MAX_VALUES]:
        if isinstance(name, str):
            variable = _variables.get(name)
            if variable is None:
                unknown[name] = value
            else:
                variable.set(value)
    if unknown:
        _UNKNOWN.set(unknown)
        add_carrier(_carry_values)
