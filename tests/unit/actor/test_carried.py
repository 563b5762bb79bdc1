"""What travels with calls besides their arguments: traces, and chosen context variables."""

import asyncio
import contextlib
from contextvars import ContextVar

import pytest

import pulsing as pul
from pulsing.actor import carried
from tests.integration import nodes

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TENANT: ContextVar[str] = ContextVar("tests_tenant", default="nobody")
OTHER: ContextVar[str] = ContextVar("tests_other", default="unset")


@pytest.fixture(autouse=True)
def nothing_registered():
    """Each test begins and ends with nothing that travels."""
    kept = [*carried.CARRIERS], [*carried.WRAPPERS], dict(carried._variables)
    carried.CARRIERS.clear()
    carried.WRAPPERS.clear()
    carried._variables.clear()
    yield
    carried.CARRIERS[:], carried.WRAPPERS[:] = kept[0], kept[1]
    carried._variables.clear()
    carried._variables.update(kept[2])


class Teller:
    """Tells what it sees, itself or through others."""

    def __init__(self, other=None):
        self.other = other
        self.seen = []

    async def look(self):
        return pul.trace.current(), TENANT.get()

    def look_in_thread(self):
        return pul.trace.current(), TENANT.get()

    async def stream(self):
        yield pul.trace.current(), TENANT.get()
        await asyncio.sleep(0)
        yield pul.trace.current(), TENANT.get()

    def stream_in_thread(self):
        yield pul.trace.current(), TENANT.get()

    async def through(self):
        return await self.other.look()

    async def remember(self):
        self.seen.append((pul.trace.current(), TENANT.get()))

    async def what_was_seen(self):
        return self.seen


@contextlib.asynccontextmanager
async def tellers(where):
    """Two actors, the first of which knows the second: on one node, copying, or on two nodes."""
    settings = {"copy_local": True} if where == "copied" else {}
    async with nodes.system("127.0.0.1:0", **settings) as here:
        last = await here.spawn(Teller(), name="last")
        if where != "remote":
            yield await here.spawn(Teller(last), name="first")
        else:
            async with nodes.system("127.0.0.1:0") as there:
                other = await there.refer(str(last.address))
                await there.spawn(Teller(other), name="first")
                yield await here.resolve(f"actor://{there.addr}/first")


WHERE = pytest.mark.parametrize("where", ["local", "copied", "remote"])


@WHERE
async def test_a_trace_is_passed_on_by_every_kind_of_call(where):
    async with tellers(where) as teller:
        assert (await teller.look())[0] is None
        with pul.trace.use(PARENT):
            assert pul.trace.current() == PARENT
            for call in (teller.look, teller.look_in_thread, teller.through):
                assert (await call())[0] == PARENT
            for stream in (teller.stream, teller.stream_in_thread):
                assert {trace async for trace, _ in stream()} == {PARENT}
            await teller.remember.tell()
        assert pul.trace.current() is None
        assert (await teller.look())[0] is None
        assert [trace for trace, _ in await teller.what_was_seen()] == [PARENT]


@WHERE
async def test_a_registered_variable_travels_to_the_end_of_the_chain(where):
    async with tellers(where) as teller:
        TENANT.set("alice")
        assert (await teller.look())[1] == "nobody"
        pul.propagate(TENANT)
        pul.propagate(TENANT)
        assert [(await call())[1] for call in (teller.look, teller.through)] == ["alice"] * 2
        TENANT.set("bob")
        assert {tenant async for _, tenant in teller.stream()} == {"bob"}


async def test_a_node_that_does_not_know_a_variable_passes_it_on():
    async with tellers("local") as teller:
        pul.propagate(TENANT)
        TENANT.set("alice")
        first = carried.carried()
        assert first == {"v": {"tests_tenant": "alice"}}
        carried._variables.clear()

        class Message:
            meta = first

        def code():
            assert carried.arrived(Message(), len) is len
            return carried.carried()

        assert await asyncio.to_thread(code) == first
        assert await teller.look() == (None, "nobody")


def test_two_variables_of_one_name_are_refused():
    pul.propagate(OTHER)
    with pytest.raises(ValueError, match="'tests_other' is propagated already"):
        pul.propagate(ContextVar("tests_other"))


def test_variables_are_bounded():
    for number in range(carried.MAX_VALUES):
        pul.propagate(ContextVar(f"tests_{number}"))
    with pytest.raises(ValueError, match="64 context variables"):
        pul.propagate(ContextVar("tests_one_more"))


@pytest.mark.parametrize(
    "text",
    ["", "x", PARENT.upper(), PARENT[:-1], f"ff{PARENT[2:]}", f"00-{'0' * 32}{PARENT[35:]}"],
)
def test_what_is_no_traceparent_is_refused(text):
    with pytest.raises(ValueError, match="not a traceparent"), pul.trace.use(text):
        pass


@pytest.mark.parametrize(
    "meta",
    [
        {"t": 7}, {"t": "x" * 5000}, {"v": 7}, {"v": {7: 8}}, {"v": []}, {"c": 7}, {"c": [1]},
        {"t": "nonsense", "ts": 7}, {"s": "x", "a": 3}, {},
    ],
)  # fmt: skip
async def test_a_peer_may_send_any_meta(meta):
    async with tellers("remote") as teller:

        def nonsense(into):
            into.update(meta)

        carried.CARRIERS.append(nonsense)
        assert (await teller.look())[1] == "nobody"
        carried.CARRIERS.remove(nonsense)


async def test_nothing_is_carried_and_nothing_costs_unless_asked_for():
    async with tellers("remote") as teller:
        await teller.through()
        assert carried.CARRIERS == []


# --- spans


@pytest.fixture
def spans():
    """Finished spans, with a provider set up as programs do it."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))  # it can never be taken out again
    yield exporter.get_finished_spans
    exporter.shutdown()
    pul.trace.disable()


@WHERE
async def test_messages_are_spans_of_the_trace_they_were_sent_in(where, spans):
    from opentelemetry import trace

    async with tellers(where) as teller:
        with trace.get_tracer("test").start_as_current_span("outside") as outside:
            (seen, _) = await teller.through()
            assert [each async for each, _ in teller.stream()]
            await teller.look_in_thread()
            await teller.remember.tell()
        await teller.what_was_seen()
        got = {each.name: each for each in spans()}
        assert {each.context.trace_id for name, each in got.items() if "seen" not in name} == {
            outside.get_span_context().trace_id
        }
        through, look = got["Teller.through"], got["Teller.look"]
        assert through.parent.span_id == outside.get_span_context().span_id
        assert look.parent.span_id == through.context.span_id
        assert f"{look.context.span_id:016x}" in seen
        assert look.attributes["pulsing.actor"] == "actors/last"
        assert got["Teller.remember"].kind is trace.SpanKind.CONSUMER
        assert {"Teller.stream", "Teller.look_in_thread"} <= got.keys()


async def test_a_message_from_outside_of_all_traces_begins_one(spans):
    async with tellers("remote") as teller:
        await teller.look()
        (span,) = [each for each in spans() if each.name == "Teller.look"]
        assert span.parent is None


async def test_a_failing_method_is_a_failed_span(spans):
    async with nodes.system() as system:
        ref = await system.spawn(Teller(other=None), name="lonely")
        with pytest.raises(AttributeError):
            await ref.through()
        (span,) = spans()
        assert not span.status.is_ok
        assert span.events[0].name == "exception"
