"""Where log lines go and how often one kind of line may appear.

Libraries only take loggers (``logging.getLogger(__name__)``, all below ``pulsing``); a program
decides where they go. `configure` is that decision for the command line. `LimitedLogger` is for
lines that a peer can provoke: a flood on the network must not become a flood in the log.
"""

from __future__ import annotations

import json
import logging
import sys
from enum import Enum
from typing import TYPE_CHECKING, Final, TextIO

from pulsing import clock

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = "pulsing"
_DEFAULT_MAX_KEYS: Final = 1024
_STANDARD_FIELDS: Final = frozenset(
    vars(logging.LogRecord("", logging.INFO, "", 0, "", None, None))
) | {"message", "asctime", "taskName"}


class LogFormat(Enum):
    """How log lines look."""

    TEXT = "text"
    """For people: time, level, logger, message."""
    JSON = "json"
    """For log collectors: one JSON object a line; ``extra`` fields become members."""


class JsonFormatter(logging.Formatter):
    """One JSON object per record: ``time``, ``level``, ``logger``, ``message``, then extras."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line without line breaks."""
        fields: dict[str, object] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        fields.update(
            (key, value) for key, value in vars(record).items() if key not in _STANDARD_FIELDS
        )
        return json.dumps(fields, default=str, ensure_ascii=False)


def configure(
    log_format: LogFormat = LogFormat.TEXT,
    level: int | str = logging.INFO,
    *,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send the log lines of Pulsing, and warnings of everything else, to one stream.

    Calling it again replaces what the previous call set up; handlers of others stay.

    Args:
        log_format: for people or for machines.
        level: the least level of Pulsing's own loggers that is written.
        stream: where to; standard error when not given.

    Returns:
        The handler, for a program that wants to flush or remove it.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.set_name(ROOT)
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        )
    root = logging.getLogger()
    for other in list(root.handlers):
        if other.get_name() == ROOT:
            root.removeHandler(other)
    root.addHandler(handler)
    logging.getLogger(ROOT).setLevel(level)
    return handler


class LimitedLogger:
    """Writes the first line of each key at once, then at most one per interval.

    A line that follows suppressed ones says how many there were. At most ``max_keys`` keys are
    remembered; the oldest is forgotten first, so an attacker who makes up keys gains nothing but
    forgotten counters.

    Args:
        logger: where the lines go.
        interval_s: seconds between two lines of one key.
        max_keys: how many keys are remembered.
        now: the clock, in seconds; default: that of `pulsing.clock`.
    """

    __slots__ = ("_interval_s", "_logger", "_max_keys", "_now", "_seen")

    def __init__(
        self,
        logger: logging.Logger,
        *,
        interval_s: float = 10.0,
        max_keys: int = _DEFAULT_MAX_KEYS,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._now = now
        self._seen: dict[str, tuple[float, int]] = {}  # key -> next line allowed at, suppressed

    def log(self, level: int, key: str, message: str, *args: object) -> bool:
        """Write the line unless this key had one within the interval.

        Args:
            level: of the standard library's ``logging``.
            key: what counts as the same line, such as ``"rapid-reset 10.0.0.7"``.
            message: a %-style text, as for the standard library.
            args: what it is formatted with.

        Returns:
            Whether the line was written.
        """
        now = clock.monotonic() if self._now is None else self._now()
        allowed_at, suppressed = self._seen.pop(key, (now, 0))
        if now < allowed_at:
            self._seen[key] = (allowed_at, suppressed + 1)
            return False
        if len(self._seen) >= self._max_keys:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now + self._interval_s, 0)
        if suppressed:
            self._logger.log(level, "%s (%d more like it)", message % args, suppressed)
        else:
            self._logger.log(level, message, *args)
        return True

    def warning(self, key: str, message: str, *args: object) -> bool:
        """`log` at level WARNING."""
        return self.log(logging.WARNING, key, message, *args)

    def error(self, key: str, message: str, *args: object) -> bool:
        """`log` at level ERROR."""
        return self.log(logging.ERROR, key, message, *args)
