"""A network of its own for node processes: packets are lost and partitions made by the kernel.

Needs Linux, root, iproute2 and nftables; `NamespaceNetwork.missing` says what is not there. Every
host is a network namespace, and a namespace in the middle holds the bridge that joins them, so
nothing of it shows in the network of the machine, and all of it goes with the namespaces.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

MAX_HOSTS: Final = 250
_NAME: Final = re.compile(r"pulsing-(?P<pid>\d+)-\d+-(hub|\d+)")
_PROGRAMS: Final = {"ip": "iproute2", "nft": "nftables"}
_RULES: Final = """
table bridge pulsing {
    set cut { type ipv4_addr . ipv4_addr; }
    chain loss { }
    chain forward {
        type filter hook forward priority 0; policy accept;
        ip saddr . ip daddr @cut drop
        ether type ip jump loss
    }
}
"""
_SHARES: Final = 10_000

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed an interface, headers of IP and Ethernet included.

    Attributes:
        sent_bytes: by the host.
        sent_packets: the same in packets.
        received_bytes: by the host.
        received_packets: the same in packets.
    """

    sent_bytes: int
    sent_packets: int
    received_bytes: int
    received_packets: int


class NetworkUnavailable(RuntimeError):
    """Network namespaces cannot be had here; the message says why."""


