"""What befalls processes, and what their cores are told of it; with a toy of a core."""

from __future__ import annotations

from pulsing.cluster.members import MemberStatus
from pulsing.cluster.stimuli import (
    AnswerReceived,
    DeadlineReached,
    Failure,
    LinkLost,
    RequestFailed,
    RequestReceived,
    StallEnded,
)
from pulsing.testing.simulation import Simulation
from tests.unit.testing.simulation.toy_core import SLACK_S, TICK_S, ToyCore, toy


def converged(nodes: int = 4, **options: float) -> Simulation:
    simulation = Simulation(nodes, seed=11, make_core=toy(), **options)
    simulation.settle(within_s=30)
    return simulation


def core(simulation: Simulation, slot: int) -> ToyCore:
    found = simulation.core(slot)
    assert isinstance(found, ToyCore)
    return found


def told(simulation: Simulation, slot: int, kind: type) -> list[object]:
    return [stimulus for _, stimulus in core(simulation, slot).handled if type(stimulus) is kind]


def forget(simulation: Simulation) -> None:
    for slot in simulation.running():
        core(simulation, slot).handled.clear()


def node_id(simulation: Simulation, slot: int) -> str:
    return simulation.core(slot).info.node_id


def test_a_killed_process_resets_its_links_and_its_address_refuses() -> None:
    simulation = converged()
    simulation.run_for(20)  # everybody has a connection with everybody
    dead = node_id(simulation, 2)
    forget(simulation)
    simulation.kill(2)
    simulation.run_for(0.1)
    for slot in (0, 1, 3):
        assert told(simulation, slot, LinkLost) == [LinkLost(dead)]
        failed = told(simulation, slot, RequestFailed)
        assert {each.failure for each in failed} == {Failure.REFUSED}
        assert simulation.core(slot).members[dead].status is MemberStatus.DEAD


def test_a_machine_without_power_says_nothing_at_all() -> None:
    simulation = converged()
    simulation.run_for(20)
    forget(simulation)
    simulation.kill(2, silently=True)
    simulation.run_for(20)
    for slot in (0, 1, 3):
        assert not told(simulation, slot, LinkLost)
        failures = {each.failure for each in told(simulation, slot, RequestFailed)}
        assert failures == {Failure.TIMEOUT}


def test_a_reset_that_is_lost_is_noticed_at_the_next_use_of_the_connection() -> None:
    simulation = converged(nodes=2)
    simulation.run_for(5)
    simulation.partition({0}, {1})
    simulation.kill(1)
    simulation.run_for(1)
    simulation.heal()
    forget(simulation)
    simulation.run_for(2 * TICK_S)
    failures = [each.failure for each in told(simulation, 0, RequestFailed)]
    assert failures[0] in {Failure.LOST, Failure.TIMEOUT}
    assert Failure.LOST in failures
    assert len(told(simulation, 0, LinkLost)) == 1


def test_a_process_at_the_address_of_a_dead_one_has_another_id() -> None:
    simulation = converged()
    old = node_id(simulation, 2)
    simulation.kill(2)
    simulation.restart(2)
    assert simulation.settle() < 10
    new = node_id(simulation, 2)
    assert new != old
    assert simulation.core(0).members[old].status is MemberStatus.DEAD
    assert simulation.core(0).members[new].info.addr == simulation.core(0).members[old].info.addr


def test_requests_under_way_fail_when_their_process_is_killed() -> None:
    simulation = converged(nodes=2, latency_s=(0.1, 0.1))
    simulation.run_for(5)
    forget(simulation)
    while not told(simulation, 1, RequestReceived):
        simulation.run_for(0.001)
    simulation.kill(1)  # its answer is under way, and overtakes nothing
    simulation.run_for(0.3)
    assert told(simulation, 0, LinkLost)


