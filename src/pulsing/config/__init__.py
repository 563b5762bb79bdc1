"""The configuration of a node: one frozen value, checked when it is made.

Where a setting comes from, first match wins: an argument, a ``PULSING_*`` environment variable,
``pulsing.toml`` or else ``[tool.pulsing]`` of ``pyproject.toml`` in the working directory, the
default. `SystemConfig.load` reads them all; the constructor and the presets read nothing.

Owns: every setting of a node, its default and its bounds. Must not know: what is done with them.
Read: this file, ``sources``, ``conversion``, ``checks``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pulsing.addresses import is_loopback
from pulsing.config.checks import listing, problems_of
from pulsing.config.conversion import NetworkKind, convert
from pulsing.config.sources import from_environment, from_file

__all__ = ["NetworkKind", "SystemConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemConfig:
    """Everything a node can be told. ``None`` means off.

    Attributes:
        addr: ``HOST:PORT`` to listen on; port 0 picks one. ``None`` (default): standalone, no port
            is opened.
        passphrase: the secret all nodes of a cluster share; turns on mutual TLS. ``None``
            (default): cleartext, anybody who reaches the port may call. Never shown in a repr.
        cluster_name: nodes of another cluster name are refused. Default ``pulsing``.
        allow_pickle: accept pickled values from peers that hold no passphrase. Whoever reaches
            the port can then run code here. Default off.
        default_timeout_s: seconds a call may take when it says nothing itself, default 30. Higher:
            a frozen node holds its callers longer. ``None``: they wait for ever.
        max_message_bytes: the largest message accepted or sent, default 1 GiB. Higher: one peer
            can make this node take more memory.
        max_concurrency: calls one actor works on at a time, default 1000. 1 makes actors strictly
            sequential; higher costs a task for each suspended call.
        mailbox_size: messages that may wait for one actor, default 10 000. Higher costs memory
            and waiting under overload, lower refuses or delays bursts.
        stream_buffer: items a stream may be ahead of its consumer, default 256. Higher smooths
            bursts, lower keeps producer and consumer in step.
        worker_threads: threads for ``def`` methods, at most, default 256. A blocking call holds
            one; calls beyond wait.
        connect_timeout_s: seconds a connection to a node may take, handshake included, default 5.
        keepalive_interval_s: seconds of silence after which a link is probed with a PING, default
            10; a probe unanswered for as long ends the link. ``None``: a frozen peer is noticed by
            deadlines only.
        seeds: ``HOST:PORT`` of nodes to join by gossip; any that answers is enough. A DNS name
            stands for all its addresses; the own address among them is skipped. Default none: the
            node starts a cluster that others can join.
        is_head_node: this node is the head of a cluster with a head: it alone keeps the members
            and names. Default off.
        head_addr: ``HOST:PORT`` of the head to register with, instead of ``seeds``.
        advertise: ``HOST`` or ``HOST:PORT`` at which other nodes reach this one. Default: ``addr``,
            and for all interfaces (``0.0.0.0``) that through which the network is reached. Needed
            behind port mappings and address translation.
        node_name: for people and for ``name@node``; unique in the cluster. Default: the beginning
            of the node id.
        labels: what actors can be placed by, such as ``{"gpu": "", "zone": "eu"}``; as text
            ``gpu,zone=eu``.
        network: the timings of gossip: ``local`` (one machine), ``lan`` (default) or ``wan``.
            Towards ``local`` failures are found sooner and cost more traffic.
        head_sync_interval_s: seconds between two looks of a worker at the head's tables, default 5.
            Higher: workers learn of new names and members later.
        head_heartbeat_interval_s: seconds between two signs of life of a worker, default 10.
        head_heartbeat_timeout_s: seconds without one after which the head declares a worker dead,
            default 30. Lower finds dead machines sooner; killed processes are found at once.
        stall_threshold_s: seconds the event loop may be held by one piece of code before the
            guard logs its stack and tells other nodes that this one is busy, not dead; default
            0.5. ``None``: no guard; a node that computes on its loop is taken for dead.
        copy_local: copy arguments and results of calls within the node, as between nodes. Default
            off: they are handed over as they are. For tests: it finds code that goes on changing
            what it has sent. Costs what a call to another node costs in encoding.
    """

    addr: str | None = None
    passphrase: str | None = field(default=None, repr=False)
    cluster_name: str = "pulsing"
    allow_pickle: bool = False
    default_timeout_s: float | None = 30.0
    max_message_bytes: int = 1 << 30
    max_concurrency: int = 1000
    mailbox_size: int = 10_000
    stream_buffer: int = 256
    worker_threads: int = 256
    connect_timeout_s: float = 5.0
    keepalive_interval_s: float | None = 10.0
    seeds: tuple[str, ...] = ()
    is_head_node: bool = False
    head_addr: str | None = None
    advertise: str | None = None
    node_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    network: NetworkKind = NetworkKind.LAN
    head_sync_interval_s: float = 5.0
    head_heartbeat_interval_s: float = 10.0
    head_heartbeat_timeout_s: float = 30.0
    stall_threshold_s: float | None = 0.5
    copy_local: bool = False

    def __post_init__(self) -> None:
        problems: list[str] = []
        for key in ("seeds", "labels", "network"):  # also as people write them
            try:
                object.__setattr__(self, key, convert(_TYPES, key, getattr(self, key)))
            except ValueError as error:
                problems.append(str(error))
        problems = problems or list(problems_of(self))
        if problems:
            raise ValueError(listing(problems))

    @classmethod
    def standalone(cls) -> Self:
        """A node for itself: opens no port, has only local actors."""
        return cls()

    def with_addr(self, addr: str) -> Self:
        """The same, listening on ``addr`` (``HOST:PORT``)."""
        return dataclasses.replace(self, addr=addr)

    def with_passphrase(self, passphrase: str) -> Self:
        """The same, with mutual TLS between all nodes that hold this passphrase."""
        return dataclasses.replace(self, passphrase=passphrase)

    def with_seeds(self, seeds: Iterable[str]) -> Self:
        """The same, joining the cluster of these nodes (``HOST:PORT``)."""
        return self.with_options(seeds=seeds)

    def with_head_node(self) -> Self:
        """The same, as the head of a cluster."""
        return dataclasses.replace(self, is_head_node=True)

    def with_head_addr(self, head_addr: str) -> Self:
        """The same, as a worker of the head at ``HOST:PORT``."""
        return dataclasses.replace(self, head_addr=head_addr)

    def with_options(self, **options: Any) -> Self:
        """The same with other fields; an option of ``None`` counts as not given."""
        given = {key: value for key, value in options.items() if value is not None}
        return dataclasses.replace(self, **given) if given else self

    @property
    def listen_addr(self) -> str | None:
        """``HOST:PORT`` to listen on; None when standalone.

        A node that joins others without an ``addr`` picks a port: on loopback when all it is to
        join is there, else on all interfaces.
        """
        if self.addr is not None:
            return self.addr
        others = self.seeds if self.head_addr is None else (self.head_addr,)
        if not others:
            return None
        return "127.0.0.1:0" if all(map(is_loopback, others)) else "0.0.0.0:0"

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        **arguments: Any,
    ) -> Self:
        """The configuration from all its sources; an argument of ``None`` counts as not given.

        Args:
            environ: instead of ``os.environ``.
            directory: where ``pulsing.toml`` and ``pyproject.toml`` are looked for, instead of
                the working directory.
            arguments: fields, as for the constructor.

        Raises:
            ValueError: lists every problem of every source, each with the place it came from.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        sources = [
            from_file(Path(directory) if directory is not None else Path(), problems),
            from_environment(os.environ if environ is None else environ),
            (("argument", key, value) for key, value in arguments.items() if value is not None),
        ]
        for source in sources:  # later ones win
            for place, key, value in source:
                try:
                    values[key] = convert(_TYPES, key, value)
                except ValueError as error:
                    problems.append(f"{place}: {error}")
        unchecked = object.__new__(cls)
        for each in dataclasses.fields(cls):
            default = each.default
            if default is MISSING and each.default_factory is not MISSING:
                default = each.default_factory()
            object.__setattr__(unchecked, each.name, values.get(each.name, default))
        problems.extend(problems_of(unchecked))
        if problems:
            raise ValueError(listing(problems))
        return unchecked


_TYPES: Final = {each.name: str(each.type) for each in dataclasses.fields(SystemConfig)}
