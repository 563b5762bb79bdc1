"""What makes no sense in a configuration, across its fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pulsing.addresses import LOCALHOST, is_everywhere, split_host_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulsing.config import SystemConfig

_MAX_LABELS: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_NODE_ID: Final = re.compile(r"[0-9a-f]{32}")
_LABEL_KEY: Final = re.compile(r"[A-Za-z0-9_.\-/]{1,64}")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9_.\-/:]{0,128}")


def problems_of(config: SystemConfig) -> Iterator[str]:
    """What is wrong with a configuration, one sentence each."""
    if config.addr is not None:
        try:
            split_host_port(config.addr)
        except ValueError as error:
            yield f"addr: {error}"
    if config.passphrase is not None and not config.passphrase:
        yield "passphrase: is empty; leave it out to run without TLS"
    if not _NAME.fullmatch(config.cluster_name):
        yield "cluster_name: expected 1-64 letters, digits, '_', '-' or '.'"
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if value is not None and not value >= least:
            yield f"{name}: {value} is too low; at least {least}"
    for name in _SECONDS:
        value = getattr(config, name)
        if value is not None and not 0 < value < 1e9:
            yield f"{name}: {value} is not a positive number of seconds"
    yield from _cluster_problems(config)


def _cluster_problems(config: SystemConfig) -> Iterator[str]:
    for seed in config.seeds:
        yield from _address_problems("seeds", seed)
    if config.head_addr is not None:
        yield from _address_problems("head_addr", config.head_addr)
        if config.is_head_node:
            yield (
                "is_head_node and head_addr: a node is the head or a worker of one; leave out "
                "head_addr on the head, is_head_node on workers"
            )
        if config.seeds:
            yield (
                "seeds and head_addr: a cluster is joined by gossip (seeds) or through its head "
                "(head_addr); give one of them"
            )
    if config.is_head_node and config.seeds:
        yield "is_head_node and seeds: a head joins nobody; workers come to it with head_addr"
    if config.is_head_node and config.addr is None:
        yield "is_head_node: a head needs an addr that its workers know"
    if config.advertise is not None:
        if config.addr is None and not config.seeds and config.head_addr is None:
            yield "advertise: without an addr there is nothing to reach"
        host = config.advertise
        has_port = ":" in host.rpartition("]")[2]
        yield from _address_problems("advertise", host if has_port else f"{host}:1")
    name = config.node_name
    if name is not None and (not _NAME.fullmatch(name) or name in (LOCALHOST, ".", "..")):
        yield f"node_name: {name!r}; expected 1-64 letters, digits, '_', '-' or '.'"
    elif name is not None and _NODE_ID.fullmatch(name):
        yield f"node_name: {name!r} looks like the id of a node"
    if len(config.labels) > _MAX_LABELS:
        yield f"labels: {len(config.labels)} of them; at most {_MAX_LABELS}"
    for key, value in config.labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            yield f"labels: {key!r}={value!r}; expected short words of letters, digits and _-./"
    if config.head_heartbeat_timeout_s <= config.head_heartbeat_interval_s:
        yield (
            f"head_heartbeat_timeout_s: {config.head_heartbeat_timeout_s} must be above "
            f"head_heartbeat_interval_s, {config.head_heartbeat_interval_s}, or healthy workers die"
        )


def _address_problems(name: str, address: str) -> Iterator[str]:
    try:
        host, port = split_host_port(address)
    except ValueError as error:
        yield f"{name}: {error}"
        return
    if not port:
        yield f"{name}: {address!r}; port 0 is for listening only"
    elif is_everywhere(host):
        yield f"{name}: {address!r}; nobody is reached at {host}, it stands for all interfaces"


_SECONDS: Final = (
    "default_timeout_s",
    "connect_timeout_s",
    "keepalive_interval_s",
    "head_sync_interval_s",
    "head_heartbeat_interval_s",
    "head_heartbeat_timeout_s",
    "stall_threshold_s",
)

_LEAST: Final = {
    "max_message_bytes": 1024,
    "max_concurrency": 1,
    "mailbox_size": 1,
    "stream_buffer": 1,
    "worker_threads": 1,
}


def listing(problems: list[str]) -> str:
    """All problems as the text of one error."""
    if len(problems) == 1:
        return f"configuration: {problems[0]}"
    return f"configuration has {len(problems)} problems:\n  " + "\n  ".join(problems)
