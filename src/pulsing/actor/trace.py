"""``pul.trace``: the trace context of a call travels with it, and spans appear in traces.

A ``traceparent`` (W3C Trace Context) that is set with `use` is passed on from call to call, and
`current` gives it to whoever logs it or hands it to something else. For programs that trace with
OpenTelemetry there is nothing to do: when they have set a tracer provider, every message that an
actor handles is a span, whose parent is the span in which it was sent. Otherwise OpenTelemetry is
not even imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.carried import (
    CARRIERS,
    STATE,
    TRACE,
    TRACE_CONTEXT,
    WRAPPERS,
    add_carrier,
    carry_trace,
)
from pulsing.actor.methods import MethodKind
from pulsing.errors import PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.invocation import Invocation

_API: Final = "opentelemetry.trace"
_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def current() -> str | None:
    """The ``traceparent`` of the running code, or None: it belongs to no trace."""
    if _with_spans in WRAPPERS:
        meta: dict[str, Any] = {}
        _carry_span(meta)
        return meta.get(TRACE) or None
    context = TRACE_CONTEXT.get()
    return None if context is None else context[0]


@contextmanager
def use(traceparent: str, tracestate: str = "") -> Generator[None]:
    """Calls made inside the block belong to a trace: ``with pul.trace.use(header):``.

    Args:
        traceparent: as in the HTTP header of this name.
        tracestate: likewise.

    Raises:
        ValueError: it is no ``traceparent``.
    """
    if not _PARENT.fullmatch(traceparent):
        raise ValueError(
            f"not a traceparent: {traceparent[:80]!r}; it looks like "
            "00-<32 hex digits>-<16 hex digits>-01"
        )
    token = TRACE_CONTEXT.set((traceparent, tracestate))
    add_carrier(carry_trace)
    try:
        yield
    finally:
        TRACE_CONTEXT.reset(token)


def enable() -> None:
    """Make spans from now on, in the whole process.

    Needed only where the tracer provider is set after the first system was made.

    Raises:
        PulsingRuntimeError: opentelemetry-api is not installed.
    """
    try:
        import opentelemetry.trace  # noqa: F401 # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError as error:
        raise PulsingRuntimeError(
            "spans need OpenTelemetry: pip install opentelemetry-sdk", error
        ) from error
    if _with_spans not in WRAPPERS:
        WRAPPERS.append(_with_spans)
        add_carrier(carry_trace)
        add_carrier(_carry_span)  # after it: a span of this node takes the place of what came


def disable() -> None:
    """Make no more spans."""
    if _with_spans in WRAPPERS:
        WRAPPERS.remove(_with_spans)
        CARRIERS.remove(_carry_span)


def look_for_provider() -> None:
    """A system is being made: make spans if the program has set up OpenTelemetry."""
    api: Any = sys.modules.get(_API)
    if api is not None and not isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        enable()


# --- spans ----------------------------------------------------------------------------------------


def _carry_span(meta: dict[str, Any]) -> None:
    api: Any = sys.modules[_API]
    context = api.get_current_span().get_span_context()
    if context.is_valid:
        meta[TRACE] = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"
        )
        state = context.trace_state.to_header()
        if state:
            meta[STATE] = state
        else:
            meta.pop(STATE, None)
    else:
        meta.setdefault(TRACE, "")


def _with_spans(invocation: Invocation, function: Callable[..., Any]) -> Callable[..., Any]:
    """The code of a message, inside a span."""
    kind = invocation.method.kind
    if kind is MethodKind.ASYNC:

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with _span(invocation):
                return await function(*args, **kwargs)

        return run_async
    if kind is MethodKind.ASYNC_GEN:

        async def stream_async(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            with _span(invocation):
                items = function(*args, **kwargs)
                try:
                    async for item in items:
                        yield item
                finally:
                    if hasattr(items, "aclose"):
                        await items.aclose()

        return stream_async
    if kind is MethodKind.SYNC_GEN:

        def stream(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
            with _span(invocation):
                yield from function(*args, **kwargs)

        return stream

    def run(*args: Any, **kwargs: Any) -> Any:
        with _span(invocation):
            return function(*args, **kwargs)

    return run


@contextmanager
def _span(invocation: Invocation) -> Generator[None]:
    api: Any = sys.modules[_API]
    cell = invocation.cell
    name = f"{cell.table.owner.__name__}.{invocation.method.name}"
    with api.get_tracer("pulsing").start_as_current_span(
        name,
        context=_parent_of(invocation),
        kind=api.SpanKind.CONSUMER if _is_tell(invocation) else api.SpanKind.SERVER,
        attributes={
            "rpc.system": "pulsing",
            "rpc.method": invocation.method.name,
            "pulsing.actor": cell.label,
            "pulsing.node": cell.actor_id.node,
        },
    ):
        yield


def _is_tell(invocation: Invocation) -> bool:
    return not invocation.patient or getattr(invocation, "is_tell", False)


def _parent_of(invocation: Invocation) -> Any:
    """The context of the span in which a message was sent: an empty one if there was none."""
    api: Any = sys.modules[_API]
    nowhere: Any = sys.modules["opentelemetry.context"].Context()
    meta = invocation.meta or {}
    parent = meta.get(TRACE)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return nowhere
    _, trace_id, span_id, flags = parent.split("-")
    state = meta.get(STATE)
    context = api.SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(int(flags, 16)),
        trace_state=api.TraceState.from_header([state]) if isinstance(state, str) else None,
    )
    return api.set_span_in_context(api.NonRecordingSpan(context), nowhere)
