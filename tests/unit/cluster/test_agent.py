import asyncio

import pytest

from pulsing.cluster.agent import ClusterAgent
from pulsing.cluster.effects import (
    CloseLinks,
    LeaveFinished,
    ResolveSeeds,
    SendAnswer,
    SendRequest,
    Severity,
    TellMemberChange,
    TellNameChange,
    WriteLog,
)
from pulsing.cluster.members import Member, MemberStatus, NodeInfo, Registration
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LeaveRequested,
    LinkLost,
    NameRegistered,
    NameUnregistered,
    RequestFailed,
    RequestReceived,
    SeedsResolved,
    StallEnded,
)
from pulsing.errors import PulsingRuntimeError

ME = NodeInfo("0" * 32, "127.0.0.1:1", "me")
OTHER = NodeInfo("1" * 32, "127.0.0.1:2", "other")


class Scripted:
    """A core that answers stimuli as told, and remembers them."""

    def __init__(self):
        self.info = ME
        self.members = {each.node_id: Member(each, MemberStatus.ALIVE, 0) for each in (OTHER, ME)}
        self.heard = []
        self.says = {}
        self.deadline = None
        self.known = {}
        self.wanted = []

    def start(self, *, now):
        return self.says.get("start", [])

    def handle(self, stimulus, *, now):
        self.heard.append(stimulus)
        if isinstance(stimulus, DeadlineReached):
            self.deadline = None
        said = self.says.get(type(stimulus), [])
        return said(stimulus) if callable(said) else said

    def next_deadline(self):
        return self.deadline

    def lookup(self, name):
        return self.known.get(name, ())

    def names(self):
        return self.known

    def name_wanted(self, name, *, now):
        self.wanted.append(name)
        return []

    def busy_claim(self, incarnation):
        return b"busy %d" % incarnation


class RecordingWire:
    def __init__(self):
        self.requests = []
        self.closed = []

    def request(self, addr, body, timeout_s, answered, failed):
        self.requests.append((addr, body, timeout_s, answered, failed))

    def close_links(self, node_id, addr, reason):
        self.closed.append((node_id, addr, reason))


@pytest.fixture
def agent_of():
    def make(core, wire=None, resolve=None):
        async def nothing():
            return ()

        return ClusterAgent(
            core,
            wire or RecordingWire(),
            loop=asyncio.get_running_loop(),
            resolve=resolve or nothing,
        )

    return make


async def test_a_request_ends_in_one_stimulus_whichever_way_it_ends(agent_of):
    core, wire = Scripted(), RecordingWire()
    core.says["start"] = [SendRequest(7, "a:1", b"ping", 0.5), SendRequest(8, "b:1", b"ping", 0.5)]
    agent = agent_of(core, wire)
    await agent.start()
    (first, second) = wire.requests
    assert first[:3] == ("a:1", b"ping", 0.5)
    first[3]("1" * 32, b"ack")
    second[4](Failure.REFUSED, "nobody listens")
    assert core.heard == [
        AnswerReceived(7, "1" * 32, b"ack"),
        RequestFailed(8, Failure.REFUSED, "nobody listens"),
    ]
    await agent.close()


async def test_answers_go_to_the_request_they_belong_to_at_once_or_later(agent_of):
    core = Scripted()
    agent = agent_of(core)
    core.says[RequestReceived] = lambda heard: (
        [SendAnswer(heard.exchange, heard.body * 2)] if heard.body != b"later" else []
    )
    answers = []
    agent.request_received("1" * 32, b"now", answers.append)
    agent.request_received("1" * 32, b"later", answers.append)
    assert answers == [b"nownow"]
    core.says[LinkLost] = [SendAnswer(core.heard[-1].exchange, b"at last"), SendAnswer(99, b"?")]
    agent.link_lost("2" * 32)
    assert answers == [b"nownow", b"at last"]
    await agent.close()


async def test_requests_that_are_never_answered_are_bounded(agent_of):
    core = Scripted()
    agent = agent_of(core)
    answers = []
    for _ in range(5000):
        agent.request_received("1" * 32, b"", answers.append)
    core.says[LinkLost] = [SendAnswer(each.exchange, b"late") for each in core.heard]
    agent.link_lost("1" * 32)
    assert len(answers) == 4096
    await agent.close()


async def test_the_timer_follows_the_next_deadline(agent_of):
    core = Scripted()
    agent = agent_of(core)
    loop = asyncio.get_running_loop()
    core.deadline = loop.time() + 60
    await agent.start()
    core.deadline = loop.time() + 0.005  # earlier than what is armed
    agent.link_lost("1" * 32)
    async with asyncio.timeout(5):
        while DeadlineReached() not in core.heard:
            await asyncio.sleep(0.001)
    assert core.heard.count(DeadlineReached()) == 1
    core.deadline = loop.time() + 0.005
    agent.link_lost("1" * 32)
    core.deadline = loop.time() + 60  # later by now: the early timer must not fire
    await asyncio.sleep(0.02)
    assert core.heard.count(DeadlineReached()) == 1
    await agent.close()


async def test_a_paused_agent_decides_nothing_and_then_hears_all_of_it(agent_of):
    core, loop = Scripted(), asyncio.get_running_loop()
    agent = agent_of(core)
    core.deadline = loop.time() + 0.01
    await agent.start()
    agent.pause()
    agent.link_lost("1" * 32)
    passed = loop.create_future()
    loop.call_at(core.deadline + 0.02, passed.set_result, None)
    await passed
    assert core.heard == []
    agent.resume()
    assert core.heard == [LinkLost("1" * 32)]
    async with asyncio.timeout(5):
        while len(core.heard) < 2:
            await asyncio.sleep(0)
    assert core.heard[1] == DeadlineReached()
    agent.pause()
    agent.link_lost("2" * 32)
    await agent.close()
    agent.resume()
    assert len(core.heard) == 2, "closed meanwhile"