class NamespaceNetwork:
    """Hosts that reach each other and nothing else. Ready when the constructor returns.

    Use it as a context manager, or call `close`: processes that still run in it are killed then. If
    a process ends without, the next network that anybody makes sweeps up what it left.

    Args:
        hosts: how many.

    Attributes:
        addresses: of the hosts.

    Raises:
        NetworkUnavailable: see `missing`.
        ValueError: too many hosts, or none.
    """

    def __init__(self, hosts: int) -> None:
        if not 1 <= hosts <= MAX_HOSTS:
            raise ValueError(f"hosts: {hosts}; expected 1 to {MAX_HOSTS}")
        if reason := self.missing():
            raise NetworkUnavailable(reason)
        sweep()
        network = f"pulsing-{os.getpid()}-{next(_numbers)}"
        self._hub = f"{network}-hub"
        self._names = [f"{network}-{host}" for host in range(hosts)]
        self.addresses = [f"10.77.0.{host + 1}" for host in range(hosts)]
        self._losses: dict[tuple[int, int] | None, float] = {}
        self._closed = False
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def missing() -> str | None:
        """Why there can be no such network here; None when there can."""
        if not sys.platform.startswith("linux"):
            return "network namespaces are a part of Linux"
        if os.geteuid() != 0:
            return "network namespaces need root"
        absent = [package for name, package in _PROGRAMS.items() if shutil.which(name) is None]
        if absent:
            return f"not installed: {', '.join(absent)}"
        probe = f"pulsing-{os.getpid()}-{next(_numbers)}-hub"
        try:
            _run("ip", "netns", "add", probe)
            _run("ip", "netns", "exec", probe, "nft", "-f", "-", text=_RULES)
        except NetworkUnavailable as error:
            return str(error)
        finally:
            with suppress(NetworkUnavailable):
                _run("ip", "netns", "del", probe)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def command(self, host: int) -> list[str]:
        """What to put before a command so that it runs on a host."""
        return ["ip", "netns", "exec", self._names[host]]

    # --- faults

    def partition(self, *groups: Collection[int]) -> None:
        """Cut the network into groups of hosts; who is in none is alone. It replaces other cuts."""
        group_of = {host: number for number, group in enumerate(groups) for host in group}
        hosts = range(len(self._names))
        self._cut(
            [
                (one, other)
                for one in hosts
                for other in hosts
                if one != other and group_of.get(one, -1 - one) != group_of.get(other, -1 - other)
            ]
        )

    def cut(self, senders: Collection[int], receivers: Collection[int]) -> None:
        """Lose whatever hosts send to others, one way only. It replaces other cuts."""
        self._cut([(one, other) for one in senders for other in receivers if one != other])

    def heal(self) -> None:
        """No more cuts; loss stays."""
        self._cut([])

    def lose(self, share: float, *, between: tuple[int, int] | None = None) -> None:
        """Lose a share of the packets at random, each way; 0 ends it.

        Args:
            share: from 0 to 1.
            between: two hosts, and only their packets; default: all, and 0 ends all loss.

        Raises:
            ValueError: it is no share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share: {share}; expected 0 to 1")
        if between is None and not share:
            self._losses.clear()
        pair = None if between is None else (min(between), max(between))
        self._losses[pair] = share
        rules = ["flush chain bridge pulsing loss"]
        for hosts, lost in self._losses.items():
            if hosts is None:
                ways = [""]
            else:
                one, other = (self.addresses[host] for host in hosts)
                ways = [f"ip saddr {a} ip daddr {b} " for a, b in ((one, other), (other, one))]
            limit = round(lost * _SHARES)
            dice = "" if limit == _SHARES else f"numgen random mod {_SHARES} < {limit} "
            rules += [f"add rule bridge pulsing loss {way}{dice}drop" for way in ways if limit]
        self._rules("\n".join(rules))

    def traffic(self) -> list[Traffic]:
        """What passed the interface of each host so far."""
        found = _traffic(self._hub)
        here = [found[f"host{host}"] for host in range(len(self._names))]
        return [  # what the bridge gets from a host, the host has sent
            Traffic(it.received_bytes, it.received_packets, it.sent_bytes, it.sent_packets)
            for it in here
        ]

    def loopback_traffic(self, host: int) -> Traffic:
        """What processes on one host have said to each other over its loopback interface."""
        return _traffic(self._names[host])["lo"]

    def close(self) -> None:
        """Remove the network. Again does nothing."""
        if not self._closed:
            self._closed = True
            for name in [*self._names, self._hub]:
                _remove(name)

    # --- within

    def _build(self) -> None:
        _run("ip", "netns", "add", self._hub)
        batch = ["link add bridge0 type bridge", "link set bridge0 up"]
        for host, name in enumerate(self._names):
            _run("ip", "netns", "add", name)
            batch.append(f"link add host{host} type veth peer name eth0 netns {name}")
            batch.append(f"link set host{host} master bridge0 up")
        _run("ip", "-n", self._hub, "-batch", "-", text="\n".join(batch))
        for name, address in zip(self._names, self.addresses, strict=True):
            inside = f"addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n"
            _run("ip", "-n", name, "-batch", "-", text=inside)
        self._rules(_RULES)

    def _cut(self, pairs: Sequence[tuple[int, int]]) -> None:
        rules = "flush set bridge pulsing cut\n"
        if pairs:
            elements = ", ".join(
                f"{self.addresses[one]} . {self.addresses[other]}" for one, other in pairs
            )
            rules += f"add element bridge pulsing cut {{ {elements} }}\n"
        self._rules(rules)

    def _rules(self, text: str) -> None:
        """Change the rules, all at once."""
        _run("ip", "netns", "exec", self._hub, "nft", "-f", "-", text=text)


def sweep() -> list[str]:
    """Remove the networks of processes that have ended, and what still runs in them.

    Returns:
        The names of the namespaces that were removed.
    """
    left: list[str] = []
    for line in _run("ip", "netns", "list").splitlines():
        name = line.split(" ", 1)[0]
        match = _NAME.fullmatch(name)
        if match is not None and not _runs(int(match["pid"])):
            left.append(name)
            _remove(name)
    return left


def _traffic(namespace: str) -> dict[str, Traffic]:
    """What passed the interfaces of a namespace, by their names."""
    links: list[dict[str, Any]] = json.loads(_run("ip", "-n", namespace, "-s", "-j", "link"))
    found: dict[str, Traffic] = {}
    for link in links:
        sent, received = link["stats64"]["tx"], link["stats64"]["rx"]
        found[link["ifname"]] = Traffic(
            sent["bytes"], sent["packets"], received["bytes"], received["packets"]
        )
    return found


def _remove(name: str) -> None:
    with suppress(NetworkUnavailable):  # it was not made
        for pid in _run("ip", "netns", "pids", name).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _run("ip", "netns", "del", name)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _run(*command: str, text: str = "") -> str:
    """Run a program of the system and return what it printed.

    Raises:
        NetworkUnavailable: it failed, with what it said.
    """
    done = subprocess.run(  # noqa: S603 - programs named in this file
        command, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NetworkUnavailable(f"{' '.join(command)}: {said[0] if said else done.returncode}")
    return done.stdout