def test_a_frozen_process_is_told_nothing_until_it_goes_on_and_then_all_of_it() -> None:
    simulation = converged()
    simulation.run_for(20)
    simulation.freeze(1)
    forget(simulation)
    simulation.run_for(10)
    assert not core(simulation, 1).handled
    failures = {
        each.failure for slot in (0, 2, 3) for each in told(simulation, slot, RequestFailed)
    }
    assert failures == {Failure.TIMEOUT}
    asked = sum(len(told(simulation, slot, DeadlineReached)) for slot in (0, 2, 3))
    simulation.thaw(1)
    handled = core(simulation, 1).handled
    received = told(simulation, 1, RequestReceived)
    assert 0 < len(received) <= asked
    assert len({when for when, _ in handled}) == 1  # all of it at once, and late
    simulation.settle()


def test_timeouts_of_a_frozen_process_come_due_when_it_goes_on() -> None:
    simulation = converged(nodes=2, loss=0.9)
    simulation.run_until(lambda: bool(simulation.process(0).calls), within_s=60)
    simulation.freeze(0)
    simulation.run_for(5)
    forget(simulation)
    simulation.thaw(0)
    assert [each.failure for each in told(simulation, 0, RequestFailed)] == [Failure.TIMEOUT]


def test_messages_of_a_clogged_process_wait_while_its_timers_run() -> None:
    simulation = converged()
    simulation.run_for(20)
    simulation.clog(3)
    forget(simulation)
    simulation.run_for(10)
    assert not told(simulation, 3, RequestReceived)
    assert not told(simulation, 3, AnswerReceived)
    assert 9 <= len(told(simulation, 3, DeadlineReached)) <= 11
    failed = told(simulation, 3, RequestFailed)
    assert len(failed) >= 9
    assert {each.failure for each in failed} == {Failure.TIMEOUT}
    simulation.unclog(3)
    assert told(simulation, 3, RequestReceived)
    simulation.settle()


def test_the_guard_speaks_while_the_loop_stands_still() -> None:
    simulation = converged()
    forget(simulation)
    before = simulation.process(1).issued
    simulation.stall(1, 10.0)
    simulation.run_for(9)
    assert not core(simulation, 1).handled
    claimed = simulation.process(1).issued
    assert claimed > before + 3
    assert any(
        simulation.core(slot).members[node_id(simulation, 1)].incarnation > before
        for slot in (0, 2, 3)
    )
    simulation.run_for(2)
    ended = told(simulation, 1, StallEnded)
    assert len(ended) == 1
    assert ended[0].incarnation >= claimed


def test_a_node_that_leaves_is_known_to_have_left_and_closes_without_a_reset() -> None:
    simulation = converged()
    left = node_id(simulation, 0)
    simulation.leave(0)
    simulation.settle()
    assert simulation.running() == [1, 2, 3]
    for slot in (1, 2, 3):
        assert not told(simulation, slot, LinkLost)
    assert MemberStatus.LEFT in {simulation.core(slot).members[left].status for slot in (1, 2, 3)}


def test_a_slow_start_staggers_the_nodes() -> None:
    simulation = Simulation(10, seed=1, make_core=toy(), start_over_s=5.0)
    assert not simulation.running()
    simulation.run_for(2.6)
    assert simulation.running() == [0, 1, 2, 3, 4, 5]


def test_no_two_nodes_have_the_same_clock_and_none_goes_back() -> None:
    simulation = converged()
    simulation.run_for(30)
    clocks = {simulation.process(slot).offset for slot in simulation.running()}
    assert len(clocks) == 4
    for slot in simulation.running():
        times = [when for when, _ in core(simulation, slot).handled]
        assert times == sorted(times)


def test_the_load_of_a_node_is_counted() -> None:
    simulation = converged(nodes=2)
    messages = simulation.world.messages
    simulation.run_for(100 * TICK_S)
    sent = simulation.world.messages - messages
    assert abs(sent - 400) <= 4  # two nodes, a question and an answer a second each
    assert simulation.world.wire_bytes == sum(
        process.bytes_sent for process in simulation.observed.processes
    )
    assert SLACK_S < TICK_S
