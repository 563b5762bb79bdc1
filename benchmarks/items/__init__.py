"""The benchmarks, one module per subject. Importing this package fills the registry."""

from benchmarks.items import (
    asks,
    connect,
    echo,
    growth,
    local,
    memory,
    restarts,
    start,
    streams,
    timers,
)

__all__ = [
    "asks",
    "connect",
    "echo",
    "growth",
    "local",
    "memory",
    "restarts",
    "start",
    "streams",
    "timers",
]
