"""Networks made of namespaces: only where root, iproute2 and nftables are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pulsing.testing.namespaces import NamespaceNetwork, NetworkUnavailable, sweep

LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9999))
print("listening", flush=True)
while True:
    print(s.recv(100).decode(), flush=True)
"""
SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[3])):
    s.sendto(sys.argv[2].encode(), (sys.argv[1], 9999))
s.sendto(b"end" if len(sys.argv) > 4 else sys.argv[2].encode(), (sys.argv[1], 9999))
"""

REASON = NamespaceNetwork.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture
def network() -> Iterator[NamespaceNetwork]:
    with NamespaceNetwork(3) as made:
        yield made


class Listener:
    """A process on a host that says what datagrams it gets."""

    def __init__(self, network: NamespaceNetwork, host: int) -> None:
        command = [*network.command(host), sys.executable, "-c", LISTEN, network.addresses[host]]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines = self.process.stdout
        assert self.line() == "listening"

    def line(self) -> str:
        return self.lines.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.lines.close()


@pytest.fixture
def listener(network: NamespaceNetwork) -> Iterator[Listener]:
    made = Listener(network, 0)
    yield made
    made.close()


def send(network: NamespaceNetwork, host: int, word: str, times: int = 1) -> None:
    command = [*network.command(host), sys.executable, "-c", SEND]
    subprocess.run([*command, network.addresses[0], word, str(times - 1)], check=True)


def test_hosts_reach_each_other(network: NamespaceNetwork, listener: Listener) -> None:
    send(network, 1, "one")
    assert listener.line() == "one"
    send(network, 2, "two")
    assert listener.line() == "two"


def test_a_partition_cuts_groups_and_heals(network: NamespaceNetwork, listener: Listener) -> None:
    network.partition([0, 1], [2])
    send(network, 2, "lost")
    send(network, 1, "same side")
    assert listener.line() == "same side"
    network.partition([0], [1, 2])
    send(network, 1, "lost")
    network.heal()
    send(network, 2, "healed")
    assert listener.line() == "healed"


def test_who_is_in_no_group_is_alone(network: NamespaceNetwork, listener: Listener) -> None:
    network.partition([1])
    send(network, 1, "lost")
    send(network, 2, "lost")
    network.heal()
    send(network, 2, "healed")
    assert listener.line() == "healed"


def test_a_cut_is_one_way(network: NamespaceNetwork, listener: Listener) -> None:
    network.cut([1], [0])
    send(network, 1, "lost")
    send(network, 2, "passes")
    assert listener.line() == "passes"
    network.cut([0], [1])
    send(network, 1, "passes too")
    assert listener.line() == "passes too"


def test_a_share_of_the_packets_is_lost(network: NamespaceNetwork, listener: Listener) -> None:
    send(network, 1, "first")  # also finds the way (ARP)
    assert listener.line() == "first"
    network.lose(0.3)
    before = network.traffic()[0].received_packets
    for _ in range(10):
        send(network, 1, "word", 100)
    network.lose(0)
    send(network, 1, "end")
    got = 0
    while listener.line() != "end":
        got += 1
    assert 580 <= got <= 820
    counted = network.traffic()[0].received_packets - before
    assert got <= counted <= got + 20


def test_loss_between_two_hosts_spares_the_third(
    network: NamespaceNetwork, listener: Listener
) -> None:
    network.lose(1.0, between=(1, 0))
    send(network, 1, "lost")
    send(network, 2, "passes")
    assert listener.line() == "passes"
    network.lose(0, between=(0, 1))
    send(network, 1, "passes again")
    assert listener.line() == "passes again"


def test_traffic_counts_both_ways(network: NamespaceNetwork, listener: Listener) -> None:
    before = network.traffic()
    send(network, 1, "x" * 90, 10)
    for _ in range(10):
        listener.line()
    after = network.traffic()
    assert after[1].sent_bytes - before[1].sent_bytes >= 10 * (90 + 28 + 14)
    assert after[1].sent_packets - before[1].sent_packets >= 10
    assert after[0].received_bytes - before[0].received_bytes >= 10 * (90 + 28 + 14)


def test_closing_kills_what_runs_there_and_removes_all(network: NamespaceNetwork) -> None:
    listener = Listener(network, 0)
    network.close()
    assert listener.process.wait(5) < 0
    listener.close()
    assert mine() == []
    network.close()


def test_what_a_crashed_process_left_is_swept() -> None:
    leave = (
        "import os\n"
        "from pulsing.testing.namespaces import NamespaceNetwork\n"
        "network = NamespaceNetwork(2)\n"
        "print(os.getpid(), flush=True)\n"
        "os._exit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", leave],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    pid = int(done.stdout)
    # Another network that is made meanwhile sweeps as well.
    swept = sweep()
    assert all(name.startswith("pulsing-") for name in swept)
    give_up_at = time.monotonic() + 5
    while [each for each in names() if each.startswith(f"pulsing-{pid}-")]:
        assert time.monotonic() < give_up_at


@pytest.mark.parametrize("hosts", [0, 251])
def test_too_many_hosts_are_refused(hosts: int) -> None:
    with pytest.raises(ValueError, match="hosts"):
        NamespaceNetwork(hosts)


def test_without_the_programs_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NetworkUnavailable, match="iproute2"):
        NamespaceNetwork(2)


def names() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split(" ", 1)[0] for line in listed.stdout.splitlines()]


def mine() -> list[str]:
    return [name for name in names() if name.startswith(f"pulsing-{os.getpid()}-")]