async def test_what_callbacks_feed_comes_after_the_effects_before_it(agent_of):
    core = Scripted()
    agent = agent_of(core)
    events = []

    def on_change(event):
        agent.register("actors/x", 1, "X")
        events.append(str(event))
        raise ZeroDivisionError  # logged, and the others are told all the same

    ended = agent.subscribe(on_change)
    agent.subscribe(lambda event: events.append(event.member.info.name))
    dead = Member(OTHER, MemberStatus.DEAD, 3)
    core.says[LinkLost] = [
        TellMemberChange(dead, MemberStatus.ALIVE),
        CloseLinks(OTHER.node_id, OTHER.addr, "dead"),
    ]
    agent.link_lost(OTHER.node_id)
    assert events == ["other at 127.0.0.1:2: Alive -> Dead", "other"]
    assert core.heard == [LinkLost(OTHER.node_id), NameRegistered("actors/x", 1, "X")]
    ended()
    ended()
    agent.link_lost(OTHER.node_id)
    assert len(events) == 3
    await agent.close()


async def test_waiting_for_a_name_ends_when_it_appears_and_when_time_is_up(agent_of):
    core = Scripted()
    agent = agent_of(core)
    assert await agent.wait_for_name("actors/x", 0.0) == ()
    waiting = asyncio.create_task(agent.wait_for_name("actors/x", 5.0))
    await asyncio.sleep(0)
    assert core.wanted == ["actors/x"]
    core.says[NameUnregistered] = [TellNameChange(("actors/x", "actors/y"))]
    agent.unregister("actors/y")  # no instance yet: it goes on waiting
    await asyncio.sleep(0.001)
    assert not waiting.done()
    found = core.known["actors/x"] = (Registration("actors/x", OTHER.node_id, 1, "X"),)
    agent.unregister("actors/y")
    assert await waiting == found
    assert await agent.wait_for_name("actors/never", 0.01) == ()
    late = asyncio.create_task(agent.wait_for_name("actors/never", 5.0))
    await asyncio.sleep(0)
    await agent.close()
    with pytest.raises(PulsingRuntimeError, match="shut down"):
        await late


async def test_seeds_are_looked_up_once_at_a_time_and_a_failure_is_an_empty_answer(
    agent_of, caplog
):
    core = Scripted()
    core.says["start"] = [ResolveSeeds(), ResolveSeeds()]
    calls = []

    async def resolve():
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) > 1:
            raise OSError("no such name")
        return ["a:1", "b:2"]

    agent = agent_of(core, resolve=resolve)
    await agent.start()
    async with asyncio.timeout(5):
        while not core.heard:
            await asyncio.sleep(0)
    assert core.heard == [SeedsResolved(("a:1", "b:2"))]
    core.says[LinkLost] = [ResolveSeeds()]
    agent.link_lost("1" * 32)
    async with asyncio.timeout(5):
        while len(core.heard) < 3:
            await asyncio.sleep(0)
    assert core.heard[-1] == SeedsResolved(())
    assert "cannot look up" in caplog.text
    assert len(calls) == 2
    await agent.close()


async def test_leaving_waits_for_the_core_and_closing_for_nobody(agent_of):
    core = Scripted()
    agent = agent_of(core)
    leaving = asyncio.create_task(agent.leave())
    again = asyncio.create_task(agent.leave())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert core.heard == [LeaveRequested()]
    assert not leaving.done()
    core.says[LinkLost] = [LeaveFinished()]
    agent.link_lost("1" * 32)
    await asyncio.gather(leaving, again)
    await agent.close()
    await agent.leave()
    agent.link_lost("1" * 32)
    assert core.heard == [LeaveRequested(), LinkLost("1" * 32)]


async def test_a_goodbye_is_above_what_the_guard_claimed_and_the_last_word(agent_of):
    class Hushed:
        calls = 0

        def hush(self):
            self.calls += 1
            return 3

        async def close(self):
            pass

    core = Scripted()
    core.says[LeaveRequested] = [LeaveFinished()]
    agent = agent_of(core)
    agent.guard = Hushed()
    await agent.leave()
    await agent.leave()
    assert core.heard == [StallEnded(3), LeaveRequested()]
    assert agent.guard.calls == 1
    await agent.close()


async def test_members_are_found_by_id_and_by_a_name_only_one_present_member_has(agent_of):
    core = Scripted()
    agent = agent_of(core)
    assert [each.info.name for each in agent.members()] == ["me", "other"]
    assert agent.member(OTHER.node_id) is core.members[OTHER.node_id]
    assert agent.member("other").node_id == OTHER.node_id
    former = NodeInfo("2" * 32, "127.0.0.1:2", "other")
    core.members[former.node_id] = Member(former, MemberStatus.DEAD, 0)
    assert agent.member("other").node_id == OTHER.node_id
    core.members[former.node_id] = Member(former, MemberStatus.ALIVE, 0)
    assert agent.member("other") is None
    assert agent.member("nobody") is None
    await agent.close()


async def test_log_lines_of_one_cause_are_limited(agent_of, caplog):
    core = Scripted()
    agent = agent_of(core)
    core.says[StallEnded] = [WriteLog("seed a", "cannot reach a", Severity.WARNING)]
    for _ in range(10):
        agent.stall_ended(3)
    assert caplog.text.count("cannot reach a") == 1
    await agent.close()
